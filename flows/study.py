"""The study flow: makes true what a study file says, doing only what is missing.

Data → cohorts → models → evaluations → analyses → figures and page. Each step asks the database what is done already, so a
second run trains nothing, and a run that was killed goes on where it was.
"""

from dataclasses import asdict, dataclass
from typing import Any

from prefect import flow

from flows import shown, tasks
from flows.clusters import on_cluster
from flows.platform import storage
from flows.pool import process_pool, result
from flows.steps import (
    analyse_study,
    evaluate_models,
    own_then_elsewhere,
    prepare_datasets,
    tell_new,
    train_models,
)
from flows.studies import read_here, study_file


@dataclass(frozen=True)
class Outcome:
    """What a run of a study did: models trained of those asked for, evaluations and analyses made, and its files."""

    study: str
    n_models: int
    trained: int
    evaluated: int
    analysed: int
    folder: str


@flow(name="study", task_runner=process_pool(), on_cancellation=[shown.tidy], on_crashed=[shown.tidy])
def run_study(study: str = "phantom") -> dict[str, Any]:
    """Run a study file to its report: datasets, models, predictions, results, figures; only what is missing is done.

    Args:
        study: Name of a bundled study, or the path of a study file.
    """
    from xray.plan import foreign_models

    path = study_file(study)
    content = read_here(path)
    if content.foreign:
        with storage() as databases, databases.engine().begin() as connection:
            foreign_models(connection, content)  # an unknown one is said before anything is trained
    opening = tasks.open_tracking.submit(content.name)
    prepare_datasets(content)
    result("opening MLflow", opening)
    models = train_models(content)
    tasks.record(str(path), [model["model_id"] for model in models])
    evaluated = analysed = 0
    for missing in own_then_elsewhere(content.name):
        evaluated += evaluate_models(missing, content)
        if on_cluster():  # it has not the study's file
            analysed += sum(analyse_study(content.name).values())
            tests = tasks.log_tests.submit(content.name)
            folder = tasks.report(str(path))
        else:
            analysed += sum(result("analysing", tasks.analyse.submit(content.name)).values())
            tests = tasks.log_tests.submit(content.name)
            folder = result("drawing figures", tasks.report.submit(str(path)))
        result("telling MLflow", tests)
    if shown.is_watched():
        shown.models([model["model_id"] for model in models])
        shown.evaluations()
        shown.results(content.name, tasks.results(content.name)["rows"], folder)
        tell_new(models)
    trained = sum(model["trained"] for model in models)
    return asdict(Outcome(content.name, len(models), trained, evaluated, analysed, folder))

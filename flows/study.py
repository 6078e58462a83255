"""The study flow: makes true what a study file says, doing only what is missing.

Data → cohorts → models → evaluations → analyses → figures and page. Each step asks the database what is done already, so a
second run trains nothing, and a run that was killed goes on where it was.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prefect import flow

from flows import tasks
from flows.platform import storage
from flows.pool import process_pool
from flows.steps import evaluate_models, prepare_datasets, train_models
from xray.study import read_study


@dataclass(frozen=True)
class Done:
    """What a run of a study did: models trained of those asked for, evaluations and analyses made, and its files."""

    study: str
    n_models: int
    trained: int
    evaluated: int
    analysed: int
    folder: str


@flow(name="study", task_runner=process_pool())
def run_study(path: str) -> dict[str, Any]:
    """Run a study file to its report. `path`: the TOML file. Returns `Done` as a dict."""
    from xray.plan import foreign_models, record_study

    study = read_study(Path(path))
    with storage() as found, found.engine().begin() as connection:
        foreign_models(connection, study)  # an unknown one is said before anything is trained
    opening = tasks.open_tracking.submit(study.name)
    prepare_datasets(study)
    opening.result()
    models = train_models(study)
    with storage() as found, found.engine().begin() as connection:
        record_study(connection, study, [each["model_id"] for each in models])
    evaluated = evaluate_models(study.name)
    analysed = sum(tasks.analyse.submit(study.name).result().values())
    folder = tasks.report.submit(path).result()
    trained = sum(each["trained"] for each in models)
    return asdict(Done(study.name, len(models), trained, evaluated, analysed, folder))

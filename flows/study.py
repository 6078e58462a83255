"""The study flow: makes true what a study file says, doing only what is missing.

Data → cohorts → models → evaluations → analyses → figures and page. Each step asks the database what is done already, so a
second run trains nothing, and a run that was killed goes on where it was.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.futures import PrefectFuture, as_completed
from prefect.task_runners import ProcessPoolTaskRunner

from flows import tasks
from flows.platform import storage
from xray import settings
from xray.study import Study, read_study


@dataclass(frozen=True)
class Done:
    """What a run of a study did: models trained of those asked for, evaluations and analyses made, and its files."""

    study: str
    n_models: int
    trained: int
    evaluated: int
    analysed: int
    folder: str


@flow(
    name="study",
    task_runner=ProcessPoolTaskRunner(  # type: ignore[arg-type]  # prefect's own runner, its futures typed narrower
        tasks.workers(), initializer=tasks.start_worker, initargs=(os.getpid(),)
    ),
    log_prints=False,
)
def run_study(path: str) -> dict[str, Any]:
    """Run a study file to its report. `path`: the TOML file. Returns `Done` as a dict."""
    from xray.learning.tracking import Tracker
    from xray.plan import record_study

    study = read_study(Path(path))
    preparing = [tasks.prepare.submit(path, dataset.name) for dataset in study.datasets]
    with storage() as found:
        Tracker(found.mlflow, settings.artifacts()).experiment(study.name)
    _collect("preparing datasets", preparing)
    trained = train_models(study)
    with storage() as found, found.engine().begin() as connection:
        record_study(connection, study, [each["model_id"] for each in trained])
    evaluated = evaluate_models(study.name)
    made = tasks.analyse.submit(study.name).result()
    report = tasks.report.submit(path).result()
    return asdict(
        Done(
            study.name,
            len(trained),
            sum(each["trained"] for each in trained),
            evaluated,
            sum(made.values()),
            report,
        )
    )


def train_models(study: Study) -> list[dict[str, Any]]:
    """Every model of the study, in its order: id, and whether it was trained now."""
    recipe = asdict(study.recipe)
    futures = [
        tasks.train.submit(study.name, each.name, list(each.datasets), study.protocol, recipe, seed)
        for each in study.configurations()
        for seed in study.seeds
    ]
    return _collect("training models", futures)


def evaluate_models(study: str | None) -> int:
    """Fill the missing evaluations of a study, or of everything; how many were written."""
    from xray.learning.evaluate import missing

    with storage() as found, found.engine().begin() as connection:
        wanted = missing(connection, study)
    futures = [tasks.evaluate.submit(model, lists) for model, lists in wanted.items()]
    return sum(_collect("scoring images", futures))


def _collect(what: str, futures: Sequence[PrefectFuture[Any]]) -> list[Any]:
    """Results in the order of the futures, with a progress bar; the first failure is raised when all have ended."""
    from tqdm import tqdm

    for _ in tqdm(as_completed(list(futures)), what, len(futures), leave=True, disable=not futures):
        pass
    return [future.result() for future in futures]

"""The steps of a study as flows of their own, for deployments: register, train, predict, analyse.

Each does only what is missing, so that running one twice changes nothing. The study flow runs the same tasks in one go.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow

from flows import tasks
from flows.platform import storage
from flows.pool import collect, process_pool
from xray.errors import StudyError
from xray.study import Study, read_study


@flow(name="register", task_runner=process_pool())
def register(study_path: str) -> list[dict[str, Any]]:
    """Draw or read, register, split and cache every dataset of a study file."""
    return prepare_datasets(read_study(Path(study_path)))


@flow(name="train", task_runner=process_pool())
def train(study_path: str, configuration: str | None = None) -> list[dict[str, Any]]:
    """Train the models of a study file: of one configuration (such as "nih" or "all-but-nih"), or all of them."""
    study = read_study(Path(study_path))
    prepare_datasets(study)
    return train_models(study, configuration)


@flow(name="predict", task_runner=process_pool())
def predict(study: str | None = None) -> int:
    """Fill the missing evaluations of a study, by its name, or of everything; how many were written."""
    return evaluate_models(study)


@flow(name="analyse", task_runner=process_pool())
def analyse(study_path: str) -> str:
    """Bring the results, figures and page of a study file up to date; the folder."""
    tasks.analyse.submit(read_study(Path(study_path)).name).result()
    return str(tasks.report.submit(study_path).result())


def prepare_datasets(study: Study) -> list[dict[str, Any]]:
    """Every dataset of the study, ready: id, images, and whether it is new."""
    path = str(study.path)
    return collect("preparing datasets", [tasks.prepare.submit(path, each.name) for each in study.datasets])


def train_models(study: Study, configuration: str | None = None) -> list[dict[str, Any]]:
    """The models of one configuration of a study, or all, in its order: id, and whether it was trained now."""
    chosen = [each for each in study.configurations() if configuration in (None, each.name)]
    if not chosen:
        known = ", ".join(each.name for each in study.configurations())
        raise StudyError(f"{study.path}: there is no configuration {configuration!r}; known: {known}")
    recipe = asdict(study.recipe)
    futures = [
        tasks.train.submit(study.name, each.plain(), study.protocol, recipe, seed)
        for each in chosen
        for seed in study.seeds
    ]
    return collect("training models", futures)


def evaluate_models(study: str | None) -> int:
    """Fill the missing evaluations of a study, or of everything; how many were written."""
    from xray.learning.evaluate import missing

    with storage() as found, found.engine().begin() as connection:
        wanted = missing(connection, study)
    return sum(collect("scoring images", [tasks.evaluate.submit(m, lists) for m, lists in wanted.items()]))

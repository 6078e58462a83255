"""Prefect tasks: one step of work each, in a process of its own. Their arguments are names, numbers and paths, never arrays.

Each finds the databases by XRAY_DATABASE_URL and the files under XRAY_HOME, so that it runs as well on a worker elsewhere.
"""

import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import task

from flows.platform import storage
from flows.processes import die_with_parent
from xray import settings


def start_worker(parent: int) -> None:
    """What each process of the pool does first: die with its parent, compute on one thread."""
    die_with_parent(parent)
    import torch

    torch.set_num_threads(1)


def workers() -> int:
    """How many processes work side by side: one per core that we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@task(name="prepare")
def prepare(study_path: str, dataset: str) -> dict[str, Any]:
    """Make sure that one dataset of a study is drawn, registered, split and cached; what it holds."""
    from xray.data.prepare import prepare as prepare_dataset
    from xray.study import read_study

    study = read_study(Path(study_path))
    (request,) = (each for each in study.datasets if each.name == dataset)
    with storage() as found:
        done = prepare_dataset(
            found.engine(), settings.home(), request, study.protocol, study.recipe.image_size
        )
    return asdict(done)


@task(name="open tracking")
def open_tracking(study: str) -> str:
    """Make sure that MLflow's database and the study's experiment are there, before many ask at once; its id."""
    from xray.learning.tracking import Tracker

    with storage() as found:
        return Tracker(found.mlflow, settings.artifacts()).experiment(study)


@task(name="train")
def train(
    study: str, configuration: dict[str, Any], protocol: str, recipe: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Make sure that one model is trained and registered: its id, and whether it was trained now."""
    from xray.configuration import configuration_of
    from xray.learning.models import ensure_model
    from xray.learning.recipe import recipe_of
    from xray.learning.request import ModelRequest
    from xray.learning.tracking import Tracker

    asked = configuration_of(configuration)
    request = ModelRequest(
        study, asked.name, asked.datasets, protocol, recipe_of(recipe), seed, asked.tasks, asked.where
    )
    with storage() as found:
        tracker = Tracker(found.mlflow, settings.artifacts())
        model_id, trained = ensure_model(found.engine(), tracker, settings.home(), request)
    return {"model_id": model_id, "trained": trained}


@task(name="evaluate")
def evaluate(model_id: int, image_list_ids: list[int]) -> int:
    """Score image lists with one model; how many evaluations were written."""
    from xray.learning import evaluate as evaluation
    from xray.learning.tracking import Tracker

    with storage() as found:
        tracker = Tracker(found.mlflow, settings.artifacts())
        return evaluation.evaluate(found.engine(), tracker, settings.home(), model_id, image_list_ids)


@task(name="analyse")
def analyse(study: str) -> dict[str, bool]:
    """Bring every analysis of a study up to date: name → whether it had to be computed."""
    from xray.analyses.run import run_all

    with storage() as found:
        return run_all(found.engine(), study)


@task(name="report")
def report(study_path: str) -> str:
    """Write a study's figures and page, and keep them in MLflow too; the folder."""
    from xray.analyses.report import write_report
    from xray.learning.tracking import Tracker
    from xray.study import read_study

    study = read_study(Path(study_path))
    folder = settings.home() / "reports" / study.name
    commands = [f"xray study run {shlex.quote(study_path)}", "xray ui mlflow"]
    with storage() as found:
        with found.engine().begin() as connection:
            write_report(connection, study, folder, commands)
        Tracker(found.mlflow, settings.artifacts()).report(study.name, "report", folder)
    return str(folder)

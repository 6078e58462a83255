"""Prefect tasks: one step of work each, in a process of its own. Their arguments are names, numbers and paths, never arrays.

Each finds the databases by XRAY_DATABASE_URL and the files under XRAY_HOME, so that it runs as well on a worker elsewhere.
"""

import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import task

from db.logs import about
from flows import forked
from flows.clusters import check_worker
from flows.platform import storage
from flows.processes import end_with_services
from flows.retry import PATIENT
from xray import settings

_log = logging.getLogger(__name__)


def start_worker(variables: Mapping[str, str] = os.environ) -> None:
    """What each process of the pool does first; variables: its environment."""
    forked.begin(dict(variables))
    end_with_services()
    compute_on_one_thread()


def compute_on_one_thread() -> None:
    """As many flow runs and processes as there are cores work side by side; more threads would only be in the way."""
    # PyTorch reads it when it is imported, which takes seconds: not here, where nothing may need it
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def tell_where() -> None:
    """Let what this process stores say which flow run it was stored by (`xray explain`); it is a worker that can store."""
    from prefect.runtime import flow_run

    check_worker()
    if identifier := flow_run.get_id():
        os.environ["XRAY_FLOW_RUN"] = str(identifier)


Phantoms = dict[str, dict[str, Any]]
"""Phantom datasets by name: the fields of a `Phantom` each."""


def draw(phantoms: Phantoms | None) -> None:
    """Draw the pictures of phantom datasets into this process's home, where they are not there yet."""
    from xray.data.prepare import draw_phantom
    from xray.data.request import Phantom

    for name, fields in (phantoms or {}).items():
        draw_phantom(name, Phantom(**fields), settings.home())


@task(name="prepare", task_run_name="prepare {dataset}", **PATIENT)
def prepare(study_path: str, dataset: str) -> dict[str, Any]:
    """Make sure that one dataset of a study is drawn, registered, split and cached; what it holds."""
    from flows.studies import read_here
    from xray.data.prepare import prepare as prepare_dataset

    study = read_here(Path(study_path))
    (request,) = (entry for entry in study.datasets if entry.name == dataset)
    with about(study=study.name, dataset=dataset), storage() as databases:
        prepared = prepare_dataset(
            databases.engine(), settings.home(), request, study.protocol, study.image_size
        )
        for line in prepared.news:
            _log.warning(line)
        _log.info("%d images ready", prepared.n_images)
    return asdict(prepared)


@task(name="open tracking", task_run_name="open tracking {study}", **PATIENT)
def open_tracking(study: str) -> str:
    """Make sure that MLflow's database and the study's experiment are there, before many ask at once; its id."""
    from xray.learning.tracking import Tracker

    with storage() as databases:
        return Tracker(databases.mlflow, settings.artifacts()).experiment(study)


@task(name="train", task_run_name="train {configuration[name]} seed {seed}", **PATIENT)
def train(
    study: str,
    configuration: dict[str, Any],
    protocol: str,
    recipe: dict[str, Any],
    seed: int,
    phantoms: Phantoms | None = None,
) -> dict[str, Any]:
    """Make sure that one model is trained and registered: its id, and whether it was trained now.

    drawn: the phantom datasets of the study, for a worker whose home has not drawn them yet.
    """
    from xray.configuration import configuration_of
    from xray.learning.models import ensure_model
    from xray.learning.recipe import recipe_of
    from xray.learning.request import ModelRequest
    from xray.learning.tracking import Tracker

    entry = configuration_of(configuration)
    request = ModelRequest(
        study,
        entry.name,
        entry.datasets,
        protocol,
        recipe_of(recipe),
        seed,
        entry.tasks,
        entry.where,
        entry.findings,
    )
    tell_where()
    compute_on_one_thread()
    draw(phantoms)
    with about(study=study, model=f"{entry.name}/{seed}"), storage() as databases:
        tracker = Tracker(databases.mlflow, settings.artifacts())
        model_id, trained = ensure_model(databases.engine(), tracker, settings.home(), request)
        _log.info("model %d %s", model_id, "trained" if trained else "already existed")
    return {"model_id": model_id, "trained": trained}


@task(name="evaluate", task_run_name="evaluate model {model_id}", **PATIENT)
def evaluate(
    model_id: int, image_list_ids: list[int], threads: int = 1, phantoms: Phantoms | None = None
) -> int:
    """Score image lists with one model, on so many cores; how many evaluations were written. drawn: as of `train`."""
    from xray.learning import evaluate as evaluation
    from xray.learning.tracking import Tracker

    tell_where()
    compute_on_one_thread()
    draw(phantoms)
    with about(model=str(model_id)), storage() as databases:
        tracker = Tracker(databases.mlflow, settings.artifacts())
        home = settings.home()
        n = evaluation.evaluate(databases.engine(), tracker, home, model_id, image_list_ids, threads)
        _log.info("%d evaluations written", n)
    return n


@task(
    name="intervene",
    task_run_name="score evaluation {evaluation_id} changed to look like list {target_list_id}",
    **PATIENT,
)
def intervene(
    evaluation_id: int, target_list_id: int, kinds: Sequence[str], images: int | None, seed: int
) -> int:
    """Score the images of an evaluation again, changed to look like those of another list; how many kinds were written."""
    from xray.learning.intervene import InterventionRequest
    from xray.learning.intervene import intervene as score_again
    from xray.learning.tracking import Tracker

    tell_where()
    with storage() as databases:
        tracker = Tracker(databases.mlflow, settings.artifacts())
        request = InterventionRequest(evaluation_id, target_list_id, tuple(kinds), images, seed)
        return score_again(databases.engine(), tracker, settings.home(), request)


@task(name="analyse", task_run_name="analyse {study}", **PATIENT)
def analyse(study: str) -> dict[str, bool]:
    """Bring every analysis of a study up to date: name → whether it had to be computed."""
    from xray.analyses.run import run_all

    tell_where()
    with storage() as databases:
        return run_all(databases.engine(), study)


@task(name="analyse cohort", task_run_name="analyse {study} on {dataset}", **PATIENT)
def analyse_cohort(study: str, dataset: str) -> dict[str, bool]:
    """Bring what of a study's results is of one test cohort up to date; `analyse` has to follow. name → whether computed."""
    from xray.analyses.parallel import one_thread
    from xray.analyses.run import run_cohort

    tell_where()
    with storage() as databases, one_thread():
        return run_cohort(databases.engine(), study, dataset)


@task(name="report", task_run_name="report", **PATIENT)
def report(study_path: str) -> str:
    """Write a study's figures and page, and keep them in MLflow too, with what it says; the folder."""
    from flows.studies import read_here
    from xray.analyses.headline import description, headline, note
    from xray.analyses.report import write_report
    from xray.learning.tracking import Tracker

    study = read_here(Path(study_path))
    folder = settings.home() / "reports" / study.name
    commands = [f"xray study run {shlex.quote(study_path)}", "xray ui mlflow"]
    with about(study=study.name), storage() as databases:
        _log.info("drawing figures")
        with databases.engine().begin() as connection:
            write_report(connection, study, folder, commands)
            text, numbers = note(connection, study), headline(connection, study.name)
        tracker = Tracker(databases.mlflow, settings.artifacts())
        tracker.describe(study.name, *description(study))
        tracker.report(study.name, "report", folder, text, numbers)
    return str(folder)


@task(name="log tests", task_run_name="log tests of {study}", **PATIENT)
def log_tests(study: str) -> int:
    """Tell MLflow how the models of a study did on each test cohort; of how many models that was new."""
    from xray.learning.tested import tested_models
    from xray.learning.tracking import Tracker
    from xray.learning.tracking_tests import log_tests as log

    with storage() as databases:
        with databases.engine().begin() as connection:
            models = tested_models(connection, study)
        return log(Tracker(databases.mlflow, settings.artifacts()), study, models) if models else 0


@task(name="add dataset", task_run_name="add dataset {name}", **PATIENT)
def add_dataset(name: str, request: dict[str, Any], protocol: str) -> dict[str, Any]:
    """Register one dataset; its name, images, and whether that was done now. `request`: fields of a `DatasetRequest`."""
    from xray.data.prepare import register_request
    from xray.data.request import DatasetRequest, Phantom

    phantom = request["phantom"]
    values: dict[str, Any] = {
        **request,
        "phantom": Phantom(**phantom) if phantom else None,
        "findings": tuple(request["findings"]),
        **{key: Path(request[key]) if request[key] else None for key in ("labels", "images", "mapping")},
    }
    entry = DatasetRequest(name=name, **values)
    with about(dataset=name), storage() as databases:
        registration = register_request(databases.engine(), entry, protocol, home=settings.home())
        for line in registration.news():
            _log.warning(line)
    return {
        "name": registration.name,
        "images": registration.n_images,
        "new": not registration.unchanged,
        "notes": registration.news(),
    }


@task(name="missing", task_run_name="what is missing", **PATIENT)
def missing(study: str | None) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Model id → image lists that it has still to score, of our own models and of those from elsewhere: of a study, by its
    name, or of everything."""
    from xray.learning.missing import missing as missing_evaluations
    from xray.learning.missing import own_first

    with storage() as databases, databases.engine().begin() as connection:
        return own_first(connection, missing_evaluations(connection, study))


@task(name="record", task_run_name="record the study", **PATIENT)
def record(study_path: str, model_ids: Sequence[int]) -> int:
    """Store what a study is made of now; its id."""
    from xray.plan import read_sited, record_study

    with storage() as databases, databases.engine().begin() as connection:
        return record_study(connection, read_sited(connection, Path(study_path)), list(model_ids))


@task(name="freeze", task_run_name="freeze cohorts", **PATIENT)
def freeze() -> list[str]:
    """Split every dataset under every protocol that a model was trained under; what stood in the way of some."""
    from xray.data.prepare import freeze_for_models

    with storage() as databases, databases.engine().begin() as connection:
        return freeze_for_models(connection)


@task(name="widen", task_run_name="widen studies", **PATIENT)
def widen() -> list[str]:
    """Let datasets that a study's models were scored on join its test datasets; the studies that have results to refresh."""
    from xray.plan import join_guests, stale_studies

    with storage() as databases, databases.engine().begin() as connection:
        join_guests(connection)
        return stale_studies(connection)


@task(name="studies", task_run_name="stored studies", **PATIENT)
def studies() -> list[str]:
    """Names of the studies of which anything is scored."""
    from xray.plan import scored_studies

    with storage() as databases, databases.engine().begin() as connection:
        return scored_studies(connection)


@task(name="show", task_run_name="results of {study}", **PATIENT)
def results(study: str) -> dict[str, Any]:
    """A study's stored AUCs of ensembles as rows, for people to see; and where its study file is."""
    from xray.analyses.results import performance
    from xray.plan import file_of

    with storage() as databases, databases.engine().begin() as connection:
        frame = performance(connection, study)
        file = file_of(connection, study)
    ensembles = frame[frame["seed"].isna()].drop(columns="seed").astype(object)
    rows = ensembles.where(ensembles.notna(), None).to_dict("records")
    return {"rows": rows, "file": file}

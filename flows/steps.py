"""The steps of a study as flows of their own, for deployments.

Each does only what is missing, so that running one twice changes nothing. The study flow runs the same tasks in one go.
`study` is the name of a bundled study file (studies/), or the path of another.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from prefect import flow
from prefect.futures import wait
from pydantic import Field
from sqlalchemy import select

from db.schema import Dataset
from flows import shown, tasks
from flows.clusters import on_cluster
from flows.events import announce
from flows.platform import storage
from flows.pool import process_pool, run_each
from flows.studies import read_here, study_file
from xray.configuration import Configuration
from xray.cores import cores
from xray.errors import StudyError, XrayError
from xray.names import unknown
from xray.study import Study

Count = Annotated[int, Field(ge=1)]
FEW: Final = 8
"""So many models are scored, and datasets that are registered looked at, in the flow run's own process, before others
would have started."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,59}$")]


@flow(name="register", task_runner=process_pool(), on_cancellation=[shown.tidy], on_crashed=[shown.tidy])
def register(study: str = "phantom") -> list[dict[str, Any]]:
    """Draw or read, register, split and cache every dataset of a study file.

    Args:
        study: Name of a bundled study, or the path of a study file.
    """
    return prepare_datasets(read_here(study_file(study)))


@flow(name="train", task_runner=process_pool(), on_cancellation=[shown.tidy], on_crashed=[shown.tidy])
def train(
    study: str = "phantom",
    configuration: str | None = None,
    seeds: list[Annotated[int, Field(ge=0)]] | None = None,
    network: str | None = None,
    image_size: Annotated[int, Field(ge=8)] | None = None,
    epochs: Count | None = None,
    epoch_images: Count | None = None,
    batch_size: Annotated[int, Field(ge=2)] | None = None,
) -> list[dict[str, Any]]:
    """Train the models of a study file: of one configuration, or all of them. Models that are there already stay.

    A model that is trained with other numbers than the study's is another model, and no part of the study's results.

    Args:
        study: Name of a bundled study, or the path of a study file.
        configuration: Such as nih, all or all-but-nih-cc. Empty: every configuration of the study.
        seeds: Seeds to train. Empty: those of the study.
        network: Another network than the study's, by its name in timm, or small_convnet.
        image_size: Another size of the pictures, in pixels.
        epochs: Another number of epochs.
        epoch_images: Show so many pictures per epoch at most.
        batch_size: Another number of pictures per step.
    """
    request = read_here(study_file(study))
    own: dict[str, Any] = {"network": network, "image_size": image_size, "epochs": epochs}
    own |= {"epoch_images": epoch_images, "batch_size": batch_size}
    request = replace(
        request,
        seeds=tuple(seeds) if seeds else request.seeds,
        recipe=replace(request.recipe, **{k: v for k, v in own.items() if v is not None}),
    )
    configurations = configurations_of(request, configuration)
    datasets = {dataset for entry in configurations for dataset in entry.datasets}
    tasks.open_tracking(request.name)
    prepare_datasets(request, datasets)
    models = train_models(request, configuration)
    shown.models([model["model_id"] for model in models])
    tell_new(models)
    return models


@flow(name="predict", task_runner=process_pool(), on_cancellation=[shown.tidy], on_crashed=[shown.tidy])
def predict(study: str | None = None) -> int:
    """Fill the missing evaluations of a study, or of everything; how many were written.

    Args:
        study: Name of a study as the database has it. Empty: everything.
    """
    count = sum(evaluate_models(missing) for missing in own_then_elsewhere(study))
    shown.evaluations()
    return count


@flow(name="analyse", task_runner=process_pool(), on_cancellation=[shown.tidy], on_crashed=[shown.tidy])
def analyse(study: str | None = None) -> dict[str, str]:
    """Bring the results, figures and page of a study, or of all, up to date; study → folder of its report.

    Args:
        study: Name of a study as the database has it. Empty: all that have anything scored.
    """
    return refresh([study] if study else tasks.studies())


@flow(name="add-dataset")
def add_dataset(
    name: Name = "trial",
    site: Name | None = None,
    source: str = "phantom",
    labels: str | None = None,
    images: str | None = None,
    labels_only: bool = False,
    protocol: str = "corrected",
    phantom_site: Literal["alpha", "bravo", "charlie", "delta", "echo", "foxtrot"] = "alpha",
    patients: Count = 100,
    size: Annotated[int, Field(ge=16)] = 48,
    mapping: str | None = None,
    readers: str | None = None,
    findings: list[str] | None = None,
) -> dict[str, Any]:
    """Register images and labels as a dataset, whole or not at all, and let it be known.

    Args:
        name: The dataset's name here.
        site: Where the images come from. Empty: as known for published datasets, else the dataset's name.
        source: Native layout of the files (nih, chexpert, …), manifest for a CSV of your own, or phantom to draw it.
        labels: The label file, or the folder that it is in, as the worker sees it.
        images: Folder of the pictures, as the worker sees it. Empty: beside the labels.
        labels_only: Register labels without pictures.
        protocol: Rules by which cohorts are made.
        phantom_site: Which synthetic site, where source is phantom.
        patients: How many patients are drawn, where source is phantom.
        size: Size of the synthetic pictures, in pixels.
        mapping: File that says what the columns of the label file are (`xray dataset draft`), as the worker sees it.
        readers: How the label follows from several readers: majority, any, all, or a reader's name.
        findings: Names of columns that are findings, beside those of the default list.
    """
    from xray.data.sources.datasets import published_sites

    phantom = {"site": phantom_site, "patients": patients, "size": size} if source == "phantom" else None
    if phantom is None and not labels:
        raise XrayError(f"{name}: labels is missing; give the label file of source {source!r}")
    request = {
        "site": site or published_sites().get(source, name),
        "source": "manifest" if phantom else source,
        "labels": labels,
        "images": images,
        "phantom": phantom,
        "labels_only": labels_only,
        "mapping": mapping,
        "readers": readers,
        "findings": findings or [],
    }
    result: dict[str, Any] = tasks.add_dataset(name, request, protocol)
    if result["new"]:
        announce("dataset", name, images=result["images"])
    return result


@flow(name="reevaluate", task_runner=process_pool(), on_cancellation=[shown.tidy], on_crashed=[shown.tidy])
def reevaluate() -> dict[str, Any]:
    """Make true for everything that is registered: split, scored by every model that can, and results up to date.

    Fills what the view missing_evaluations shows. A dataset that came after a study joins the study's test datasets. Models
    from elsewhere may be slow: results of our own are out before they are asked. Runs of this deployment that are waiting
    are called off: this one does their work.
    """
    shown.call_off_waiting()
    notes = tasks.freeze()
    count = 0
    failures: list[str] = []
    folders: dict[str, str] = {}
    for missing in own_then_elsewhere(None):
        more, why = evaluate_what_can_be(missing)
        count, failures = count + more, failures + why
        folders |= refresh(tasks.widen())
    shown.evaluations()
    if failures:
        raise XrayError("; ".join(failures))
    return {"evaluations": count, "studies": sorted(folders), "notes": notes}


def prepare_datasets(study: Study, datasets: set[str] | None = None) -> list[dict[str, Any]]:
    """The datasets of the study, or those that are wanted, ready: id, images, and whether each is new."""
    path = str(study.path)
    names = [dataset.name for dataset in study.datasets if datasets is None or dataset.name in datasets]
    with storage() as databases, databases.engine().begin() as connection:
        registered = set(connection.scalars(select(Dataset.name)))
    new = [name for name in names if name not in registered or len(names) > FEW]
    if on_cluster():  # it has neither the study's file nor the label files
        new = []
    tasks.compute_on_one_thread()
    results = {name: tasks.prepare(path, name) for name in names if name not in new}
    results |= zip(new, run_each("preparing datasets", tasks.prepare, [(path, n) for n in new]), strict=True)
    return [results[name] for name in names]


def configurations_of(study: Study, configuration: str | None = None) -> list[Configuration]:
    """One configuration of a study, or all. Raises `StudyError` where there is none of this name."""
    configurations = [entry for entry in study.configurations() if configuration in (None, entry.name)]
    if not configurations and configuration is not None:
        names = [entry.name for entry in study.configurations()]
        raise StudyError(f"{study.path}: {unknown('configuration', configuration, names)}")
    return configurations


def train_models(study: Study, configuration: str | None = None) -> list[dict[str, Any]]:
    """The models of one configuration of a study, or all, in its order: id, and whether it was trained now."""
    recipe = asdict(study.recipe)
    calls = [
        (study.name, entry.plain(), study.protocol, recipe, seed, phantoms(study))
        for entry in configurations_of(study, configuration)
        for seed in study.seeds
    ]
    return run_each("training models", tasks.train, calls)


def evaluate_models(missing: dict[int, list[int]], study: Study | None = None) -> int:
    """Fill missing evaluations, image lists by model; how many were written. study: whose phantom datasets may be needed."""
    threads = 1 if on_cluster() else max(1, cores() // max(1, len(missing)))
    calls = [(model, lists, threads, phantoms(study)) for model, lists in missing.items()]
    return sum(run_each("scoring images", tasks.evaluate, calls))


def phantoms(study: Study | None) -> tasks.Phantoms | None:
    """A study's phantom datasets, which workers of a cluster draw for themselves; nothing where there is no cluster."""
    if study is None or not on_cluster():
        return None
    return {entry.name: asdict(entry.phantom) for entry in study.datasets if entry.phantom is not None}


def analyse_study(study: str) -> dict[str, bool]:
    """Bring every analysis of a study up to date: name → whether it had to be computed.

    By test cohort, side by side, on a cluster; here where there is much to compute.
    """
    from xray.analyses import run

    with storage() as databases:
        cohorts = run.cohorts_to_compute(databases.engine(), study, little=on_cluster())
    parts = run_each("analysing", tasks.analyse_cohort, [(study, dataset) for dataset in cohorts])
    (last,) = run_each("analysing the whole", tasks.analyse, [(study,)])
    return {name: computed or any(part[name] for part in parts) for name, computed in last.items()}


def own_then_elsewhere(study: str | None) -> list[dict[int, list[int]]]:
    """What is to be scored of a study, or of everything, in turns with results in between; one turn at least.

    Models from elsewhere may be slow, or fail: results of our own don't wait for them.
    """
    return [turn for turn in tasks.missing(study) if turn] or [{}]


def evaluate_what_can_be(missing: dict[int, list[int]]) -> tuple[int, list[str]]:
    """Score image lists, by model; how many evaluations were written, and why others could not be."""
    if len(missing) <= FEW and not on_cluster():
        tasks.compute_on_one_thread()
        states = [
            tasks.evaluate(model, lists, cores(), return_state=True) for model, lists in missing.items()
        ]
    else:
        futures = [tasks.evaluate.submit(model, lists) for model, lists in missing.items()]
        wait(futures)
        states = [future.state for future in futures]
    count = sum(state.result() for state in states if state.is_completed())
    failed = {str(state.result(raise_on_failure=False)) for state in states if not state.is_completed()}
    return count, sorted(failed)


def refresh(studies: list[str]) -> dict[str, str]:
    """Bring the analyses of these studies up to date, then their reports; study → folder."""
    for study in studies:
        analyse_study(study)
    folders = {}
    for study in studies:
        tasks.log_tests(study)
        stored = tasks.results(study)
        folder = ""
        if stored["file"] and Path(stored["file"]).exists():
            folder = str(tasks.report(stored["file"]))
        folders[study] = folder
        shown.results(study, stored["rows"], folder)
    return folders


def tell_new(models: list[dict[str, Any]]) -> None:
    """Let it be known which models were trained now."""
    for model in models:
        if model["trained"]:
            announce("model", str(model["model_id"]))

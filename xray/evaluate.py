"""Judge models from elsewhere by their scores: labels and score files → a study that trains nothing, its results and page.

What is made is a study like any other: its file is kept under XRAY_HOME, so that `xray study run`, `xray analyse` and
whatever else takes a study go on from it. Evaluating further models, or at further hospitals, adds to the same study.
"""

import json
import logging
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection, Engine

from db.logs import about
from xray.analyses.report import write_report
from xray.analyses.run import ANALYSES, run
from xray.analyses.shown import drawn_in_processes, drawn_in_turn
from xray.data.cohorts import freeze
from xray.data.mapping.model import Mapping as Words
from xray.data.named_cohorts import find_cohort
from xray.data.operating_points import declare
from xray.data.prediction_files import Imported, import_predictions
from xray.data.prepare import register_request
from xray.data.protocol import load_protocol
from xray.data.quarantine import describe
from xray.data.registered import read_named
from xray.data.request import DatasetRequest
from xray.data.score_tables import Scale
from xray.durable import write_whole
from xray.errors import StudyError
from xray.names import check_name
from xray.plan import record_study
from xray.study import Study, read_study

_log = logging.getLogger(__name__)
NAME: Final = "evaluation"
PROTOCOL: Final = "external"
FOLDER: Final = "evaluations"
"""Under XRAY_HOME: the study files that are written here."""
QUESTION: Final = "Do these models work here, where do they not, and which is better?"


@dataclass(frozen=True)
class Site:
    """Images of one hospital and what models said of them.

    dataset: its name here. site: None where the dataset is registered. labels: None likewise. scores: model → file.
    """

    dataset: str
    site: str | None
    labels: Path | None
    scores: tuple[tuple[str, Path], ...]


@dataclass(frozen=True)
class Reading:
    """How score files are read; see `import_predictions`."""

    kind: Scale = "probability"
    missing_as_nan: bool = False
    ignore_unknown: bool = False
    from_model: str | None = None
    image_column: str | None = None
    mapping: Words | None = None


@dataclass(frozen=True)
class Evaluated:
    """What was done: the study and its file, the page of its results, and what should be known of the files."""

    study: Study
    page: Path
    imported: tuple[Imported, ...]
    notes: tuple[str, ...]


def evaluate(
    engine: Engine,
    home: Path,
    sites: Sequence[Site],
    *,
    study: str = NAME,
    protocol: str = PROTOCOL,
    reading: Reading | None = None,
    mapping: Path | None = None,
    thresholds: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
    reference: str | None = None,
    loss_ratio: float | None = None,
    processes: bool = False,
) -> Evaluated:
    """Register labels, take in scores, and bring the study of all that up to its page; what is there already stays.

    mapping: the file that says what the labels' columns and words are. thresholds: model → task → the operating point that
    its maker declares, on the scale of `reading.kind`. reference, loss_ratio: of the study's verdicts; None leaves those it
    has. processes: whether to compute and draw in forked processes; only for programs with no other thread.
    Raises `XrayError` where a file can't be used, naming it; what was taken in before stays.
    """
    check_name("--study", study, StudyError)
    notes: list[str] = []
    imported: list[Imported] = []
    for site in sites:
        _log.info("labels of %s", site.dataset)
        registered, remarks = _registered(engine, home, site, protocol, mapping)
        notes += [f"{site.dataset}: {note}" for note in remarks]
        if site.site is not None and registered != site.site:
            raise StudyError(f"{site.dataset}: is registered as site {registered}, not {site.site}")
        for model, file in site.scores:
            _log.info("scores of %s at %s", model, site.dataset)
            with engine.begin() as connection:
                result = _import(connection, file, model, site.dataset, protocol, reading or Reading())
            imported.append(result)
            notes += [f"{file.name}: {note}" for note in result.notes]
    with engine.begin() as connection:
        for model in dict.fromkeys(model for site in sites for model, _ in site.scores):
            declare(connection, model, thresholds.get(model, {}), (reading or Reading()).kind)
    models = [model for site in sites for model, _ in site.scores]
    path = put_study_file(
        engine, home, study, protocol, [site.dataset for site in sites], models, reference, loss_ratio
    )
    request = read_study(path)
    with engine.begin() as connection:
        record_study(connection, request, [])
    run(engine, study, ANALYSES, in_parts=processes)
    draw = drawn_in_processes if processes else drawn_in_turn
    with about(study=study):
        _log.info("drawing figures")
    commands = [f"xray study run {shlex.quote(str(path))}"]
    with engine.begin() as connection:
        page = write_report(connection, request, home / "reports" / study, commands, draw)
    return Evaluated(request, page, tuple(imported), tuple(notes))


def model_name(file: Path) -> str:
    """The name of a model after its file: "Vendor A.csv.gz" is vendor-a. Raises `StudyError` where nothing is left of it."""
    stem = file.name.split(".")[0].lower()
    name = re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-_")
    return check_name(f"the model's name after {file.name} (--model says another)", name, StudyError)


def _registered(
    engine: Engine, home: Path, site: Site, protocol: str, mapping: Path | None
) -> tuple[str, list[str]]:
    """The site that a dataset is registered under, now or before, its cohort frozen; and what should be known of it."""
    notes: list[str] = []
    if site.labels is not None:
        assert site.site is not None
        request = DatasetRequest(
            site.dataset, site.site, "labels", site.labels, None, None, True, mapping=mapping
        )
        registration = register_request(engine, request, protocol, home=home)
        notes = list(registration.notes)
        notes += describe(registration.quarantine)
    with engine.begin() as connection:
        dataset = read_named(connection, site.dataset)
        freeze(connection, dataset, load_protocol(protocol))
    return dataset.site, notes


def _import(
    connection: Connection, file: Path, model: str, dataset: str, protocol: str, reading: Reading
) -> Imported:
    return import_predictions(
        connection,
        file,
        model,
        find_cohort(connection, dataset, protocol, "test"),
        reading.kind,
        missing_as_nan=reading.missing_as_nan,
        ignore_unknown=reading.ignore_unknown,
        from_model=reading.from_model,
        image_column=reading.image_column,
        mapping=reading.mapping,
    )


def put_study_file(
    engine: Engine,
    home: Path,
    name: str,
    protocol: str,
    datasets: Sequence[str],
    models: Sequence[str],
    reference: str | None = None,
    loss_ratio: float | None = None,
) -> Path:
    """Write the study's file: what it had before, and these registered datasets and models from elsewhere; its path.

    reference, loss_ratio: in place of those that it had. Raises `StudyError` where it had another protocol, `DataError`
    where a dataset is not registered.
    """
    path = home / FOLDER / f"{name}.toml"
    if path.exists():
        before = read_study(path)
        if before.protocol != protocol:
            raise StudyError(
                f"{name}: was evaluated under the protocol {before.protocol}: say --study with another name for {protocol}"
            )
        reference, loss_ratio = reference or before.reference, loss_ratio or before.loss_ratio
        datasets, models = (
            [*(dataset.name for dataset in before.datasets), *datasets],
            [*before.foreign, *models],
        )
    datasets, models = list(dict.fromkeys(datasets)), list(dict.fromkeys(models))
    with engine.begin() as connection:
        of = {dataset: read_named(connection, dataset).site for dataset in datasets}
    head = {"name": name, "title": _title(models, datasets), "question": QUESTION, "protocol": protocol}
    lines = [
        *([f"reference = {json.dumps(reference)}"] if reference else []),
        *([f"loss_ratio = {json.dumps(loss_ratio)}"] if loss_ratio else []),
        *(f"{key} = {json.dumps(value)}" for key, value in head.items()),
        "configurations = []               # nothing is trained",
        f"foreign = {json.dumps(models)}",
        *(
            f"\n[[datasets]]\nname = {json.dumps(dataset)}\nsite = {json.dumps(of[dataset])}"
            for dataset in datasets
        ),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_whole(path, ("\n".join(lines) + "\n").encode())


def _title(models: Sequence[str], datasets: Sequence[str]) -> str:
    return f"{' and '.join(models)} at {' and '.join(datasets)}"

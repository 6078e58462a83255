"""A model that a study asks for, and how it is found again: by a hash of all that determines its weights."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection, Row, select, text

from db.findings import put_findings
from db.queries import query
from db.schema import Dataset, Model
from db.store import StoredCohort, read_cohort
from xray.configuration import Condition, Configuration, chosen_labels, chosen_rows
from xray.data.protocol import Protocol, load_protocol
from xray.data.registered import RegisteredDataset, dataset_id, read_dataset
from xray.data.spelling import spelled
from xray.errors import LearningError
from xray.learning.recipe import Recipe
from xray.tasks import TASKS


@dataclass(frozen=True)
class ModelRequest:
    """A model that a study asks for: study name, configuration name and its datasets in order, protocol, recipe, seed.

    findings: the outputs of the network, in order. tasks, where: the part of the datasets that it is trained on, see
    `Configuration`.
    """

    study: str
    trained_on: str
    datasets: tuple[str, ...]
    protocol: str
    recipe: Recipe
    seed: int
    tasks: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()
    findings: tuple[str, ...] = TASKS

    @property
    def configuration(self) -> Configuration:
        """What it is trained on."""
        return Configuration(self.trained_on, self.datasets, self.tasks, self.where, self.findings)


@dataclass(frozen=True)
class PartCohorts:
    """The train or validation cohorts of a request, one per dataset; of each the images and labels that it chooses."""

    datasets: Sequence[RegisteredDataset]
    cohorts: Sequence[StoredCohort]
    hashes: Sequence[str]


def model_key(connection: Connection, request: ModelRequest) -> str | None:
    """The content hash that a request's model has or will have; None as long as a dataset of it is not split yet."""
    protocol = load_protocol(request.protocol)
    cohorts = _frozen(connection, request, protocol)
    if any((dataset, "train") not in cohorts for dataset in request.datasets):
        return None
    parts = [(dataset, part) for part in ("train", "validation") for dataset in request.datasets]
    hashes = [cohorts[part].content_hash for part in parts if part in cohorts]
    version = f"{protocol.name}/{protocol.version}"
    selection = None
    if request.tasks or request.where:
        selection = {"tasks": request.tasks, "where": [asdict(condition) for condition in request.where]}
    if request.where:  # what decides who fits stands in the dataset, not in the cohort
        contents = select(Dataset.name, Dataset.content_hash).where(Dataset.name.in_(request.datasets))
        rows = connection.execute(contents.order_by(Dataset.name))
        selection = {**(selection or {}), "contents": [tuple(row) for row in rows]}
    if request.findings != TASKS:
        selection = {**(selection or {}), "findings": request.findings}
    return request.recipe.key(request.trained_on, version, hashes, request.seed, selection)


def find_model(connection: Connection, key: str) -> int | None:
    """The id of the model of this key, None where it is not trained yet."""
    return connection.scalar(select(Model.id).where(Model.key == key))


def part_cohorts(connection: Connection, request: ModelRequest, part: str) -> PartCohorts:
    """The cohorts of one part, one per dataset that has this part, in the order of the request; the images that it chooses.

    Raises `LearningError` where no image of a dataset fits.
    """
    rows = _frozen(connection, request, load_protocol(request.protocol))
    parts = [rows[dataset, part] for dataset in request.datasets if (dataset, part) in rows]
    datasets = [read_dataset(connection, dataset_id(connection, row.dataset)) for row in parts]
    outputs = put_findings(connection, spelled(connection, request.findings))
    cohorts = [
        _selection(dataset, read_cohort(connection, row.cohort_id, outputs), request, part)
        for dataset, row in zip(datasets, parts, strict=True)
    ]
    return PartCohorts(datasets, cohorts, [row.content_hash for row in parts])


def _selection(
    dataset: RegisteredDataset, cohort: StoredCohort, request: ModelRequest, part: str
) -> StoredCohort:
    labels = chosen_labels(cohort.labels, request.findings, request.tasks)
    if not request.where:
        return replace(cohort, labels=labels)
    rows = dataset.table.rows.iloc[dataset.places(cohort.images)]
    fitting = chosen_rows(rows, request.where, dataset.name)
    if not fitting.any():
        conditions = ", ".join(map(str, request.where))
        raise LearningError(f"{request.trained_on}: no {part} image of {dataset.name} fits {conditions}")
    return replace(
        cohort,
        images=cohort.images[fitting],
        identities=cohort.identities.of(fitting),
        labels=labels[fitting],
    )


def _frozen(
    connection: Connection, request: ModelRequest, protocol: Protocol
) -> dict[tuple[str, str], Row[tuple[str, str, int, str]]]:
    """(dataset, part) → the cohort's row."""
    parameters = {"datasets": list(request.datasets), "protocol": protocol.name, "version": protocol.version}
    rows = connection.execute(text(query("cohort_hashes")), parameters).all()
    return {(row.dataset, row.part): row for row in rows}

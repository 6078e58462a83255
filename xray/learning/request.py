"""A model that a study asks for, and how it is found again: by a hash of all that determines its weights."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, select, text

from db.queries import query
from db.schema import Model
from db.store import StoredCohort, read_cohort
from xray.data.protocol import Protocol, load_protocol
from xray.data.registered import RegisteredDataset, dataset_id, read_dataset
from xray.learning.recipe import Recipe
from xray.tasks import TASKS


@dataclass(frozen=True)
class ModelRequest:
    """A model that a study asks for: study name, configuration name and its datasets in order, protocol, recipe, seed."""

    study: str
    trained_on: str
    datasets: tuple[str, ...]
    protocol: str
    recipe: Recipe
    seed: int


@dataclass(frozen=True)
class PartCohorts:
    """The train or validation cohorts of a request, one per dataset."""

    datasets: Sequence[RegisteredDataset]
    cohorts: Sequence[StoredCohort]
    hashes: Sequence[str]


def model_key(connection: Connection, request: ModelRequest) -> str | None:
    """The content hash that a request's model has or will have; None as long as a dataset of it is not split yet."""
    protocol = load_protocol(request.protocol)
    found = _frozen(connection, request, protocol)
    if any((dataset, "train") not in found for dataset in request.datasets):
        return None
    parts = [(dataset, part) for part in ("train", "validation") for dataset in request.datasets]
    hashes = [found[part].content_hash for part in parts if part in found]
    version = f"{protocol.name}/{protocol.version}"
    return request.recipe.key(request.trained_on, version, hashes, request.seed)


def find_model(connection: Connection, key: str) -> int | None:
    """The id of the model of this key, None where it is not trained yet."""
    return connection.scalar(select(Model.id).where(Model.key == key))


def part_cohorts(connection: Connection, request: ModelRequest, part: str) -> PartCohorts:
    """The cohorts of one part, one per dataset that has this part, in the order of the request."""
    found = _frozen(connection, request, load_protocol(request.protocol))
    mine = [found[dataset, part] for dataset in request.datasets if (dataset, part) in found]
    return PartCohorts(
        [read_dataset(connection, dataset_id(connection, row.dataset)) for row in mine],
        [read_cohort(connection, row.cohort_id, len(TASKS)) for row in mine],
        [row.content_hash for row in mine],
    )


def _frozen(
    connection: Connection, request: ModelRequest, protocol: Protocol
) -> dict[tuple[str, str], Row[tuple[str, str, int, str]]]:
    """(dataset, part) → the cohort's row."""
    given = {"datasets": list(request.datasets), "protocol": protocol.name, "version": protocol.version}
    rows = connection.execute(text(query("cohort_hashes")), given).all()
    return {(row.dataset, row.part): row for row in rows}

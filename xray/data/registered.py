"""A registered dataset, read back from the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from db.copy import copy_out, read_array, read_scalar
from db.findings import all_findings, read_list
from db.queries import query
from xray.data.native_columns import read_columns
from xray.data.sources.base import COLUMNS, NOT_MENTIONED, SourceTable
from xray.errors import DataError
from xray.findings import standard
from xray.names import unknown
from xray.pixels.reading import AS_STORED, Reading, reading_of


@dataclass(frozen=True)
class RegisteredDataset:
    """A dataset of the database: its images in order, ids (n_images,) aligned with the rows of `table`.

    labeller: whose label rules and view rules hold, the name of the reader that read it. content: content hashes of its
    pictures in the same order, None of one that was registered without. reading: how their files are read.
    """

    id: int
    name: str
    site: str
    labeller: str
    image_ids: NDArray[np.int32]
    table: SourceTable
    content: Sequence[str | None]
    reading: Reading = AS_STORED

    def places(self, image_ids: NDArray[np.int32]) -> NDArray[np.int64]:
        """Where these images are in the dataset's order. Raises `DataError` where one is not in it."""
        order = np.argsort(self.image_ids, kind="stable")
        positions = order[np.searchsorted(self.image_ids, image_ids, sorter=order).clip(max=len(order) - 1)]
        if not np.array_equal(self.image_ids[positions], image_ids):
            raise DataError(f"{self.name}: asked for images that the dataset does not have")
        return positions.astype(np.int64)


def dataset_id(connection: Connection, name: str) -> int:
    """The id of a dataset. Raises `DataError` where none has this name."""
    identifier = connection.scalar(text("select id from dataset where name = :name"), {"name": name})
    if identifier is None:
        names = connection.scalars(text("select name from dataset order by name")).all()
        raise DataError(unknown("dataset", name, names))
    return int(identifier)


def read_named(connection: Connection, name: str, *, terms: bool = False) -> RegisteredDataset:
    """The dataset of this name; see `read_dataset`. Raises `DataError` where none has it."""
    return read_dataset(connection, dataset_id(connection, name), terms=terms)


def read_dataset(connection: Connection, identifier: int, *, terms: bool = False) -> RegisteredDataset:
    """The dataset of this id, with its rows, states and paths as registered; the terms behind states only with `terms`."""
    name, site, source, reading = connection.execute(
        text(
            "select dataset.name, site.name, dataset.source, dataset.reading from dataset join site on site.id = site_id"
            " where dataset.id = :id"
        ),
        {"id": identifier},
    ).one()
    images = connection.execute(text(query("dataset_images")), {"dataset_id": identifier})
    frame = pd.DataFrame([tuple(row) for row in images], columns=list(images.keys()))
    native = {column.name: column.texts() for column in read_columns(connection, identifier)}
    if "view" in native:  # what this dataset says; another one of the same images may say something else
        frame["view"] = native["view"].where(native["view"] != "", None)
    native_columns_kept = {column: cells for column, cells in native.items() if column not in COLUMNS}
    findings = standard(read_list(connection, "dataset", identifier))
    ids = all_findings(connection)
    column_of = {ids[name]: column for column, name in enumerate(findings)}
    states = _states(connection, identifier, len(frame), column_of)
    keys = frame["patient_site"] + "\0" + frame["patient_key"]
    rows = pd.concat([frame[list(COLUMNS)], pd.DataFrame(native_columns_kept, index=frame.index)], axis=1)
    words = (
        _terms(connection, identifier, len(frame), column_of)
        if terms
        else np.full(states.shape, None, dtype=object)
    )
    return RegisteredDataset(
        identifier,
        name,
        site,
        "manifest" if source == "phantom" else source,
        frame["image_id"].to_numpy(np.int32),
        SourceTable(rows, states, words, findings=findings, keys=keys.to_numpy(object)),
        frame["content_hash"].tolist(),
        reading_of(reading),
    )


def _states(
    connection: Connection, identifier: int, n_images: int, column_of: Mapping[int, int]
) -> NDArray[np.int8]:
    """column_of: task id → column."""
    states = np.full((n_images, len(column_of)), NOT_MENTIONED, dtype=np.int8)
    for task, vector in copy_out(connection, query("dataset_labels"), dataset_id=identifier):
        assert task is not None
        assert vector is not None
        states[:, column_of[read_scalar(task)]] = read_array(vector, "int2")
    return states


def _terms(
    connection: Connection, identifier: int, n_images: int, column_of: Mapping[int, int]
) -> NDArray[np.object_]:
    parameters = {"id": identifier}
    result = connection.execute(text("select id, term from source_term where dataset_id = :id"), parameters)
    names: dict[int, str | None] = {0: None} | {row.id: row.term for row in result}
    terms = np.full((n_images, len(column_of)), None, dtype=object)
    for task, vector in copy_out(connection, query("dataset_terms"), dataset_id=identifier):
        assert task is not None
        assert vector is not None
        ids, positions = np.unique(read_array(vector, "int4"), return_inverse=True)
        terms[:, column_of[read_scalar(task)]] = np.array(
            [names[number] for number in ids.tolist()], dtype=object
        )[positions]
    return terms


def read_mapping_of(connection: Connection, dataset: int) -> dict[str, Any] | None:
    """The keys of the mapping file by which a dataset was read; None where there was none."""
    keys: dict[str, Any] | None = connection.scalar(
        text("select mapping from dataset where id = :id"), {"id": dataset}
    )
    return keys

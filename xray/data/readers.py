"""Labels of several readers into the database, and back for the images of a cohort."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from db.copy import array, copy_in, copy_out, read_array, read_scalar, scalar
from db.findings import put_findings
from db.queries import query
from db.schema import Reader
from db.store import image_ids
from xray.data.sources.base import NEGATIVE, NOT_MENTIONED, POSITIVE
from xray.data.sources.panel import Panel
from xray.data.spelling import spelled


def put_readers(connection: Connection, dataset_id: int, panel: Panel, findings: Sequence[str]) -> None:
    """Store what each reader said of a dataset's images; findings: names of the columns of the panel's states."""
    rows_of_readers = connection.execute(
        insert(Reader).returning(Reader.name, Reader.id),
        [{"dataset_id": dataset_id, "name": name} for name in panel.names],
    )
    ids = {row.name: row.id for row in rows_of_readers}
    numbers = put_findings(connection, spelled(connection, findings))
    rows = (
        (
            scalar(ids[name], "int4"),
            scalar(numbers[task], "int2"),
            array(states[:, task].astype(np.int16), "int2"),
        )
        for name, states in zip(panel.names, panel.states, strict=True)
        for task in np.flatnonzero((states != NOT_MENTIONED).any(axis=0)).tolist()
    )
    copy_in(connection, "reader_label", ("reader_id", "task_id", "states"), rows)


@dataclass(frozen=True)
class Calls:
    """What the readers of a cohort's dataset call its images. calls: float32 (n_readers, n_images, n_tasks), 1, 0 or NaN
    where a reader said nothing or was uncertain. rule: by which the dataset's label follows.
    """

    names: tuple[str, ...]
    calls: NDArray[np.float32]
    rule: str


def read_calls(connection: Connection, cohort_id: int, tasks: Sequence[int]) -> Calls | None:
    """The readers' calls of a cohort's images, in its order, for tasks (ids); None where it has one label an image."""
    readers = connection.execute(text(query("readers_of_cohort")), {"cohort_id": cohort_id}).all()
    if not readers:
        return None
    dataset_images = image_ids(connection, readers[0].dataset_list)
    images = image_ids(connection, readers[0].cohort_list)
    order = np.argsort(dataset_images, kind="stable")
    positions = order[np.searchsorted(dataset_images, images, sorter=order)]
    row_of = {row.reader_id: position for position, row in enumerate(readers)}
    column_of = {task: position for position, task in enumerate(tasks)}
    calls = np.full((len(readers), len(images), len(tasks)), np.nan, dtype=np.float32)
    for reader, task, vector in copy_out(
        connection, query("reader_states"), dataset_id=readers[0].dataset_id
    ):
        assert reader is not None
        assert task is not None
        assert vector is not None
        column = column_of.get(read_scalar(task))
        if column is None:
            continue
        states = read_array(vector, "int2")[positions]
        is_call = (states == POSITIVE) | (states == NEGATIVE)
        calls[row_of[read_scalar(reader)], is_call, column] = states[is_call]
    return Calls(tuple(row.reader for row in readers), calls, readers[0].rule)

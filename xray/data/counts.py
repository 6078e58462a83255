"""How many images of a dataset have which label, per task."""

from typing import Any

import numpy as np
from sqlalchemy import Connection, text

from db.queries import query
from xray.data.registered import dataset_id, read_dataset
from xray.data.sources.base import NOT_MENTIONED, STATE_NAMES
from xray.tasks import TASKS


def count_states(
    connection: Connection, name: str, protocol: str | None = None, part: str | None = None
) -> dict[str, Any]:
    """{"dataset", "images", "patients", "tasks": {task: {state: count}}} of a dataset as registered.

    With `protocol` (or `part`, of the default protocol) the frozen cohorts are counted instead: states are positive and
    negative, the rest is "not mentioned". Raises `DataError` where there is no such dataset.
    """
    identifier = dataset_id(connection, name)
    if protocol or part:
        return _count_cohorts(connection, identifier, name, protocol or "corrected", part)
    dataset = read_dataset(connection, identifier)
    states = dataset.table.states
    spoken_of = np.flatnonzero((states != NOT_MENTIONED).any(axis=0))
    return {
        "dataset": name,
        "images": len(states),
        "patients": int(dataset.table.rows["patient"].nunique()),
        "tasks": {
            TASKS[task]: {state: int((states[:, task] == code).sum()) for code, state in STATE_NAMES.items()}
            for task in spoken_of
        },
    }


def _count_cohorts(
    connection: Connection, identifier: int, name: str, protocol: str, part: str | None
) -> dict[str, Any]:
    given = {"dataset_id": identifier, "protocol": protocol, "part": part}
    total = connection.execute(text(query("cohort_sizes")), given).one()
    rows = connection.execute(text(query("cohort_counts")), given).all()
    none = {state: 0 for state in STATE_NAMES.values()}
    return {
        "dataset": name,
        "protocol": protocol,
        "part": part,
        "images": total.images,
        "patients": total.patients,
        "tasks": {
            row.task: none
            | {
                "positive": row.n_pos,
                "negative": row.n_neg,
                "not mentioned": total.images - row.n_pos - row.n_neg,
            }
            for row in rows
        },
    }

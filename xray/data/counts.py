"""How many images of a dataset have which label, per task."""

from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, text

from db.queries import query
from xray.data.cohorts import freeze
from xray.data.protocol import DEFAULT, load_protocol
from xray.data.registered import read_named
from xray.data.sources.base import NOT_MENTIONED, STATE_NAMES
from xray.errors import DataError


def count_states(
    connection: Connection, name: str, protocol: str | Path | None = None, part: str | None = None
) -> dict[str, Any]:
    """{"dataset", "images", "patients", "tasks": {task: {state: count}}} of a dataset as registered.

    With `protocol` (or `part`, of the default protocol) its cohorts are counted instead, and frozen now where they are not
    yet: states are positive and negative, the rest is "not mentioned". Raises `DataError` where there is no such dataset,
    or the protocol makes no such part of it.
    """
    dataset = read_named(connection, name)
    if protocol or part:
        rules = load_protocol(protocol or DEFAULT)
        cohorts = freeze(connection, dataset, rules)
        if part and part not in cohorts:
            raise DataError(
                f"{name}: protocol {rules.name} has no {part} part; there are {', '.join(cohorts)}"
            )
        ids = [cohorts[part]] if part else list(cohorts.values())
        return {"dataset": name, "protocol": rules.name, "part": part} | _count_cohorts(connection, ids)
    states = dataset.table.states
    spoken_of = np.flatnonzero((states != NOT_MENTIONED).any(axis=0))
    return {
        "dataset": name,
        "images": len(states),
        "patients": connection.execute(text(query("registered")), {"name": name}).one().patients,
        "tasks": {
            dataset.table.findings[task]: {
                state: int((states[:, task] == code).sum()) for code, state in STATE_NAMES.items()
            }
            for task in spoken_of
        },
    }


def _count_cohorts(connection: Connection, cohorts: list[int]) -> dict[str, Any]:
    total = connection.execute(text(query("cohort_sizes")), {"cohorts": cohorts}).one()
    rows = connection.execute(text(query("cohort_counts")), {"cohorts": cohorts}).all()
    zeros = {state: 0 for state in STATE_NAMES.values()}
    return {
        "images": total.images,
        "patients": total.patients,
        "tasks": {
            row.task: zeros
            | {
                "positive": row.n_pos,
                "negative": row.n_neg,
                "not mentioned": total.images - row.n_pos - row.n_neg,
            }
            for row in rows
        },
    }

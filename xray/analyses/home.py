"""Youden points at home, configuration by configuration, from the database; kept there, as one more model changes few."""

import json
from collections.abc import Collection
from dataclasses import asdict, fields
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, delete, insert, select, text

from db.results import PartialResult
from xray.analyses import cells
from xray.analyses.cells import Cell
from xray.analyses.code import code_hash
from xray.analyses.current import cell_fingerprint
from xray.analyses.points import points_at_home as of_tests
from xray.analyses.stored import StoredStudy, load_test
from xray.stats.estimates import REASON_TYPE
from xray.stats.roc import Youden

NAME: Final = "points at home"
TYPES: Final[dict[str, str]] = {"n": "int64", "n_pos": "int64", "reason": REASON_TYPE}


def points_at_home(connection: Connection, study: StoredStudy, names: Collection[str]) -> dict[str, Youden]:
    """Configuration → Youden points on the pooled test cohorts of its own datasets, of those that are named and have one.

    Several processes that ask at once compute each configuration's once: each takes those that no other is at, and then
    waits for the rest.
    """
    points: dict[str, Youden] = {}
    present = _cells(study, names)
    for function in ("pg_try_advisory_xact_lock", "pg_advisory_xact_lock"):
        lock = text(f"select {function}(hashtext('xray points at home'), hashtext(:name))")
        for cell in present:
            (name,) = cell.key
            if name in points:
                continue
            if connection.scalar(lock, {"name": f"{study.id}/{name}"}) is not False:
                points[name] = _point(connection, study, cell)
            connection.commit()
    return points


def _point(connection: Connection, study: StoredStudy, cell: Cell) -> Youden:
    """The points that are stored, or computed and stored now."""
    table = PartialResult
    own = (table.study_id == study.id, table.name == NAME, table.cell == list(cell.key))
    before = connection.execute(select(table.fingerprint, table.value).where(*own)).one_or_none()
    fingerprint = _fingerprint(study, cell)
    if before is not None and before.fingerprint == fingerprint:
        return _read(before.value)
    point = _computed(connection, study, cell)
    connection.execute(delete(table).where(*own))
    values = {"cell": list(cell.key), "fingerprint": fingerprint, "value": _as_json(point)}
    connection.execute(insert(table).values(study_id=study.id, name=NAME, **values))
    return point


def _fingerprint(study: StoredStudy, cell: Cell) -> str:
    return cell_fingerprint(study, [NAME, code_hash("xray.analyses.points")], cell)


def _cells(study: StoredStudy, names: Collection[str]) -> list[Cell]:
    return [
        Cell((name,), uses, (cells.home(study, name),))
        for name in study.configurations
        if name in names and (uses := cells.home_scores(study, name))
    ]


def _computed(connection: Connection, study: StoredStudy, cell: Cell) -> Youden:
    (name,) = cell.key
    tests = [
        load_test(connection, study, dataset, study.scored(dataset, name))
        for dataset in cells.home(study, name)
    ]
    return of_tests(study, tests)[name]


def _as_json(points: Youden) -> str:
    """As JSON that keeps every bit."""
    return json.dumps({name: values.tolist() for name, values in asdict(points).items()})


def _read(value: str) -> Youden:
    stored: dict[str, Any] = json.loads(value)
    return Youden(**{e.name: np.array(stored[e.name], TYPES.get(e.name, "float64")) for e in fields(Youden)})

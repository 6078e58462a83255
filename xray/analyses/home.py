"""Youden points at home, configuration by configuration, from the database; kept there, as one more model changes few."""

import json
from collections.abc import Collection, Iterator
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

    Of several that ask at once, with other test cohorts, the first computes them.
    """
    if not names:
        return {}
    one = text("select pg_advisory_xact_lock(hashtext('xray points at home'), :study)")
    connection.execute(one, {"study": study.id})
    table = PartialResult
    rows_of_study = (table.study_id == study.id, table.name == NAME)
    rows = connection.execute(select(table.cell, table.fingerprint, table.value).where(*rows_of_study)).all()
    stored = {tuple(row.cell): row for row in rows}
    points: dict[str, Youden] = {}
    for cell in _cells(study, names):
        (name,) = cell.key
        fingerprint = cell_fingerprint(study, [NAME, code_hash("xray.analyses.points")], cell)
        before = stored.get(cell.key)
        if before is not None and before.fingerprint == fingerprint:
            points[name] = _read(before.value)
            continue
        points[name] = _computed(connection, study, name)
        connection.execute(delete(table).where(*rows_of_study, table.cell == list(cell.key)))
        values = {"cell": list(cell.key), "fingerprint": fingerprint, "value": _as_json(points[name])}
        connection.execute(insert(table).values(study_id=study.id, name=NAME, **values))
    connection.commit()
    return points


def _cells(study: StoredStudy, names: Collection[str]) -> Iterator[Cell]:
    for name in study.configurations:
        uses = cells.home_scores(study, name)
        if name in names and uses:
            yield Cell((name,), uses, (cells.home(study, name),))


def _computed(connection: Connection, study: StoredStudy, name: str) -> Youden:
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

"""What of one analysis is stale, and how its rows are stored: cell by cell, each whole or not at all.

Several processes may compute one study, some cells each (`within`). What they store is right but for what is of the whole
study: p values that are adjusted together, places of other cells, and cells that are gone. So a cell of an analysis with
such p values is marked as unfinished, and stale, until a run over the whole study has adjusted them.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from db import results as tables
from db.copy import copy_rows
from xray.analyses.analysis import Analysis, Partial
from xray.analyses.cells import Key, Unit
from xray.analyses.current import StoredCell, fingerprints
from xray.analyses.stored import Scored, StoredStudy, TestSet
from xray.settings import provenance

UNFINISHED: Final = "unfinished "
"""What stands before the fingerprint of a cell whose p values are still to be adjusted with those of others."""


class Stale:
    """Cells of one analysis as they should be, and which of them are stored otherwise.

    unit: how they fall apart. present: cell → the fingerprint that is stored. within: which of the stale cells alone are
    looked after; others are somebody else's, and what is of the whole study is left.
    """

    def __init__(
        self,
        connection: Connection,
        study: StoredStudy,
        analysis: Analysis,
        unit: Unit,
        present: Mapping[Key, str],
        within: "Within | None",
    ) -> None:
        self.analysis, self.unit, self._study, self._within = analysis, unit, study, within
        self.cells = {cell.key: cell for cell in unit.of(study)}
        self._fingerprints = fingerprints(connection, study, analysis, unit)
        bare = {key: stored.removeprefix(UNFINISHED) for key, stored in present.items()}
        self.stale = [key for key in self.cells if bare.get(key) != self._fingerprints[key]]
        self._surplus = [key for key in present if key not in self.cells]
        self._unfinished = [key for key, stored in present.items() if stored.startswith(UNFINISHED)]
        if within is not None:
            self.stale = within(self)
            self._surplus, self._unfinished = [], []

    @property
    def is_stale(self) -> bool:
        """Whether anything of it is to be computed, finished or dropped."""
        return bool(self.stale or self._surplus or self._unfinished)

    def keys(self, dataset: str | None) -> list[Key]:
        """The stale cells of one test cohort; None: those of no single one."""
        by_cohort = self.unit.by_cohort
        return [key for key in self.stale if (key[0] if by_cohort and key else None) == dataset]

    def uses(self, keys: Iterable[Key]) -> set[Scored]:
        """The evaluations that some cells come from."""
        return {evaluation for key in keys for evaluation in self.cells[key].uses}


Within: TypeAlias = Callable[[Stale], list[Key]]
"""Some of the stale cells of an analysis."""


class Work(Stale):
    """The rows of one analysis of a study."""

    def __init__(
        self,
        connection: Connection,
        study: StoredStudy,
        analysis: Analysis,
        stored: Mapping[Key, StoredCell],
        within: "Within | None" = None,
    ) -> None:
        present = {key: cell.fingerprint for key, cell in stored.items()}
        super().__init__(connection, study, analysis, analysis.unit, present, within)
        self._stored = dict(stored)
        self._places = {key: order for order, key in enumerate(self.cells)}
        self._datasets = {cohort: dataset for dataset, cohort in study.cohorts.items()}
        self._left = set(self.stale)

    @property
    def is_stale(self) -> bool:
        """As of any cells; or whether cells have other places."""
        return super().is_stale or bool(self._within is None and self._moved())

    def compute(
        self, study: StoredStudy, tests: Sequence[TestSet], preparation: Sequence[Any]
    ) -> list[dict[str, Any]]:
        """The rows of the cells that are asked for. given: what the analysis prepares."""
        return list(self.analysis.compute(study, tests, *preparation))

    def store(self, connection: Connection, keys: Sequence[Key], rows: Sequence[dict[str, Any]]) -> None:
        """Put the rows of these cells in place of those that were stored of them.

        With the first of an analysis go the cells that are no longer of the study; with the last, p values are adjusted.
        """
        analysis = self.analysis
        self._drop(connection, [*keys, *self._surplus])
        self._surplus = []
        if self._within is None:
            self._move(connection)
            self._finish(connection)
        ids = self._insert(connection, keys)
        with_ids = [
            {
                "analysis_id": ids[self.unit.key(row, self._datasets)],
                **_with_ids(self._study, self._blank(row)),
            }
            for row in rows
        ]
        copy_rows(connection, analysis.table.__tablename__, with_ids)
        self._left -= set(keys)
        if analysis.family is not None and not self._left and self._within is None:
            analysis.family.fill_stored(connection, analysis.table, self._study.id, analysis.name)

    def _blank(self, row: dict[str, Any]) -> dict[str, Any]:
        family = self.analysis.family
        return row if family is None else family.blank(row)

    def _insert(self, connection: Connection, keys: Sequence[Key]) -> dict[Key, int]:
        """Key → id of its row in `analysis`."""
        if not keys:
            return {}
        common = {"study_id": self._study.id, "name": self.analysis.name, "provenance": provenance()}
        mark = UNFINISHED if self._within is not None and self.analysis.family is not None else ""
        inserted = connection.execute(
            insert(tables.Analysis).returning(tables.Analysis.id, tables.Analysis.cell),
            [
                common
                | {
                    "cell": list(key),
                    "place": self._places[key],
                    "fingerprint": mark + self._fingerprints[key],
                }
                for key in keys
            ],
        )
        return {tuple(row.cell): row.id for row in inserted}

    def _move(self, connection: Connection) -> None:
        """Bring the places of cells that stay up to date, where a study has more before them than it had."""
        if moved := self._moved():
            table = tables.Analysis
            statement = update(table).where(table.id == bindparam("_id")).values(place=bindparam("_place"))
            connection.execute(statement, moved)

    def _moved(self) -> list[dict[str, int]]:
        """Rows of `analysis` whose cells have another place now, with it."""
        return [
            {"_id": stored.id, "_place": self._places[key]}
            for key, stored in self._stored.items()
            if key in self._places and stored.order != self._places[key]
        ]

    def _finish(self, connection: Connection) -> None:
        """Take the mark off cells that others have computed; their p values are adjusted with the last cell."""
        ids = [self._stored[key].id for key in self._unfinished if key in self._stored]
        self._unfinished = []
        if ids:
            table = tables.Analysis
            bare = func.replace(table.fingerprint, UNFINISHED, "")
            connection.execute(update(table).where(table.id.in_(ids)).values(fingerprint=bare))

    def _drop(self, connection: Connection, keys: Sequence[Key]) -> None:
        """Drop cells with their rows, where they are stored."""
        ids = [self._stored.pop(key).id for key in keys if key in self._stored]
        connection.execute(delete(tables.Analysis).where(tables.Analysis.id.in_(ids)))


class PartialWork(Stale):
    """What the rows of one analysis are put together from: values by cell, kept in the database."""

    def __init__(
        self,
        connection: Connection,
        study: StoredStudy,
        analysis: Analysis,
        partial: Partial,
        within: "Within | None" = None,
    ) -> None:
        table = tables.PartialResult
        statement = select(table.cell, table.fingerprint, table.value)
        rows = connection.execute(
            statement.where(table.study_id == study.id, table.name == analysis.name)
        ).all()
        present = {tuple(row.cell): row.fingerprint for row in rows}
        super().__init__(connection, study, analysis, partial.unit, present, within)
        self._partial = partial
        self._present = present.keys()
        self._values = {tuple(row.cell): row.value for row in rows if tuple(row.cell) not in self.stale}

    def joined(self, study: StoredStudy, preparation: Sequence[Any]) -> list[dict[str, Any]]:
        """The rows of the analysis, once all stale values are computed. given: what it prepares."""
        values = {key: json.loads(self._values[key]) for key in self.cells if key in self._values}
        return list(self._partial.join(study, values, *preparation))

    def compute(
        self, study: StoredStudy, tests: Sequence[TestSet], preparation: Sequence[Any]
    ) -> list[tuple[Key, Any]]:
        """Cell → value, of the cells that are asked for. given: what the analysis prepares."""
        values = list(self._partial.compute(study, tests, *preparation))
        self._values |= {key: json.dumps(value) for key, value in values}
        return values

    def store(self, connection: Connection, keys: Sequence[Key], values: Sequence[tuple[Key, Any]]) -> None:
        """Put values in place of those that were stored of these cells; cells that are gone go."""
        table = tables.PartialResult
        name = {"study_id": self._study.id, "name": self.analysis.name}
        old = [{"_cell": list(key)} for key in [*keys, *self._surplus] if key in self._present]
        self._surplus = []
        if old:
            own = (table.study_id == self._study.id, table.name == self.analysis.name)
            connection.execute(
                delete(table).where(*own, table.cell == bindparam("_cell", type_=table.cell.type)), old
            )
        new = [
            name | {"cell": list(key), "fingerprint": self._fingerprints[key], "value": self._values[key]}
            for key, _ in values
        ]
        if new:
            connection.execute(insert(table), new)


def put_rows(
    connection: Connection, study: StoredStudy, analysis: Analysis, rows: Sequence[dict[str, Any]]
) -> None:
    """Store rows that `analysis.compute` gave of the whole study, in place of all that were stored of it. They are never
    current: who puts them takes them back.
    """
    connection.execute(
        delete(tables.Analysis).where(
            tables.Analysis.study_id == study.id, tables.Analysis.name == analysis.name
        )
    )
    analysis_id = connection.scalar(
        insert(tables.Analysis)
        .values(study_id=study.id, name=analysis.name, fingerprint="", provenance=provenance())
        .returning(tables.Analysis.id)
    )
    with_ids = [{"analysis_id": analysis_id, **_with_ids(study, row)} for row in rows]
    copy_rows(connection, analysis.table.__tablename__, with_ids)


def _with_ids(study: StoredStudy, row: dict[str, Any]) -> dict[str, Any]:
    """A row of an analysis, whose tasks are places in the study's list, with the ids that the database has for them."""
    stored = dict(row)
    if "task_id" in row:
        stored["task_id"] = study.task_ids[row["task_id"]]
    if "task_ids" in row:
        stored["task_ids"] = [study.task_ids[position] for position in row["task_ids"]]
    return stored

"""p values that are adjusted together: over all rows of an analysis, or over those alike in one column.

The family is of the whole study, whichever cells its rows are in. So a run adjusts once more when all cells are stored,
over the stored rows: neither method asks in which order the p values come.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ARRAY, Connection, func, literal, select, update

from db import results as tables
from db.schema import Base
from xray.stats.estimates import FloatArray


@dataclass(frozen=True)
class Family:
    """adjust: column → how its values are made of the p values. by: the column that tells families apart, if any."""

    adjust: Mapping[str, Callable[[Sequence[float]], FloatArray]]
    by: str = ""

    def fill(self, rows: Sequence[dict[str, Any]]) -> None:
        """Fill the columns of rows that have a p; in one family each that `by` tells apart."""
        several: dict[Any, list[dict[str, Any]]] = {}
        for row in rows:
            if row["p"] is not None:
                several.setdefault(row[self.by] if self.by else "", []).append(row)
        for family in several.values():
            for column, method in self.adjust.items():
                for row, value in zip(family, method([row["p"] for row in family]), strict=True):
                    row[column] = float(value)

    def blank(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row without what is adjusted."""
        return row | dict.fromkeys(self.adjust)

    def fill_stored(self, connection: Connection, table: type[Base], study_id: int, analysis: str) -> None:
        """Fill the columns of the stored rows of an analysis; only what changes is written."""
        of = tables.Analysis.metadata.tables[table.__tablename__]
        columns = [of.c[name] for name in ("id", "p", *([self.by] if self.by else []), *self.adjust)]
        statement = (
            select(*columns)
            .join(tables.Analysis, tables.Analysis.id == of.c.analysis_id)
            .where(
                tables.Analysis.study_id == study_id, tables.Analysis.name == analysis, of.c.p.is_not(None)
            )
        )
        before = [dict(row) for row in connection.execute(statement).mappings()]
        after = [dict(row) for row in before]
        self.fill(after)
        changes = [new for old, new in zip(before, after, strict=True) if old != new]
        if changes:
            new = select(
                *(
                    func.unnest(literal([row[name] for row in changes], ARRAY(of.c[name].type))).label(name)
                    for name in ("id", *self.adjust)
                )
            ).subquery()
            values = {name: new.c[name] for name in self.adjust}
            connection.execute(update(of).where(of.c.id == new.c.id).values(values))

"""Audits: queries of db/sql/audits that return no row when all is well, and what guards the database being there.

An audit's file says in its header what it finds, its columns, and what to do then. Where its only column is `statement`, its
rows are queries, each of which is run: one for every foreign key, say.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.sql.compiler import IdentifierPreparer

from db import migrate
from db.results import Analysis

SHOWN: Final = 100
"""Rows of an audit that are kept: a broken database may have millions."""

_HEADER = re.compile(
    r"\A-- (?P<name>\w+): (?P<finds>.*?)\n-- Columns: (?P<columns>.*?)\n-- Then: (?P<remedy>.*?)\n(?!--)",
    re.S,
)


@dataclass(frozen=True)
class Audit:
    """One kind of fault: what its rows are, and what to do about them. `statement` is empty for one that is no query."""

    name: str
    finds: str
    remedy: str
    statement: str = field(default="", repr=False)


@dataclass(frozen=True)
class Outcome:
    """What an audit found: at most `SHOWN` rows, and whether there are more. `skipped`: why it could not be done."""

    audit: Audit
    rows: tuple[dict[str, Any], ...] = ()
    more: bool = False
    skipped: str = ""

    @property
    def is_well(self) -> bool:
        """Whether it was done and found nothing."""
        return not self.rows and not self.skipped


SCHEMA: Final = Audit(
    "schema",
    "tables, columns, constraints, indexes and guards that should be there and are not, or are disabled.",
    "enable a guard with: alter table TABLE enable trigger NAME; what else is missing is in a backup from before.",
)


def audits() -> list[Audit]:
    """Those of db/sql/audits, by name."""
    folder = resources.files("db") / "sql" / "audits"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [_read(f.name.removesuffix(".sql"), f.read_text(encoding="utf-8")) for f in files]


def _read(name: str, script: str) -> Audit:
    header = _HEADER.match(script)
    if header is None or header["name"] != name:
        raise ValueError(
            f"db/sql/audits/{name}.sql: expected the header -- {name}: …, -- Columns: …, -- Then: …"
        )
    return Audit(name, _joined(header["finds"]), _joined(header["remedy"]), script[header.end() :].strip())


def _joined(comment: str) -> str:
    return comment.replace("\n-- ", " ")


def run(connection: Connection) -> Iterator[Outcome]:
    """Every audit in turn, on one state of the database where the connection's transaction is repeatable read."""
    yield outcome(SCHEMA, _schema_faults(connection))
    for audit in audits():
        yield outcome(audit, _rows(connection, audit.statement))


def outcome(audit: Audit, rows: Iterator[dict[str, Any]]) -> Outcome:
    """The first rows of an audit, the rest left unread."""
    first: list[dict[str, Any]] = []
    for row in rows:
        if len(first) == SHOWN:
            return Outcome(audit, tuple(first), more=True)
        first.append(row)
    return Outcome(audit, tuple(first))


def _rows(connection: Connection, statement: str) -> Iterator[dict[str, Any]]:
    limited = f"select * from ({statement}) as audit limit {SHOWN + 1}"  # noqa: S608
    answer = connection.exec_driver_sql(limited, execution_options={"no_parameters": True})
    if list(answer.keys()) != ["statement"]:
        yield from (dict(row) for row in answer.mappings())
        return
    for inner in (
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True}).scalars().all()
    ):
        yield from _rows(connection, inner)


def _schema_faults(connection: Connection) -> Iterator[dict[str, Any]]:
    """By name: what the models and db/sql declare against the catalogue, invalid and disabled things included."""
    actual = {
        kind: {(row.of, row.name) for row in connection.execute(text(query))}
        for kind, query in _CATALOGUE.items()
    }
    for kind, declared in _declared(connection.dialect.identifier_preparer).items():
        for of, name in sorted(declared - actual[kind]):
            yield {"kind": kind, "of": of, "name": name, "fault": "missing, disabled or not valid"}


def _declared(names: IdentifierPreparer) -> dict[str, set[tuple[str, str]]]:
    """By kind, as (what it belongs to, name as the database has it: long ones are cut)."""
    tables = Analysis.metadata.sorted_tables
    return {
        "table": {("", table.name) for table in tables},
        "column": {(table.name, column.name) for table in tables for column in table.columns},
        "constraint": {
            (table.name, str(names.format_constraint(c))) for table in tables for c in table.constraints
        },
        "index": {(table.name, names.format_index(index)) for table in tables for index in table.indexes},
        "guard": migrate.guards(),
    }


_CATALOGUE: Final = {
    "table": "select '' as of, tablename::text as name from pg_tables where schemaname = current_schema()",
    "column": "select relname::text as of, attname::text as name from pg_attribute join pg_class on pg_class.oid = attrelid"
    " where relnamespace = current_schema()::regnamespace and attnum > 0 and not attisdropped",
    "constraint": "select conrelid::regclass::text as of, conname::text as name from pg_constraint"
    " where connamespace = current_schema()::regnamespace and convalidated",
    "index": "select indrelid::regclass::text as of, relname::text as name from pg_index"
    " join pg_class on pg_class.oid = indexrelid"
    " where relnamespace = current_schema()::regnamespace and indisvalid and indisready",
    "guard": "select tgrelid::regclass::text as of, tgname::text as name from pg_trigger"
    " join pg_class on pg_class.oid = tgrelid"
    " where relnamespace = current_schema()::regnamespace and not tgisinternal and tgenabled in ('O', 'A')",
}
"""What is there and works, as (what it belongs to, name)."""

"""A database into a file and back, by pg_dump and pg_restore, with the rows of each table counted in the same state.

The file is pg_dump's custom format; it holds no role and no password. Whoever loads it owns all that is in it.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

from db.errors import DatabaseError
from db.queries import query
from db.upkeep.programs import clients

WAITING_SECONDS: Final = 60
"""How long a dump waits for a table that a migration works on."""

_HASHES: Final = "coalesce(sum(('x' || left(md5({key}), 15))::bit(60)::bigint), 0)::text"
_CONTENT: Final = "select count(*), " + _HASHES + " from {name} as counted"  # noqa: S608


@dataclass(frozen=True)
class Content:
    """What a table holds: how many rows, and a sum of hashes of their keys (of the rows where there is no key)."""

    rows: int
    keys: str


@dataclass(frozen=True)
class Dump:
    """A dump: the server's and the program's version, the revision of its schema, and each table's content."""

    server: str
    program: str
    revision: str | None
    tables: dict[str, Content]

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "Dump":
        """From what JSON has. Raises KeyError or TypeError where something is missing."""
        tables = {name: Content(**entry) for name, entry in plain["tables"].items()}
        return cls(plain["server"], plain["program"], plain["revision"], tables)


def engine_of(url: str) -> Engine:
    """An engine for a URL of any driver."""
    return create_engine(_url(url).set(drivername="postgresql+psycopg2"), poolclass=NullPool)


def content(connection: Connection) -> dict[str, Content]:
    """Each table's content, as the connection's transaction sees it."""
    contents = {}
    for name, key in connection.execute(text(query("table_keys"))).all():
        statement = _CONTENT.format(name=name, key=f"row({key})::text" if key else "counted::text")
        rows, keys = connection.exec_driver_sql(statement, execution_options={"no_parameters": True}).one()
        contents[name] = Content(rows, keys)
    return contents


def dump(url: str, file: Path) -> Dump:
    """Write one state of a database to a new file, while others go on. Raises `DatabaseError`."""
    with engine_of(url).connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        snapshot = connection.scalar(text("select pg_export_snapshot()"))
        server = str(connection.scalar(text("show server_version"))).split()[0]
        tables = content(connection)
        programs = clients(_major(server))
        options = [
            "--format=custom",
            "--compress=1",
            f"--snapshot={snapshot}",
            f"--lock-wait-timeout={WAITING_SECONDS * 1000}",
            f"--file={file}",
        ]
        programs.run("pg_dump", _url(url), options)
        return Dump(server, programs.version, _revision(connection, tables), tables)


def load(url: str, file: Path, expected: Dump) -> None:
    """Load a dump into an empty database, as a whole or not at all, and see that it holds what was dumped.

    Raises `DatabaseError`: the database is not empty, the server older than the dump, or a table has other rows.
    """
    check_empty(url)
    with engine_of(url).connect() as connection:
        server = str(connection.scalar(text("show server_version"))).split()[0]
    if _major(server) < _major(expected.program):
        raise DatabaseError(
            f"the backup was made by pg_dump {expected.program}, and this server is PostgreSQL {server}: "
            f"restore it into PostgreSQL {_major(expected.program)} or newer"
        )
    options = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", str(file)]
    clients(_major(server)).run("pg_restore", _url(url), options)
    with engine_of(url).connect() as connection:
        differing = compare(expected.tables, content(connection))
    if differing:
        raise DatabaseError(
            f"database {_url(url).database!r} differs from its dump: {'; '.join(differing[:5])}"
        )


def check_empty(url: str) -> None:
    """Raises `DatabaseError` where a database has a table."""
    with engine_of(url).connect() as connection:
        if tables := [row.name for row in connection.execute(text(query("table_keys")))]:
            raise DatabaseError(
                f"database {_url(url).database!r} is not empty: it has {', '.join(tables[:3])}"
            )


def clear(url: str) -> None:
    """Take everything out of a database again that was loaded into it."""
    with engine_of(url).begin() as connection:
        connection.exec_driver_sql(query("clear_database"), execution_options={"no_parameters": True})


def compare(expected: dict[str, Content], actual: dict[str, Content]) -> list[str]:
    """Where two databases differ, in words."""
    return [
        f"{name}: {_words(actual.get(name))}, expected {_words(expected.get(name))}"
        for name in sorted(expected.keys() | actual.keys())
        if expected.get(name) != actual.get(name)
    ]


def _words(table: Content | None) -> str:
    return f"{table.rows} rows (keys {table.keys[-8:]})" if table else "no table"


def _revision(connection: Connection, tables: dict[str, Content]) -> str | None:
    if "public.alembic_version" not in tables:
        return None
    revision: str | None = connection.scalar(text("select version_num from public.alembic_version"))
    return revision


def _url(url: str) -> URL:
    return make_url(url)


def _major(version: str) -> int:
    return int(version.split(".")[0])

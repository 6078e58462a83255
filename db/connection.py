"""Which PostgreSQL, and connections to it: one server, the databases `xray`, `mlflow` and `prefect`."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from db.errors import DatabaseError
from db.migrate import upgrade

DATABASES = ("xray", "mlflow", "prefect")


@dataclass(frozen=True, repr=False)
class Databases:
    """Where the three databases are, as SQLAlchemy URLs with passwords."""

    xray: str
    mlflow: str
    prefect: str

    def engine(self) -> Engine:
        """A new engine on the platform's own database; closes its connections when they are given back."""
        return create_engine(self.xray, poolclass=NullPool)

    def psql(self) -> str:
        """The URL of the `xray` database as psql and other libpq programs take it."""
        return make_url(self.xray).set(drivername="postgresql").render_as_string(hide_password=False)


def _url(url: URL, database: str, driver: str) -> str:
    return url.set(drivername=f"postgresql+{driver}", database=database).render_as_string(hide_password=False)


def _named(url: URL) -> Databases:
    """Our database is the URL's own; mlflow's and prefect's stand beside it. `xray_test` → `xray_test_mlflow`."""
    own = url.database or "xray"
    prefix = "" if own == "xray" else f"{own}_"
    return Databases(
        _url(url, own, "psycopg2"),
        _url(url, f"{prefix}mlflow", "psycopg2"),
        _url(url, f"{prefix}prefect", "asyncpg"),
    )


@contextlib.contextmanager
def databases(home: Path) -> Iterator[Databases]:
    """The databases of this home, migrated and ready: a server named by XRAY_DATABASE_URL, else the embedded one.

    Raises `DatabaseError` where the URL is malformed or the server can't be reached.
    """
    given = os.environ.get("XRAY_DATABASE_URL")
    if given:
        found = _given(given)
        upgrade(found.engine())
        yield found
        return
    from db.embedded import acquire

    with acquire(home) as server:
        for name in DATABASES:
            server.create_database(name)
        found = _named(make_url(server.url("xray")))
        upgrade(found.engine())
        yield found


def _given(value: str) -> Databases:
    try:
        url = make_url(value)
    except Exception as error:
        raise DatabaseError(
            f"XRAY_DATABASE_URL is not a URL such as postgresql://user:password@host/xray: {error}"
        ) from None
    if url.get_backend_name() != "postgresql":
        raise DatabaseError(
            f"XRAY_DATABASE_URL must name a PostgreSQL server, not {url.get_backend_name()!r}"
        )
    found = _named(url)
    for database in (found.xray, found.mlflow, found.prefect):
        _ensure_database(make_url(database))
    return found


def _ensure_database(url: URL) -> None:
    """Create the database where it is missing; a server that can't be reached or refuses is a clear error."""
    sync = url.set(drivername="postgresql+psycopg2")
    try:
        with create_engine(sync, poolclass=NullPool).connect():
            return
    except OperationalError as error:
        if "does not exist" not in str(error.orig):
            raise DatabaseError(
                f"can't reach PostgreSQL at {sync.render_as_string()}: {error.orig}"
            ) from None
    engine = create_engine(sync.set(database="postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    quoted = engine.dialect.identifier_preparer.quote(str(url.database))
    try:
        with engine.connect() as connection:
            connection.execute(text(f"create database {quoted}"))
    except (OperationalError, ProgrammingError) as error:
        if "already exists" not in str(error.orig):
            raise DatabaseError(
                f"can't create database {url.database!r} on {sync.host}: {error.orig}"
            ) from None

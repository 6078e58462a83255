"""Which PostgreSQL, and connections to it: one server, the databases `xray`, `mlflow` and `prefect`."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from db.errors import DatabaseError
from db.migrate import upgrade

DATABASES = ("xray", "mlflow", "prefect")
NAME_BYTES = 63 - len("_prefect")
"""How long the name of our database may be: PostgreSQL cuts names at 63 bytes, and the siblings' are longer."""


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
    if driver == "asyncpg" and "sslmode" in url.query:  # libpq's word; asyncpg says ssl
        url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": url.query["sslmode"]})
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

    Raises `DatabaseError` where the URL is malformed or the server can't be reached; no message holds the password.
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


@contextlib.contextmanager
def unmigrated(home: Path) -> Iterator[Databases]:
    """The same databases as they are, made where they are missing: for a backup to be restored into."""
    given = os.environ.get("XRAY_DATABASE_URL")
    if given:
        yield _given(given)
        return
    from db.embedded import acquire

    with acquire(home) as server:
        for name in DATABASES:
            server.create_database(name)
        yield _named(make_url(server.url("xray")))


def _given(value: str) -> Databases:
    url = _parsed(value)
    found = _named(url)
    for database in (found.xray, found.mlflow, found.prefect):
        _ensure_database(url.set(database=make_url(database).database))
    return found


def _parsed(value: str) -> URL:
    """The URL, if it can be one. What the parser says is not repeated: it may quote a part of the password."""
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        url = None
    if url is None or "@" in (url.host or ""):
        raise DatabaseError(
            "XRAY_DATABASE_URL is not a URL such as postgresql://user:password@host:5432/xray; "
            "in the password write @ as %40, / as %2F, : as %3A and % as %25"
        )
    if url.get_backend_name() == "postgres":  # libpq takes this spelling too
        url = url.set(drivername="postgresql")
    if url.get_backend_name() != "postgresql":
        raise DatabaseError(
            f"XRAY_DATABASE_URL must name a PostgreSQL server, not {url.get_backend_name()!r}"
        )
    if len((url.database or "").encode()) > NAME_BYTES:
        raise DatabaseError(
            f"XRAY_DATABASE_URL: the name of database {url.database!r} is too long, at most {NAME_BYTES} bytes"
        )
    return url


def _ensure_database(url: URL) -> None:
    """Create the database where it is missing; a server that can't be reached or refuses is a clear error."""
    try:
        with _connect(url, str(url.database)):
            return
    except OperationalError as error:
        refusal = DatabaseError(
            f"can't connect to database {url.database!r} on PostgreSQL at {url.host or 'the local socket'}"
            f":{url.port or 5432} as {url.username or 'the default user'}: {str(error.orig).strip()}"
        )
    try:
        administration = _connect(url, "postgres")
    except OperationalError:
        raise refusal from None
    with administration as connection:
        _create_database(connection, url, refusal)


def _connect(url: URL, database: str) -> Connection:
    """A connection to one database of the URL's server, without transactions; gives up after ten seconds."""
    waiting = {} if "connect_timeout" in url.query else {"connect_timeout": 10}
    engine = create_engine(
        _url(url, database, "psycopg2"),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args=waiting,
    )
    return engine.connect()


def _create_database(connection: Connection, url: URL, refusal: DatabaseError) -> None:
    """Make the URL's database; where it exists after all, the `refusal` to connect to it stands.

    template0, unlike template1, may be copied while others are connected to it or copy it.
    """
    connection.execute(text("select pg_advisory_lock(hashtext('xray databases'))"))
    exists = text("select exists (select from pg_database where datname = :name)")
    if connection.scalar(exists, {"name": url.database}):
        try:
            _connect(url, str(url.database)).close()
        except OperationalError:
            raise refusal from None
        return
    quoted = connection.dialect.identifier_preparer.quote(str(url.database))
    try:
        connection.exec_driver_sql(f"create database {quoted} template template0")
    except DBAPIError as error:
        raise DatabaseError(
            f"can't create database {url.database!r} on {url.host or 'the local socket'}: {str(error.orig).strip()}; "
            "let an administrator create it"
        ) from None

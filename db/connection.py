"""Which PostgreSQL, and connections to it: one server, the databases `xray`, `mlflow` and `prefect`."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from db.errors import DatabaseError
from db.libpq import unset
from db.migrate import is_current, upgrade
from db.roles import ROLES, Names, Role

DATABASES = ("xray", "mlflow", "prefect")
NAME_BYTES = 63 - len("_prefect")
"""How long the name of our database may be: PostgreSQL cuts names at 63 bytes, and the siblings' are longer."""


@dataclass(frozen=True, repr=False)
class Databases:
    """Where the three databases are for what a process may be there, as SQLAlchemy URLs with passwords.

    xray, mlflow, prefect: as the writer, or as the owner where that was asked for. reader: our own database as the reader.
    """

    xray: str
    mlflow: str
    prefect: str
    reader: str | None = None

    def engine(self) -> Engine:
        """A new engine on the platform's own database; closes its connections when they are given back."""
        return create_engine(self.xray, poolclass=NullPool)

    def psql(self) -> str:
        """The URL of the `xray` database as psql and other libpq programs take it."""
        return make_url(self.xray).set(drivername="postgresql").render_as_string(hide_password=False)


def _url(url: URL, database: str, driver: str) -> str:
    if driver == "asyncpg":
        url = url.difference_update_query(["gssencmode"])
        if "sslmode" in url.query:  # libpq's word; asyncpg says ssl
            url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": url.query["sslmode"]})
    return url.set(drivername=f"postgresql+{driver}", database=database).render_as_string(hide_password=False)


def _named(url: URL, reader: URL | None = None) -> Databases:
    """Our database is the URL's own; mlflow's and prefect's stand beside it. `xray_test` → `xray_test_mlflow`."""
    own = url.database or "xray"
    prefix = "" if own == "xray" else f"{own}_"
    return Databases(
        _url(url, own, "psycopg2"),
        _url(url, f"{prefix}mlflow", "psycopg2"),
        _url(url, f"{prefix}prefect", "asyncpg"),
        _url(reader, own, "psycopg2") if reader else None,
    )


@contextlib.contextmanager
def databases(home: Path) -> Iterator[Databases]:
    """The databases of this home, migrated and ready: a server named by XRAY_DATABASE_URL, else the embedded one.

    Raises `DatabaseError` where the URL is malformed or the server can't be reached; no message holds the password.
    """
    given = os.environ.get("XRAY_DATABASE_URL")
    if given:
        yield _opened(home, given)
        return
    with embedded(home) as logins:
        yield logins["writer"]


@contextlib.contextmanager
def owned(home: Path) -> Iterator[Databases]:
    """The same databases as their owner, for migrations and upkeep.

    Raises `DatabaseError` as `databases` does, and where XRAY_DATABASE_URL names a role that owns nothing there.
    """
    given = os.environ.get("XRAY_DATABASE_URL")
    if given and not _is_embedded(home, given):
        found = _opened(home, given)
        if not _owns(found):
            raise DatabaseError(
                f"{_whom(given)} may not change tables: name their owner in XRAY_DATABASE_URL"
            )
        yield found
        return
    with embedded(home) as logins:
        yield logins["owner"]


@contextlib.contextmanager
def embedded(home: Path) -> Iterator[Mapping[Role, Databases]]:
    """The embedded server's databases by role, whatever libpq's variables say. Roles and tables are made where need be."""
    from db.embedded import acquire
    from db.embedded.roles import bootstrap, passwords

    with unset(), acquire(home) as server:
        base = make_url(server.url("xray")).update_query_dict({"sslmode": "disable", "gssencmode": "disable"})
        secret = passwords(home)
        logins = _logins(base, secret) if secret else None
        if logins is None or not _has_roles(logins["writer"]):
            logins = _logins(base, bootstrap(home, server))
        if not _is_migrated(logins["writer"]):
            upgrade(logins["owner"].engine())
        yield logins


def _is_embedded(home: Path, value: str) -> bool:
    """Whether a URL is that of this home's own server, as processes that we have started are given it."""
    from db.embedded import status

    url, running = _parsed(value), status(home)
    return running is not None and (url.host, url.port) == (running.host, running.port)


def _opened(home: Path, value: str) -> Databases:
    """The databases of a URL, brought up to date by who owns them; who does not can only see whether they are."""
    from db.embedded.roles import passwords

    found = _given(value)
    if _owns(found):
        upgrade(found.engine())
    elif not _is_migrated(found):
        raise DatabaseError(
            f"the tables are not those of this version of xray, and {_whom(value)} may not change them: run "
            "`python -m flows.standing.migrate` with the owner's XRAY_DATABASE_URL"
        )
    secret = passwords(home) if _is_embedded(home, value) else None
    if secret:
        url = make_url(found.xray)
        reader = url.set(username=Names("xray").of("reader"), password=secret["reader"])
        return replace(found, reader=reader.render_as_string(hide_password=False))
    return found


def _owns(found: Databases) -> bool:
    """Whether the URL's role may make and change tables in our database."""
    with found.engine().connect() as connection:
        question = "select has_schema_privilege('public', 'create')"
        return bool(connection.scalar(text(question)))


def _whom(value: str) -> str:
    return f"the role {_parsed(value).username!r} of XRAY_DATABASE_URL"


def _logins(base: URL, secret: Mapping[Role, str]) -> dict[Role, Databases]:
    def login(role: Role) -> URL:
        return base.set(username=Names(str(base.database)).of(role), password=secret[role])

    return {role: _named(login(role), login("reader")) for role in ROLES}


def _has_roles(found: Databases) -> bool:
    """Whether the writer is let in, and the roles are those of this version."""
    from db.embedded.roles import note

    try:
        with found.engine().connect() as connection:
            noted = text(
                "select shobj_description(oid, 'pg_authid') from pg_roles where rolname = current_user"
            )
            return bool(connection.scalar(noted) == note())
    except OperationalError:
        return False


def _is_migrated(found: Databases) -> bool:
    with found.engine().connect() as connection:
        return is_current(connection)


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

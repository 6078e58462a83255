"""The databases of this installation: ours, MLflow's and Prefect's, and as whom a process connects to them."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from db import urls
from db.errors import DatabaseError
from db.external import Place, Places, open_places
from db.libpq import unset
from db.migrate import is_current, upgrade
from db.roles import DATABASES, ROLES, Names, Role, note

__all__ = ["DATABASES", "Databases", "databases", "embedded", "is_embedded", "owned", "setting", "unmigrated"]

_GIVEN: Final[dict[str, str]] = {}
"""The URL that was given to this process, by the writer's that it hands on to others in its place."""


@dataclass(frozen=True, repr=False)
class Databases:
    """Where the three databases are for what a process may be there, as SQLAlchemy URLs with passwords.

    xray, mlflow, prefect: as the writer, or as the owner where that was asked for; prefect for asyncpg, prefect_libpq for
    psycopg2. reader: our own database as the reader, None where there is no such role.
    variables: what Prefect's server has to have in its environment beside its URL.
    """

    xray: str
    mlflow: str
    prefect: str
    reader: str | None = None
    prefect_libpq: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    def engine(self) -> Engine:
        """A new engine on the platform's own database; closes its connections when they are given back."""
        return create_engine(self.xray, poolclass=NullPool)

    def of(self, name: str) -> str:
        """The URL of the database `xray`, `mlflow` or `prefect`, for programs that use libpq."""
        return {"xray": self.xray, "mlflow": self.mlflow, "prefect": self.prefect_libpq}[name]

    def psql(self) -> str:
        """The URL of the `xray` database as psql and other libpq programs take it."""
        return urls.libpq(self.xray)

    def prefect_environment(self) -> dict[str, str]:
        """What Prefect's server needs in its environment to find its tables, which it must not change itself."""
        return {
            "PREFECT_API_DATABASE_CONNECTION_URL": self.prefect,
            "PREFECT_API_DATABASE_MIGRATE_ON_START": "false",
            **self.variables,
        }


def _databases(places: Places) -> Databases:
    return Databases(
        xray=urls.text_of(places.xray.url),
        mlflow=urls.text_of(places.mlflow.url),
        prefect=urls.asyncpg(places.prefect.url),
        reader=urls.text_of(places.reader) if places.reader else None,
        prefect_libpq=urls.text_of(places.prefect.url),
        variables=urls.prefect_variables(places.prefect.url, places.prefect.schema),
    )


@contextlib.contextmanager
def databases(home: Path) -> Iterator[Databases]:
    """The databases of this home, migrated and ready, as the writer: on XRAY_DATABASE_URL's server, else the embedded one.

    Raises `DatabaseError` where the URL is malformed, the server can't be reached, or the tables are not those of this
    version and the URL's role may not change them; no message holds the password.
    """
    value = os.environ.get("XRAY_DATABASE_URL")
    if value:
        yield _external(home, value)[0]
        return
    with embedded(home) as logins:
        yield logins["writer"]


@contextlib.contextmanager
def owned(home: Path) -> Iterator[Databases]:
    """The same databases as their owner, for migrations and upkeep.

    Raises `DatabaseError` as `databases` does, and where XRAY_DATABASE_URL names a role that owns nothing there.
    """
    value = setting()
    if value is None or is_embedded(home, value):
        with embedded(home) as logins:
            yield logins["owner"]
        return
    owner = _external(home, value)[1]
    if owner is None:
        raise DatabaseError(f"{_whom(value)} may not change tables: name their owner in XRAY_DATABASE_URL")
    yield owner


@contextlib.contextmanager
def embedded(home: Path) -> Iterator[Mapping[Role, Databases]]:
    """The embedded server's databases by role, whatever libpq's variables say. Roles and tables are made where need be."""
    from db.embedded import acquire
    from db.embedded.roles import bootstrap, passwords

    with unset(), acquire(home) as server:
        base = make_url(server.url("xray")).update_query_dict({"sslmode": "disable", "gssencmode": "disable"})
        secret = passwords(home)
        logins = _logins(base, secret) if secret else None
        if logins is None or not _has_roles(logins):
            logins = _logins(base, bootstrap(home, server))
        if not _is_ready(logins["writer"]):
            upgrade(logins["owner"].engine())
        yield logins


@contextlib.contextmanager
def unmigrated(home: Path) -> Iterator[Databases]:
    """The same databases as they are, made where they are missing, by whoever may make all in them: for a restore."""
    from db.embedded import acquire

    value = setting()
    if value is not None and not is_embedded(home, value):
        owner = open_places(value)[1]
        if owner is None:
            raise DatabaseError(
                f"{_whom(value)} may not create tables: name their owner in XRAY_DATABASE_URL"
            )
        yield _databases(owner)
        return
    with unset(), acquire(home) as server:
        for name in DATABASES:
            server.create_database(name)
        base = make_url(server.url("xray")).update_query_dict({"sslmode": "disable", "gssencmode": "disable"})
        xray, mlflow, prefect = (Place(base.set(database=name)) for name in DATABASES)
        yield _databases(Places(xray, mlflow, prefect))


def _external(home: Path, value: str) -> tuple[Databases, Databases | None]:
    """The databases of a URL as writer and as owner, who brings them up to date; another can only see whether they are."""
    from db.embedded.roles import passwords

    places, owner = open_places(value)
    if owner is not None:
        if not _is_ready(_databases(places)):
            upgrade(_databases(owner).engine())
    elif not _is_ready(_databases(places)):
        raise DatabaseError(
            f"the tables are not those of this version of xray, and {_whom(value)} may not change them: run "
            "`python -m flows.standing.migrate` with the owner's XRAY_DATABASE_URL"
        )
    secret = passwords(home) if places.reader is None and is_embedded(home, value) else None
    if secret:  # a process that one on the embedded server has started
        reader = places.xray.url.set(username=Names("xray").of("reader"), password=secret["reader"])
        places = places.of(places.xray.url, reader)
    writer = _databases(places)
    if owner is None:
        return writer, None
    _GIVEN[writer.psql()] = value
    return writer, _databases(owner)


def setting() -> str | None:
    """The URL that this process was given; None where it was none. Not that of the writer, which stands for it since."""
    value = os.environ.get("XRAY_DATABASE_URL")
    return _GIVEN.get(value, value) if value else None


def is_embedded(home: Path, value: str) -> bool:
    """Whether a URL is that of this home's own server, as processes that we have started are given it."""
    from db.embedded import status

    url, running = urls.parsed(value), status(home)
    return running is not None and (url.host, url.port) == (running.host, running.port)


def _whom(value: str) -> str:
    return f"the role {urls.parsed(value).username!r} of XRAY_DATABASE_URL"


def _logins(base: URL, secret: Mapping[Role, str]) -> dict[Role, Databases]:

    names = Names("xray")
    xray, mlflow, prefect = (Place(base.set(database=name)) for name in DATABASES)
    three = Places(xray, mlflow, prefect)

    def login(role: Role) -> URL:
        return base.set(username=names.of(role), password=secret[role])

    return {role: _databases(three.of(login(role), login("reader"))) for role in ROLES}


def _has_roles(logins: Mapping[Role, Databases]) -> bool:
    """Whether the roles are let in (each may change its own password), and are those of this version."""
    noted = text("select shobj_description(oid, 'pg_authid') from pg_roles where rolname = current_user")
    try:
        for role in ROLES:
            with create_engine(_of(logins, role), poolclass=NullPool).connect() as connection:
                if role == "writer" and connection.scalar(noted) != note():
                    return False
    except OperationalError:
        return False
    return True


def _of(logins: Mapping[Role, Databases], role: Role) -> str:
    return str(logins[role].reader if role == "reader" else logins[role].xray)


def _is_ready(databases: Databases) -> bool:
    """Whether the tables are those of this version, and the reader may read them."""
    granted = text(
        "select coalesce(bool_and(has_table_privilege(oid, to_regclass('predictions'), 'select')), true)"
        " from pg_roles where rolname = :reader"
    )
    reader = make_url(databases.reader).username if databases.reader else None
    with databases.engine().connect() as connection:
        return is_current(connection) and bool(connection.scalar(granted, {"reader": reader}))

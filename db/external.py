"""A server of the user's own, named by XRAY_DATABASE_URL: where the three databases are there, and as whom to connect.

    python -m db.external      makes the databases and roles that XRAY_DATABASE_URL's role may make, and no tables

What the URL's role may decides: a superuser makes the four roles and is not used again; an owner that may make roles makes
writer and reader; any other owner does everything itself; who owns nothing is a writer, and finds the tables made.
"""

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import psycopg2
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from db.errors import DatabaseError
from db.roles import ROLES, SIBLINGS, Names, Role, give_database, let_in, make_roles, note, note_roles
from db.urls import address, parsed

OLDEST: Final = 15
SYSTEM_DATABASES: Final = ("postgres", "template1", "template0")

LOOK: Final = text("""
select current_user as user, rolsuper as superuser, rolsuper or rolcreaterole as makes_roles,
    rolsuper or rolcreatedb as makes_databases, current_schema() as schema,
    coalesce(has_schema_privilege(current_schema(), 'create'), false) as owns,
    has_database_privilege(current_database(), 'create') as makes_schemas,
    array(select datname::text from pg_database where datname = any(:databases)) as databases,
    array(select nspname::text from pg_namespace where nspname in ('xray', 'mlflow', 'prefect')) as schemas,
    (select shobj_description(oid, 'pg_authid') from pg_roles where rolname = :writer) as noted,
    to_regclass('public.alembic_version') is not null as in_public
from pg_roles where rolname = current_user
""")


@dataclass(frozen=True)
class Standing:
    """What the URL's role is and finds: the columns of `LOOK`."""

    user: str
    superuser: bool
    makes_roles: bool
    makes_databases: bool
    schema: str | None
    owns: bool
    makes_schemas: bool
    databases: list[str]
    schemas: list[str]
    noted: str | None
    in_public: bool


@dataclass(frozen=True)
class Place:
    """One of the three: the URL of its database, and the schema of it where that is not the usual one."""

    url: URL
    schema: str | None = None
    own_login: bool = False
    """Whether the URL was given with a login of its own, which then stays."""

    def of(self, login: URL) -> "Place":
        """The same place as another role."""
        return self if self.own_login else replace(self, url=_login(self.url, login))


@dataclass(frozen=True)
class Places:
    """The three, as one role; and our own as the reader, where there is one."""

    xray: Place
    mlflow: Place
    prefect: Place
    reader: URL | None = None

    def of(self, login: URL, reader: URL | None) -> "Places":
        """The same as another role."""
        return Places(self.xray.of(login), self.mlflow.of(login), self.prefect.of(login), reader)


def _login(url: URL, login: URL) -> URL:
    return URL.create(
        url.drivername, login.username, login.password, url.host, url.port, url.database, url.query
    )  # `set` keeps a password that is to be none


def open_places(value: str) -> tuple[Places, Places | None]:
    """The places of a URL as who writes there, and as their owner, or None where this process can't be that.

    Databases, schemas and roles are made where the URL's role may.
    Raises `DatabaseError` for a malformed URL, a server that can't be reached or is too old, and databases that are missing.
    """
    url = parsed(value)
    ensure_database(url)
    names = Names(str(url.database))
    standing = _look(url, names)
    if standing.schema != "xray" and not standing.in_public and "xray" in standing.schemas:
        url = _in_schema(url, "xray")
        standing = _look(url, names)
    mlflow, prefect = (_sibling(url, names, standing, name) for name in SIBLINGS)
    own = Places(Place(url, standing.schema), mlflow, prefect)
    reader = _reader(url, names, os.environ.get("XRAY_READER_PASSWORD"))
    if not standing.owns:
        return own.of(url, reader if reader.password else None), None
    secrets = _passwords(url, names)
    if standing.superuser and (names.database in SYSTEM_DATABASES or own.mlflow.url.database == url.database):
        standing = replace(standing, superuser=False)  # the database is not ours alone: its owner stays
    if len(secrets) < len(ROLES):
        return own.of(url, reader if reader.password else None), own
    return _with_roles(own, names, standing, secrets)


def _with_roles(
    own: Places, names: Names, standing: Standing, secrets: Mapping[Role, str]
) -> tuple[Places, Places]:
    """Writer and owner by logins of their own, made where the URL's role may; its own where they are not let in."""
    url = own.xray.url
    logins = {role: _login(url, URL.create("x", names.of(role), secrets[role])) for role in ROLES}
    logins["reader"] = _reader(url, names, secrets["reader"])
    roles: tuple[Role, ...] = ROLES if standing.superuser else ("writer", "reader")
    ready = standing.noted == note() and all(_is_let_in(logins[role]) for role in roles)
    if not ready and standing.makes_roles:
        _make_roles(own, names, standing, {role: secrets[role] for role in roles})
        ready = all(_is_let_in(logins[role]) for role in roles)
    if not ready and not standing.makes_roles and all(_is_let_in(logins[role]) for role in roles):
        for target in (own.xray, own.mlflow, own.prefect):  # roles that an administrator has made
            with _cursor(target.url) as cursor:
                let_in(cursor, names, str(target.url.database), target.schema or "public", standing.user)
        ready = True
    if not ready and standing.superuser:  # it would work as the superuser, which nothing of ours does
        _refuse(logins)
    if not ready:
        return own, own
    owner = own.of(logins["owner"], logins["reader"]) if standing.superuser else own
    return own.of(logins["writer"], logins["reader"]), owner


def _reader(url: URL, names: Names, password: str | None) -> URL:
    """The URL as the reader, whose sessions are read-only: where they are to be read-write, libpq looks for another host."""
    reader = _login(url, URL.create("x", names.of("reader"), password))
    if url.query.get("target_session_attrs") == "read-write":
        return reader.update_query_dict({"target_session_attrs": "primary"})
    return reader


def _refuse(logins: Mapping[Role, URL]) -> None:
    """Say why a role that was made is not let in. Raises `DatabaseError`."""
    for url in logins.values():
        try:
            connect(url).close()
        except OperationalError as error:
            raise DatabaseError(
                f"xray created the role {url.username!r}, but {address(url)} does not let it in: {str(error.orig).strip()}; "
                "allow it in the server's pg_hba.conf, or name an owner in XRAY_DATABASE_URL that is no superuser"
            ) from None


def _make_roles(own: Places, names: Names, standing: Standing, secrets: Mapping[Role, str]) -> None:
    try:
        with _cursor(own.xray.url) as cursor:
            cursor.execute("select pg_advisory_lock(hashtext('xray roles'))")
            make_roles(cursor, names, secrets)
            for target in (own.xray, own.mlflow, own.prefect):
                with contextlib.nullcontext() if target.own_login else _cursor(target.url) as other:
                    if other is not None and standing.superuser:
                        give_database(other, names, str(target.url.database), standing.user)
                    elif other is not None:
                        let_in(
                            other, names, str(target.url.database), target.schema or "public", standing.user
                        )
            note_roles(cursor, names)
    except psycopg2.Error as error:
        raise DatabaseError(
            f"the roles of xray could not be created on {address(own.xray.url)}: {str(error).strip()}"
        ) from None


def _passwords(url: URL, names: Names) -> dict[Role, str]:
    """Of the roles: XRAY_OWNER_PASSWORD and so on, else made of the URL's, the same wherever that is known.

    The way back from a role's password to the URL's is a search, and each guess costs a twentieth of a second.
    """
    secrets: dict[Role, str] = {}
    for role in ROLES:
        value = os.environ.get(f"XRAY_{role.upper()}_PASSWORD")
        if not value and url.password:
            value = _derived(str(url.password), f"xray {names.of(role)}")
        if value:
            secrets[role] = value
    return secrets


@cache
def _derived(password: str, salt: str) -> str:
    return hashlib.scrypt(password.encode(), salt=salt.encode(), n=2**14, r=8, p=1, dklen=24).hex()


def _look(url: URL, names: Names) -> Standing:
    """What the URL's role finds and may."""
    siblings = [_sibling_name(names, name) for name in SIBLINGS]
    with connect(url) as connection:
        version = connection.connection.driver_connection.server_version  # type: ignore[union-attr]
        if version < OLDEST * 10000:
            raise DatabaseError(
                f"{address(url)} runs PostgreSQL {version // 10000}.{version % 10000}; {OLDEST} or newer is needed"
            )
        row = connection.execute(LOOK, {"databases": siblings, "writer": names.of("writer")}).one()
    return Standing(**row._mapping)


def _sibling(url: URL, names: Names, standing: Standing, name: str) -> Place:
    """Where MLflow's or Prefect's tables are: as a variable says, in a database of their own, or in a schema of ours."""
    variable = f"XRAY_{name.upper()}_DATABASE_URL"
    if setting := os.environ.get(variable):
        own = parsed(setting, variable)
        ensure_database(own)
        return Place(own, own_login=True)
    database = _sibling_name(names, name)
    if database in standing.databases:
        return Place(url.set(database=database))
    if name in standing.schemas:
        return Place(_in_schema(url, name), name)
    if standing.makes_databases:
        ensure_database(url.set(database=database))
        return Place(url.set(database=database))
    if standing.owns and standing.makes_schemas:
        with _cursor(url) as cursor:
            cursor.execute(f"create schema if not exists {name}")
        return Place(_in_schema(url, name), name)
    raise DatabaseError(
        f"{address(url)} has no database {database!r}, and {standing.user!r} may create neither it nor a schema {name!r} in "
        f"{url.database!r}: ask an administrator to create one of them, or name another in {variable}"
    )


def _sibling_name(names: Names, name: str) -> str:
    return name if names.database == "xray" else f"{names.database}_{name}"


def _in_schema(url: URL, schema: str) -> URL:
    before = url.query.get("options", "")
    options = f"{before} -csearch_path={schema},public".strip()
    return url.update_query_dict({"options": options})


def _is_let_in(url: URL) -> bool:
    try:
        connect(url).close()
    except OperationalError:
        return False
    return True


@contextlib.contextmanager
def _cursor(url: URL) -> Iterator[Any]:
    """psycopg2's, outside of transactions."""
    with connect(url) as connection:
        yield connection.connection.cursor()


def connect(url: URL) -> Connection:
    """A connection without transactions; gives up after ten seconds."""
    waiting = {} if "connect_timeout" in url.query else {"connect_timeout": 10}
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=waiting)
    return engine.connect()


def ensure_database(url: URL) -> None:
    """Create the database where it is missing; a server that can't be reached or refuses is a clear error."""
    try:
        with connect(url):
            return
    except OperationalError as error:
        refusal = DatabaseError(
            f"can't connect to database {url.database!r} on PostgreSQL at {address(url)} "
            f"as {url.username or 'the default user'}: {str(error.orig).strip()}"
        )
    try:
        administration = connect(url.set(database="postgres"))
    except OperationalError:
        raise refusal from None
    with administration as connection:
        _create_database(connection, url, refusal)


def _create_database(connection: Connection, url: URL, refusal: DatabaseError) -> None:
    """Make the URL's database; where it exists after all, the `refusal` to connect to it stands.

    template0, unlike template1, may be copied while others are connected to it or copy it.
    """
    connection.execute(text("select pg_advisory_lock(hashtext('xray databases'))"))
    exists = text("select exists (select from pg_database where datname = :name)")
    if connection.scalar(exists, {"name": url.database}):
        try:
            connect(url).close()
        except OperationalError:
            raise refusal from None
        return
    quoted = connection.dialect.identifier_preparer.quote(str(url.database))
    try:
        connection.exec_driver_sql(f"create database {quoted} template template0")
    except DBAPIError as error:
        raise DatabaseError(
            f"can't create database {url.database!r} on {url.host or 'the local socket'}: {str(error.orig).strip()}; "
            "ask an administrator to create it"
        ) from None


if __name__ == "__main__":
    try:
        open_places(os.environ["XRAY_DATABASE_URL"])
    except DatabaseError as error:
        sys.exit(f"error: {error}")

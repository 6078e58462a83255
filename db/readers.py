"""Personal readers: a role per analyst with a password of its own, that may read what `xray sql` reads and do no more."""

import contextlib
import re
import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg2

from db.embedded import acquire
from db.errors import DatabaseError
from db.external import connect
from db.libpq import unset
from db.roles import Names, limit_reader, make_role
from db.urls import parsed

NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Maker:
    """Who may make readers, where, and where they then connect to; a password is in none of it but the cursor."""

    cursor: Any
    names: Names
    database: str
    host: str
    port: int
    options: str = ""
    embedded: bool = False
    socket: str = ""


@contextlib.contextmanager
def maker(home: Path) -> Iterator[Maker]:
    """Who makes roles on the server of this home: the embedded server's superuser, or the role of XRAY_DATABASE_URL.

    Raises `DatabaseError` where that role may not.
    """
    from db.connection import is_embedded, setting

    value = setting()
    if value is not None and not is_embedded(home, value):
        url = parsed(value)
        with connect(url) as connection:
            cursor = connection.connection.cursor()
            names = Names(str(url.database))
            _check_may_make(cursor, names)
            port = url.port or 5432
            yield Maker(
                cursor, names, names.database, url.host or str(url.query.get("host", "localhost")), port
            )
        return
    with unset(), acquire(home) as server, closing(psycopg2.connect(server.url("xray", driver=""))) as own:
        own.autocommit = True
        with own.cursor() as own_cursor:
            yield Maker(
                own_cursor,
                Names("xray"),
                "xray",
                server.host,
                server.port,
                "?sslmode=disable",
                True,
                server.socket_dir,
            )


def _check_may_make(cursor: Any, names: Names) -> None:
    cursor.execute(
        "select rolsuper or rolcreaterole, current_user from pg_roles where rolname = current_user"
    )
    may, user = cursor.fetchone()
    cursor.execute("select from pg_roles where rolname = %s", (names.of("reader"),))
    if not may or cursor.rowcount == 0:
        raise DatabaseError(
            f"the role {user!r} of XRAY_DATABASE_URL may not create roles: ask an administrator to create one, and grant it "
            f"{names.of('reader')} (docs/deploy.md)"
        )


def grant(cursor: Any, names: Names, name: str) -> str:
    """Make the reader `name`, or give it a new password; the password.

    cursor: psycopg2's, in no transaction, of a role that may make roles.
    Raises `DatabaseError` for a name that can't be, or that is another's.
    """
    from psycopg2 import sql

    if not NAME.fullmatch(name) or name.startswith("pg_"):
        raise DatabaseError(
            f"{name!r} can't be a reader's name: lower-case letters, digits and _ are allowed, at most 63, no digit first"
        )
    _check_is_ours(cursor, names, name, missing_is_good=True)
    password = secrets.token_urlsafe(18)
    make_role(cursor, name, password)
    limit_reader(cursor, name)
    words = {"reader": sql.Identifier(names.of("reader")), "name": sql.Identifier(name)}
    # of 16 and later: it may do what the reader may, and not become it
    options = " with inherit true, set false" if cursor.connection.server_version >= 160000 else ""
    cursor.execute(sql.SQL("grant {reader} to {name}" + options).format(**words))
    cursor.execute(
        sql.SQL("comment on role {name} is {note}").format(note=sql.Literal(_note(names)), **words)
    )
    return password


def revoke(cursor: Any, names: Names, name: str) -> None:
    """End the sessions of the reader `name` and remove it. Raises `DatabaseError` where it is none of ours."""
    from psycopg2 import sql

    _check_is_ours(cursor, names, name, missing_is_good=False)
    cursor.execute(sql.SQL("alter role {} nologin").format(sql.Identifier(name)))
    cursor.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", (name,))
    cursor.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)))
    cursor.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def readers(cursor: Any, names: Names) -> list[str]:
    """The personal readers, by name."""
    cursor.execute(
        "select rolname from pg_roles where shobj_description(oid, 'pg_authid') = %s order by 1",
        (_note(names),),
    )
    return [str(name) for (name,) in cursor.fetchall()]


def _check_is_ours(cursor: Any, names: Names, name: str, missing_is_good: bool) -> None:
    cursor.execute("select shobj_description(oid, 'pg_authid') from pg_roles where rolname = %s", (name,))
    row = cursor.fetchone()
    if row is None and missing_is_good:
        return
    if row is None:
        others = ", ".join(readers(cursor, names)) or "none"
        raise DatabaseError(f"there is no reader {name!r}; there are: {others}")
    if row[0] != _note(names):
        raise DatabaseError(
            f"{name!r} is already a role of the server, but not a reader of xray's: choose another name"
        )


def _note(names: Names) -> str:
    return f"a reader of {names.database}, made by xray db grant"

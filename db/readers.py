"""Personal readers: a role per analyst with a password of its own, that may read what `xray sql` reads and do no more."""

import re
import secrets
from typing import Any, Final

from db.errors import DatabaseError
from db.roles import Names, limit_reader, make_role

NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def grant(cursor: Any, names: Names, name: str) -> str:
    """Make the reader `name`, or give it a new password; the password.

    cursor: psycopg2's, in no transaction, of a role that may make roles.
    Raises `DatabaseError` for a name that can't be, or that is another's.
    """
    from psycopg2 import sql

    if not NAME.fullmatch(name) or name.startswith("pg_"):
        raise DatabaseError(
            f"{name!r} can't be a reader's name: small letters, digits and _ are allowed, at most 63, no digit first"
        )
    _check_is_ours(cursor, names, name, missing_is_good=True)
    password = secrets.token_urlsafe(18)
    make_role(cursor, name, password)
    limit_reader(cursor, name)
    words = {"reader": sql.Identifier(names.of("reader")), "name": sql.Identifier(name)}
    # of 16 and later: it may do what the reader may, and not become it
    how = " with inherit true, set false" if cursor.connection.server_version >= 160000 else ""
    cursor.execute(sql.SQL("grant {reader} to {name}" + how).format(**words))
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
        known = ", ".join(readers(cursor, names)) or "none"
        raise DatabaseError(f"there is no reader {name!r}; there are: {known}")
    if row[0] != _note(names):
        raise DatabaseError(
            f"{name!r} is a role of the server already, and not a reader of xray's: choose another name"
        )


def _note(names: Names) -> str:
    return f"a reader of {names.database}, made by xray db grant"

"""The roles of the embedded server: a password each, in files of HOME/postgres that only the owner of the home reads."""

import secrets
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from db.embedded.folder import Folder
from db.embedded.server import Server
from db.errors import ServerError
from db.roles import DATABASES, ROLES, Names, Role, give_database, make_roles, note_roles

NAMES: Final = Names("xray")


def passwords(home: Path) -> Mapping[Role, str] | None:
    """The passwords of the roles, or None where they are not made yet or a file is lost or empty."""
    folder = Folder.of(home)
    by_role: dict[Role, str] = {}
    for role in ROLES:
        try:
            by_role[role] = folder.role_password(role).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
    return by_role if all(by_role.values()) else None


def bootstrap(home: Path, server: Server) -> Mapping[Role, str]:
    """Make roles and databases as the superuser, and give the owner what is there; the roles' passwords.

    For a new home, for one of before there were roles, and where a password file is lost. Any number of processes may ask at
    once. Raises `ServerError`.
    """
    import psycopg2

    from db.embedded.cluster import OWN_PASSWORDS, OWN_PASSWORDS_FROM

    try:
        with closing(psycopg2.connect(server.url("postgres", driver=""))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("select pg_advisory_lock(hashtext('xray roles'))")
                secret = passwords(home) or _write_passwords(Folder.of(home))
                if connection.server_version >= OWN_PASSWORDS_FROM * 10_000:
                    cursor.execute(f"set {OWN_PASSWORDS}")
                make_roles(cursor, NAMES, secret)
                for database in ("postgres", "template1"):
                    cursor.execute(f"revoke all on database {database} from public")
                for database in DATABASES:
                    server.create_database(database)
                    _give(server, database)
                note_roles(cursor, NAMES)
    except psycopg2.Error as error:
        raise ServerError(f"the roles of the server could not be created: {error}") from error
    return secret


def _give(server: Server, database: str) -> None:
    import psycopg2

    login = closing(psycopg2.connect(server.url(database, driver="")))
    with login as connection, connection, connection.cursor() as cursor:
        give_database(cursor, NAMES, database, server.user)


def _write_passwords(folder: Folder) -> dict[Role, str]:
    passwords: dict[Role, str] = {role: secrets.token_urlsafe(24) for role in ROLES}
    for role, password in passwords.items():
        folder.write(folder.role_password(role), password)
    return passwords

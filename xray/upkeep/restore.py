"""A backup into an empty home: the same rows, weights, cards and reports, at another place or on another machine."""

import contextlib
import logging
import shutil
from pathlib import Path
from typing import Final

from db.connection import DATABASES, unmigrated
from db.embedded import stop
from db.migrate import upgrade
from db.upkeep.dump import Dump, check_empty, clear, load
from xray.errors import BackupError, DatabaseError
from xray.upkeep import manifest
from xray.upkeep.backup import KEPT
from xray.upkeep.manifest import Manifest

_log = logging.getLogger(__name__)
UNFINISHED: Final = ".restoring"
"""Where in the home it is made. A restore that is killed leaves only this, and the next one begins by removing it."""


def restore(folder: Path, home: Path) -> Manifest:
    """Make a home from a backup.

    Nothing is left behind where it fails. Raises `BackupError`: half or damaged, or the home is not empty; `DatabaseError`.
    """
    whole = manifest.read(folder)
    work = home / UNFINISHED
    _clear(work)
    if any(home.iterdir()):
        raise BackupError(
            f"{home} is not empty: restore into a new home (XRAY_HOME=…), then put it in the old one's place"
        )
    _log.info(
        "backup of %s, %d files, %d bytes: checking that it is whole",
        whole.made_at,
        len(whole.files),
        whole.bytes,
    )
    manifest.verify(folder, whole)
    try:
        work.mkdir(mode=0o700)
        _copy(folder, whole, work)
        _load(folder, whole, work, home)
        _put_in_place(work, home)
    except BaseException as error:
        _clear(work)
        if isinstance(error, OSError):
            raise BackupError(f"{error.filename or home}: {error.strerror}; nothing was restored") from error
        raise
    return whole


def _copy(folder: Path, whole: Manifest, work: Path) -> None:
    for name, expected in whole.files.items():
        inside = Path(name)
        if inside.parts[0] != "home":
            continue
        if ".." in inside.parts or not any(inside.is_relative_to(f"home/{top}") for top in KEPT):
            raise BackupError(f"{folder / manifest.NAME} names a file that no backup of xray has: {name}")
        if manifest.copy(folder / inside, work / inside.relative_to("home")) != expected:
            raise BackupError(f"{folder / inside} was changed while it was restored")


def _load(folder: Path, whole: Manifest, work: Path, home: Path) -> None:
    with unmigrated(work) as databases:
        for name in DATABASES:
            check_empty(databases.of(name))
        try:
            for name in DATABASES:
                content = Dump.of(whole.databases[name])
                load(databases.of(name), folder / f"{name}.dump", content)
                rows = sum(table.rows for table in content.tables.values())
                _log.info("%s: %d tables, %d rows", name, len(content.tables), rows)
            upgrade(databases.engine())
        except BaseException:
            for name in DATABASES:
                clear(databases.of(name))
            raise


def _put_in_place(work: Path, home: Path) -> None:
    """Everything into the home, the server's data last: before, it is a home in which nothing has run."""
    stop(work)
    for path in sorted(work.iterdir(), key=lambda path: path.name == "postgres"):
        path.rename(home / path.name)
    work.rmdir()


def _clear(work: Path) -> None:
    """Nothing of what was not finished, nor of its server."""
    if work.is_dir():
        with contextlib.suppress(DatabaseError):  # what is wrong with it is being told
            stop(work)
        shutil.rmtree(work, ignore_errors=True)

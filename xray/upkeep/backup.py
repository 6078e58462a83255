"""A backup of an installation, made while everything runs: three dumps, then the files that they speak of.

The order matters. A model is in MLflow before our database names it, and its weights are on disk before MLflow does; none of
them is taken away again. So what the first dump names is in the second, and what the second names is among the files.
"""

import datetime as dt
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from db.connection import DATABASES, Databases
from db.upkeep.dump import dump
from xray import settings
from xray.durable import settle_entries
from xray.errors import BackupError
from xray.upkeep import manifest
from xray.upkeep.manifest import File, Manifest

KEPT: Final = ("mlflow/artifacts", "reports", "phantom")
"""Folders of the home that are in a backup: weights and cards, reports, drawn pictures."""
_log = logging.getLogger(__name__)
LEFT_OUT: Final = (
    "pictures outside the home, which are only named here",
    "pixel caches, which are made again",
    "unfinished trainings, which begin again",
    "passwords and roles of the server: the restored home makes its own",
    "logs",
)


def backup(databases: Databases, home: Path, folder: Path) -> Manifest:
    """Write a backup of the installation into a new or empty folder.

    What was written is removed again where it can't be finished. Raises `BackupError`, `DatabaseError`.
    """
    _check_place(home, folder)
    made_here = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        return _write(databases, home, folder)
    except BaseException as error:
        _remove(folder, made_here)
        if isinstance(error, OSError):
            raise BackupError(f"{error.filename or folder}: {error.strerror}; no backup was made") from error
        raise


def _write(databases: Databases, home: Path, folder: Path) -> Manifest:
    dumps, files = {}, {}
    for name in DATABASES:
        file = folder / f"{name}.dump"
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        dumped = dump(databases.of(name), file)
        dumps[name] = dumped.plain()
        files[file.name] = manifest.digest(file)
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
        rows = sum(table.rows for table in dumped.tables.values())
        _log.info(
            "%s: %d tables, %d rows, %d bytes", file.name, len(dumped.tables), rows, files[file.name].bytes
        )
    copies: dict[str, File] = dict(_copies(home, folder / "home"))
    _log.info("home: %d files, %d bytes", len(copies), sum(file.bytes for file in copies.values()))
    left_out = list(LEFT_OUT)
    if not isinstance(settings.artifacts(), Path):
        left_out.append(f"weights in {settings.artifacts()}: back them up there")
    made_at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    whole = Manifest(made_at, settings.code_version()["xray"], str(home), dumps, files | copies, left_out)
    for parent, _, _ in os.walk(folder):
        settle_entries(Path(parent))
    manifest.write(folder, whole)
    return whole


def _copies(home: Path, target: Path) -> Iterator[tuple[str, File]]:
    """Copy the folders that are kept; path in the backup → file. What is taken away meanwhile is left out."""
    for parent, folders, names in (entry for folder in KEPT for entry in os.walk(home / folder)):
        folders.sort()
        for name in sorted(names):
            source = Path(parent) / name
            inside = source.relative_to(home)
            if source.is_symlink() or not source.is_file():
                continue
            try:
                yield f"home/{inside.as_posix()}", manifest.copy(source, target / inside)
            except FileNotFoundError:
                (target / inside).unlink(missing_ok=True)


def _check_place(home: Path, folder: Path) -> None:
    if folder.resolve() == home or home in folder.resolve().parents:
        raise BackupError(
            f"{folder} is in the home {home}: what destroys the one destroys the other. Name a folder elsewhere"
        )
    if folder.exists() and not folder.is_dir():
        raise BackupError(f"{folder} is a file: name a new or an empty folder")
    if folder.exists() and any(folder.iterdir()):
        raise BackupError(f"{folder} is not empty: name a new or an empty folder for each backup")


def _remove(folder: Path, made_here: bool) -> None:
    if made_here:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.iterdir() if folder.is_dir() else ():
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()

"""Which pictures exist, and where."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from xray.errors import DataError


def is_there(paths: Sequence[str | None], images: Path) -> NDArray[np.bool_]:
    """For every path relative to `images`: is there such a file? bool (n,); one listing per folder."""
    names_of: dict[str, set[str]] = {}
    present = np.zeros(len(paths), dtype=bool)
    for index, path in enumerate(paths):
        if path is None:
            continue
        folder, _, name = path.rpartition("/")
        if folder not in names_of:
            names_of[folder] = _names(images / folder)
        present[index] = name in names_of[folder]
    return present


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except PermissionError:
        raise DataError(f"{folder}: can't be read: permission denied") from None
    except OSError:  # there is none, its name is too long, or its links lead in a circle
        return set()


def find_pictures(images: Path, suffixes: Iterable[str]) -> dict[str, str]:
    """File name → path relative to `images`, for every file with one of `suffixes` at any depth, also behind
    links to folders, each folder once.

    Where a name stands in several folders, the first in sorted order counts. No folder: `DataError`.
    """
    if not images.is_dir():
        raise DataError(f"{images}: no such folder of pictures")
    endings = tuple(suffixes)
    paths: dict[str, str] = {}
    visited: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(images, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:  # by another link, or in a circle
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders.sort()
        relative = Path(folder).relative_to(images).as_posix()
        prefix = "" if relative == "." else relative + "/"
        for file in files:
            if file.lower().endswith(endings):
                paths.setdefault(file, prefix + file)
    return paths


def leaves_folder(path: str) -> bool:
    """Does a path lead out of the folder it is relative to (absolute, a drive, more `..` than folders)?"""
    pure = PurePosixPath(path)
    if pure.is_absolute() or (len(path) > 1 and path[1] == ":"):
        return True
    depth = 0
    for part in pure.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False

"""A registered dataset's pictures in a new folder: found, checked, and read from there from now on."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePath

import pandas as pd
from sqlalchemy import Engine

from xray.data.picture_hashes import MEMORY, changed
from xray.data.places import take_places
from xray.data.registered import read_named
from xray.errors import DataError

_NAMED = 3


def relocate(engine: Engine, home: Path, name: str, images: Path, *, progress: bool = False) -> int:
    """Read the pictures of dataset `name` from the folder `images`, and how many of them were read from elsewhere before.

    A picture is looked for by its path from the old folder, by the end of it, then by its file name at any depth; every one
    must show what is registered. Raises `DataError`, and changes nothing, where one is not there or shows something else.
    """
    with engine.begin() as connection:
        dataset = read_named(connection, name)
    old_paths = dataset.table.rows["path"].tolist()
    if None in old_paths or None in dataset.content:
        raise DataError(f"{name}: registered without pictures, so there are none to relocate")
    new_paths = _new_paths(old_paths, images)
    missing = [path for path, new in zip(old_paths, new_paths, strict=True) if new is None]
    if missing:
        raise DataError(
            f"{name}: {len(missing)} of {len(old_paths)} picture(s) are not in {images}, first {Path(missing[0]).name}; "
            "nothing was changed"
        )
    paths = [str(path) for path in new_paths]
    files = [images / path for path in paths]
    different = changed(
        files, dataset.content, home / MEMORY, dataset.reading, all_files=True, progress=progress
    )
    if different:
        examples = ", ".join(map(str, different[:_NAMED]))
        raise DataError(
            f"{name}: {len(different)} of {len(files)} picture(s) differ from the registered ones, or can't be "
            f"read: {examples}{', …' if len(different) > _NAMED else ''}; nothing was changed"
        )
    rows = pd.DataFrame({"image": dataset.table.rows["image"], "path": paths})
    with engine.begin() as connection:
        return take_places(connection, dataset.id, dataset.site, rows, images, home)


def _new_paths(old_paths: Sequence[str], images: Path) -> list[str | None]:
    """Where each picture is, relative to `images`; None where it is not."""
    if not images.is_dir():
        raise DataError(f"{images}: no such folder of pictures")
    files: set[str] = set()
    by_name: dict[str, list[str]] = {}
    for folder, _, names in os.walk(images, followlinks=True):
        inside = Path(folder).relative_to(images)
        for name in names:
            path = (inside / name).as_posix()
            files.add(path)
            by_name.setdefault(name, []).append(path)
    return [_new_path(PurePath(path), files, by_name) for path in old_paths]


def _new_path(path: PurePath, files: set[str], by_name: dict[str, list[str]]) -> str | None:
    """The longest end of the old path that is there; else the only file of its name."""
    parts = [part for part in path.parts if part != path.anchor]
    for start in range(len(parts)):
        end = "/".join(parts[start:])
        if end in files:
            return end
    same = by_name.get(path.name, [])
    return same[0] if len(same) == 1 else None

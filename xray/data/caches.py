"""The pixel caches of a home: the datasets of each, whether it is intact, and which are unused."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from sqlalchemy import Connection, text

from db.queries import query
from xray.errors import ImageError
from xray.pixels.cache import PixelCache
from xray.pixels.cache_files import HEADER, LOCK, PIXELS, Request, fault, holds_only_ours, read_request
from xray.pixels.preprocess import PREPROCESSING

State = Literal["whole", "unfinished", "earlier format", "damaged"]
_PARTIAL = ".partial"


@dataclass(frozen=True)
class StoredCache:
    """One folder of HOME/pixels. datasets: whose pictures it holds, none of a cache that nobody uses any more.

    state: "whole" says that its files have their lengths; `verify_caches` tells whether their bytes are right. last_used:
    when it was last opened.
    """

    folder: Path
    datasets: tuple[str, ...]
    images: int | None
    size: int | None
    crop: str | None
    bytes: int
    last_used: datetime
    state: State

    @property
    def is_used(self) -> bool:
        """Whether a dataset is read from it, or will be once it is whole."""
        return bool(self.datasets)


@dataclass(frozen=True)
class Fault:
    """What is wrong with a cache: its name (of the folder), and where."""

    name: str
    reason: str


def caches(connection: Connection, home: Path) -> list[StoredCache]:
    """The caches of a home, by name. What lies in HOME/pixels and is no cache is left out."""
    root = home / "pixels"
    folders = sorted(root.iterdir()) if root.is_dir() else []
    datasets_of: dict[str, list[str]] = {}
    for row in connection.execute(text(query("dataset_pictures"))):
        datasets_of.setdefault(row.pictures, []).append(row.dataset)
    return [_stored(folder, datasets_of) for folder in folders if holds_only_ours(folder)]


def verify_caches(connection: Connection, home: Path) -> Iterator[Fault]:
    """What is wrong with the whole caches of a home: every picture is read and compared with its checksum.

    A picture that is named here is made again when it is next read; nothing is changed now.
    """
    for cache in caches(connection, home):
        name = cache.folder.name
        if cache.state == "damaged":
            yield Fault(name, f"{fault(cache.folder)}".split(";")[0] + "; it is built again at its next use")
        elif cache.state == "whole":
            cache_files = PixelCache.open(cache.folder, touch=False)
            length = cache_files.request.bytes_of_picture
            for row in cache_files.damaged().tolist():
                extent = f"bytes {row * length} to {(row + 1) * length - 1} of {PIXELS}"
                yield Fault(name, f"picture {row} of {', '.join(cache.datasets) or 'no dataset'} ({extent})")


def prune(cache: StoredCache) -> bool:
    """Remove a cache; False of one that is being built now, which stays."""
    with contextlib.ExitStack() as stack:
        if (cache.folder / LOCK).exists():
            try:
                stack.enter_context(FileLock(cache.folder / LOCK, blocking=False))
            except Timeout:
                return False
        shutil.rmtree(cache.folder)
    return True


def _stored(folder: Path, datasets_of: dict[str, list[str]]) -> StoredCache:
    request, state = _request(folder)
    current = request is not None and request.preprocessing == PREPROCESSING
    datasets = datasets_of.get(request.pictures, []) if request is not None and current else []
    files = [path.stat() for path in folder.iterdir()]
    header = folder / HEADER
    last_used = (header if header.exists() else folder).stat().st_mtime
    return StoredCache(
        folder,
        tuple(datasets),
        request.n if request else None,
        request.size if request else None,
        request.crop if request else None,
        sum(status.st_size for status in files),
        datetime.fromtimestamp(last_used, UTC),
        state,
    )


def _request(folder: Path) -> tuple[Request | None, State]:
    try:
        request = read_request(folder)
    except ImageError:
        return None, "unfinished" if folder.name.endswith(_PARTIAL) else "damaged"
    if request is None:
        return None, "earlier format"
    if folder.name.endswith(_PARTIAL):
        return request, "unfinished"
    return request, "damaged" if fault(folder) else "whole"

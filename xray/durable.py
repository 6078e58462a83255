"""Files that are whole or not there, and on the disk before a database says that they are there.

A machine may lose its power at any moment.
"""

import contextlib
import ctypes
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """The path of a new file beside `path`, to be written in a block; at its end it takes the place of `path`, on the disk.

    A reader sees the old file or the new one, never a part. Where the block fails, nothing is left of the new one.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield new
        with new.open("rb") as file:
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    with replaced(path) as new:
        new.write_bytes(content)
    return path


def settle_entries(folder: Path) -> None:
    """Wait until what a folder holds, by name, is on its disk. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle_files(folder: Path) -> None:
    """Wait until everything that was written to the file system of a folder is on its disk. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if not hasattr(library, "syncfs"):  # macOS
            os.sync()
        elif library.syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


def folder_of(url: str) -> Path | None:
    """The folder that a file:// URL names; None where it is somewhere else, and not ours to settle."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None

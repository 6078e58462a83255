"""Files that are on the disk before a database says that they are there: a machine may lose its power at any moment."""

import ctypes
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit


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

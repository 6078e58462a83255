"""What lies in the folder of a pixel cache, and what of it is checked.

| file | content |
|---|---|
| pixels.raw | the pictures, (n, size, size), in the order that was asked for |
| checksums.raw | CRC-32 of each picture, uint32 little-endian (n,); 0 where it is not made yet |
| header.json | what the cache is of (`Request`) |
| lock | while it is built: who holds it builds |

A cache under way is the folder NAME.partial; it is renamed when it is whole. A picture of it counts as made where its
checksum fits, so a build that was cut off, however, goes on with the others.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xray.errors import ImageError
from xray.pixels.grey import Grey
from xray.pixels.preprocess import PREPROCESSING

try:  # nine times as fast as Python's
    from isal.isal_zlib import crc32 as checksum
except ImportError:
    from zlib import crc32 as checksum

FORMAT: Final = 2
"""Raised when the files of a cache change. Format 1 had no checksums, and knew its pictures by their paths."""
PIXELS: Final = "pixels.raw"
CHECKSUMS: Final = "checksums.raw"
HEADER: Final = "header.json"
LOCK: Final = "lock"
_OURS: Final = {PIXELS, CHECKSUMS, HEADER, LOCK, "progress.jsonl"}


@dataclass(frozen=True)
class Request:
    """What a cache is of: all that its bytes depend on.

    pictures: hash of the ordered content hashes (`hash_of`), or of paths and sizes where no content is said.
    """

    pictures: str
    n: int
    size: int
    crop: str
    dtype: str
    preprocessing: int
    format: int = FORMAT

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n, size, size)."""
        return (self.n, self.size, self.size)

    @property
    def bytes_of_picture(self) -> int:
        """Bytes of one picture in pixels.raw."""
        return self.size**2 * np.dtype(self.dtype).itemsize

    @property
    def name(self) -> str:
        """The name of the folder of a cache that is known by its content: the same pictures, the same name."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.size}-{self.crop}-{digest[:20]}"


def request_of(
    paths: Sequence[Path], content: Sequence[str] | None, size: int, crop: str, dtype: np.dtype[Any]
) -> Request:
    """What is asked for. content: the pictures' content hashes in order; None: paths and sizes stand for them."""
    pictures = (
        hash_of(content) if content is not None else hash_of([f"{path}\0{_bytes(path)}" for path in paths])
    )
    return Request(pictures, len(paths), size, crop, dtype.name, PREPROCESSING)


def hash_of(content: Sequence[str]) -> str:
    """SHA-256 (hex) of content hashes in their order: what pictures a cache is of, wherever their files are."""
    return hashlib.sha256("\n".join(content).encode(errors="surrogateescape")).hexdigest()


def read_request(folder: Path) -> Request | None:
    """What the cache in this folder is of; None where its header is of another format. Raises `ImageError` without one."""
    path = folder / HEADER
    try:
        stored = json.loads(path.read_text())
        if stored.get("format") != FORMAT:
            return None
        request = Request(**stored["request"])
        intact = stored["checksum"] == _checksum_of(request)
    except FileNotFoundError as error:
        raise ImageError(f"{folder}: is not a pixel cache (no {HEADER})") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImageError(f"{path}: can't be read ({error}); remove the folder and build it again") from error
    if not intact:
        raise ImageError(f"{path}: is not as it was written; remove the folder and build it again")
    return request


def write_request(folder: Path, request: Request) -> None:
    """Write the header, whole or not at all."""
    header = {"format": FORMAT, "request": asdict(request), "checksum": _checksum_of(request)}
    path = folder / HEADER
    temporary = path.with_name(HEADER + ".tmp")
    with temporary.open("w") as file:
        file.write(json.dumps(header, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def fault(folder: Path) -> str | None:
    """Why the folder holds no whole cache of this format, by the names, the sizes and the header; None where it does."""
    try:
        request = read_request(folder)
        if request is None:
            return f"{folder}: holds a pixel cache of an earlier format; remove the folder and build it again"
        expected = {PIXELS: request.n * request.bytes_of_picture, CHECKSUMS: 4 * request.n}
        for name, length in expected.items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != length:
                return f"{path}: expected {length} bytes; remove the folder and build it again"
    except ImageError as error:
        return str(error)
    return None


def holds_only_ours(folder: Path) -> bool:
    """Whether nothing in a folder is of anybody else, so that it may be taken away."""
    return folder.is_dir() and {path.name.removesuffix(".tmp") for path in folder.iterdir()} <= _OURS


def reserve(folder: Path, request: Request) -> None:
    """Files of their final length, disk space taken: a full disk would fault mapped memory. Raises `ImageError`."""
    for name, length in ((PIXELS, request.n * request.bytes_of_picture), (CHECKSUMS, 4 * request.n)):
        path = folder / name
        try:
            with path.open("ab") as file:
                file.truncate(length)
                if length and hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, length)
        except OSError as error:
            raise ImageError(f"{path}: {length} bytes can't be reserved: {error.strerror}") from error


def map_files(folder: Path, request: Request, mode: str) -> tuple[Grey, NDArray[np.uint32]]:
    """Pixels (n, size, size) and checksums (n,), memory-mapped; mode: "r", or "r+" to write them."""
    if not request.n:
        return np.zeros(request.shape, request.dtype), np.zeros(0, np.uint32)
    pixels: Grey = np.memmap(folder / PIXELS, np.dtype(request.dtype), mode, shape=request.shape)  # type: ignore[call-overload]
    sums = np.memmap(folder / CHECKSUMS, np.dtype("<u4"), mode, shape=(request.n,))  # type: ignore[call-overload]
    return pixels, sums


def _checksum_of(request: Request) -> int:
    return checksum(json.dumps(asdict(request), sort_keys=True).encode())


def _bytes(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


__all__ = [
    "CHECKSUMS",
    "FORMAT",
    "HEADER",
    "LOCK",
    "PIXELS",
    "Request",
    "checksum",
    "fault",
    "hash_of",
    "holds_only_ours",
    "map_files",
    "read_request",
    "request_of",
    "reserve",
    "write_request",
]

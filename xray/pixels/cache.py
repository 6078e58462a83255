"""Prepared pictures on disk, memory-mapped: decoded once, read at every epoch, and never read unchecked.

Its files are those of `xray.pixels.cache_files`. Two builds of one cache take turns, and the second finds the work done.
Each process checks a picture against its checksum when it first reads it, which costs 6 µs at 224 px; a damaged one is made
again from its file.
"""

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xray.cores import cores
from xray.durable import settle_entries
from xray.errors import ImageError, PicturesError
from xray.pixels.cache_files import (
    CHECKSUMS,
    HEADER,
    LOCK,
    PIXELS,
    Request,
    checksum,
    fault,
    holds_only_ours,
    map_files,
    read_request,
    request_of,
    reserve,
    write_request,
)
from xray.pixels.choices import SINCE_THEN
from xray.pixels.decode import identity, read_grey
from xray.pixels.grey import Grey
from xray.pixels.preprocess import Crop, check_request, prepare
from xray.pixels.reading import AS_STORED, Reading
from xray.progress import bar

CHANGED: Final = "changed since it was registered"
_CHUNK: Final = 512
_NAMED: Final = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pictures:
    """Files of pictures in an order, how they are read, and the identity that each must have (None: whatever it shows)."""

    paths: Sequence[Path]
    content: Sequence[str] | None = None
    reading: Reading = AS_STORED

    def prepared(self, index: int, request: Request) -> Grey:
        """One picture as it stands in a cache, (size, size). Raises `ImageError` where its file is not what it must be."""
        decoded = read_grey(self.paths[index], self.reading)
        if self.content is not None and identity(decoded) != self.content[index]:
            new = [choice for choice in decoded.choices if choice in SINCE_THEN]
            earlier = f" (or by a version of xray that didn't know {'; '.join(new)})" if new else ""
            raise ImageError(f"{self.paths[index]}: {CHANGED}{earlier}")
        crop: Any = request.crop
        return prepare(decoded, request.size, crop, np.dtype(request.dtype))


@dataclass(frozen=True)
class PixelCache:
    """An opened cache. `pixels`: read-only memory map (n, size, size), as it lies on the disk; index the cache itself, or
    `check` what is read of it.

    pictures: where a damaged picture is made again from; None: it is an error.
    """

    folder: Path
    request: Request
    pixels: Grey
    checksums: NDArray[np.uint32]
    pictures: Pictures | None = None
    _checked: NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_checked", np.zeros(len(self.pixels), np.bool_))

    def __len__(self) -> int:
        """How many pictures."""
        return len(self.pixels)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, size, size)."""
        return self.pixels.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 or uint16."""
        return self.pixels.dtype

    def __getitem__(self, rows: NDArray[np.integer[Any]]) -> Grey:
        """A copy of the pictures at rows (n,), checked: (n, size, size)."""
        self.check(rows)
        return self.pixels[rows]

    def check(self, rows: NDArray[np.integer[Any]]) -> None:
        """See that these pictures are as they were made; a damaged one is made again, and the others are looked at too.

        Raises `ImageError` where that can't be done. What this process has checked before is not looked at again.
        """
        if self._checked[rows].all():
            return
        new = np.unique(rows[~self._checked[rows]])
        if len(self._damaged(new)):
            self._mend(self.damaged())
        self._checked[new] = True

    def damaged(self) -> NDArray[np.int64]:
        """Rows of all pictures that are not as they were made."""
        return self._damaged(np.arange(len(self)))

    def _damaged(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        pixels, sums = np.asarray(self.pixels), np.asarray(self.checksums)
        return np.array([row for row in rows if checksum(pixels[row]) != sums[row]], np.int64)

    def _mend(self, rows: NDArray[np.int64]) -> None:
        """Make pictures anew, in their place: other processes that have the file mapped see them too."""
        if self.pictures is None:
            raise ImageError(
                f"{self.folder}: {len(rows)} picture(s) are damaged, first number {rows[0]}; remove the folder"
            )
        for row in rows.tolist():
            try:
                picture = np.ascontiguousarray(self.pictures.prepared(row, self.request))
                _write_at(self.folder / PIXELS, row * self.request.bytes_of_picture, picture.tobytes())
                _write_at(self.folder / CHECKSUMS, row * 4, np.array(checksum(picture), "<u4").tobytes())
            except (ImageError, OSError) as error:
                raise PicturesError(
                    f"{self.folder}: picture {row} is damaged, and can't be made again: {error}"
                ) from error
        first = self.pictures.paths[int(rows[0])]
        _log.warning("%s: %d damaged picture(s) made again, first %s", self.folder, len(rows), first)

    @classmethod
    def open(cls, folder: Path, pictures: Pictures | None = None, *, touch: bool = True) -> "PixelCache":
        """Map a whole cache, and note that it is used now. Raises `ImageError` where the folder holds none that is whole."""
        folder = Path(folder)
        trouble = fault(folder)
        if trouble is not None:
            raise ImageError(trouble)
        request = read_request(folder)
        assert request is not None
        pixels, sums = map_files(folder, request, "r")
        pixels.flags.writeable = False
        if touch:
            with suppress(OSError):  # a folder that can only be read
                os.utime(folder / HEADER)
        return cls(folder, request, pixels, sums, pictures)


Stored = NDArray[np.uint8] | NDArray[np.uint16] | PixelCache
"""Pictures (n, size, size) that are read by rows."""


def build(
    paths: Sequence[Path],
    folder: Path,
    *,
    content: Sequence[str] | None = None,
    reading: Reading = AS_STORED,
    size: int,
    crop: Crop = "centre",
    dtype: DTypeLike = np.uint8,
    workers: int | None = None,
    progress: bool = False,
) -> PixelCache:
    """Decode, crop and resize `paths` into a cache at `folder`, or open it where it is already there.

    content: what each picture must be known by (`identity`); None takes whatever the files show. `workers` threads (default:
    the cores this process may use). The result depends on nothing but the pictures. A damaged cache is built again.

    Raises `ImageError` where `folder` holds something else: other pictures, another size, crop or dtype, or an older
    preprocessing: nothing is overwritten, give another folder or remove it. Raises `PicturesError` where pictures can't be
    read or are not the ones that they must be, naming them: what is made of the others is kept for the next build.
    """
    folder, pictures = Path(folder), Pictures(paths, content, reading)
    request = request_of(paths, content, size, crop, check_request(size, crop, dtype))
    partial = folder.with_name(folder.name + ".partial")
    folder.parent.mkdir(parents=True, exist_ok=True)
    while (trouble := fault(folder)) is not None:
        if folder.exists() and not holds_only_ours(folder):
            raise ImageError(f"{folder}: exists but is not a pixel cache")
        with _sole_builder(partial) as sole:
            if sole and fault(folder) is not None:
                if folder.exists() and any(folder.iterdir()):
                    _log.warning(
                        "%s: built again, as it is damaged or of an earlier format (%s)", folder, trouble
                    )
                    shutil.rmtree(folder)
                _fill(pictures, partial, request, workers, progress)
                (partial / LOCK).unlink()
                partial.rename(folder)
                settle_entries(folder.parent)
    _check_request(folder, request, read_request(folder))
    return PixelCache.open(folder, pictures)


def _check_request(folder: Path, request: Request, stored: Request | None) -> None:
    """Raise where a cache is not the one that was asked for."""
    different = [
        f"{key} is {getattr(stored, key)}, not {value}"
        for key, value in asdict(request).items()
        if getattr(stored, key) != value
    ]
    if different:
        raise ImageError(
            f"{folder}: holds another cache ({'; '.join(different)}); give another folder or remove this one"
        )


@contextmanager
def _sole_builder(partial: Path) -> Iterator[bool]:
    """Hold the lock of an unfinished cache; False where it was finished, or taken away, while waiting.

    The kernel drops the lock when its holder dies, however it dies.
    """
    partial.mkdir(exist_ok=True)
    try:
        file = (partial / LOCK).open("a")
    except FileNotFoundError:
        yield False
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            same = os.path.samestat(os.fstat(file.fileno()), os.stat(partial / LOCK))
        except FileNotFoundError:
            same = False
        yield same


def _fill(pictures: Pictures, partial: Path, request: Request, workers: int | None, progress: bool) -> None:
    """Make the partial folder whole, from wherever an earlier build was cut off."""
    missing = _resume(partial, request)
    pixels, sums = map_files(partial, request, "r+")

    def fill(row: int) -> str | None:
        try:
            pixels[row] = pictures.prepared(row, request)
        except ImageError as error:
            return str(error)
        sums[row] = checksum(np.asarray(pixels)[row])
        return None

    reasons: list[str] = []
    with (
        ThreadPoolExecutor(workers or cores()) as pool,
        bar("preparing pictures", request.n, request.n - len(missing), visible=progress) as advance,
    ):
        for start in range(0, len(missing), _CHUNK):
            rows = missing[start : start + _CHUNK].tolist()
            reasons += [reason for reason in pool.map(fill, rows) if reason is not None]
            advance(len(rows))
    for mapped in (pixels, sums):
        if isinstance(mapped, np.memmap):
            mapped.flush()
    if reasons:
        more = f" and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
        raise PicturesError(
            f"{len(reasons)} of {request.n} picture(s) can't be used: {'; '.join(reasons[:_NAMED])}{more}"
        )


def _resume(partial: Path, request: Request) -> NDArray[np.int64]:
    """Rows that are still to be made: all, where what an earlier build left is of another request."""
    try:
        same = read_request(partial) == request
    except ImageError:
        same = False
    for path in partial.iterdir():
        if path.name != LOCK and not (same and path.name in (HEADER, PIXELS, CHECKSUMS)):
            path.unlink()
    reserve(partial, request)
    write_request(partial, request)
    pixels, sums = (np.asarray(mapped) for mapped in map_files(partial, request, "r"))
    rows = range(request.n)
    return np.array([row for row in rows if not sums[row] or checksum(pixels[row]) != sums[row]], np.int64)


def _write_at(path: Path, offset: int, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(descriptor, data, offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

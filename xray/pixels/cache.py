"""Prepared pictures on disk, memory-mapped: decoded once, read at every epoch.

A cache is a folder of `pixels.raw` (n, size, size) and `header.json`. It is made in `NAME.partial` beside it
and renamed when complete, so a folder of the final name is whole. A build that was cut off goes on from its
last finished chunk; two builds of one cache take turns, and the second finds the work done.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray
from tqdm import tqdm

from xray.errors import ImageError
from xray.pixels.decode import read_grey
from xray.pixels.grey import Grey
from xray.pixels.preprocess import PREPROCESSING, Crop, check_request, prepare

_CHUNK: Final = 512
_PIXELS: Final = "pixels.raw"
_HEADER: Final = "header.json"
_PROGRESS: Final = "progress.jsonl"
_LOCK: Final = "lock"


@dataclass(frozen=True)
class Failed:
    """An image that could not be taken: its index in `paths` and why. Its pixels are zeros."""

    index: int
    reason: str


@dataclass(frozen=True)
class PixelCache:
    """An opened cache. `pixels`: read-only memory map (n, size, size) in the order of its paths."""

    folder: Path
    pixels: Grey
    size: int
    crop: str
    failed: tuple[Failed, ...]

    def __len__(self) -> int:
        """How many images, failed ones included."""
        return len(self.pixels)

    @property
    def ok(self) -> NDArray[np.bool_]:
        """bool (n,): False where the image failed."""
        mask = np.ones(len(self), np.bool_)
        mask[[failure.index for failure in self.failed]] = False
        return mask

    @classmethod
    def open(cls, folder: Path) -> "PixelCache":
        """Map a complete cache. Raises `ImageError` where the folder holds none, or one that is damaged."""
        folder = Path(folder)
        header = _read_header(folder)
        shape = (header["n"], header["size"], header["size"])
        dtype = np.dtype(header["dtype"])
        path = folder / _PIXELS
        expected = _length(header)
        if not path.is_file() or path.stat().st_size != expected:
            raise ImageError(f"{path}: expected {expected} bytes; remove the folder and build it again")
        pixels = np.memmap(path, dtype, "r", shape=shape) if expected else np.zeros(shape, dtype)
        pixels.flags.writeable = False
        failed = tuple(Failed(index, reason) for index, reason in header["failed"])
        return cls(folder, pixels, header["size"], header["crop"], failed)


def build(
    paths: Sequence[Path],
    folder: Path,
    *,
    size: int,
    crop: Crop = "centre",
    dtype: DTypeLike = np.uint8,
    workers: int | None = None,
    progress: bool = False,
) -> PixelCache:
    """Decode, crop and resize `paths` into a cache at `folder`, or open it where it is already there.

    An image that can't be read is filled with zeros and listed in `PixelCache.failed`; nothing else is lost
    with it. `workers` threads (default: the cores this process may use). The result depends on nothing but
    the pictures.

    Raises `ImageError` where `folder` holds something else: other paths or file sizes, another size, crop or
    dtype, or an older preprocessing. Nothing is overwritten: give another folder or remove it.
    """
    folder = Path(folder)
    request = _request(paths, size, crop, check_request(size, crop, dtype))
    partial = folder.with_name(folder.name + ".partial")
    folder.parent.mkdir(parents=True, exist_ok=True)
    while not (folder / _HEADER).exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ImageError(f"{folder}: is there but holds no pixel cache")
        with _sole_builder(partial) as mine:
            if mine and not (folder / _HEADER).exists():
                _fill(paths, partial, request, workers, progress)
                (partial / _LOCK).unlink()
                partial.rename(folder)
                _sync(folder.parent)
    _check_request(folder, request, _read_header(folder))
    return PixelCache.open(folder)


def _request(paths: Sequence[Path], size: int, crop: str, dtype: np.dtype[Any]) -> dict[str, Any]:
    """What identifies a cache: everything that its bytes depend on, file contents only by their sizes."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            length = os.stat(path).st_size
        except OSError:
            length = -1
        digest.update(f"{os.fspath(path)}\0{length}\n".encode(errors="surrogateescape"))
    return {
        "preprocessing": PREPROCESSING,
        "n": len(paths),
        "size": size,
        "crop": crop,
        "dtype": dtype.name,
        "paths": digest.hexdigest(),
    }


def _check_request(folder: Path, request: dict[str, Any], header: dict[str, Any]) -> None:
    """Raise where a cache is not the one that was asked for."""
    different = [
        f"{key} is {header.get(key)}, not {value}"
        for key, value in request.items()
        if header.get(key) != value
    ]
    if different:
        raise ImageError(
            f"{folder}: holds another cache ({'; '.join(different)}); give another folder or remove this one"
        )


def _read_header(folder: Path) -> dict[str, Any]:
    path = folder / _HEADER
    try:
        header: dict[str, Any] = json.loads(path.read_text())
        _ = [header[key] for key in ("n", "size", "crop", "dtype", "failed")]
    except FileNotFoundError as error:
        raise ImageError(f"{folder}: holds no pixel cache (no {_HEADER})") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImageError(f"{path}: can't be read ({error}); remove the folder and build it again") from error
    return header


@contextmanager
def _sole_builder(partial: Path) -> Iterator[bool]:
    """Hold the lock of an unfinished cache; False where it was finished, or taken away, while waiting.

    The kernel drops the lock when its holder dies, however it dies.
    """
    partial.mkdir(exist_ok=True)
    try:
        file = (partial / _LOCK).open("a")
    except FileNotFoundError:
        yield False
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            same = os.path.samestat(os.fstat(file.fileno()), os.stat(partial / _LOCK))
        except FileNotFoundError:
            same = False
        yield same


def _fill(
    paths: Sequence[Path], partial: Path, request: dict[str, Any], workers: int | None, progress: bool
) -> None:
    """Make the partial folder complete, from wherever an earlier build was cut off."""
    done, failed = _resume(partial, request)
    n, size, dtype = request["n"], request["size"], np.dtype(request["dtype"])
    path = partial / _PIXELS
    _reserve(path, _length(request))
    pixels: Grey = (
        np.memmap(path, dtype, "r+", shape=(n, size, size)) if n else np.zeros((0, size, size), dtype)
    )

    def fill(index: int) -> Failed | None:
        try:
            pixels[index] = prepare(read_grey(paths[index]), size, request["crop"], dtype)
        except ImageError as error:
            pixels[index] = 0
            return Failed(index, str(error))
        return None

    threads = workers or _cores()
    with (
        ThreadPoolExecutor(threads) as pool,
        (partial / _PROGRESS).open("a") as log,
        tqdm(total=n, initial=done, unit="image", disable=not progress) as bar,
    ):
        for start in range(done, n, _CHUNK):
            stop = min(start + _CHUNK, n)
            new = [failure for failure in pool.map(fill, range(start, stop)) if failure is not None]
            failed += new
            if isinstance(pixels, np.memmap):
                pixels.flush()
            log.write(json.dumps({"done": stop, "failed": [astuple(failure) for failure in new]}) + "\n")
            log.flush()
            os.fsync(log.fileno())
            bar.update(stop - start)
    (partial / _PROGRESS).unlink()
    _write_synced(
        partial / _HEADER,
        json.dumps(request | {"failed": [astuple(failure) for failure in failed]}, indent=1) + "\n",
    )


def _resume(partial: Path, request: dict[str, Any]) -> tuple[int, list[Failed]]:
    """How many images an earlier build of the same request finished, and which of them failed."""
    done, failed = 0, list[Failed]()
    try:
        lines = (partial / _PROGRESS).read_text().splitlines()
        whole = (partial / _PIXELS).stat().st_size == _length(request)
        if whole and json.loads(lines[0]) == request:
            for line in lines[1:]:
                entry = json.loads(line)
                failed += [Failed(*failure) for failure in entry["failed"]]
                done = min(entry["done"], request["n"])
    except (FileNotFoundError, ValueError, KeyError, IndexError, TypeError):
        pass  # nothing yet, or a line that was cut off: its chunk is made again
    failed = [failure for failure in failed if failure.index < done]
    entries = [request, {"done": done, "failed": [astuple(failure) for failure in failed]}]
    _write_synced(partial / _PROGRESS, "".join(json.dumps(entry) + "\n" for entry in entries))
    return done, failed


def _length(header: dict[str, Any]) -> int:
    """Bytes of the pixel file."""
    return int(header["n"] * header["size"] ** 2 * np.dtype(header["dtype"]).itemsize)


def _reserve(path: Path, length: int) -> None:
    """A file of `length` bytes, its disk space taken: a full disk would fault mapped memory."""
    try:
        with path.open("ab") as file:
            file.truncate(length)
            if length and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, length)
    except OSError as error:
        raise ImageError(f"{path}: {length} bytes can't be reserved: {error.strerror}") from error


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write_synced(path: Path, text: str) -> None:
    """Write a file whole or not at all, and onto the disk."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _sync(folder: Path) -> None:
    """Put the entries of a folder onto the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""What the pictures of a dataset show: content hash and perceptual hash of each, or why it can't be taken.

Decoding a hundred thousand pictures takes an hour, so what was found is kept per file (path, size, time of change) in a
small SQLite file: a registration that was killed goes on where it was. The time of change is the file system's own (ctime),
which `touch` and `cp -p` can't set back.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import imagehash
import numpy as np
from PIL import Image
from tqdm import tqdm

from xray.errors import ImageError
from xray.pixels.decode import Decoded, content_hash, read_grey

LEAST_SIDE: Final = 16
"""Pixels along the shorter side below which a picture is no radiograph."""

MEMORY: Final = "picture-hashes.sqlite"
"""Where a home keeps what was seen."""
NO_PATH: Final = "no picture is named for this image"
_AT_ONCE: Final = 512
_HASH_SIDE: Final = 16
_TABLE: Final = """
create table if not exists picture (
    path text, size integer, changed integer, content_hash text, perceptual_hash text,
    height integer, width integer, low integer, high integer, maximum integer, primary key (path)
)
"""


@dataclass(frozen=True)
class Seen:
    """What one picture shows. low, high: its smallest and largest value; maximum: the largest its format can hold."""

    content_hash: str
    perceptual_hash: str
    height: int
    width: int
    low: int
    high: int
    maximum: int


def look(
    paths: Sequence[str | None], images: Path, memory: Path | None = None, progress: bool = False
) -> list[Seen | str]:
    """For each path relative to `images`: what the picture shows, or the reason why it can't be read (None: no path).

    memory: the SQLite file in which what was seen is kept; None: nothing is kept.
    """
    found: list[Seen | str] = [NO_PATH] * len(paths)
    named = [(row, images / path) for row, path in enumerate(paths) if isinstance(path, str)]
    with (
        _opened(memory) as kept,
        ThreadPoolExecutor() as pool,
        tqdm(total=len(named), desc="reading pictures", disable=not progress, leave=False) as bar,
    ):
        for start in range(0, len(named), _AT_ONCE):
            some = named[start : start + _AT_ONCE]
            seen = _look_at([file for _, file in some], kept, pool)
            for (row, _), each in zip(some, seen, strict=True):
                found[row] = each
            bar.update(len(some))
    return found


def changed(files: Sequence[Path], content: Sequence[str | None], memory: Path) -> list[Path]:
    """Those of the files that show another picture now than their content hash says, or can't be read any more.

    Only files that are in the memory are looked at, and of them only those that have changed since are read.
    """
    different: list[Path] = []
    if not memory.exists():
        return different
    with _opened(memory) as kept, ThreadPoolExecutor() as pool:
        assert kept is not None
        for start in range(0, len(files), _AT_ONCE):
            stop = start + _AT_ONCE
            some = {_stamp(f)[0]: (f, c) for f, c in zip(files[start:stop], content[start:stop], strict=True)}
            known = [some[place] for place in sorted(_places(kept, list(some)))]
            seen = _look_at([file for file, _ in known], kept, pool)
            different += [
                file
                for (file, expected), now in zip(known, seen, strict=True)
                if not isinstance(now, Seen) or now.content_hash != expected
            ]
    return different


def fault(seen: Seen, expected_maximum: int | None = None) -> str | None:
    """Why a picture that can be read can't be used, or None.

    expected_maximum: 255 or 65535 where the dataset's pictures are known to have 8 or 16 bits.
    """
    if min(seen.height, seen.width) < LEAST_SIDE:
        return f"is {seen.height} × {seen.width} pixels; expected at least {LEAST_SIDE} along each side"
    if seen.low == seen.high:
        return f"shows nothing: every pixel is {seen.low}"
    depths = (255, 65535)
    if expected_maximum in depths and seen.maximum in depths and seen.maximum != expected_maximum:
        return (
            f"has values up to {seen.maximum}; this dataset's pictures have values up to {expected_maximum}"
        )
    if seen.maximum > 255 and seen.high <= seen.maximum // 256:
        return (
            f"has no value above {seen.high} where {seen.maximum} is white: an 8-bit picture in a wider file?"
        )
    return None


def perceptual_hash(decoded: Decoded) -> str:
    """256 bits of the picture's low frequencies (imagehash.phash), hex: near-copies differ in few bits."""
    grey = (decoded.pixels.astype(np.float32) * (255 / decoded.maximum)).astype(np.uint8)
    return str(imagehash.phash(Image.fromarray(grey), hash_size=_HASH_SIDE))


def _look_at(
    files: Sequence[Path], kept: sqlite3.Connection | None, pool: ThreadPoolExecutor
) -> list[Seen | str]:
    stamps = [_stamp(file) for file in files]
    known = _recall(kept, stamps) if kept is not None else {}
    unseen = [file for file, stamp in zip(files, stamps, strict=True) if stamp not in known]
    new = dict(zip(unseen, pool.map(_see, unseen), strict=True))
    if kept is not None:
        rows = [
            (*stamp, *vars(new[file]).values())
            for file, stamp in zip(files, stamps, strict=True)
            if isinstance(new.get(file), Seen)
        ]
        with kept:
            kept.executemany(f"insert or replace into picture values ({','.join('?' * 10)})", rows)  # noqa: S608
    return [known[stamp] if stamp in known else new[file] for file, stamp in zip(files, stamps, strict=True)]


def _see(file: Path) -> Seen | str:
    try:
        decoded = read_grey(file)
    except ImageError as error:
        return str(error)
    pixels = decoded.pixels
    return Seen(
        content_hash(pixels),
        perceptual_hash(decoded),
        pixels.shape[0],
        pixels.shape[1],
        int(pixels.min()),
        int(pixels.max()),
        decoded.maximum,
    )


def _stamp(file: Path) -> tuple[str, int, int]:
    try:
        status = file.stat()
    except OSError:
        return str(file), -1, -1
    return str(file.resolve()), status.st_size, status.st_ctime_ns


def _places(kept: sqlite3.Connection, wanted: Sequence[str]) -> set[str]:
    asked = f"select path from picture where path in ({','.join('?' * len(wanted))})"  # noqa: S608
    return {row[0] for row in kept.execute(asked, wanted)}


def _recall(
    kept: sqlite3.Connection, stamps: Sequence[tuple[str, int, int]]
) -> dict[tuple[str, int, int], Seen]:
    wanted = [stamp[0] for stamp in stamps]
    rows = kept.execute(
        f"select * from picture where path in ({','.join('?' * len(wanted))})",  # noqa: S608
        wanted,
    )
    return {(row[0], row[1], row[2]): Seen(*row[3:]) for row in rows}


@contextlib.contextmanager
def _opened(memory: Path | None) -> Iterator[sqlite3.Connection | None]:
    if memory is None:
        yield None
        return
    memory.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(memory, timeout=60)) as kept:
        kept.execute(_TABLE)
        kept.commit()
        yield kept

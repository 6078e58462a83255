"""The content of a dataset's pictures: content hash and perceptual hash of each, or why it can't be used.

Decoding a hundred thousand pictures takes an hour, so what was found is kept per file (path, size, time of change) in a
small SQLite file: a registration that was killed goes on where it was. The time of change is the file system's own (ctime),
which `touch` and `cp -p` can't set back.
"""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import imagehash
import numpy as np
from PIL import Image

from xray.errors import ImageError
from xray.pixels.decode import identity, read_grey
from xray.pixels.grey import DARK, Decoded
from xray.pixels.reading import AS_STORED, Reading
from xray.progress import bar

LEAST_SIDE: Final = 16
"""Pixels along the shorter side below which a picture is no radiograph."""

MEMORY: Final = "picture-hashes.sqlite"
"""Where a home keeps what was seen."""
NO_PATH: Final = "no picture is named for this image"
_AT_ONCE: Final = 512
_HASH_SIDE: Final = 16
_TABLE: Final = """
create table if not exists look (
    path text, reading text, size integer, changed integer, content_hash text, perceptual_hash text,
    height integer, width integer, low integer, high integer, maximum integer, choices text, primary key (path, reading)
)
"""
"""Under a new name whenever the same file would be read otherwise; what was seen before is then looked at again."""
_EARLIER: Final = ("picture", "seen")
_Stamp = tuple[str, str, int, int]


@dataclass(frozen=True)
class PictureFacts:
    """What one picture shows. low, high: its smallest and largest value; maximum: the largest its format can hold.

    choices: what was unusual or lost in reading it, one a line (`xray.pixels.choices`).
    """

    content_hash: str
    perceptual_hash: str
    height: int
    width: int
    low: int
    high: int
    maximum: int
    choices: str = ""

    @property
    def is_dark(self) -> bool:
        """Whether the picture uses a sixteenth of its range or less."""
        return self.high * DARK <= self.maximum


@dataclass(frozen=True)
class PictureCounts:
    """How the pictures of a dataset were read. choices: what was unusual or lost, with the number of pictures.

    n_dark: pictures that use a sixteenth of their range or less; highest: the largest value in those, of dark_maximum.
    """

    n: int
    choices: tuple[tuple[str, int], ...]
    n_dark: int
    highest: int
    dark_maximum: int

    def lines(self) -> list[str]:
        """For people: a line for each choice, and one on pictures that are almost black."""
        lines = [f"{count} of {self.n} pictures: {choice}" for choice, count in self.choices]
        if self.n_dark:
            lines.append(
                f"{self.n_dark} of {self.n} pictures use a sixteenth or less of their range (no value above "
                f"{self.highest} of {self.dark_maximum}), so they are almost black to a network; register them with their "
                f"true maximum (--maximum {2 ** self.highest.bit_length() - 1}?) or, if they are DICOM, with --window"
            )
        return lines


def count_pictures(contents: Sequence[PictureFacts | str]) -> PictureCounts:
    """What is to be said of the pictures that could be read."""
    pictures = [picture for picture in contents if isinstance(picture, PictureFacts)]
    counts = Counter(choice for picture in pictures for choice in picture.choices.split("\n") if choice)
    dark = [picture for picture in pictures if picture.is_dark]
    return PictureCounts(
        len(pictures),
        tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        len(dark),
        max((picture.high for picture in dark), default=0),
        max((picture.maximum for picture in dark), default=0),
    )


def look(
    paths: Sequence[str | None],
    images: Path,
    memory: Path | None = None,
    progress: bool = False,
    reading: Reading = AS_STORED,
) -> list[PictureFacts | str]:
    """For each path relative to `images`: what the picture shows, or the reason why it can't be read (None: no path).

    memory: the SQLite file that caches results; None: no cache.
    """
    pictures: list[PictureFacts | str] = [NO_PATH] * len(paths)
    files_of_rows = [(row, images / path) for row, path in enumerate(paths) if isinstance(path, str)]
    with (
        _open(memory) as database,
        ThreadPoolExecutor() as pool,
        bar("reading pictures", len(files_of_rows), visible=progress) as advance,
    ):
        for start in range(0, len(files_of_rows), _AT_ONCE):
            batch = files_of_rows[start : start + _AT_ONCE]
            contents = _look_at([file for _, file in batch], database, pool, reading)
            for (row, _), outcome in zip(batch, contents, strict=True):
                pictures[row] = outcome
            advance(len(batch))
    return pictures


def changed(
    files: Sequence[Path],
    content: Sequence[str | None],
    memory: Path,
    reading: Reading = AS_STORED,
    *,
    all_files: bool = False,
    progress: bool = False,
) -> list[Path]:
    """Those of the files that show another picture now than their content hash says, or can't be read any more.

    Only files that are in the memory are looked at unless `all_files`, and of them only those that have changed since are
    read.
    """
    different: list[Path] = []
    if not memory.exists() and not all_files:
        return different
    with (
        _open(memory) as database,
        ThreadPoolExecutor() as pool,
        bar("reading pictures", len(files), visible=progress) as advance,
    ):
        assert database is not None
        for start in range(0, len(files), _AT_ONCE):
            stop = start + _AT_ONCE
            batch = list(zip(files[start:stop], content[start:stop], strict=True))
            if not all_files:
                by_path = {_stamp(file, reading)[0]: (file, expected) for file, expected in batch}
                batch = [by_path[key] for key in sorted(_places(database, list(by_path)))]
            contents = _look_at([file for file, _ in batch], database, pool, reading)
            different += [
                file
                for (file, expected), content_now in zip(batch, contents, strict=True)
                if not isinstance(content_now, PictureFacts) or content_now.content_hash != expected
            ]
            advance(len(files[start:stop]))
    return different


def fault(picture: PictureFacts, expected_maximum: int | None = None) -> str | None:
    """Why a picture that can be read can't be used, or None.

    expected_maximum: 255 or 65535 where the dataset's pictures are known to have 8 or 16 bits.
    """
    if min(picture.height, picture.width) < LEAST_SIDE:
        return f"is {picture.height} × {picture.width} pixels; expected at least {LEAST_SIDE} along each side"
    if picture.low == picture.high:
        return f"shows nothing: every pixel is {picture.low}"
    depths = (255, 65535)
    if expected_maximum in depths and picture.maximum in depths and picture.maximum != expected_maximum:
        return f"has values up to {picture.maximum}; this dataset's pictures have values up to {expected_maximum}"
    if picture.maximum > 255 and picture.high <= picture.maximum // 256:
        return (
            f"has no value above {picture.high} where {picture.maximum} is white: an 8-bit picture in a wider file? "
            "(--maximum 255 reads it as one)"
        )
    return None


def perceptual_hash(decoded: Decoded) -> str:
    """256 bits of the picture's low frequencies (imagehash.phash), hex: near-copies differ in few bits."""
    grey = (decoded.pixels.astype(np.float32) * (255 / decoded.maximum)).astype(np.uint8)
    return str(imagehash.phash(Image.fromarray(grey), hash_size=_HASH_SIDE))


def _look_at(
    files: Sequence[Path], database: sqlite3.Connection | None, pool: ThreadPoolExecutor, reading: Reading
) -> list[PictureFacts | str]:
    stamps = [_stamp(file, reading) for file in files]
    remembered = _recall(database, stamps) if database is not None else {}
    unseen = [file for file, stamp in zip(files, stamps, strict=True) if stamp not in remembered]
    new = dict(zip(unseen, pool.map(lambda file: _see(file, reading), unseen), strict=True))
    if database is not None:
        rows = [
            (*stamp, *vars(new[file]).values())
            for file, stamp in zip(files, stamps, strict=True)
            if isinstance(new.get(file), PictureFacts)
        ]
        with database:
            database.executemany(f"insert or replace into look values ({','.join('?' * 12)})", rows)  # noqa: S608
    return [
        remembered[stamp] if stamp in remembered else new[file]
        for file, stamp in zip(files, stamps, strict=True)
    ]


def _see(file: Path, reading: Reading) -> PictureFacts | str:
    try:
        decoded = read_grey(file, reading)
    except ImageError as error:
        return str(error)
    pixels = decoded.pixels
    return PictureFacts(
        identity(decoded),
        perceptual_hash(decoded),
        pixels.shape[0],
        pixels.shape[1],
        int(pixels.min()),
        int(pixels.max()),
        decoded.maximum,
        "\n".join(decoded.choices),
    )


def _stamp(file: Path, reading: Reading) -> _Stamp:
    manner = reading.text or ""
    try:
        status = file.stat()
    except OSError:
        return str(file), manner, -1, -1
    return str(file.resolve()), manner, status.st_size, status.st_ctime_ns


def _places(database: sqlite3.Connection, paths: Sequence[str]) -> set[str]:
    statement = f"select path from look where path in ({','.join('?' * len(paths))})"  # noqa: S608
    return {row[0] for row in database.execute(statement, paths)}


def _recall(database: sqlite3.Connection, stamps: Sequence[_Stamp]) -> dict[_Stamp, PictureFacts]:
    paths = [stamp[0] for stamp in stamps]
    rows = database.execute(
        f"select * from look where path in ({','.join('?' * len(paths))})",  # noqa: S608
        paths,
    )
    return {(row[0], row[1], row[2], row[3]): PictureFacts(*row[4:]) for row in rows}


@contextlib.contextmanager
def _open(memory: Path | None) -> Iterator[sqlite3.Connection | None]:
    if memory is None:
        yield None
        return
    memory.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(memory, timeout=60)) as database:
        for earlier in _EARLIER:
            database.execute(f"drop table if exists {earlier}")
        database.execute(_TABLE)
        database.commit()
        yield database

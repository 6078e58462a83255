"""Worklists: images that people read again, blind. What they say is kept; all else is asked as the reader.

This is the one place of the explorer that writes, by three statements of db/sql/queries, and the one that has the writer's
URL (docs/decisions/0034).
"""

import csv
import datetime as dt
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

from db.queries import query
from xray.csv_cells import plain
from xray.csv_cells import row as safe
from xray.explorer import addresses
from xray.explorer.addresses import Refused
from xray.explorer.asking import Database
from xray.explorer.identities import Identities
from xray.stats.agreement import cohen_kappa

ANSWERS: Final = ("yes", "no", "unsure")
MOST: Final = 1000
"""Images of a worklist that is made on a page."""
LONGEST_COMMENT: Final = 2000
LONGEST_NAME: Final = 60
COLUMNS: Final = (
    "worklist",
    "task",
    "position",
    "site",
    "image",
    "patient",
    "reader",
    "answer",
    "comment",
    "read_at",
)
CALLS: Final[Mapping[str, float]] = {"yes": 1, "no": 0, "positive": 1, "negative": 0}


@dataclass(frozen=True)
class Read:
    """What a reader says of one image of a worklist; read_at None: now."""

    position: int
    reader: str
    answer: str
    comment: str | None = None
    read_at: dt.datetime | None = None


@dataclass(frozen=True)
class Agreement:
    """Two readers, or a reader and a dataset's labels: images that both called, and Cohen's κ with its 95 % interval."""

    first: str
    second: str
    n: int
    kappa: float
    lower: float
    upper: float
    reason: str


@dataclass(frozen=True)
class Worklists:
    """The worklists of an installation. writer: SQLAlchemy URL of a role that may write them; None where nobody may here."""

    database: Database
    writer: str | None

    @cached_property
    def _engine(self) -> Engine:
        if self.writer is None:
            raise Refused(
                403, "this explorer only reads: worklists are made and read by xray explore, or xray up"
            )
        return create_engine(self.writer, poolclass=NullPool)

    def make(self, name: str, task: str, images: Sequence[int], source: str | None) -> int:
        """A new worklist of these images in an order by chance; its id. Raises `Refused`, 409, where the name is taken."""
        shuffled = np.random.default_rng().permutation(np.asarray(images, dtype=np.int64)).tolist()
        with self._engine.begin() as connection:
            parameters = {"name": name, "task": task, "source": source}
            number = connection.scalar(text(query("worklist_put")), parameters)
            if number is None:
                raise Refused(409, "there is a worklist of this name")
            connection.execute(
                text(query("worklist_images_put")), {"worklist_id": number, "image_ids": shuffled}
            )
        return int(number)

    def keep(self, worklist: int, reads: Sequence[Read]) -> None:
        """Keep what was read, all or nothing. Raises `Refused`, 404, where the worklist has no such image."""
        with self._engine.begin() as connection:
            for read in reads:
                _keep(connection, worklist, read)


def _keep(connection: Connection, worklist: int, read: Read) -> None:
    try:
        parameters = {"worklist_id": worklist, **vars(read)}
        if connection.scalar(text(query("worklist_read_put")), parameters) is None:
            raise Refused(404, f"this worklist has no image {read.position}")
    except IntegrityError as error:
        raise Refused(400, f"image {read.position}: {error.orig}".splitlines()[0]) from None


def reader_name(value: str) -> str:
    """The name of who reads. Raises `Refused` where it is none."""
    name = addresses.text("reader", value).strip()
    if not 1 <= len(name) <= LONGEST_NAME:
        raise Refused(400, f"reader: expected a name of 1 to {LONGEST_NAME} characters")
    return name


def comment_of(value: str) -> str | None:
    """A comment as it is kept; line ends are spaces. Raises `Refused` where it is too long."""
    comment = " ".join(value.split())
    if len(comment) > LONGEST_COMMENT or "\0" in comment:
        raise Refused(400, f"comment: at most {LONGEST_COMMENT} characters")
    return comment or None


def exported(
    about: Any, images: Sequence[Any], reads: Sequence[Any], identities: Identities
) -> Iterator[str]:
    """Lines of a worklist's CSV: a row per read, and one without a reader for an image that nobody has read."""
    by_position: dict[int, list[Any]] = {}
    for read in reads:
        by_position.setdefault(read.position, []).append(read)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for image in images:
        first = [about.name, about.task, image.position, image.site]
        first += [
            identities.image(image.image_id, image.image),
            identities.patient(image.site, image.patient),
        ]
        for read in by_position.get(image.position, [None]):
            cells = [read.reader, read.answer, read.comment, read.read_at.isoformat()] if read else [None] * 4
            writer.writerow(safe([*first, *cells]))
    yield buffer.getvalue()


def imported(content: str) -> list[Read]:
    """The reads of a CSV as `exported` writes it; columns position, reader and answer are needed.

    Rows without an answer are passed over. Raises `Refused`, 400, that names the row.
    """
    rows = csv.DictReader(io.StringIO(content.lstrip("\ufeff")), strict=True)
    lacking = [name for name in ("position", "reader", "answer") if name not in (rows.fieldnames or ())]
    if lacking:
        raise Refused(400, f"the CSV has no column {', '.join(lacking)}")
    reads = []
    try:
        for number, row in enumerate(rows, start=2):
            cells = {name: plain(value) for name, value in row.items() if isinstance(value, str)}
            if cells.get("answer"):
                reads.append(_read(number, cells))
    except csv.Error as error:
        raise Refused(400, f"the CSV can't be read: {error}") from None
    if not reads:
        raise Refused(400, "the CSV has no row with an answer")
    return reads


def _read(number: int, cells: Mapping[str, str]) -> Read:
    answer = cells["answer"].strip().lower()
    if answer not in ANSWERS:
        raise Refused(
            400, f"row {number}: answer is {cells['answer'][:20]!r}, expected one of {', '.join(ANSWERS)}"
        )
    try:
        position = addresses.identifier("position", cells.get("position", ""))
        reader, comment = reader_name(cells.get("reader", "")), comment_of(cells.get("comment", ""))
        time = cells.get("read_at")
        read_at = dt.datetime.fromisoformat(time) if time else None
    except Refused as error:
        raise Refused(400, f"row {number}: {error.reason}") from None
    except ValueError:
        raise Refused(400, f"row {number}: read_at: expected a time as 2026-01-31T12:00:00+00:00") from None
    return Read(position, reader, answer, comment, read_at)


def agreements(reads: Sequence[Any], labels: Sequence[Any]) -> list[Agreement]:
    """κ of each pair of readers, then of each reader and each dataset's labels; "unsure" and "uncertain" are left out."""
    readers: dict[str, dict[int, float]] = {}
    for read in reads:
        readers.setdefault(read.reader, {})[read.position] = CALLS.get(read.answer, np.nan)
    labellers: dict[str, dict[int, float]] = {}
    for label in labels:
        labellers.setdefault(f"labels of {label.dataset}", {})[label.position] = CALLS.get(
            label.state, np.nan
        )
    pairs = [*combinations(readers, 2), *((reader, labeller) for reader in readers for labeller in labellers)]
    everyone = {**labellers, **readers}
    return [_agreement(first, second, everyone[first], everyone[second]) for first, second in pairs]


def _agreement(first: str, second: str, one: Mapping[int, float], other: Mapping[int, float]) -> Agreement:
    shared = [
        position
        for position in one
        if position in other and np.isfinite(one[position]) and np.isfinite(other[position])
    ]
    if not shared:
        return Agreement(first, second, 0, np.nan, np.nan, np.nan, "no image that both called")
    kappa = cohen_kappa(
        np.array([one[position] for position in shared]), np.array([other[position] for position in shared])
    )
    return Agreement(
        first,
        second,
        len(shared),
        float(kappa.value),
        float(kappa.lower),
        float(kappa.upper),
        str(kappa.reason),
    )

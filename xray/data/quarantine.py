"""Quarantine: rows and pictures that can't be used are set aside with a reason, named, counted and stored."""

import io
from collections.abc import Sequence

import pandas as pd
from sqlalchemy import Connection, text

from db.copy import copy_text
from db.queries import query
from xray.data.sources.base import Quarantined
from xray.errors import DataError

SHOWN = 10
"""How many entries a message names."""


def refuse_unusable(
    name: str,
    n_usable: int,
    entries: Sequence[Quarantined],
    *,
    strict: bool = False,
    partial: bool = False,
    error: type[DataError] = DataError,
) -> None:
    """Raise where too much was set aside for a dataset to be registered.

    That is: no row is left; more rows were set aside than are left, unless `partial`; or anything at all, where `strict`.
    """
    n_lost = sum(not entry.kept for entry in entries)
    if n_usable == 0:
        reason = "no row can be used" if entries else "the label file has no row"
    elif strict and entries:
        reason = f"{len(entries)} row(s) or picture(s) are faulty"
    elif n_lost > n_usable and not partial:
        reason = (
            f"{n_lost} of {n_lost + n_usable} rows can't be used, more than half: are these the right files? "
            "(--partial registers the rest)"
        )
    else:
        return
    raise error("\n".join([f"{name}: nothing was registered: {reason}", *describe(entries)]))


def describe(entries: Sequence[Quarantined]) -> list[str]:
    """The first entries, each with file, row and reason, and how many more there are."""
    lines = [f"  {_location(entry)}: {entry.reason}" for entry in entries[:SHOWN]]
    return lines + ([f"  … and {len(entries) - SHOWN} more"] if len(entries) > SHOWN else [])


def _location(entry: Quarantined) -> str:
    parts = [entry.file] if entry.file else []
    if entry.row is not None:
        parts.append(f"row {entry.row}")
    if entry.image and entry.image != entry.file:
        parts.append(f"image {entry.image}")
    return ", ".join(parts)


def put_quarantine(connection: Connection, dataset_id: int, entries: Sequence[Quarantined]) -> None:
    """Store the entries of a dataset."""
    frame = pd.DataFrame(
        {
            "dataset_id": dataset_id,
            "file": pd.Series([entry.file or entry.image or "-" for entry in entries], dtype=object),
            "row": pd.Series([entry.row for entry in entries], dtype="Int64"),
            "image": pd.Series([entry.image for entry in entries], dtype=object),
            "reason": pd.Series([entry.reason.replace("\0", "") for entry in entries], dtype=object),
            "kept": [entry.kept for entry in entries],
        }
    )
    lines = io.StringIO(frame.to_csv(index=False, header=False))
    copy_text(connection, "quarantine", tuple(frame.columns), lines)


def read_quarantine(connection: Connection, dataset_id: int) -> list[Quarantined]:
    """The entries of a dataset, in the order in which they were found."""
    rows = connection.execute(text(query("quarantine")), {"dataset_id": dataset_id})
    return [Quarantined(row.file, row.row, row.image, row.reason, row.kept) for row in rows]

"""A table with a row per image and reader into a row per image, with each reader's states."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xray.data.mapping.labels import Labels
from xray.data.mapping.model import Mapping
from xray.data.mapping.recognise import Roles
from xray.data.sources.base import NOT_MENTIONED
from xray.data.sources.native import Faults
from xray.data.sources.panel import MAJORITY, Panel, check_readers
from xray.data.sources.people import text_or_none
from xray.data.tables import Table

_SHOWN: Final = 5


def settled(table: Table, roles: Roles, mapping: Mapping, key: str) -> Roles:
    """The roles with a reader only where rows are of readers: the mapping says so, or a column is called so and images (or
    studies: `key`) stand in several rows. Else who read each image is kept as it is.
    """
    if "reader" not in roles.fields or "reader" in mapping.columns or table.frame[key].duplicated().any():
        return roles
    reader = roles.fields["reader"]
    other_columns = [name for name in table.frame.columns if name == reader or name in roles.others]
    fields = {field: column for field, column in roles.fields.items() if field != "reader"}
    return replace(roles, fields=fields, others=other_columns)


def by_image(labels: Labels, key: str, roles: Roles, mapping: Mapping) -> Labels:
    """One row per image (or study: `key`), in order of its first row, with the states of each reader.

    A row without an image or a reader, with a word that means nothing, that repeats its reader's, or of which another row of
    the image says otherwise in a field, is set aside. Raises `DataError` for a column of readers that can't be one.
    """
    frame, reader = labels.table.frame, roles.fields["reader"]
    names, readers = text_or_none(frame[key]), text_or_none(frame[reader])
    check_readers(sorted(set(readers.dropna())), reader, labels.table.name)
    faults = Faults(labels.table.as_csv())
    faults.mark(names.isna(), key, "every row needs a name")
    faults.mark(readers.isna(), reader, "every row needs a reader")
    for index, column, expected in labels.faults(mapping):
        faults.mark(labels.unknown[:, index], column, expected)
    fields = [column for field, column in roles.fields.items() if field != "reader" and column != key]
    _mark_first(faults, names, readers, reader)
    for column in fields:
        faults.mark(
            _differs(frame[column], names, faults.free()),
            column,
            "an earlier row of this image disagrees",
        )
    rows = np.flatnonzero(faults.free())
    images, order = pd.factorize(names.iloc[rows].astype(object))
    people = sorted(set(readers.iloc[rows]))
    states = np.full((len(people), len(order), len(labels.findings)), NOT_MENTIONED, np.int8)
    reader_of = np.array([people.index(name) for name in readers.iloc[rows]], dtype=np.int64)
    states[reader_of, images] = labels.states[rows]
    first = rows[np.unique(images, return_index=True)[1]]
    notes = [*labels.notes, *_differing(frame.iloc[rows], names.iloc[rows], roles.others)]
    panel = Panel(tuple(people), states, mapping.readers.rule or MAJORITY)
    first_rows = replace(
        labels.table, frame=frame.iloc[first].reset_index(drop=True), lines=labels.table.lines[first]
    )
    empty = np.zeros((len(first), len(labels.findings)), dtype=bool)
    return replace(
        labels,
        table=first_rows,
        states=np.full(empty.shape, NOT_MENTIONED, np.int8),
        terms=np.full(empty.shape, None, object),
        unknown=empty,
        aside=[*labels.aside, *faults.aside(names.tolist())],
        notes=notes,
        panel=panel,
    )


def _mark_first(faults: Faults, names: pd.Series, readers: pd.Series, column: str) -> None:
    """Of two rows of one reader and image the second is set aside."""
    free = faults.free()
    repeated = np.zeros(len(names), dtype=bool)
    pairs = pd.DataFrame({"image": names[free], "reader": readers[free]})
    repeated[free] = pairs.duplicated().to_numpy()
    faults.mark(repeated, column, "this reader has an earlier row of this image")


def _differs(cells: pd.Series, names: pd.Series, free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a cell is not that of the image's first row, bool (n_rows,)."""
    texts = cells[free].astype(str).str.strip()
    differs = np.zeros(len(cells), dtype=bool)
    differs[free] = (texts != texts.groupby(names[free].to_numpy()).transform("first")).to_numpy()
    return differs


def _differing(frame: pd.DataFrame, names: pd.Series, columns: Iterable[str]) -> list[str]:
    """Of columns that are kept as they are, those that differ between an image's rows: the first row's are kept."""
    everywhere = np.ones(len(frame), dtype=bool)
    differing = [
        column for column in columns if column in frame and _differs(frame[column], names, everywhere).any()
    ]
    if not differing:
        return []
    more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    examples = ", ".join(map(repr, differing[:_SHOWN]))
    return [f"column(s) {examples}{more} differ between the rows of an image: kept as its first row has them"]

"""What every reader of a native layout returns, and the registry of readers.

A reader turns the files of one dataset, as its owners publish them, into one `SourceTable`: rows in file
order, a label state per row and task, and the native term that each state came from. It applies no protocol:
choosing views, one image per patient, the No Finding rule, uncertain policies and splits come later and are
reversible.
"""

import importlib
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xray.errors import DataError
from xray.tasks import TASKS

if TYPE_CHECKING:
    from xray.data.sources.panel import Panel

POSITIVE: Final = 1
NEGATIVE: Final = 0
UNCERTAIN: Final = -1
NOT_MENTIONED: Final = -2
STATE_NAMES: Final[dict[int, str]] = {
    POSITIVE: "positive",
    NEGATIVE: "negative",
    UNCERTAIN: "uncertain",
    NOT_MENTIONED: "not mentioned",
}
"""The four label states and their codes in the database."""

COLUMNS: Final = ("image", "patient", "path", "view", "age", "sex")
"""Columns that every `SourceTable.rows` has; any further column is native metadata, kept as it is."""

_READERS: Final = (
    "brax",
    "chexpert",
    "chexpert_readers",
    "dicom_folder",
    "google",
    "labels",
    "manifest",
    "mimic",
    "nih",
    "openi",
    "padchest",
    "rsna",
    "siim",
    "tuberculosis",
    "vindr",
)
_ENTRY_POINTS: Final = "xray.sources"


@dataclass(frozen=True)
class Quarantined:
    """One row or image that could not be taken, and why. `row` is a line of the file; the header is 1.

    kept: it is in the dataset all the same, and to be looked at.
    """

    file: str
    row: int | None
    image: str | None
    reason: str
    kept: bool = False


@dataclass(frozen=True)
class SourceTable:
    """A dataset's label files as they are: one row per image, in file order.

    rows: columns `COLUMNS` (image: name unique in the site; patient: the site's id or None where unknown;
        path:
        relative to the image folder or None; view, sex: text or None; age: years or NaN), then native
        metadata as text. A column `original` names, for a copy, the site's image that it is a copy of ("" for
        none): copies and original are one image wherever overlaps are looked for.
    states: int8 (n_rows, n_findings), codes of `STATE_NAMES`.
    terms: object (n_rows, n_findings), the native term behind each state, or None.
    quarantine: what was left out, and why.
    notes: what a user should know of the whole dataset: the release recognised, a companion file not found
        and
        what is unknown without it.
    findings: names of the columns of states and terms.
    keys: object (n_rows,), who each row shows, as the database says; None of rows that are not in it.
    uses: column of the label file → what was made of it, in words, where the reader says so.
    about: how the file was read, in words.
    panel: what each of several readers said, from which the states follow; None where the files have one label an image.
    """

    rows: pd.DataFrame
    states: NDArray[np.int8]
    terms: NDArray[np.object_]
    quarantine: list[Quarantined] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    findings: tuple[str, ...] = TASKS
    keys: NDArray[np.object_] | None = None
    uses: tuple[tuple[str, str], ...] = ()
    about: str = ""
    panel: "Panel | None" = None

    def take(self, rows: NDArray[np.bool_], entries: Sequence[Quarantined] = ()) -> "SourceTable":
        """The rows where `rows`, bool (n_rows,); entries: why the others are set aside."""
        return replace(
            self,
            rows=self.rows[rows].reset_index(drop=True),
            states=self.states[rows],
            terms=self.terms[rows],
            quarantine=[*self.quarantine, *entries],
            keys=None if self.keys is None else self.keys[rows],
            panel=None if self.panel is None else self.panel.take(rows),
        )

    def patient_keys(self, site: str = "") -> NDArray[np.object_]:
        """Who each row shows, (n_rows,): equal where the patient is; of rows that are not in the database, by the names of
        patients at `site`, an unknown patient being one of its own.
        """
        if self.keys is not None:
            return self.keys
        return keys_by_name(self.rows["patient"], self.rows["image"], site)


def keys_by_name(patient: pd.Series, image: pd.Series, site: str) -> NDArray[np.object_]:
    """Keys (n_images,) of patients by their names at `site`; where `patient` is missing, of the image itself."""
    image_keys = "image " + image.astype(object)
    patient_keys = "patient " + patient.astype(object)
    return (f"{site}\0" + patient_keys.where(patient.notna(), image_keys)).to_numpy(object)


class Source(Protocol):
    """A reader: native files in, `SourceTable` out. Raises `DataError` where nothing can be read."""

    def __call__(self, labels: Path, images: Path | None, /) -> SourceTable:
        """`labels`: the native label file, or its folder; `images`: the folder of pictures, None without."""


Reader = TypeVar("Reader", bound=Source)
_SOURCES: dict[str, Source] = {}


def source(name: str) -> Callable[[Reader], Reader]:
    """Register a reader under the name that users type: `@source("nih")`."""

    def register(reader: Reader) -> Reader:
        _SOURCES[name] = reader
        return reader

    return register


def sources() -> dict[str, Source]:
    """Every reader by name: the platform's own, and those of other packages' `xray.sources` entry points.

    The platform's own names can't be taken over. Raises `DataError` where another package's reader can't be
    loaded.
    """
    for module in _READERS:
        importlib.import_module(f"xray.data.sources.{module}")
    readers = dict(_SOURCES)
    for entry in importlib.metadata.entry_points(group=_ENTRY_POINTS):
        if entry.name not in readers:
            try:
                readers[entry.name] = entry.load()
            except (ImportError, AttributeError) as failure:
                raise DataError(
                    f"source {entry.name!r} ({entry.value}) can't be loaded: {failure}"
                ) from failure
    return readers

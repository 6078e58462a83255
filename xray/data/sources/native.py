"""Shared by readers of native layouts: finding the files, setting bad rows aside, and building the table."""

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xray.data.sources.base import COLUMNS, Quarantined, SourceTable
from xray.data.sources.csvfile import CsvFile
from xray.data.sources.pictures import find_pictures, is_there, leaves_folder
from xray.errors import DataError
from xray.tasks import TASKS

if TYPE_CHECKING:
    from xray.data.sources.panel import Panel

PICTURE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")


def label_file(labels: Path, patterns: Sequence[str]) -> Path:
    """The label file: `labels` itself, or where it is a folder the one file in it that a pattern matches.

    Patterns are those of file names (`*`); the first that matches counts. Raises `DataError` where none
    does, or several files match.
    """
    if not labels.is_dir():
        return labels
    files = matching(labels, patterns)
    if len(files) != 1:
        several = f"several: {', '.join(path.name for path in files)}" if files else "none"
        raise DataError(f"{labels}: expected one label file named {' or '.join(patterns)}, found {several}")
    return files[0]


def companion(labels: Path, patterns: Sequence[str]) -> Path | None:
    """The file beside the label file that a pattern matches (the first, sorted by name), or None."""
    files = matching(labels if labels.is_dir() else labels.parent, patterns)
    return files[0] if files else None


def matching(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Files in `folder` that match the first pattern with a match, sorted by name."""
    if not folder.is_dir():
        return []
    files = sorted(folder.iterdir())
    for pattern in patterns:
        matches = [path for path in files if fnmatch(path.name, pattern)]
        if matches:
            return matches
    return []


def text(column: pd.Series) -> pd.Series:
    """Text stripped, with None where the cell is empty."""
    codes, values = pd.factorize(column.astype(object))
    plain = np.array([str(value).strip() or None for value in values] + [None], dtype=object)
    return pd.Series(plain[codes], index=column.index, dtype=object)


def whole_number(column: pd.Series) -> pd.Series:
    """A number's plain text ("00000013", "13" and "13.0" are "13"); None where it is no whole number."""
    codes, values = pd.factorize(column.astype(object))
    plain = np.array([_whole(str(value)) for value in values] + [None], dtype=object)
    return pd.Series(plain[codes], index=column.index, dtype=object)


def _whole(value: str) -> str | None:
    digits = value.strip().removesuffix(".0")
    return str(int(digits)) if digits.isascii() and digits.isdigit() else None


class Faults:
    """The first fault found in each row of a CSV file."""

    def __init__(self, file: CsvFile) -> None:
        self._file = file
        self._reasons: dict[int, str] = {}

    def mark(self, is_bad: NDArray[np.bool_] | pd.Series, column: str, expected: str) -> None:
        """Note a fault of the cell in `column` for every row where `is_bad`, bool (n_rows,)."""
        frame = self._file.frame
        for row in np.flatnonzero(np.asarray(is_bad)).tolist():
            value = frame[column].iloc[row] if column in frame.columns else ""
            self._reasons.setdefault(row, f"column {column!r}: {value!r}: {expected}")

    def free(self) -> NDArray[np.bool_]:
        """Which rows have no fault, bool (n_rows,)."""
        free = np.ones(len(self._file.frame), dtype=bool)
        free[list(self._reasons)] = False
        return free

    def table(
        self,
        rows: pd.DataFrame,
        states: NDArray[np.int8],
        terms: NDArray[np.object_],
        notes: list[str],
        image_column: str,
        findings: tuple[str, ...] = TASKS,
        panel: "Panel | None" = None,
    ) -> SourceTable:
        """The rows without a fault as a `SourceTable`; the second row of an image is a fault too."""
        free = self.free()
        repeated = np.zeros(len(rows), dtype=bool)
        repeated[free] = rows.loc[free, "image"].duplicated().to_numpy()
        self.mark(repeated, image_column, "this image already appears in an earlier row")
        free &= ~repeated
        names = rows["image"].tolist()
        quarantine = sorted(self._file.quarantine + self.aside(names), key=lambda entry: entry.row or 0)
        free_rows = rows if free.all() else rows[free].reset_index(drop=True)
        kept_panel = None if panel is None else panel.take(free)
        return SourceTable(
            free_rows, states[free], terms[free], quarantine, notes, findings, panel=kept_panel
        )

    def aside(self, names: Sequence[str | None]) -> list[Quarantined]:
        """The rows with a fault, in order. names: (n_rows,), of the images."""
        return [
            self._file.set_aside(row, names[row] or None, self._reasons[row]) for row in sorted(self._reasons)
        ]


def with_metadata(rows: dict[str, object], frame: pd.DataFrame, keep: Sequence[str] = ()) -> pd.DataFrame:
    """The table's `COLUMNS`, then the native columns as they are (only those in `keep`, where given)."""
    standard_columns = {column: rows[column] for column in COLUMNS}
    native = [column for column in frame.columns if column not in COLUMNS and (not keep or column in keep)]
    return pd.DataFrame(
        standard_columns | {column: shared_text(frame[column]) for column in native}, index=frame.index
    )


def shared_text(column: pd.Series) -> pd.Series:
    """The same text as objects, equal cells sharing one: columns repeat few values many times."""
    codes, values = pd.factorize(column)
    return pd.Series(np.asarray(values, dtype=object)[codes], index=column.index, dtype=object)


def locate(
    candidates: Sequence[Sequence[str | None]], images: Path | None, by_name: bool = True
) -> list[str | None]:
    """Each picture's path relative to `images`: the first candidate that exists, else a file at any depth
    whose name without ending is the first candidate's, else None.

    Without `images`, the first candidates as they are. by_name: whether a name alone tells a picture. A path
    that leads out of the folder is not looked for.
    """
    if images is None:
        return list(candidates[0])
    relative: list[str | None] = [None] * len(candidates[0])
    for candidate in candidates:
        open_rows = [row for row, path in enumerate(relative) if path is None]
        exists = is_there([_inside(candidate[row]) for row in open_rows], images)
        for row, yes in zip(open_rows, exists.tolist(), strict=True):
            if yes:
                relative[row] = candidate[row]
    if by_name and None in relative:
        by_stem: dict[str, str] = {}
        for name, path in find_pictures(images, PICTURE_SUFFIXES).items():
            by_stem.setdefault(name.rpartition(".")[0], path)
        for row, name_wanted in enumerate(candidates[0]):
            if relative[row] is None and name_wanted is not None:
                relative[row] = by_stem.get(Path(name_wanted).stem)
    return relative


def _inside(path: str | None) -> str | None:
    """The path, None where it leads out of the folder that it is relative to."""
    return None if path is None or leaves_folder(path) else path


def no_picture(paths: Sequence[str | None], images: Path | None) -> NDArray[np.bool_]:
    """Where a picture was looked for and not found, bool (n_rows,)."""
    return np.array([images is not None and path is None for path in paths], dtype=bool)

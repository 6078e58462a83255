"""A site's own CSV file, the platform's native layout.

Columns: image_id, patient_id, path (relative to the image folder), view, age (years), sex, and one column
per task with 1 (positive), 0 (negative), u (uncertain) or nothing (not mentioned). Further columns are kept.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xray.data.sources.base import (
    NEGATIVE,
    NOT_MENTIONED,
    POSITIVE,
    UNCERTAIN,
    Quarantined,
    SourceTable,
    source,
)
from xray.data.sources.csvfile import CsvFile, near, read_csv
from xray.data.sources.people import AGE_EXPECTED, sex_of, years
from xray.data.sources.pictures import is_there, leaves_folder
from xray.errors import ManifestError
from xray.tasks import TASK_INDEX, TASKS

REQUIRED: Final = ("image_id", "patient_id", "path")
OPTIONAL: Final = ("view", "age", "sex")
VALUES: Final = {
    "1": POSITIVE,
    "1.0": POSITIVE,
    "0": NEGATIVE,
    "0.0": NEGATIVE,
    "u": UNCERTAIN,
    "U": UNCERTAIN,
    "": NOT_MENTIONED,
}
_UNKNOWN: Final = 99
_RESERVED: Final = {"image": "image_id", "patient": "patient_id"}


@source("manifest")
def read_manifest(labels: Path, images: Path | None, /) -> SourceTable:
    """The rows of a manifest CSV.

    Raises `ManifestError` where the file can't be read, a required column is missing, or a column's name is
    nearly a task's. A bad row (unknown label value, repeated image_id, path out of the image folder, no such
    picture) is set aside.
    """
    file = read_csv(labels, REQUIRED, ManifestError)
    tasks = _task_columns(file)
    frame = file.frame.apply(lambda column: column.str.strip()) if len(file.frame) else file.frame
    states = _states(frame, tasks)
    age, age_bad = years(_optional(frame, "age"))
    rows = pd.DataFrame(
        {
            "image": frame["image_id"].astype(object),
            "patient": _text(frame["patient_id"]),
            "path": _text(frame["path"].str.replace("\\", "/", regex=False)),
            "view": _text(_optional(frame, "view")),
            "age": age,
            "sex": sex_of(_optional(frame, "sex")),
        }
    )
    for column in frame.columns:
        if column not in (*REQUIRED, *OPTIONAL, *TASKS):
            rows[column] = frame[column].astype(object)
    quarantine = _bad_rows(file, rows, frame, states, age_bad, tasks, images)
    bad = {entry.row for entry in quarantine}
    keep = np.array([line not in bad for line in file.lines.tolist()], dtype=bool)
    terms = np.full(states.shape, None, dtype=object)
    for task in tasks:
        terms[states[:, TASK_INDEX[task]] != NOT_MENTIONED, TASK_INDEX[task]] = task
    notes = [] if tasks else [f"{file.name}: no column is a task, so no image has a label"]
    return SourceTable(
        rows[keep].reset_index(drop=True), states[keep], terms[keep], file.quarantine + quarantine, notes
    )


def _task_columns(file: CsvFile) -> list[str]:
    for column in file.frame.columns:
        meant = None if column in TASKS else near(column, TASKS)
        if meant is None and column not in OPTIONAL:
            meant = next((name for name in OPTIONAL if column.lower() == name), _RESERVED.get(column))
        if meant:
            raise ManifestError(
                f"{file.name}, row 1: unknown column {column!r}: did you mean {meant!r}? "
                "Rename it (or, if it is other metadata, give it a name that differs more)"
            )
    return [column for column in file.frame.columns if column in TASK_INDEX]


def _optional(frame: pd.DataFrame, column: str) -> pd.Series:
    return frame[column] if column in frame.columns else pd.Series("", index=frame.index, dtype=object)


def _text(column: pd.Series) -> pd.Series:
    """Text, with None where the cell is empty."""
    return column.astype(object).where(column != "", None)


def _states(frame: pd.DataFrame, tasks: Sequence[str]) -> NDArray[np.int8]:
    states = np.full((len(frame), len(TASKS)), NOT_MENTIONED, dtype=np.int8)
    for task in tasks:
        states[:, TASK_INDEX[task]] = frame[task].map(VALUES).fillna(_UNKNOWN).to_numpy(np.int8)
    return states


def _bad_rows(
    file: CsvFile,
    rows: pd.DataFrame,
    frame: pd.DataFrame,
    states: NDArray[np.int8],
    age_bad: NDArray[np.bool_],
    tasks: Sequence[str],
    images: Path | None,
) -> list[Quarantined]:
    """One entry per bad row: the first fault found in it."""
    faults: dict[int, str] = {}

    def fault(bad: NDArray[np.bool_], column: str, expected: str) -> None:
        for index in np.flatnonzero(bad).tolist():
            value = frame[column].iloc[index] if column in frame.columns else ""
            faults.setdefault(index, f"column {column!r}: {value!r}: {expected}")

    fault((rows["image"] == "").to_numpy(), "image_id", "every image needs a name")
    for task in tasks:
        bad = states[:, TASK_INDEX[task]] == _UNKNOWN
        fault(bad, task, "expected 1, 0, u (uncertain) or nothing")
    fault(age_bad, "age", AGE_EXPECTED)
    path = rows["path"].tolist()
    leaving = np.array([value is not None and leaves_folder(value) for value in path], dtype=bool)
    fault(leaving, "path", "the path leads out of the image folder")
    if images is not None:
        absent = ~is_there(path, images) & rows["path"].notna().to_numpy() & ~leaving
        fault(absent, "path", f"no such picture under {images}")
    good = np.array([index not in faults for index in range(len(rows))], dtype=bool)
    repeated = np.zeros(len(rows), dtype=bool)
    repeated[good] = rows.loc[good, "image"].duplicated().to_numpy()
    fault(repeated, "image_id", "this image stands in an earlier row already")
    names = rows["image"].tolist()
    return [file.set_aside(index, names[index] or None, faults[index]) for index in sorted(faults)]

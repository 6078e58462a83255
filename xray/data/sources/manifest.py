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

from xray.data.labels.rules import UNKNOWN
from xray.data.sources.base import (
    NEGATIVE,
    NOT_MENTIONED,
    POSITIVE,
    UNCERTAIN,
    SourceTable,
    source,
)
from xray.data.sources.csvfile import CsvFile, near, read_csv
from xray.data.sources.native import Faults, text, with_metadata
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
_RESERVED: Final = {"image": "image_id", "patient": "patient_id"}


@source("manifest")
def read_manifest(labels: Path, images: Path | None, /) -> SourceTable:
    """The rows of a manifest CSV.

    Raises `ManifestError` where the file can't be read, a required column is missing, or a column's name is
    nearly a task's. A bad row (unknown label value, repeated image_id, path out of the image folder, no such
    picture) is set aside.
    """
    return manifest_table(read_csv(labels, REQUIRED, ManifestError), images)


def manifest_table(file: CsvFile, images: Path | None) -> SourceTable:
    """The rows of a file whose columns are those of a manifest; see `read_manifest`."""
    tasks = _task_columns(file)
    frame = file.frame.apply(lambda column: column.str.strip()) if len(file.frame) else file.frame
    states = _states(frame, tasks)
    age, age_bad = years(_optional(frame, "age"))
    paths = text(frame["path"].str.replace("\\", "/", regex=False)).tolist()
    columns = {
        "image": text(frame["image_id"]),
        "patient": text(frame["patient_id"]),
        "path": np.array(paths, dtype=object),
        "view": text(_optional(frame, "view")),
        "age": age,
        "sex": sex_of(_optional(frame, "sex")),
    }
    metadata = frame.drop(columns=[name for name in (*REQUIRED, *OPTIONAL, *tasks) if name in frame.columns])
    rows = with_metadata(columns, metadata)
    terms = np.full(states.shape, None, dtype=object)
    for task in tasks:
        terms[states[:, TASK_INDEX[task]] != NOT_MENTIONED, TASK_INDEX[task]] = task
    notes = [] if tasks else [f"{file.name}: no column is a task, so no image has a label"]
    faults = Faults(file)
    faults.mark(rows["image"].isna(), "image_id", "every image needs a name")
    for task in tasks:
        faults.mark(states[:, TASK_INDEX[task]] == UNKNOWN, task, "expected 1, 0, u (uncertain) or nothing")
    faults.mark(age_bad, "age", AGE_EXPECTED)
    _mark_paths(faults, paths, images)
    return faults.table(rows, states, terms, notes, "image_id")


def _mark_paths(faults: Faults, paths: list[str | None], images: Path | None) -> None:
    leaving = np.array([path is not None and leaves_folder(path) for path in paths], dtype=bool)
    faults.mark(leaving, "path", "the path leads out of the image folder")
    if images is not None:
        named = np.array([path is not None for path in paths], dtype=bool)
        inside = [None if out else path for path, out in zip(paths, leaving, strict=True)]
        faults.mark(named & ~leaving & ~is_there(inside, images), "path", f"no such picture under {images}")


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


def _states(frame: pd.DataFrame, tasks: Sequence[str]) -> NDArray[np.int8]:
    states = np.full((len(frame), len(TASKS)), NOT_MENTIONED, dtype=np.int8)
    for task in tasks:
        states[:, TASK_INDEX[task]] = frame[task].map(VALUES).fillna(UNKNOWN).to_numpy(np.int8)
    return states

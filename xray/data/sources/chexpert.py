"""CheXpert (Stanford Hospital; Irvin et al. 2019): train.csv, valid.csv or the test set's labels, full or small release."""

import re
from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xray.data.labels.rules import STATE_VALUES, UNKNOWN, Rule, all_rules, apply_rules
from xray.data.sources.base import SourceTable, source
from xray.data.sources.csvfile import read_csv
from xray.data.sources.native import Faults, label_file, locate, no_picture, text, with_metadata
from xray.data.sources.people import ages, sex_of
from xray.data.sources.pictures import is_there, leaves_folder
from xray.tasks import TASKS

PATTERNS: Final = ("train.csv*",)
LABEL_EXPECTED: Final = "expected 1, 0, -1 (uncertain) or nothing"
OF_THE_IMAGE: Final = ("Sex", "Age", "Frontal/Lateral", "AP/PA")
"""Columns that train.csv and valid.csv have and the labels of the test set don't."""

_BEFORE_PATIENT: Final = r"^.*?(?=patient\d+/)"
_PATIENT: Final = re.compile(r"patient\d")
_RELEASE: Final = r"^CheXpert-v1\.0[^/]*/"


@source("chexpert")
def read_chexpert(labels: Path, images: Path | None, /) -> SourceTable:
    """The rows of train.csv (given a folder) or of the file given. An image is named by its path within.

    States are those of the image's own row; `No Finding` is kept as metadata. Raises `DataError` where the
    file can't be read. Rows with an unknown label value or without a patient in their path are set aside.
    """
    label_rules = all_rules("chexpert")
    required = ["Path", *dict.fromkeys(rule.column for rule in label_rules)]
    file = read_csv(label_file(labels, PATTERNS), required)
    absent = dict.fromkeys((name for name in OF_THE_IMAGE if name not in file.frame.columns), "")
    frame = file.frame.assign(**absent)
    states, terms = apply_rules(frame, label_rules)
    native = frame["Path"].str.strip()
    frame["Frontal/Lateral"] = _sides(frame, native)
    image = text(native.str.replace(_RELEASE, "", regex=True))
    patient = native.str.extract(r"(patient\d+)", expand=False).astype(object)
    paths = locate([image.tolist(), native.tolist()], images, by_name=False)
    twice = _in_batches(paths, native.tolist(), images)
    notes: list[str] = []
    age = ages(frame["Age"], "Age", notes)
    columns = {
        "image": image,
        "patient": patient.where(patient.notna(), None),
        "path": np.array(paths, dtype=object),
        "view": _views(frame),
        "age": age,
        "sex": sex_of(frame["Sex"]),
    }
    faults = Faults(file)
    faults.mark(patient.isna(), "Path", "expected a path with patientNNNNN in it")
    mark_labels(faults, frame, states, label_rules)
    faults.mark(twice, "Path", f"several folders of patients under {images} have this picture")
    layout = "patientNNNNN/studyN/view.jpg in train/, valid/, test/ or the folders of the release's batches"
    faults.mark(
        no_picture(paths, images) & image.notna(),
        "Path",
        f"no such picture under {images}; expected {layout}",
    )
    return faults.table(with_metadata(columns, frame), states, terms, notes, "Path")


def _in_batches(paths: list[str | None], native: Sequence[str], images: Path | None) -> NDArray[np.bool_]:
    """Fill in pictures that lie in a folder of patients of another name, as the full release's batches do.

    What several folders have stays without a path: where that is so, bool (n_rows,).
    """
    twice = np.zeros(len(paths), dtype=bool)
    if images is None or None not in paths:
        return twice
    rows = [row for row, path in enumerate(paths) if path is None]
    tails = [re.sub(_BEFORE_PATIENT, "", native[row]) for row in rows]
    inside = [None if leaves_folder(tail) else tail for tail in tails]
    for folder in _folders_of_patients(images):
        candidates = [tail and f"{folder}/{tail}" for tail in inside]
        for row, candidate in compress(zip(rows, candidates, strict=True), is_there(candidates, images)):
            twice[row] |= paths[row] is not None
            paths[row] = candidate
    for row in np.flatnonzero(twice).tolist():
        paths[row] = None
    return twice


def _folders_of_patients(images: Path) -> list[str]:
    """Folders at most two levels down that hold a folder patientNNNNN, relative to `images`."""
    holders = {path.parent for depth in ("*", "*/*") for path in _first_patients(images, depth)}
    return sorted(holder.relative_to(images).as_posix() for holder in holders)


def _first_patients(images: Path, depth: str) -> list[Path]:
    """One folder of a patient in every folder at this depth that has any."""
    folders = (folder for folder in images.glob(depth) if not _PATIENT.match(folder.name))
    firsts = (next(folder.glob("patient[0-9]*"), None) for folder in folders if folder.is_dir())
    return [first for first in firsts if first is not None]


def mark_labels(
    faults: Faults, frame: pd.DataFrame, states: np.ndarray, label_rules: tuple[Rule, ...]
) -> None:
    """Set aside rows whose label columns or No Finding hold an unknown value."""
    column_of = {rule.task: rule.column for rule in label_rules}
    for index, task in enumerate(TASKS):
        faults.mark(states[:, index] == UNKNOWN, column_of.get(task, ""), LABEL_EXPECTED)
    if any(rule.rule == "clears all" for rule in label_rules):
        valid = frame["No Finding"].str.strip().isin(list(STATE_VALUES))
        faults.mark(~valid, "No Finding", LABEL_EXPECTED)


def _sides(frame: pd.DataFrame, native: pd.Series) -> pd.Series:
    """The cells of Frontal/Lateral; where they are silent, as in the released test set, what the file's name says."""
    stated = text(frame["Frontal/Lateral"])
    by_name = native.str.extract(r"view\d+_(frontal|lateral)", expand=False).str.capitalize()
    return frame["Frontal/Lateral"].where(stated.notna() | by_name.isna(), by_name)


def _views(frame: pd.DataFrame) -> pd.Series:
    """AP or PA of a frontal image (Frontal where not said), Lateral of a lateral one."""
    side, view = text(frame["Frontal/Lateral"]), text(frame["AP/PA"])
    return view.where((side == "Frontal") & view.notna(), side)

"""CheXpert (Stanford Hospital; Irvin et al. 2019): train.csv or valid.csv, full or small release."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from xray.data.labels.rules import STATE_VALUES, UNKNOWN, Rule, all_rules, apply_rules
from xray.data.sources.base import SourceTable, source
from xray.data.sources.csvfile import read_csv
from xray.data.sources.native import Faults, label_file, locate, no_picture, text, with_metadata
from xray.data.sources.people import ages, sex_of
from xray.tasks import TASKS

PATTERNS: Final = ("train.csv*",)
LABEL_EXPECTED: Final = "expected 1, 0, -1 (uncertain) or nothing"
_RELEASE: Final = r"^CheXpert-v1\.0[^/]*/"


@source("chexpert")
def read_chexpert(labels: Path, images: Path | None, /) -> SourceTable:
    """The rows of train.csv (given a folder) or of the file given. An image is named by its path within.

    States are those of the image's own row; `No Finding` is kept as metadata. Raises `DataError` where the
    file can't be read. Rows with an unknown label value or without a patient in their path are set aside.
    """
    chosen = all_rules("chexpert")
    required = [
        "Path",
        "Sex",
        "Age",
        "Frontal/Lateral",
        "AP/PA",
        *dict.fromkeys(rule.column for rule in chosen),
    ]
    file = read_csv(label_file(labels, PATTERNS), required)
    frame = file.frame
    states, terms = apply_rules(frame, chosen)
    native = frame["Path"].str.strip()
    image = text(native.str.replace(_RELEASE, "", regex=True))
    patient = native.str.extract(r"(patient\d+)", expand=False).astype(object)
    paths = locate([image.tolist(), native.tolist()], images, by_name=False)
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
    mark_labels(faults, frame, states, chosen)
    faults.mark(no_picture(paths, images) & image.notna(), "Path", f"no such picture under {images}")
    return faults.table(with_metadata(columns, frame), states, terms, notes, "Path")


def mark_labels(faults: Faults, frame: pd.DataFrame, states: np.ndarray, chosen: tuple[Rule, ...]) -> None:
    """Set aside rows whose label columns or No Finding hold an unknown value."""
    column_of = {rule.task: rule.column for rule in chosen}
    for index, task in enumerate(TASKS):
        faults.mark(states[:, index] == UNKNOWN, column_of.get(task, ""), LABEL_EXPECTED)
    faults.mark(~frame["No Finding"].str.strip().isin(list(STATE_VALUES)), "No Finding", LABEL_EXPECTED)


def _views(frame: pd.DataFrame) -> pd.Series:
    """AP or PA of a frontal image (Frontal where not said), Lateral of a lateral one."""
    side, view = text(frame["Frontal/Lateral"]), text(frame["AP/PA"])
    return view.where((side == "Frontal") & view.notna(), side)

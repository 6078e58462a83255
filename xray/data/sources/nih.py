"""NIH ChestX-ray14 (NIH Clinical Center, Bethesda; Wang et al. 2017): Data_Entry_2017.csv."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from xray.data.labels.rules import all_rules, apply_rules, listed_terms
from xray.data.sources.base import SourceTable, source
from xray.data.sources.csvfile import CsvFile, read_csv
from xray.data.sources.native import Faults, label_file, locate, no_picture, text, whole_number, with_metadata
from xray.data.sources.people import ages, sex_of
from xray.errors import DataError

PATTERNS: Final = ("Data_Entry_2017.csv*", "Data_Entry_2017*.csv*")
REQUIRED: Final = (
    "Image Index",
    "Finding Labels",
    "Patient ID",
    "Patient Age",
    "View Position",
)
SEX: Final = ("Patient Gender", "Patient Sex")
"""Either is there: the release of 2020 has the one or the other."""


@source("nih")
def read_nih(labels: Path, images: Path | None, /) -> SourceTable:
    """The rows of Data_Entry_2017.csv, release of 2017 or of 2020 (told apart by content, see `notes`).

    Raises `DataError` where the file can't be read. Rows with an unknown finding are set aside.
    """
    file = read_csv(label_file(labels, PATTERNS), REQUIRED)
    states, terms = apply_rules(file.frame, all_rules("nih"))
    faults = Faults(file)
    faults.mark(_unknown_finding(file.frame["Finding Labels"]), "Finding Labels", "an unknown finding")
    notes = [_release(file.frame)]
    rows = nih_rows(file, images, faults, notes)
    return faults.table(rows, states, terms, notes, "Image Index")


def nih_rows(file: CsvFile, images: Path | None, faults: Faults, notes: list[str]) -> pd.DataFrame:
    """The table's rows from NIH's columns; `faults` takes what is wrong with rows, `notes` what is unknown of them."""
    frame = file.frame
    image = text(frame["Image Index"])
    patient = whole_number(frame["Patient ID"])
    age = ages(frame["Patient Age"], "Patient Age", notes)
    sex = next((name for name in SEX if name in frame.columns), None)
    if sex is None:
        raise DataError(f"{file.name}, row 1: required column {SEX[0]!r} (or {SEX[1]!r}) is missing")
    paths = locate([image.tolist(), [f"images/{name}" for name in image]], images)
    faults.mark(image.isna(), "Image Index", "every image needs a name")
    faults.mark(patient.isna(), "Patient ID", "expected a whole number")
    faults.mark(no_picture(paths, images) & image.notna(), "Image Index", f"no such picture under {images}")
    columns = {
        "image": image,
        "patient": patient,
        "path": np.array(paths, dtype=object),
        "view": text(frame["View Position"]),
        "age": age,
        "sex": sex_of(frame[sex]),
    }
    return with_metadata(columns, frame)


def _unknown_finding(findings: pd.Series) -> np.ndarray:
    vocabulary = {rule.term for rule in all_rules("nih")}
    codes, texts = pd.factorize(findings.astype(object))
    is_unknown = np.array(
        [not (terms := listed_terms(str(t))) or not vocabulary.issuperset(terms) for t in texts] + [True]
    )
    return np.asarray(is_unknown[codes])


def _release(frame: pd.DataFrame) -> str:
    """The releases differ in how ages are written (058Y in 2017, 58 in 2020) and in labels and row order."""
    if frame["Patient Age"].str.strip().str.endswith(("Y", "M", "D")).any():
        return "release of 2017, the paper's"
    return "release of 2020: its labels are not the paper's; Table A.1 needs the release of 2017"

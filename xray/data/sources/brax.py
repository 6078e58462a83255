"""BRAX (Hospital Israelita Albert Einstein, São Paulo; Reis et al. 2022): master_spreadsheet_update.csv."""

from pathlib import Path
from typing import Final

import numpy as np

from xray.data.labels.rules import all_rules, apply_rules
from xray.data.sources.base import SourceTable, source
from xray.data.sources.chexpert import mark_labels
from xray.data.sources.csvfile import read_csv
from xray.data.sources.native import Faults, label_file, locate, no_picture, text, with_metadata
from xray.data.sources.people import ages, sex_of

PATTERNS: Final = ("master_spreadsheet_update.csv*", "master_spreadsheet*.csv*")
_OLDEST: Final = "85 or more"


@source("brax")
def read_brax(labels: Path, images: Path | None, /) -> SourceTable:
    """The rows of the spreadsheet. An image is named by the path of its PNG, below images/.

    Pictures are looked for as PngPath says, without its first folder, and as DicomPath says. Ages are groups of five years;
    "85 or more" is 85, and noted. Raises `DataError` where the file can't be read. Rows with an unknown label value are
    set aside.
    """
    label_rules = all_rules("brax")
    required = ["PngPath", "PatientID", "PatientSex", "PatientAge", "ViewPosition"]
    file = read_csv(
        label_file(labels, PATTERNS), [*required, *dict.fromkeys(rule.column for rule in label_rules)]
    )
    frame = file.frame
    states, terms = apply_rules(frame, label_rules)
    png = text(frame["PngPath"])
    image = png.str.removeprefix("images/").astype(object)
    dicom = text(frame["DicomPath"]).tolist() if "DicomPath" in frame.columns else [None] * len(frame)
    paths = locate([png.tolist(), image.tolist(), dicom], images)
    notes: list[str] = []
    age = frame["PatientAge"].str.strip()
    oldest = int((age == _OLDEST).sum())
    if oldest:
        notes.append(f"{oldest} image(s) of patients of {_OLDEST} years: 85 is used")
    columns = {
        "image": image.where(png.notna(), None),
        "patient": text(frame["PatientID"]),
        "path": np.array(paths, dtype=object),
        "view": text(frame["ViewPosition"]),
        "age": ages(age.replace(_OLDEST, "85"), "PatientAge", notes),
        "sex": sex_of(frame["PatientSex"]),
    }
    faults = Faults(file)
    faults.mark(png.isna(), "PngPath", "every image needs a name")
    mark_labels(faults, frame, states, label_rules)
    faults.mark(no_picture(paths, images) & png.notna(), "PngPath", f"no such picture under {images}")
    return faults.table(with_metadata(columns, frame), states, terms, notes, "PngPath")

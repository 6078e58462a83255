"""PadChest (Hospital San Juan, Alicante; Bustos et al. 2019): PADCHEST_chest_x_ray_images_labels*.csv."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xray.data.labels.rules import STORED, apply_rules, rules
from xray.data.sources.base import SourceTable, source
from xray.data.sources.csvfile import read_csv
from xray.data.sources.native import Faults, label_file, locate, no_picture, text, with_metadata
from xray.data.sources.people import sex_of

PATTERNS: Final = ("PADCHEST_chest_x_ray_images_labels_160K*.csv*", "PADCHEST*.csv*")
REQUIRED: Final = ("ImageID", "ImageDir", "PatientID", "Projection", "Labels")
KEPT: Final = (
    "ImageDir",
    "StudyDate_DICOM",
    "StudyID",
    "PatientBirth",
    "PatientSex_DICOM",
    "ViewPosition_DICOM",
    "Projection",
    "MethodProjection",
    "Pediatric",
    "Manufacturer_DICOM",
    "PhotometricInterpretation_DICOM",
    "ReportID",
    "MethodLabel",
    "Labels",
)
BROKEN: Final = (
    "216840111366964012819207061112010307142602253_04-014-084.png",
    "216840111366964012989926673512011074122523403_00-163-058.png",
)
"""Files that can't be decoded (protocol §2)."""


@source("padchest")
def read_padchest(labels: Path, images: Path | None, /) -> SourceTable:
    """The rows of the label file. States follow the whole-term rules; `Labels` is kept for other rules.

    Pictures are found in numbered folders or flat. Raises `DataError` where the file can't be read. Rows
    without labels and the two broken pictures are set aside. The reports' text is not kept.
    """
    file = read_csv(label_file(labels, PATTERNS), REQUIRED)
    frame = file.frame
    states, terms = apply_rules(frame, rules("padchest", STORED))
    image, patient = text(frame["ImageID"]), text(frame["PatientID"])
    folder = frame["ImageDir"].str.strip().str.removesuffix(".0")
    paths = locate([(folder + "/" + frame["ImageID"].str.strip()).tolist(), image.tolist()], images)
    columns = {
        "image": image,
        "patient": patient,
        "path": np.array(paths, dtype=object),
        "view": text(frame["Projection"]),
        "age": _ages(frame),
        "sex": sex_of(_column(frame, "PatientSex_DICOM")),
    }
    faults = Faults(file)
    faults.mark(image.isna(), "ImageID", "every image needs a name")
    faults.mark(frame["Labels"].str.strip().isin(["", "nan"]), "Labels", "no labels")
    faults.mark(frame["ImageID"].isin(BROKEN), "ImageID", "a picture known to be broken")
    faults.mark(no_picture(paths, images) & image.notna(), "ImageID", f"no such picture under {images}")
    return faults.table(with_metadata(columns, frame, KEPT), states, terms, [], "ImageID")


def _ages(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Year of the study minus year of birth; NaN where either is missing."""
    study = pd.to_numeric(_column(frame, "StudyDate_DICOM").str.strip().str[:4], errors="coerce")
    birth = pd.to_numeric(_column(frame, "PatientBirth").str.strip().str[:4], errors="coerce")
    age = (study - birth).to_numpy(np.float64)
    return np.where((age >= 0) & (age < 130), age, np.nan)


def _column(frame: pd.DataFrame, name: str) -> pd.Series:
    return frame[name] if name in frame.columns else pd.Series("", index=frame.index, dtype=object)

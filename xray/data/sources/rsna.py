"""RSNA Pneumonia Detection Challenge ("Kaggle"; NIH images): stage_2_train_labels.csv, one row per box."""

import itertools
import json
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xray.data.labels.rules import all_rules, apply_rules
from xray.data.sources.base import SourceTable, source
from xray.data.sources.csvfile import CsvFile, read_bytes, read_csv
from xray.data.sources.dicom import read_person
from xray.data.sources.native import (
    Faults,
    companion,
    label_file,
    locate,
    no_picture,
    text,
    whole_number,
    with_metadata,
)
from xray.data.sources.people import ages, sex_of
from xray.errors import DataError

PATTERNS: Final = ("stage_2_train_labels.csv*", "*stage_2_train_labels.csv*")
HEADERS: Final = ("*stage_2_train_images_dicom_headers.csv*",)
CLASSES: Final = ("*stage_2_detailed_class_info.csv*",)
MAPPING: Final = ("pneumonia-challenge-dataset-mappings*.json*",)
BOX: Final = ("x", "y", "width", "height")
CONFLICT: Final = "rows of this image disagree on Target"


@source("rsna")
def read_rsna(labels: Path, images: Path | None, /) -> SourceTable:
    """One row per image, in order of the image's first row.

    Metadata: `boxes` (JSON list of [x, y, width, height]), `file_rows` (JSON list of the image's rows in the
        file, from 0: the paper's protocol repeats an image once per row), `class`
        (stage_2_detailed_class_info.csv), `original` (NIH's name of the image). View, age and sex come from
        the table of DICOM headers beside the label file, else from the DICOM files in `images`. RSNA's `patientId` names an
        image. Who the patient is says only the published mapping to NIH images
        (pneumonia-challenge-dataset-mappings_2018.json beside the label file); without it `patient` is None,
        and noted. Raises `DataError` where a file can't be read. Images whose rows disagree are set aside.
    """
    path = label_file(labels, PATTERNS)
    file = read_csv(path, ["patientId", *BOX, "Target"])
    notes: list[str] = []
    per_image = _by_image(file)
    frame = per_image.frame
    states, terms = apply_rules(frame, all_rules("rsna"))
    names = text(frame["patientId"])
    paths = locate([[f"{name}.dcm" for name in names], [f"{name}.png" for name in names]], images)
    person = _people(path, names, paths, images, notes)
    nih_image = _mapping(path, names, notes)
    frame["original"] = nih_image.fillna("").astype(object)
    frame["class"] = _classes(path, names)
    age = ages(person["age"], "PatientAge", notes)
    columns = {
        "image": names,
        "patient": whole_number(nih_image.fillna("").str.partition("_")[0]),
        "path": np.array(paths, dtype=object),
        "view": text(person["view"]),
        "age": age,
        "sex": sex_of(person["sex"]),
    }
    faults = Faults(per_image)
    faults.mark(names.isna(), "patientId", "every image needs a name")
    faults.mark(~frame["Target"].isin(["0", "1"]), "Target", f"expected 1 or 0 ({CONFLICT} where both stand)")
    faults.mark(no_picture(paths, images), "patientId", f"no such picture under {images}")
    return faults.table(with_metadata(columns, frame), states, terms, notes, "patientId")


def _by_image(file: CsvFile) -> CsvFile:
    """The box rows gathered: one row per image, at the line of its first box."""
    codes, names = pd.factorize(file.frame["patientId"].str.strip().astype(object))
    targets = file.frame["Target"].str.strip().to_numpy(object)
    numbers = file.frame[list(BOX)].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(names) + 1))
    rows = [order[a:b].tolist() for a, b in itertools.pairwise(starts)]
    boxed = np.isfinite(numbers).all(axis=1)
    images = pd.DataFrame(
        {
            "patientId": names,
            "Target": ["/".join(sorted({str(targets[row]) for row in its})) for its in rows],
            "boxes": [json.dumps([numbers[row].tolist() for row in its if boxed[row]]) for its in rows],
            "file_rows": [json.dumps(its) for its in rows],
        },
        dtype=object,
    )
    first: NDArray[np.int64] = np.array([its[0] for its in rows], dtype=np.int64)
    return CsvFile(file.name, images, file.lines[first], file.quarantine)


def _people(
    labels: Path, names: pd.Series, paths: list[str | None], images: Path | None, notes: list[str]
) -> pd.DataFrame:
    """View, age and sex of every image as text, "" where unknown."""
    headers = companion(labels, HEADERS)
    if headers is not None:
        required = ["PatientID", "PatientAge", "PatientSex", "ViewPosition"]
        table = read_csv(headers, required).frame.drop_duplicates("PatientID").set_index("PatientID")
        rows = table.reindex(names).fillna("").reset_index(drop=True)
        columns = {"age": rows["PatientAge"], "sex": rows["PatientSex"], "view": rows["ViewPosition"]}
        return pd.DataFrame(columns, index=names.index)
    if images is not None and any(path and path.endswith(".dcm") for path in paths):
        return people_of(paths, images, names.index, notes)
    notes.append("there is neither the table of DICOM headers nor DICOM files: view, age and sex are unknown")
    return pd.DataFrame("", index=names.index, columns=["age", "sex", "view"], dtype=object)


def people_of(paths: list[str | None], images: Path, index: pd.Index, notes: list[str]) -> pd.DataFrame:
    """View, age and sex as DICOM headers say them, "" where unknown."""
    persons = [_person(images / path if path else None) for path in paths]
    unread = sum(person is None for person in persons)
    if unread:
        notes.append(f"{unread} DICOM headers can't be read: view, age and sex of these images are unknown")
    frame = pd.DataFrame([person or {} for person in persons], index=index)
    return frame.reindex(columns=["age", "sex", "view"]).astype(object).fillna("")


def _person(path: Path | None) -> dict[str, str] | None:
    """What a DICOM header says, None where it can't be read."""
    try:
        return read_person(path) if path else {}
    except DataError:
        return None


def _classes(labels: Path, names: pd.Series) -> pd.Series:
    path = companion(labels, CLASSES)
    if path is None:
        return pd.Series("", index=names.index, dtype=object)
    rows = read_csv(path, ["patientId", "class"]).frame.drop_duplicates("patientId").set_index("patientId")
    return names.map(rows["class"]).fillna("").astype(object)


def _mapping(labels: Path, names: pd.Series, notes: list[str]) -> pd.Series:
    """The NIH image of every RSNA image, None where unknown."""
    path = companion(labels, MAPPING)
    if path is None:
        notes.append(
            "pneumonia-challenge-dataset-mappings_2018.json (NIH's name of every image) is missing: "
            "patients are unknown, and so is the overlap with nih and google"
        )
        return pd.Series(None, index=names.index, dtype=object)
    try:
        entries = json.loads(read_bytes(path))
        original_of = {str(entry["subset_img_id"]): str(entry["img_id"]) for entry in entries}
    except (ValueError, KeyError, TypeError, RecursionError) as failure:
        raise DataError(
            f"{path.name}: expected a JSON list of img_id and subset_img_id: {failure!r}"
        ) from failure
    originals = names.map(original_of).astype(object)
    unknown = int(originals.isna().sum())
    if unknown:
        notes.append(f"{unknown} images are not in the mapping to NIH images: their patients are unknown")
    return originals.where(originals.notna(), None)

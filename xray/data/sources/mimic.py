"""MIMIC-CXR-JPG (Beth Israel Deaconess, Boston; Johnson et al. 2019) by CheXpert's or NegBio's labeller."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from xray.data.labels.rules import Rule, all_rules, apply_rules
from xray.data.sources.base import Quarantined, SourceTable, source
from xray.data.sources.chexpert import mark_labels
from xray.data.sources.csvfile import CsvFile, read_csv
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
from xray.errors import DataError

KEYS: Final = ["subject_id", "study_id"]
METADATA: Final = ("mimic-cxr-*-metadata.csv*",)
SPLIT: Final = ("mimic-cxr-*-split.csv*",)
TEST: Final = ("mimic-cxr-*-test-set-labeled.csv*",)
_OTHER: Final = {"chexpert": "negbio", "negbio": "chexpert"}


@source("mimic_ch")
def read_mimic_ch(labels: Path, images: Path | None, /) -> SourceTable:
    """MIMIC-CXR under CheXpert's labeller: see `read_mimic`."""
    return read_mimic(labels, images, "chexpert")


@source("mimic_nb")
def read_mimic_nb(labels: Path, images: Path | None, /) -> SourceTable:
    """MIMIC-CXR under NegBio's labeller: see `read_mimic`."""
    return read_mimic(labels, images, "negbio")


def read_mimic(labels: Path, images: Path | None, labeller: str) -> SourceTable:
    """One row per image: the labels of its study, joined to the metadata file beside the label file.

    Order: the label file's studies, each study's images in the metadata file's order. Pictures are found at
    files/p10/p10000032/s50414267/NAME.jpg, without the leading `files/`, or flat. Age and sex are not in
    these files. Raises `DataError` where a file can't be read, the metadata is missing, or the labels are
    the other labeller's.
    """
    path = label_file(labels, (f"mimic-cxr-*-{labeller}.csv*",))
    if _OTHER[labeller] in path.name:
        raise DataError(f"{path.name}: these are the labels of {_OTHER[labeller]}, not of {labeller}")
    label_rules = all_rules("mimic")
    file = read_csv(path, [*KEYS, *dict.fromkeys(rule.column for rule in label_rules)])
    return _of_images(file, path, images, label_rules, KEYS)


@source("mimic_test")
def read_mimic_test(labels: Path, images: Path | None, /) -> SourceTable:
    """MIMIC-CXR's test set as a radiologist labelled its reports (MIMIC-CXR-JPG 2.1.0): rows of studies, without a subject.

    As `read_mimic` else; who the patient is says the metadata.
    """
    path = label_file(labels, TEST)
    label_rules = all_rules("mimic_test")
    file = read_csv(path, ["study_id", *dict.fromkeys(rule.column for rule in label_rules if rule.task)])
    return _of_images(file, path, images, label_rules, ["study_id"])


def _of_images(
    file: CsvFile, path: Path, images: Path | None, label_rules: tuple[Rule, ...], keys: list[str]
) -> SourceTable:
    """The labels of studies as those of their images. keys: columns by which the metadata are joined."""
    images_file, quarantine = _join(file, _metadata(path), keys)
    frame = images_file.frame
    states, terms = apply_rules(frame, label_rules)
    image = text(frame["dicom_id"])
    paths = locate(_paths(frame), images)
    columns = {
        "image": image,
        "patient": text(frame["subject_id"]),
        "path": np.array(paths, dtype=object),
        "view": text(frame["ViewPosition"]),
        "age": np.full(len(frame), np.nan),
        "sex": np.full(len(frame), None, dtype=object),
    }
    faults = Faults(images_file)
    mark_labels(faults, frame, states, label_rules)
    faults.mark(no_picture(paths, images), "dicom_id", f"no such picture under {images}")
    table = faults.table(with_metadata(columns, frame), states, terms, [], "dicom_id")
    table.quarantine.extend(quarantine)
    return table


def _metadata(labels: Path) -> CsvFile:
    path = companion(labels, METADATA)
    if path is None:
        raise DataError(
            f"{labels}: expected mimic-cxr-2.0.0-metadata.csv(.gz) beside it: it holds images and views"
        )
    metadata = read_csv(path, ["dicom_id", *KEYS, "ViewPosition"])
    split = companion(labels, SPLIT)
    if split is not None:
        parts = read_csv(split, ["dicom_id", "split"]).frame
        split_of = dict(zip(parts["dicom_id"].str.strip(), parts["split"], strict=True))
        metadata.frame["split"] = (
            metadata.frame["dicom_id"].str.strip().map(split_of).fillna("").astype(object)
        )
    return metadata


def _join(labels: CsvFile, metadata: CsvFile, keys: list[str]) -> tuple[CsvFile, list[Quarantined]]:
    """Labels joined to images, one row per image, lines being the label file's; and what has no partner.

    Of the test set's labels the studies are few, so that other studies of the metadata are not of this dataset.
    """
    label_rows, metadata_rows = _with_keys(labels, keys), _with_keys(metadata, KEYS)
    label_rows["label row"] = np.arange(len(label_rows))
    metadata_rows["metadata row"] = np.arange(len(metadata_rows))
    merged = label_rows.drop_duplicates(keys).merge(metadata_rows, on=keys, how="inner", sort=False)
    quarantine = [
        labels.set_aside(row, None, reason)
        for row, reason in [
            *(
                (int(row), "this study already appears in an earlier row")
                for row in label_rows["label row"][label_rows.duplicated(keys)]
            ),
            *(
                (int(row), "no image of this study in the metadata")
                for row in _without(label_rows.drop_duplicates(keys), merged, "label row")
            ),
        ]
    ]
    for row in _without(metadata_rows, merged, "metadata row") if keys == KEYS else ():
        quarantine.append(
            metadata.set_aside(
                int(row), str(metadata.frame["dicom_id"].iloc[int(row)]), "its study has no labels"
            )
        )
    lines = labels.lines[merged["label row"].to_numpy(np.int64)] if len(merged) else labels.lines[:0]
    frame = merged.drop(columns=["label row", "metadata row"])
    return CsvFile(labels.name, frame, lines, labels.quarantine + metadata.quarantine), quarantine


def _with_keys(file: CsvFile, keys: list[str]) -> pd.DataFrame:
    frame = file.frame.copy()
    for key in keys:
        frame[key] = whole_number(frame[key])
    return frame


def _without(rows: pd.DataFrame, merged: pd.DataFrame, column: str) -> list[int]:
    return rows.loc[~rows[column].isin(merged[column]), column].tolist()


def _paths(frame: pd.DataFrame) -> list[list[str | None]]:
    subject, study = frame["subject_id"].astype(str), frame["study_id"].astype(str)
    folder = "p" + subject.str[:2] + "/p" + subject + "/s" + study + "/" + frame["dicom_id"].str.strip()
    return [list(prefix + folder + ending) for ending in (".jpg", ".dcm") for prefix in ("files/", "")]

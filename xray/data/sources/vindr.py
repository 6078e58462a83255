"""VinDr-CXR (two hospitals in Hanoi; Nguyen et al. 2022): three readers an image in training, a consensus in the test.

image_labels_train.csv and image_labels_test.csv as of PhysioNet, and train.csv of the challenge on Kaggle, a row per box.
"""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xray.data.labels.rules import UNKNOWN, Rule, all_rules, apply_rules
from xray.data.sources.base import NOT_MENTIONED, SourceTable, source
from xray.data.sources.csvfile import CsvFile, read_csv
from xray.data.sources.native import Faults, label_file, locate, no_picture, text
from xray.data.sources.panel import Panel, with_label
from xray.tasks import TASKS

PATTERNS: Final = ("image_labels_train.csv*", "image_labels_test.csv*", "train.csv*")
FINDINGS: Final = (*TASKS, "Tuberculosis")
_FOLDERS: Final = ("", "train/", "test/")
_ENDINGS: Final = (".dicom", ".dcm", ".png")


@source("vindr")
def read_vindr(labels: Path, images: Path | None, /) -> SourceTable:
    """One row per image, all frontal (PA), of unknown patients. Labels of training images follow by majority of readers.

    Raises `DataError` where the file can't be read. Rows with an unknown label, without image or reader, or a second one of
    a reader, are set aside.
    """
    path = label_file(labels, PATTERNS)
    file = read_csv(path, ["image_id"])
    boxes = "class_name" in file.frame.columns
    if boxes:
        file = _by_reader(read_csv(path, ["image_id", "rad_id", "class_name"]))
    label_rules = [rule for rule in all_rules("vindr") if (rule.column == "class_name") == boxes]
    if not boxes:
        file = read_csv(path, ["image_id", *(rule.column for rule in label_rules if rule.task)])
    frame = file.frame
    states, terms = apply_rules(frame, label_rules, FINDINGS)
    image = text(frame["image_id"])
    paths = locate(
        [[f"{folder}{name}{ending}" for name in image] for ending in _ENDINGS for folder in _FOLDERS], images
    )
    faults = Faults(file)
    faults.mark(image.isna(), "image_id", "every row needs an image")
    faults.mark((states == UNKNOWN).any(axis=1), "labels", "expected 1 or 0 in every column of a finding")
    if boxes:
        faults.mark(_other_words(frame["class_name"], label_rules), "class_name", "an unknown finding")
    faults.mark(no_picture(paths, images) & image.notna(), "image_id", f"no such picture under {images}")
    rows = _rows(image, paths)
    notes = [
        _left_out(label_rules, frame),
        "patients are not published: every image counts as a patient of its own",
    ]
    if "rad_id" not in frame.columns:
        return faults.table(rows, states, terms, notes, "image_id", FINDINGS)
    return with_label(_of_readers(file, faults, rows, states, notes), None, file.name)


def _rows(image: pd.Series, paths: list[str | None]) -> pd.DataFrame:
    missing = pd.Series(None, index=image.index, dtype=object)
    return pd.DataFrame(
        {
            "image": image,
            "patient": missing,
            "path": np.array(paths, dtype=object),
            "view": pd.Series("PA", index=image.index, dtype=object),
            "age": np.nan,
            "sex": missing,
        },
        index=image.index,
    )


def _by_reader(file: CsvFile) -> CsvFile:
    """The box rows gathered: one row per image and reader, with all that the reader named, at the line of the first box."""
    frame = file.frame
    pairs = (frame["image_id"].str.strip() + "\0" + frame["rad_id"].str.strip()).astype(object)
    names = frame["class_name"].str.strip().groupby(pairs, sort=False).agg("|".join)
    first = ~pairs.duplicated().to_numpy()
    pairs_frame = frame.loc[first, ["image_id", "rad_id"]].reset_index(drop=True)
    pairs_frame["class_name"] = names.to_numpy(object)
    return CsvFile(file.name, pairs_frame, file.lines[first], file.quarantine)


def _other_words(column: pd.Series, label_rules: list[Rule]) -> NDArray[np.bool_]:
    """Where a cell names what no rule speaks of."""
    vocabulary = {rule.term for rule in label_rules}
    return np.array([not vocabulary.issuperset(cell.split("|")) for cell in column], dtype=bool)


def _left_out(label_rules: list[Rule], frame: pd.DataFrame) -> str:
    words = [rule.term or rule.column for rule in label_rules if not rule.task]
    present = [name for name in words if name in frame.columns or "class_name" in frame.columns]
    names = ", ".join(dict.fromkeys(present))
    return f"no finding here, and left out: {names}; a mapping file with a column of readers takes them too"


def _of_readers(
    file: CsvFile, faults: Faults, rows: pd.DataFrame, states: NDArray[np.int8], notes: list[str]
) -> SourceTable:
    """One row per image, in order of its first, with what each of its readers said."""
    readers = text(file.frame["rad_id"])
    faults.mark(readers.isna(), "rad_id", "every row needs a reader")
    pairs = pd.DataFrame({"image": rows["image"], "reader": readers})
    faults.mark(pairs.duplicated() & faults.free(), "rad_id", "this reader has an earlier row of this image")
    free = np.flatnonzero(faults.free())
    images, order = pd.factorize(rows["image"].iloc[free])
    people = sorted(set(readers.iloc[free]))
    by_reader = np.full((len(people), len(order), len(FINDINGS)), NOT_MENTIONED, np.int8)
    position_of = {name: position for position, name in enumerate(people)}
    by_reader[readers.iloc[free].map(position_of).to_numpy(np.int64), images] = states[free]
    first = free[np.unique(images, return_index=True)[1]] if len(free) else free
    no_terms = np.full((len(first), len(FINDINGS)), None, dtype=object)
    quarantine = sorted(
        [*file.quarantine, *faults.aside(rows["image"].tolist())], key=lambda entry: entry.row or 0
    )
    return SourceTable(
        rows.iloc[first].reset_index(drop=True),
        np.full(no_terms.shape, NOT_MENTIONED, np.int8),
        no_terms,
        quarantine,
        notes,
        FINDINGS,
        panel=Panel(tuple(people), by_reader),
    )

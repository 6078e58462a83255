"""SIIM-ACR Pneumothorax (2019; NIH's pictures under other names): train-rle.csv or stage_2_train.csv, a row per mask."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from xray.data.labels.rules import all_rules, apply_rules
from xray.data.sources.base import SourceTable, source
from xray.data.sources.csvfile import CsvFile, read_csv
from xray.data.sources.native import Faults, label_file, locate, no_picture, text, with_metadata
from xray.data.sources.people import ages, sex_of
from xray.data.sources.rsna import people_of
from xray.errors import DataError

PATTERNS: Final = ("train-rle.csv*", "stage_2_train.csv*")
_NONE: Final = "-1"


@source("siim")
def read_siim(labels: Path, images: Path | None, /) -> SourceTable:
    """One row per image, in order of its first row. Metadata: `masks`, how many it has.

    View, age and sex come from the DICOM files, if these are there. Patients are unknown: which pictures of NIH these are
    was not published. Raises `DataError` where the file can't be read. Images with a mask and with -1 are set aside.
    """
    file = read_csv(label_file(labels, PATTERNS))
    file.frame.columns = [str(name).strip() for name in file.frame.columns]
    absent = [name for name in ("ImageId", "EncodedPixels") if name not in file.frame.columns]
    if absent:
        raise DataError(f"{file.name}, row 1: required column {absent[0]!r} is missing")
    per_image = _by_image(file)
    frame = per_image.frame
    states, terms = apply_rules(frame, all_rules("siim"))
    names = text(frame["ImageId"])
    paths = locate([[f"{name}.dcm" for name in names], [f"{name}.png" for name in names]], images)
    notes = [
        "patients are not published: every image counts as a patient of its own, and may be one of NIH's"
    ]
    person = (
        people_of(paths, images, names.index, notes)
        if images is not None
        else pd.DataFrame("", index=names.index, columns=["age", "sex", "view"], dtype=object)
    )
    columns = {
        "image": names,
        "patient": np.full(len(frame), None, dtype=object),
        "path": np.array(paths, dtype=object),
        "view": text(person["view"]),
        "age": ages(person["age"], "PatientAge", notes),
        "sex": sex_of(person["sex"]),
    }
    faults = Faults(per_image)
    faults.mark(names.isna(), "ImageId", "every image needs a name")
    faults.mark(~frame["mask"].isin(["0", "1"]), "mask", "expected masks or -1 (none), found both or nothing")
    faults.mark(no_picture(paths, images) & names.notna(), "ImageId", f"no such picture under {images}")
    return faults.table(with_metadata(columns, frame), states, terms, notes, "ImageId")


def _by_image(file: CsvFile) -> CsvFile:
    """The masks gathered: one row per image; `mask` is 1 where it has any, 0 where it has none."""
    names, cells = file.frame["ImageId"].str.strip(), file.frame["EncodedPixels"].str.strip()
    kinds = cells.map(lambda cell: "0" if cell == _NONE else "1" if cell else "")
    images = kinds.groupby(names, sort=False).agg([lambda its: "/".join(sorted(set(its))), "size"])
    first = ~names.duplicated().to_numpy()
    frame = pd.DataFrame(
        {
            "ImageId": images.index.to_numpy(object),
            "mask": images.iloc[:, 0].to_numpy(object),
            "masks": [str(n) if kind == "1" else "0" for kind, n in images.itertuples(index=False)],
        },
        dtype=object,
    )
    return CsvFile(file.name, frame, file.lines[first], file.quarantine)

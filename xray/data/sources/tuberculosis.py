"""Tuberculosis: Montgomery County and Shenzhen (Jaeger et al. 2014), labelled by the names of pictures, and TBX11K."""

import json
import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from xray.data.labels.rules import all_rules, apply_rules
from xray.data.sources.base import SourceTable, source
from xray.data.sources.csvfile import CsvFile, read_bytes, read_csv
from xray.data.sources.native import Faults, locate, no_picture, text, with_metadata
from xray.data.sources.people import ages, sex_of
from xray.data.sources.pictures import find_pictures
from xray.errors import DataError
from xray.tasks import TASKS

FINDINGS: Final = (*TASKS, "Tuberculosis")
_SEX: Final = re.compile(r"\b(female|male|F|M)\b", re.IGNORECASE)
_AGE: Final = re.compile(r"(\d{1,3})\s*(Y|yrs?|years?|months?|days?)?\b", re.IGNORECASE)
_NAMES: Final = {"montgomery": "MCUCXR", "shenzhen": "CHNCXR"}
_PER_YEAR: Final = {"m": 12, "d": 365.25}


@source("montgomery")
def read_montgomery(labels: Path, images: Path | None, /) -> SourceTable:
    """Montgomery County's set: see `_named_by_label`."""
    return _named_by_label(labels, images, "montgomery")


@source("shenzhen")
def read_shenzhen(labels: Path, images: Path | None, /) -> SourceTable:
    """Shenzhen's set: see `_named_by_label`."""
    return _named_by_label(labels, images, "shenzhen")


def _named_by_label(labels: Path, images: Path | None, name: str) -> SourceTable:
    """A row per picture MCUCXR_0001_0.png: the last digit is 1 where tuberculosis is manifest. All are frontal (PA).

    labels: the folder of the set, with pictures and clinical readings (MCUCXR_0001_0.txt) anywhere in it, or a table with a
    column study_id, and sex, age and findings. Each picture is of a patient of its own. Raises `DataError` where no such
    name is there.
    """
    start = _NAMES[name]
    file = _readings(labels, images, start) if labels.is_dir() else _table(labels)
    frame = file.frame
    image = text(frame["study_id"])
    digit = image.str.extract(rf"^{start}_\d+_([01])(?:\.png)?$", expand=False)
    frame["abnormal"] = digit.fillna("").astype(object)
    states, terms = apply_rules(frame, all_rules(name), FINDINGS)
    plain = image.str.removesuffix(".png").astype(object)
    paths = locate([[f"{stem}.png" for stem in plain], [f"CXR_png/{stem}.png" for stem in plain]], images)
    notes: list[str] = []
    columns = {
        "image": plain.where(image.notna(), None),
        "patient": plain.where(image.notna(), None),
        "path": np.array(paths, dtype=object),
        "view": np.full(len(frame), "PA", dtype=object),
        "age": ages(frame["age"], "age", notes),
        "sex": sex_of(frame["sex"]),
    }
    faults = Faults(file)
    faults.mark(
        digit.isna(), "study_id", f"expected a name such as {start}_0001_0.png, whose last digit is the label"
    )
    faults.mark(no_picture(paths, images) & image.notna(), "study_id", f"no such picture under {images}")
    rows = with_metadata(columns, frame, ("abnormal", "findings"))
    return faults.table(rows, states, terms, notes, "study_id", FINDINGS)


def _table(labels: Path) -> CsvFile:
    file = read_csv(labels, ["study_id"])
    for column in ("sex", "age"):
        if column not in file.frame.columns:
            file.frame[column] = ""
    return file


def _readings(labels: Path, images: Path | None, start: str) -> CsvFile:
    """The pictures of a folder, or its clinical readings where there is no picture, with what these say of the patient."""
    texts = find_pictures(labels, (".txt",))
    readings = {name[:-4]: labels / path for name, path in texts.items() if name.startswith(start)}
    pictures = find_pictures(images or labels, (".png",))
    names = sorted(
        {name[:-4] for name in pictures if name.startswith(start) and "mask" not in name} or set(readings)
    )
    if not names:
        raise DataError(f"{labels}: no picture or clinical reading is named {start}_0001_0")
    records = [_reading(readings.get(name)) for name in names]
    frame = pd.DataFrame(
        {
            "study_id": names,
            **{key: [record[key] for record in records] for key in ("sex", "age", "findings")},
        },
        dtype=object,
    )
    return CsvFile(labels.name, frame, np.arange(1, len(frame) + 1), [])


def _reading(path: Path | None) -> dict[str, str]:
    """Sex, age in years and the rest of a clinical reading: "Patient's Age: 026Y" or "male 45yrs" in its first lines."""
    if path is None:
        return {"sex": "", "age": "", "findings": ""}
    lines = [
        line.strip() for line in read_bytes(path).decode("utf-8", "replace").splitlines() if line.strip()
    ]
    about = [
        line
        for line in lines
        if (_AGE.search(line) and _SEX.search(line)) or line.lower().startswith("patient")
    ]
    heading = " ".join(
        re.sub(r"patient'?s?\s*(sex|age)\s*:", " ", line, flags=re.IGNORECASE) for line in about
    )
    sex, age = _SEX.search(heading), _AGE.search(heading)
    years = ""
    if age is not None:
        years = f"{int(age[1]) / _PER_YEAR.get((age[2] or 'y')[0].lower(), 1):g}"
    findings = " ".join(line for line in lines if line not in about)
    return {"sex": sex[0] if sex else "", "age": years, "findings": findings}


@source("tbx11k")
def read_tbx11k(labels: Path, images: Path | None, /) -> SourceTable:
    """A row per picture of a list (all_trainval.txt), of the annotations (JSON) or of data.csv; patients are unknown.

    Tuberculosis is what lies in tb/, active or latent; pictures of test/ have no published label. Metadata: `image_type`,
    and `tb_type` where the file says which. Pictures of other sets (extra/) are set aside. Raises `DataError` where the file
    can't be read.
    """
    file = _listed(labels)
    frame = file.frame
    states, terms = apply_rules(frame, all_rules("tbx11k"), FINDINGS)
    vocabulary = {rule.term for rule in all_rules("tbx11k")}
    path = text(frame["fname"])
    image = path.str.rpartition("/")[2].astype(object)
    image = image.where(path.notna(), None)
    paths = locate([path.tolist(), [f"imgs/{name}" for name in path]], images)
    missing = np.full(len(frame), None, dtype=object)
    columns = {
        "image": image,
        "patient": missing,
        "path": np.array(paths, dtype=object),
        "view": missing,
        "age": np.full(len(frame), np.nan),
        "sex": missing,
    }
    faults = Faults(file)
    faults.mark(image.isna(), "fname", "every image needs a name")
    faults.mark(
        ~frame["image_type"].isin(vocabulary),
        "image_type",
        "expected tb, health, sick or test; the picture is of another set",
    )
    faults.mark(no_picture(paths, images) & image.notna(), "fname", f"no such picture under {images}")
    notes = ["patients are not published: every image counts as a patient of its own"]
    rows = with_metadata(columns, frame, ("image_type", "tb_type", "source"))
    return faults.table(rows, states, terms, notes, "fname", FINDINGS)


def _listed(labels: Path) -> CsvFile:
    """fname and image_type of each picture, in order of its first row."""
    if labels.is_dir():
        raise DataError(
            f"{labels}: give the file: lists/all_trainval.txt, annotations/json/all_trainval.json or data.csv"
        )
    if labels.name.endswith(".csv"):
        file = read_csv(labels, ["fname", "image_type"])
        first = ~file.frame["fname"].duplicated().to_numpy()
        frame = file.frame[first].reset_index(drop=True)
        return CsvFile(file.name, frame, file.lines[first], file.quarantine)
    names, kinds = _annotated(labels) if labels.name.endswith(".json") else (_lines(labels), {})
    types = [name.removeprefix("imgs/").partition("/")[0] for name in names]
    columns = {"fname": names, "image_type": types, "tb_type": [kinds.get(name, "") for name in names]}
    return CsvFile(labels.name, pd.DataFrame(columns, dtype=object), np.arange(1, len(names) + 1), [])


def _lines(path: Path) -> list[str]:
    text = read_bytes(path).decode("utf-8", "replace")
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def _annotated(path: Path) -> tuple[list[str], dict[str, str]]:
    """The pictures of COCO's annotations, and the categories of their boxes, joined."""
    try:
        content: dict[str, Any] = json.loads(read_bytes(path))
        names = {entry["id"]: str(entry["file_name"]) for entry in content["images"]}
        categories = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        kinds: dict[str, set[str]] = {}
        for box in content["annotations"]:
            kinds.setdefault(names[box["image_id"]], set()).add(categories[box["category_id"]])
    except (ValueError, KeyError, TypeError, RecursionError) as failure:
        raise DataError(
            f"{path.name}: expected COCO's images, annotations and categories: {failure!r}"
        ) from failure
    return list(names.values()), {name: ", ".join(sorted(its)) for name, its in kinds.items()}

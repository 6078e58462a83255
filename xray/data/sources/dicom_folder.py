"""A folder of DICOM files as a source: what the headers say, and labels from a sheet by image, accession number or study."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from xray.data.mapping.model import Mapping
from xray.data.mapping.read import mapped_table
from xray.data.sources.base import Quarantined, SourceTable, source
from xray.data.sources.csvfile import CsvFile
from xray.data.sources.dicom_headers import Headers, read_headers
from xray.data.tables import Table, read_table
from xray.errors import DataError
from xray.names import plain

KEYS: Final = {
    "image": ("imageid", "image", "sopinstanceuid", "instance", "path", "file", "filename"),
    "accession": ("accession", "accessionnumber"),
    "study": ("study", "studyid", "studyinstanceuid", "studyuid"),
}
"""What labels are joined by, and the names that its column may have, in small letters without marks."""
_WORDS: Final = {"image": "image", "accession": "accession number", "study": "study"}


@source("dicom")
def read_dicom_folder(
    labels: Path,
    images: Path | None,
    findings: Sequence[str] = (),
    mapping: Mapping | None = None,
    origin: str = "",
    /,
) -> SourceTable:
    """One row per picture of the folder `images`; labels: a sheet, or the folder itself where there is none.

    findings: those that are declared beside the default list. mapping: what the sheet's columns and words are, from the
    file `origin`.
    The sheet has one row per image, accession number or study, and a column per finding as a manifest has. A row that no
    picture belongs to is set aside; a picture that no row belongs to is registered without labels, and counted. Raises
    `DataError` where there is no DICOM picture, or a sheet without a column to join by.
    """
    if images is None:
        raise DataError("a folder of DICOM files is registered with its pictures: give --images DIR")
    mapping_of_rest = _without_keys(mapping, origin)
    headers = read_headers(images)
    frame = headers.frame
    bad_rows: list[Quarantined] = []
    notes: list[str] = []
    about = "headers of DICOM files"
    if not labels.is_dir():
        sheet = read_table(labels, mapping.layout if mapping is not None else None, DataError)
        frame, bad_rows, notes = _joined(headers, sheet.as_csv(), mapping)
        about = f"headers of DICOM files; labels: {sheet.about}"
    numbered = Table(images.name, frame, np.arange(1, len(frame) + 1), about)
    table = mapped_table(numbered, images, mapping_of_rest, origin, findings=findings)
    paths = frame["path"].tolist()
    quarantine = [
        replace(entry, file=paths[entry.row - 1], row=None) if entry.row else entry
        for entry in table.quarantine
    ]
    return replace(
        table,
        quarantine=[*headers.quarantine, *bad_rows, *quarantine],
        notes=[*headers.notes, *notes, *table.notes],
    )


def _without_keys(mapping: Mapping | None, origin: str) -> Mapping:
    """The mapping for pictures and sheet side by side: what they are joined by is done, and headers say where they lie."""
    if mapping is None:
        return Mapping()
    if mapping.long is not None or mapping.pictures is not None:
        raise DataError(
            f"{origin}: labels of a DICOM folder are a row per image, accession number or study, without long and pictures"
        )
    if "reader" in mapping.columns:
        raise DataError(
            f"{origin}: columns.reader: labels of a DICOM folder have one reader; register the sheet of several readers as "
            "a table of its own (--map without --source dicom), with a path to each picture"
        )
    columns = {field: name for field, name in mapping.columns.items() if field not in (*KEYS, "path")}
    return mapping.model_copy(update={"columns": columns, "path": None})


def _joined(
    headers: Headers, sheet: CsvFile, mapping: Mapping | None
) -> tuple[pd.DataFrame, list[Quarantined], list[str]]:
    """The headers' rows with the cells of the sheet's row that each belongs to; rows set aside; notes."""
    key, column, candidates = _key(headers.frame, sheet, mapping)
    cells = sheet.frame[column].str.strip()
    row_of: dict[str, int] = {}
    quarantine = list(sheet.quarantine)
    for row, value in enumerate(cells):
        if not value:
            quarantine.append(sheet.set_aside(row, None, f"column {column!r}: no {_WORDS[key]}"))
        elif value in row_of:
            same = sheet.frame.iloc[row].equals(sheet.frame.iloc[row_of[value]])
            first = int(sheet.lines[row_of[value]])
            cells_are = "the same" if same else "other"
            reason = f"{_WORDS[key]} {value} already appears in row {first}, with {cells_are} cells"
            quarantine.append(sheet.set_aside(row, None, reason))
        else:
            row_of[value] = row
    rows = [next((row_of[name] for name in names if name in row_of), -1) for names in candidates]
    unused = sorted(set(row_of.values()) - set(rows))
    quarantine += [
        sheet.set_aside(row, None, f"no picture of {_WORDS[key]} {cells.iloc[row]}") for row in unused
    ]
    n = sum(row >= 0 for row in rows)
    notes = [f"labels joined by {_WORDS[key]}: {n} of {len(rows)} pictures have a row in {sheet.name}"]
    return _side_by_side(headers.frame, sheet.frame.drop(columns=column), rows), quarantine, notes


def _key(frame: pd.DataFrame, sheet: CsvFile, mapping: Mapping | None) -> tuple[str, str, list[list[str]]]:
    """What to join by, the sheet's column, and the names of each picture in it: those by which most pictures have a row."""
    names = {
        "image": [_image_names(*pair) for pair in zip(frame["image_id"], frame["path"], strict=True)],
        "accession": [[value] if value else [] for value in frame["accession"]],
        "study": [[value] if value else [] for value in frame["study"]],
    }
    best: tuple[int, str, str] | None = None
    mapped = mapping.columns if mapping is not None else {}
    key_columns = {mapped[field] for field in ("image", "study") if field in mapped}
    for key, spellings in KEYS.items():
        for column in sheet.frame.columns:
            if column in key_columns or (not key_columns and plain(column) in spellings):
                sheet_names = set(sheet.frame[column].str.strip())
                n = sum(not sheet_names.isdisjoint(options) for options in names[key])
                if best is None or n > best[0]:
                    best = (n, key, column)
    if best is None:
        raise DataError(
            f"{sheet.name}, row 1: no column to join labels by; expected one of image_id, accession_number, study_id"
        )
    n, key, column = best
    if not n:
        example = next((options[0] for options in names[key] if options), "none")
        raise DataError(
            f"{sheet.name}: column {column!r} names no {_WORDS[key]} of the pictures; theirs are such as {example!r}"
        )
    return key, column, names[key]


def _image_names(uid: str, path: str) -> list[str]:
    """By what a sheet may name a picture: its UID, its path, its file's name with and without the ending."""
    name = path.rpartition("/")[2]
    return [uid, path, name, name.rpartition(".")[0] or name]


def _side_by_side(frame: pd.DataFrame, sheet: pd.DataFrame, rows: list[int]) -> pd.DataFrame:
    """Headers and sheet; where both have a column, the sheet fills in what a header does not say."""
    blank = pd.DataFrame([[""] * sheet.shape[1]], columns=sheet.columns, dtype=object)
    cells = pd.concat([sheet, blank], ignore_index=True).iloc[rows].reset_index(drop=True)
    both = frame.copy()
    for column in sheet.columns:
        if column in both.columns:
            both[column] = both[column].where(both[column] != "", cells[column])
        else:
            both[column] = cells[column]
    return both

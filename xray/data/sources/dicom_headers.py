"""What the headers of a folder of DICOM files say of each picture, read by pydicom without the pixels."""

import io
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import pandas as pd

from xray import limits
from xray.data.sources.base import Quarantined
from xray.errors import DataError
from xray.pixels.dicom import OFFSET, PREFIX, DicomFile, is_dicom, with_preamble

METADATA: Final = {
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "accession": "AccessionNumber",
    "study_date": "StudyDate",
    "modality": "Modality",
    "body_part": "BodyPartExamined",
    "manufacturer": "Manufacturer",
    "model": "ManufacturerModelName",
}
"""Columns of the table, and the field that each is read from."""
_FIELDS: Final = [
    *METADATA.values(),
    "PatientAge",
    "PatientBirthDate",
    "PatientID",
    "PatientSex",
    "Rows",
    "SOPClassUID",
    "SOPInstanceUID",
    "ViewCodeSequence",
    "ViewPosition",
]
_OTHER_MODALITIES: Final = ("CT", "MR", "MG", "NM", "OP", "PT", "US")
_VIEWS: Final = {"postero-anterior": "PA", "antero-posterior": "AP", "lateral": "LATERAL"}
_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_COLUMNS: Final = ("image_id", "patient_id", "path", "view", "age", "sex", *METADATA)


@dataclass(frozen=True)
class Headers:
    """One row per picture, in the order of paths: image_id (SOP Instance UID), patient_id, path, view, age, sex, `METADATA`.

    Every cell is text, "" where a header is silent. quarantine: pictures that can't be taken; notes: what was passed over.
    """

    frame: pd.DataFrame
    quarantine: list[Quarantined]
    notes: list[str]


def read_headers(images: Path) -> Headers:
    """The headers of every DICOM file at any depth of a folder. Raises `DataError` where there is none."""
    if not images.is_dir():
        raise DataError(f"{images}: no such folder of DICOM files")
    paths = list(_files(images))
    with ThreadPoolExecutor() as pool:
        headers = list(pool.map(lambda path: _read(images / path), paths))
    rows: list[dict[str, str]] = []
    quarantine: list[Quarantined] = []
    skipped: Counter[str] = Counter()
    example: dict[str, str] = {}
    for path, header in zip(paths, headers, strict=True):
        if isinstance(header, str):
            skipped[header] += 1
            example.setdefault(header, path)
            continue
        reason = _fault(header)
        if reason:
            quarantine.append(Quarantined(path, None, header["image_id"] or None, reason))
        else:
            rows.append({**header, "path": path})
    if not rows and not quarantine:
        raise DataError(f"{images}: no DICOM picture among its {len(paths)} file(s)")
    notes = [
        f"{n} file(s) {reason_skipped}, and were skipped, such as {example[reason_skipped]}"
        for reason_skipped, n in sorted(skipped.items())
    ]
    return Headers(pd.DataFrame(rows, columns=list(_COLUMNS), dtype=object), quarantine, notes)


def _files(images: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(images):
        folders.sort()
        for name in sorted(names):
            yield (Path(folder).relative_to(images) / name).as_posix()


class _HeaderFile(io.BufferedReader):
    """A file of which only the header is read, but for a deflated one: that is inflated by way of trial before."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size >= 0:
            return super().read(size)
        data = super().read()
        limits.check_inflated(memoryview(data), limits.DICOM, "deflated", DataError)
        return data


def _read(path: Path) -> dict[str, str] | str:
    """What is taken from one file's header; or why it is no picture."""
    import pydicom

    try:
        with limits.open_file(path) as raw_file, _HeaderFile(raw_file.raw) as file:  # type: ignore[attr-defined]
            limits.check_bytes(os.fstat(file.fileno()).st_size, limits.PICTURE_FILE, "the file", DataError)
            head = file.read(OFFSET + len(PREFIX))
            if not is_dicom(head):
                return "are not DICOM"
            file.seek(0)
            has_preamble = head[OFFSET:] == PREFIX
            source: Any = (
                file if has_preamble else DicomFile(with_preamble(file.read(limits.PICTURE_FILE))[0])
            )
            header = pydicom.dcmread(source, stop_before_pixels=True, specific_tags=[*_FIELDS])
            if header.get("SOPClassUID") == _DIRECTORY or path.name.upper() == "DICOMDIR":
                return "are directories of other DICOM files"
            if header.get("Rows") is None:
                return f"hold no picture (modality {header.get('Modality') or 'unknown'})"
            return _row(header)
    except DataError as error:
        return {**dict.fromkeys(_COLUMNS, ""), "fault": str(error)}
    except Exception as error:  # pydicom raises whatever it met
        return {
            **dict.fromkeys(_COLUMNS, ""),
            "fault": f"the header can't be read: {type(error).__name__}: {error}",
        }


def _fault(header: dict[str, str]) -> str | None:
    if "fault" in header:
        return header["fault"]
    if not header["image_id"]:
        return "has no SOP Instance UID, by which a picture is known"
    if header["modality"] in _OTHER_MODALITIES:
        return f"modality {header['modality']}: no radiograph"
    return None


def _row(header: Any) -> dict[str, str]:
    return {
        "image_id": _text(header, "SOPInstanceUID"),
        "patient_id": _text(header, "PatientID"),
        "path": "",
        "view": _view(header),
        "age": _text(header, "PatientAge") or _age(header),
        "sex": _text(header, "PatientSex"),
        **{column: _text(header, field) for column, field in METADATA.items()},
    }


def _text(header: Any, field: str) -> str:
    value = header.get(field)
    return "" if value is None else str(value).strip("\0 ")


def _view(header: Any) -> str:
    """The view position, or the view code's meaning where there is none."""
    position = _text(header, "ViewPosition")
    codes = header.get("ViewCodeSequence")
    if position or not codes:
        return position
    meaning = _text(codes[0], "CodeMeaning").lower()
    return next((view for words, view in _VIEWS.items() if words in meaning), meaning)


def _age(header: Any) -> str:
    """Years from the dates of birth and study, "" where one is not known."""
    birth_date, study_date = (_date(_text(header, field)) for field in ("PatientBirthDate", "StudyDate"))
    if birth_date is None or study_date is None or study_date < birth_date:
        return ""
    return f"{(study_date - birth_date).days / 365.25:.2f}"


def _date(text: str) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8])) if len(text) == 8 else None
    except ValueError:
        return None

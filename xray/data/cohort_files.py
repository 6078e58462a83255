"""Cohorts as a file: a split that can be published without data, and rebuilt elsewhere with the same hashes.

The first line is `# ` and a JSON object: dataset, site, labeller, protocol, version, and for each part the number of images,
the hash of the image list (names in order) and the hash of the cohort (names and labels). Then CSV: part, image. No label is
in it: labels follow from the label file that its owners publish, by the protocol.
"""

import csv
import io
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, text

from db.queries import query
from xray import csv_cells
from xray.data.cohorts import freeze, frozen, part_hashes, put_cohorts, store_protocol
from xray.data.protocol import Protocol
from xray.data.registered import RegisteredDataset
from xray.data.selection import select
from xray.data.sources.csvfile import read_bytes
from xray.data.split import PARTS
from xray.errors import DataError

_ABOUT: Final = ("dataset", "site", "labeller", "protocol", "version", "parts")
_SHOWN: Final = 5


def export_cohorts(connection: Connection, dataset: RegisteredDataset, protocol: Protocol) -> str:
    """The cohorts of a dataset under a protocol as a file's text; frozen now where they are not yet."""
    cohorts = freeze(connection, dataset, protocol)
    about: dict[str, Any] = {
        "dataset": dataset.name,
        "site": dataset.site,
        "labeller": dataset.labeller,
        "protocol": protocol.name,
        "version": protocol.version,
        "parts": {},
    }
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["part", "image"])
    for part in [part for part in PARTS if part in cohorts]:
        names_row = connection.execute(text(query("cohort_names")), {"cohort_id": cohorts[part]}).one()
        about["parts"][part] = {
            "images": len(names_row.names),
            "image_list": names_row.list_hash,
            "cohort": names_row.content_hash,
        }
        writer.writerows((part, csv_cells.cell(name)) for name in names_row.names)
    return f"# {json.dumps(about)}\n{lines.getvalue()}"


def import_cohorts(
    connection: Connection, dataset: RegisteredDataset, protocol: Protocol, path: Path
) -> tuple[dict[str, int], bool]:
    """Part → cohort id of the cohorts of a file, frozen now where they are not yet; and whether that was so.

    Raises `DataError` where the file is damaged or another dataset's or protocol's, where the dataset lacks one of its
    images or has other labels for them, or where other cohorts are frozen already.
    """
    about, names = read_cohort_file(path)
    _check_about(about, dataset, protocol, path)
    rows, findings = _rows(dataset, protocol, names, path)
    for part, (index, labels) in rows.items():
        own_hashes = part_hashes(dataset, index, labels, findings)
        file_hashes = (about["parts"][part]["image_list"], about["parts"][part]["cohort"])
        if own_hashes[0] != file_hashes[0]:
            raise DataError(f"{path.name}: part {part}: the images do not match the hash in its first line")
        if own_hashes[1] != file_hashes[1]:
            raise DataError(
                f"{path.name}: part {part}: {dataset.name} has the same images with other labels: "
                "is its label file of another release?"
            )
    protocol_id = store_protocol(connection, protocol)
    frozen_ids = frozen(connection, dataset.id, protocol_id)
    if not frozen_ids:
        return put_cohorts(connection, dataset, protocol_id, rows, findings), True
    rows_stored = connection.execute(
        text("select part, content_hash from cohort where id = any(:ids)"), {"ids": list(frozen_ids.values())}
    )
    hashes = {row.part: row.content_hash for row in rows_stored}
    if hashes != {part: its["cohort"] for part, its in about["parts"].items()}:
        raise DataError(
            f"{path.name}: other cohorts of {dataset.name} are already frozen under {protocol.name}, and cohorts are never "
            "changed; give the protocol another name, or register the dataset under another"
        )
    return frozen_ids, False


def read_cohort_file(path: Path) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The first line's values, and part → image names in order. Raises `DataError` naming file and row."""
    try:
        first, _, body = read_bytes(path).decode().partition("\n")
        about = _about(first, path)
        rows = list(csv.reader(io.StringIO(body, newline="")))
    except (UnicodeDecodeError, csv.Error) as failure:
        raise DataError(f"{path}: can't be read: {failure}") from failure
    if not rows or rows[0] != ["part", "image"]:
        raise DataError(f"{path.name}, row 2: expected the columns part,image")
    names: dict[str, list[str]] = {part: [] for part in about["parts"]}
    for number, row in enumerate(rows[1:], start=3):
        if len(row) != 2 or row[0] not in names:
            raise DataError(
                f"{path.name}, row {number}: expected one of {', '.join(names)} and an image, found {row}"
            )
        names[row[0]].append(csv_cells.plain(row[1]))
    for part, its in names.items():
        if len(its) != about["parts"][part]["images"]:
            raise DataError(
                f"{path.name}: part {part} has {len(its)} images, its first line says {about['parts'][part]['images']}"
            )
    return about, names


def _about(line: str, path: Path) -> dict[str, Any]:
    try:
        about = json.loads(line.removeprefix("#"))
        complete = all(key in about for key in _ABOUT) and {"train", "test"} <= set(about["parts"]) <= set(
            PARTS
        )
        complete = complete and all(
            {"images", "image_list", "cohort"} <= set(p) for p in about["parts"].values()
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        complete = False
    if not line.startswith("#") or not complete:
        raise DataError(f"{path.name}, row 1: expected the line that `xray cohort export` writes: # {{…}}")
    content: dict[str, Any] = about
    return content


def _check_about(about: dict[str, Any], dataset: RegisteredDataset, protocol: Protocol, path: Path) -> None:
    expected = {
        "site": dataset.site,
        "labeller": dataset.labeller,
        "protocol": protocol.name,
        "version": protocol.version,
    }
    for key, value in expected.items():
        if about[key] != value:
            raise DataError(
                f"{path.name}, row 1: {key} is {about[key]!r}; that of {dataset.name} here is {value!r}"
            )


def _rows(
    dataset: RegisteredDataset, protocol: Protocol, names: dict[str, list[str]], path: Path
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], tuple[str, ...]]:
    """Part → positions in the dataset and labels of the named images; the findings that the labels are of."""
    images = dataset.table.rows["image"].tolist()
    selection = select(dataset.table, dataset.labeller, protocol)
    position_of = {images[row]: position for position, row in enumerate(selection.index.tolist())}
    absent = [name for its in names.values() for name in its if name not in position_of]
    if absent:
        examples = ", ".join(absent[:_SHOWN]) + (" …" if len(absent) > _SHOWN else "")
        all_images = set(images)
        reason = (
            "are not in"
            if any(name not in all_images for name in absent)
            else f"are left out by {protocol.name} in"
        )
        raise DataError(f"{path.name}: {len(absent)} of its images {reason} {dataset.name}: {examples}")
    positions = {
        part: np.array([position_of[name] for name in its], dtype=np.int64) for part, its in names.items()
    }
    rows = {part: (selection.index[its], selection.labels[its]) for part, its in positions.items()}
    return rows, selection.findings

"""Registration: the rows of a label file and their pictures into the database, in one transaction or not at all."""

import csv
import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert
from tqdm import tqdm

from db.copy import array, copy_in, copy_text, scalar
from db.schema import Dataset, Site, SourceTerm
from db.store import list_hash, put_image_list
from xray.data.sources.base import COLUMNS, NOT_MENTIONED, Quarantined, SourceTable
from xray.errors import DataError, ImageError
from xray.pixels.decode import content_hash, read_grey

SHOWN = 10
"""How many bad rows an error message lists."""


@dataclass(frozen=True)
class Registration:
    """What was registered: the dataset's id and sizes; `unchanged` where the same content was there already."""

    dataset_id: int
    name: str
    n_images: int
    n_patients: int
    unchanged: bool


def register(
    connection: Connection,
    name: str,
    site: str,
    source: str,
    table: SourceTable,
    images: Path | None,
    *,
    truth: pd.DataFrame | None = None,
    progress: bool = False,
) -> Registration:
    """Register the rows of `table` as dataset `name` of `site`, within the caller's transaction.

    images: the folder of the pictures, each of which is decoded once, to know what it shows; None for labels
    without pixels. truth: columns image, finding, present, size, of a drawn site. The same content again changes nothing.
    Raises `DataError` where a row or picture is bad, or another content has this name.
    """
    _refuse_bad(name, table.quarantine)
    if table.rows.empty:
        raise DataError(f"{name}: the label file has no row")
    digest = _digest(site, source, table, images)
    found = connection.execute(
        select(Dataset.id, Dataset.content_hash, Site.name).join(Site).where(Dataset.name == name)
    ).one_or_none()
    n_patients = int(table.rows["patient"].nunique())
    if found is not None:
        if (found.content_hash, found.name) != (digest, site):
            raise DataError(
                f"{name}: a dataset of this name is registered with other content or another site ({found.name}); "
                "datasets are never changed, register the new files under another name"
            )
        return Registration(found.id, name, len(table.rows), n_patients, unchanged=True)

    hashes = _hash_pictures(table, images, progress) if images is not None else None
    site_id = _site(connection, site, synthetic=truth is not None)
    image_ids = _images(connection, site_id, table.rows, images, hashes)
    listed = put_image_list(
        connection, list_hash([f"{site}/{image}" for image in table.rows["image"]]), image_ids
    )
    dataset_id = connection.scalar(
        insert(Dataset)
        .values(name=name, site_id=site_id, image_list_id=listed, source=source, content_hash=digest)
        .returning(Dataset.id)
    )
    assert dataset_id is not None
    _labels(connection, dataset_id, table)
    if truth is not None:
        _truth(connection, dict(zip(table.rows["image"], image_ids, strict=True)), truth)
    return Registration(dataset_id, name, len(table.rows), n_patients, unchanged=False)


def _refuse_bad(name: str, bad: list[Quarantined]) -> None:
    if bad:
        lines = [f"  {b.file}" + (f", row {b.row}" if b.row else "") + f": {b.reason}" for b in bad[:SHOWN]]
        more = [f"  … and {len(bad) - SHOWN} more"] if len(bad) > SHOWN else []
        raise DataError("\n".join([f"{name}: nothing was registered, {len(bad)} bad row(s):", *lines, *more]))


def _digest(site: str, source: str, table: SourceTable, images: Path | None) -> str:
    """Content hash of what the label files say (pictures are covered by the hashes of the images)."""
    digest = hashlib.sha256(json.dumps([site, source, images is not None]).encode())
    digest.update(table.rows.to_csv(index=False).encode())
    digest.update(table.states.tobytes())
    return digest.hexdigest()


def _hash_pictures(table: SourceTable, images: Path, progress: bool) -> list[str]:
    """The content hash of every picture; refuses the dataset where one can't be read or two rows show the same one."""

    def digest(path: str) -> str | Quarantined:
        try:
            return content_hash(read_grey(images / path).pixels)
        except ImageError as error:
            return Quarantined(path, None, path, str(error))

    paths = table.rows["path"].tolist()
    with ThreadPoolExecutor() as pool:
        found = list(
            tqdm(pool.map(digest, paths), "reading pictures", len(paths), disable=not progress, leave=False)
        )
    bad = [each for each in found if isinstance(each, Quarantined)]
    _refuse_bad(str(images), bad)
    return [each for each in found if isinstance(each, str)]


def _site(connection: Connection, name: str, synthetic: bool) -> int:
    connection.execute(insert(Site).values(name=name, synthetic=synthetic).on_conflict_do_nothing())
    found = connection.execute(select(Site.id, Site.synthetic).where(Site.name == name)).one()
    if found.synthetic != synthetic:
        kind = "drawn" if found.synthetic else "real"
        raise DataError(f"site {name} holds {kind} images; drawn and real images can't share a site")
    return int(found.id)


def _images(
    connection: Connection, site_id: int, rows: pd.DataFrame, images: Path | None, hashes: list[str] | None
) -> NDArray[np.int32]:
    """Ids (n_rows,) of the images of the rows; an image that another dataset of the site has is the same image."""
    metadata = [column for column in rows.columns if column not in COLUMNS]
    lines = io.StringIO()
    writer = csv.writer(lines)
    for row, digest in zip(rows.to_dict("records"), hashes or [""] * len(rows), strict=True):
        path = str((images / row["path"]).resolve()) if images is not None and row["path"] else None
        extra = {column: row[column] for column in metadata if _given(row[column])}
        cells = [row["image"], row["patient"], digest, path, row["view"], row["age"], row["sex"]]
        writer.writerow([_cell(cell) for cell in cells] + [json.dumps(extra, default=str) if extra else None])
    lines.seek(0)
    connection.execute(
        text(
            "create temporary table incoming (position serial, name text, patient text, content_hash text, path text,"
            " view text, age real, sex text, metadata jsonb) on commit drop"
        )
    )
    columns = ("name", "patient", "content_hash", "path", "view", "age", "sex", "metadata")
    copy_text(connection, "incoming", columns, lines)
    _refuse_changed(connection, site_id)
    connection.execute(
        text(
            "insert into image (site_id, name, patient, content_hash, path, view, age, sex, metadata)"
            " select :site_id, name, patient, content_hash, path, view, age, sex, metadata from incoming order by position"
            " on conflict (site_id, name) do update set"
            " content_hash = coalesce(image.content_hash, excluded.content_hash),"
            " path = coalesce(excluded.path, image.path), patient = coalesce(image.patient, excluded.patient),"
            " view = coalesce(image.view, excluded.view), age = coalesce(image.age, excluded.age),"
            " sex = coalesce(image.sex, excluded.sex), metadata = coalesce(image.metadata, excluded.metadata)"
        ),
        {"site_id": site_id},
    )
    ids = connection.scalars(
        text(
            "select image.id from incoming join image on image.site_id = :site_id and image.name = incoming.name"
            " order by incoming.position"
        ),
        {"site_id": site_id},
    ).all()
    connection.execute(text("drop table incoming"))
    return np.array(ids, dtype=np.int32)


def _refuse_changed(connection: Connection, site_id: int) -> None:
    """An image name of a site stands for one picture and one patient, whichever dataset names it."""
    changed = connection.execute(
        text(
            "select image.name from incoming join image on image.site_id = :site_id and image.name = incoming.name"
            " where image.content_hash <> incoming.content_hash or image.patient <> incoming.patient"
            " order by incoming.position limit 1"
        ),
        {"site_id": site_id},
    ).scalar()
    if changed is not None:
        raise DataError(
            f"image {changed}: registered before at this site with another picture or patient; "
            "images of one name must be the same, use another site for other pictures"
        )


def _labels(connection: Connection, dataset_id: int, table: SourceTable) -> None:
    """Label vectors of every task that the dataset speaks of, and the native terms behind them."""
    terms = sorted({str(term) for term in pd.unique(table.terms.ravel()) if term is not None})
    if terms:
        connection.execute(insert(SourceTerm), [{"dataset_id": dataset_id, "term": term} for term in terms])
    stored = connection.execute(
        select(SourceTerm.term, SourceTerm.id).where(SourceTerm.dataset_id == dataset_id)
    )
    codes = dict(stored.tuples().all())
    spoken_of = np.flatnonzero((table.states != NOT_MENTIONED).any(axis=0))
    rows = []
    for task in spoken_of:
        ids = pd.Series(table.terms[:, task]).map(codes)
        term_ids = array(ids.fillna(0).to_numpy(np.int32), "int4", ids.isna().to_numpy())
        states = array(table.states[:, task].astype(np.int16), "int2")
        rows.append((scalar(dataset_id, "int4"), scalar(int(task), "int2"), states, term_ids))
    copy_in(connection, "label", ("dataset_id", "task_id", "states", "term_ids"), rows)


def _truth(connection: Connection, ids: dict[str, int], truth: pd.DataFrame) -> None:
    lines = io.StringIO()
    writer = csv.writer(lines)
    for row in truth.to_dict("records"):
        if row["image"] not in ids:
            raise DataError(f"planted truth: image {row['image']} is not in the dataset")
        writer.writerow([ids[row["image"]], row["finding"], bool(row["present"]), _cell(row["size"])])
    lines.seek(0)
    copy_text(connection, "planted_truth", ("image_id", "finding", "present", "size"), lines)


def _given(value: Any) -> bool:
    return value is not None and value == value and value != ""


def _cell(value: Any) -> Any:
    return value if _given(value) else None

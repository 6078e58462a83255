"""Registration: the rows of a label file and their pictures into the database, in one transaction or not at all."""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert

from db.copy import array, copy_in, copy_out, copy_text, read_array, scalar
from db.findings import put_findings, put_list
from db.queries import query
from db.schema import Dataset, LabelRule, Site, SourceTerm
from db.store import list_hash, put_image_list
from xray.data import identity, leakage
from xray.data.labels.rules import all_rules
from xray.data.mapping.summary import Summary
from xray.data.native_columns import EncodedColumn, digest_columns, encode, put_columns
from xray.data.picture_hashes import PictureCounts, PictureFacts, count_pictures, fault, look
from xray.data.places import stored_paths, take_places
from xray.data.quarantine import put_quarantine, read_quarantine, refuse_unusable
from xray.data.readers import put_readers
from xray.data.sources.base import COLUMNS, NOT_MENTIONED, Quarantined, SourceTable
from xray.data.sources.datasets import published_datasets, published_sites
from xray.data.spelling import spelled
from xray.errors import DataError
from xray.findings import column_bytes
from xray.pixels.reading import AS_STORED, Reading
from xray.tasks import TASKS

_SAME_PICTURE = "shows the same picture"
VIEW = "view"
"""Kept as a native column too: another dataset of the same images may say something else."""


@dataclass(frozen=True)
class Registration:
    """What was registered: the dataset's id and sizes; `unchanged` where the same content was there already.

    quarantine: what was set aside. notes: what a user should know of the dataset as a whole. pictures: how its pictures were
    read; None where they were not read now. summary: what was made of its label file.
    """

    dataset_id: int
    name: str
    n_images: int
    n_patients: int
    unchanged: bool
    quarantine: list[Quarantined] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: PictureCounts | None = None
    summary: Summary | None = None

    def news(self) -> list[str]:
        """A line each for a log: how unusual pictures were read, the notes, and how much was set aside."""
        lines = [*(self.pictures.lines() if self.pictures else ()), *self.notes]
        n_set_aside = sum(not entry.kept for entry in self.quarantine)
        if n_set_aside:
            lines.append(f"{n_set_aside} row(s) or picture(s) set aside: xray dataset quarantine {self.name}")
        return lines


def register(
    connection: Connection,
    name: str,
    site: str,
    source: str,
    table: SourceTable,
    images: Path | None,
    *,
    truth: pd.DataFrame | None = None,
    contents: Sequence[PictureFacts | str] | None = None,
    strict: bool = False,
    partial: bool = False,
    home: Path | None = None,
    reading: Reading = AS_STORED,
    mapping: dict[str, Any] | None = None,
) -> Registration:
    """Register the rows of `table` as dataset `name` of `site`, within the caller's transaction.

    images: the folder of the pictures; None for labels without pixels. contents: what its pictures show, by `look`, by row
    (read now if not given). truth: columns image, finding, present, size, of a drawn site. What can't be used
    is set aside (`strict`: is an error). The same content again changes nothing but where the pictures are read from. home:
    paths in it are stored relative to it. reading: how the pictures' files are read. mapping: keys of the
    mapping file by which the rows were read. Raises `DataError` where too little
    can be used (see `refuse_unusable`), or another content has this name.
    """
    encoded = _encode(table)
    digest = _digest(site, source, table, encoded, images, reading)
    # another registration of this name ends first
    connection.execute(
        text("select pg_advisory_xact_lock(hashtext('xray dataset'), hashtext(:name))"), {"name": name}
    )
    registration = find_registered(connection, name, site, digest)
    if registration is not None:
        notes = _repaired(registration, table, images, source, reading)
        if images is not None and (
            n := take_places(connection, registration.dataset_id, site, table.rows, images, home)
        ):
            notes.append(f"{n} picture(s) are read from {images.resolve()} from now on")
        return replace(registration, notes=notes)
    if images is not None:
        contents = (
            look(table.rows["path"].tolist(), images, reading=reading) if contents is None else contents
        )
        table, contents = _set_aside_pictures(table, contents, source, reading)
        encoded = _encode(table)
    refuse_unusable(name, len(table.rows), table.quarantine, strict=strict, partial=partial)
    site_id = _site(connection, site, synthetic=truth is not None)
    image_ids = _images(connection, site_id, table.rows, images, contents, home)
    list_id = put_image_list(
        connection, list_hash([f"{site}/{image}" for image in table.rows["image"]]), image_ids
    )
    dataset_id = connection.scalar(
        insert(Dataset)
        .values(
            name=name,
            site_id=site_id,
            image_list_id=list_id,
            source=source,
            content_hash=digest,
            reading=reading.text,
            mapping=mapping,
            reader_rule=table.panel.rule if table.panel is not None else None,
        )
        .returning(Dataset.id)
    )
    assert dataset_id is not None
    _labels(connection, dataset_id, table)
    if table.panel is not None:
        put_readers(connection, dataset_id, table.panel, table.findings)
    _rules(connection, dataset_id, source)
    put_columns(connection, dataset_id, encoded)
    put_quarantine(connection, dataset_id, table.quarantine)
    if truth is not None:
        _truth(connection, dict(zip(table.rows["image"], image_ids, strict=True)), truth)
    n_patients = connection.execute(text(query("registered")), {"name": name}).one().patients
    return Registration(
        dataset_id,
        name,
        len(table.rows),
        n_patients,
        False,
        list(table.quarantine),
        list(table.notes),
        count_pictures(contents) if images is not None and contents is not None else None,
    )


def content_digest(
    site: str, source: str, table: SourceTable, images: Path | None, reading: Reading = AS_STORED
) -> str:
    """Content hash of what label files say (pictures are covered by the hashes of the images)."""
    return _digest(site, source, table, _encode(table), images, reading)


def find_registered(connection: Connection, name: str, site: str, digest: str) -> Registration | None:
    """The dataset of this name, None where there is none. Raises `DataError` where it has other content."""
    row = connection.execute(text(query("registered")), {"name": name}).one_or_none()
    if row is None:
        return None
    if (row.content_hash, row.site) != (digest, site):
        raise DataError(
            f"{name}: a dataset of this name is registered with other content or another site ({row.site}); "
            "datasets are never changed, register the new files under another name"
        )
    return Registration(
        row.dataset_id,
        name,
        row.images,
        row.patients,
        True,
        read_quarantine(connection, row.dataset_id),
    )


def _encode(table: SourceTable) -> list[EncodedColumn]:
    native = [column for column in table.rows.columns if column not in COLUMNS]
    return [encode(column, table.rows[column]) for column in (*native, VIEW)]


def _digest(
    site: str,
    source: str,
    table: SourceTable,
    encoded: Sequence[EncodedColumn],
    images: Path | None,
    reading: Reading,
) -> str:
    manner = [] if reading == AS_STORED else [reading.text]
    digest = hashlib.sha256(json.dumps([site, source, images is not None, *manner]).encode())
    columns = [encode(column, table.rows[column]) for column in COLUMNS if column not in ("age", VIEW)]
    digest_columns([*columns, *encoded], digest)
    digest.update(table.rows["age"].to_numpy("<f4").tobytes())
    digest.update(column_bytes(table.states, table.findings, NOT_MENTIONED))
    if table.panel is not None:
        digest.update(json.dumps([table.panel.rule, *table.panel.names]).encode())
        for states in table.panel.states:
            digest.update(column_bytes(states, table.findings, NOT_MENTIONED))
    return digest.hexdigest()


def _set_aside_pictures(
    table: SourceTable, contents: Sequence[PictureFacts | str], source: str, reading: Reading
) -> tuple[SourceTable, list[PictureFacts | str]]:
    """The rows whose pictures can be used. A second row that shows the same picture is set aside.

    In the published datasets it is kept and marked: their owners list it, and published counts include it.
    """
    published = published_datasets().get(source)
    maximum = published.maximum if published is not None and reading == AS_STORED else None
    names, paths = table.rows["image"].tolist(), table.rows["path"].tolist()
    first: dict[str, str] = {}
    usable = np.ones(len(names), dtype=bool)
    quarantine = []
    for row, (name, path, outcome) in enumerate(zip(names, paths, contents, strict=True)):
        reason = outcome if isinstance(outcome, str) else fault(outcome, maximum)
        is_kept = False
        if reason is None and not isinstance(outcome, str):
            earlier = first.setdefault(outcome.content_hash, name)
            if earlier != name:
                reason, is_kept = f"{_SAME_PICTURE} as image {earlier}", source in published_sites()
        if reason is not None:
            quarantine.append(
                Quarantined(path if isinstance(path, str) else name, None, name, reason, is_kept)
            )
            usable[row] = is_kept
    return table.take(usable, quarantine), [
        outcome for outcome, yes in zip(contents, usable, strict=True) if yes
    ]


def _repaired(
    registration: Registration, table: SourceTable, images: Path | None, source: str, reading: Reading
) -> list[str]:
    """A note where pictures that were set aside at registration can be used now: a registered dataset stays as it is."""
    set_aside = {
        entry.image
        for entry in registration.quarantine
        if entry.row is None and not entry.kept and not entry.reason.startswith(_SAME_PICTURE)
    }
    rows = table.rows[table.rows["image"].isin(set_aside)].reset_index(drop=True)
    if images is None or rows.empty:
        return []
    candidates = SourceTable(
        rows, table.states[: len(rows)], table.terms[: len(rows)], [], [], table.findings
    )
    contents = look(rows["path"].tolist(), images, reading=reading)
    usable, _ = _set_aside_pictures(candidates, contents, source, reading)
    if usable.rows.empty:
        return []
    return [
        f"{len(usable.rows)} picture(s) that were set aside can be used now, such as {usable.rows['image'][0]}; "
        "a registered dataset is never changed: register the files under another name to take them in"
    ]


def _site(connection: Connection, name: str, synthetic: bool) -> int:
    """The site's id; no other registration at this site goes on until this transaction ends."""
    connection.execute(
        text("select pg_advisory_xact_lock(hashtext('xray site'), hashtext(:name))"), {"name": name}
    )
    connection.execute(insert(Site).values(name=name, synthetic=synthetic).on_conflict_do_nothing())
    site = connection.execute(select(Site.id, Site.synthetic).where(Site.name == name)).one()
    if site.synthetic != synthetic:
        kind = "synthetic" if site.synthetic else "real"
        raise DataError(f"site {name} holds {kind} images; synthetic and real images can't share a site")
    return int(site.id)


def _images(
    connection: Connection,
    site_id: int,
    rows: pd.DataFrame,
    images: Path | None,
    contents: Sequence[PictureFacts | str] | None,
    home: Path | None,
) -> NDArray[np.int32]:
    """Ids (n_rows,) of the images of the rows; an image that another dataset of the site has is the same image."""
    frame = rows[["image", "patient", "view", "age", "sex"]].rename(columns={"image": "name"})
    if "original" in rows.columns:
        frame["original"] = rows["original"].where(rows["original"] != rows["image"], "")
    if contents is not None:
        frame["content_hash"] = [
            picture.content_hash for picture in contents if isinstance(picture, PictureFacts)
        ]
        frame["perceptual_hash"] = [
            picture.perceptual_hash for picture in contents if isinstance(picture, PictureFacts)
        ]
    if images is not None:
        frame["path"] = stored_paths(images, rows["path"].tolist(), home)
    connection.execute(text(query("incoming_images")))
    copy_text(
        connection, "incoming", tuple(frame.columns), io.StringIO(frame.to_csv(index=False, header=False))
    )
    parameters = {"site_id": site_id}
    connection.execute(text("analyze incoming"))
    identity.lock(connection)
    _refuse_changed(connection, site_id)
    _put_images(connection, site_id)
    ((ids,),) = copy_out(connection, query("incoming_ids"), **parameters)
    assert ids is not None
    image_ids = read_array(ids, "int4")
    connection.execute(text("drop table incoming"))
    return image_ids.astype(np.int32)


def _put_images(connection: Connection, site_id: int) -> None:
    """The incoming images into the database, with their patients and canonical images; earlier ones are merged again."""
    parameters = {"site_id": site_id}
    news = connection.execute(text(query("images_now_told")), parameters).scalar_one()
    newest = identity.newest_image(connection)
    connection.execute(text(query("put_patients")), parameters)
    connection.execute(text(query("put_images")), parameters)
    changes = {image for image in identity.merge(connection, site_id) if image <= newest}
    if changes:
        identity.forget_results(connection, changes)
    if news or changes:
        leakage.forget(connection)


def _refuse_changed(connection: Connection, site_id: int) -> None:
    """An image name of a site stands for one picture and one patient, whichever dataset names it."""
    image = connection.execute(text(query("images_changed")), {"site_id": site_id}).scalar()
    if image is not None:
        raise DataError(
            f"image {image}: registered before at this site with another picture or patient; "
            "images of one name must be the same and read the same way, use another site for other pictures"
        )


def _labels(connection: Connection, dataset_id: int, table: SourceTable) -> None:
    """The list of findings, the label vectors of those that the dataset speaks of, and the native terms behind them."""
    mentioned = (table.states != NOT_MENTIONED).any(axis=0)
    spoken_of = np.flatnonzero(mentioned)
    dataset_findings = [
        finding for finding, yes in zip(table.findings, mentioned, strict=True) if yes or finding not in TASKS
    ]
    put_list(connection, "dataset", dataset_id, spelled(connection, dataset_findings))
    numbers = put_findings(connection, spelled(connection, table.findings))
    encoded = {task: pd.factorize(table.terms[:, task]) for task in spoken_of.tolist()}
    terms = sorted({str(term) for _, uniques in encoded.values() for term in uniques})
    if terms:
        connection.execute(insert(SourceTerm), [{"dataset_id": dataset_id, "term": term} for term in terms])
    result = connection.execute(
        select(SourceTerm.term, SourceTerm.id).where(SourceTerm.dataset_id == dataset_id)
    )
    ids = {row.term: row.id for row in result}
    rows = []
    for task, (codes, uniques) in encoded.items():
        term_ids = np.array([ids[str(term)] for term in uniques] + [0], dtype=np.int32)[codes]
        rows.append(
            (
                scalar(dataset_id, "int4"),
                scalar(numbers[task], "int2"),
                array(table.states[:, task].astype(np.int16), "int2"),
                array(term_ids, "int4", codes < 0),
            )
        )
    copy_in(connection, "label", ("dataset_id", "task_id", "states", "term_ids"), rows)


def _rules(connection: Connection, dataset_id: int, source: str) -> None:
    """The label rules of the dataset's labeller, as they are now."""
    label_rules = all_rules(source)
    tasks = list(dict.fromkeys(rule.task for rule in label_rules if rule.task))
    ids = dict(zip(tasks, put_findings(connection, tasks), strict=True))
    rows = [
        {
            "dataset_id": dataset_id,
            "position": position,
            "native_column": rule.column,
            "term": rule.term,
            "task_id": ids[rule.task] if rule.task else None,
            "rule": rule.rule,
            "rule_set": rule.protocol or None,
            "source": rule.source,
        }
        for position, rule in enumerate(label_rules)
    ]
    if rows:
        connection.execute(insert(LabelRule), rows)


def _truth(connection: Connection, ids: dict[str, int], truth: pd.DataFrame) -> None:
    """The planted truth of the images that were taken."""
    registered = truth[truth["image"].isin(list(ids))]
    frame = pd.DataFrame(
        {
            "image_id": registered["image"].map(ids),
            "finding": registered["finding"],
            "present": registered["present"].astype(bool),
            "size": registered["size"],
        }
    )
    lines = io.StringIO(frame.to_csv(index=False, header=False))
    copy_text(connection, "planted_truth", tuple(frame.columns), lines)

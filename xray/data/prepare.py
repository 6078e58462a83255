"""From a study's entry for a dataset to cohorts for training: drawn, read, registered, split, cached."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
from sqlalchemy import Connection, Engine, text

from db.queries import query
from xray.data.cohorts import freeze
from xray.data.mapping.model import Mapping as Words
from xray.data.mapping.model import read_mapping
from xray.data.mapping.summary import summarise
from xray.data.phantom.generate import write_site
from xray.data.phantom.sites import load_sites
from xray.data.picture_hashes import MEMORY, changed, look
from xray.data.pictures import pixel_cache
from xray.data.protocol import EXTERNAL, NAMED, load_protocol
from xray.data.quarantine import refuse_unusable
from xray.data.register import Registration, content_digest, find_registered, register
from xray.data.registered import RegisteredDataset, dataset_id, read_dataset
from xray.data.request import DatasetRequest, Phantom
from xray.data.selection import select as select_rows
from xray.data.sources.base import SourceTable, sources
from xray.data.sources.declared import with_declared
from xray.data.sources.dicom_folder import read_dicom_folder
from xray.data.sources.fit_names import with_fit_names
from xray.data.sources.labels import read_labels
from xray.data.sources.manifest import read_manifest
from xray.data.sources.panel import with_label
from xray.errors import DataError
from xray.names import unknown
from xray.pixels.reading import AS_STORED, Reading


@dataclass(frozen=True)
class Prepared:
    """A dataset that is ready: what is registered, whether that was done now, and then what is to be said of it."""

    dataset_id: int
    n_images: int
    new: bool
    news: tuple[str, ...] = ()


def prepare(engine: Engine, home: Path, request: DatasetRequest, protocol: str, size: int | None) -> Prepared:
    """Make a dataset ready for training and testing under a protocol at an image size; what is done already stays.

    size: None where nothing is trained: models from elsewhere have pictures prepared as their cards say.

    Raises `DataError` where its files are bad, or it is neither described nor registered.
    """
    if request.phantom is None and request.labels is None:
        with engine.begin() as connection:
            registered, new, news = dataset_id(connection, request.name), False, []
    else:
        registration = register_request(engine, request, protocol, home=home)
        registered, new = registration.dataset_id, not registration.unchanged
        news = registration.news() if new else []
    with engine.begin() as connection:
        dataset = read_dataset(connection, registered)
        if dataset.site != request.site:
            raise DataError(
                f"{request.name}: registered as site {dataset.site}, the study says {request.site}"
            )
        rules = load_protocol(protocol)
        freeze(connection, dataset, rules)
    if size is not None:
        pixel_cache(dataset, home, size, rules.preprocessing.crop)
    return Prepared(registered, len(dataset.image_ids), new, tuple(news))


def register_request(
    engine: Engine,
    request: DatasetRequest,
    protocol: str,
    *,
    home: Path | None = None,
    progress: bool = False,
    strict: bool = False,
    partial: bool = False,
    look_again: bool = False,
    dry_run: bool = False,
) -> Registration:
    """Register a dataset from its files and freeze its cohorts under a protocol, in one transaction.

    home: what pictures show is remembered there, so that a registration that was stopped goes on where it was. strict,
    partial: see `register`. look_again: pictures of a registered dataset whose files have changed since are looked at again
    (raises `DataError` where they show something else). A dataset that the protocol can't split is registered all the same,
    and noted. dry_run: everything is checked as it would be, and the database is left as it was.
    """
    source, images, table, truth = _read(request, home)
    contents = None
    if images is not None:  # pictures are looked at before the transaction
        digest = content_digest(request.site, source, table, images, request.reading)
        with engine.begin() as connection:
            registration = find_registered(connection, request.name, request.site, digest)
        if registration is None:
            refuse_unusable(request.name, len(table.rows), table.quarantine, strict=strict, partial=partial)
            memory = home / MEMORY if home is not None else None
            contents = look(table.rows["path"].tolist(), images, memory, progress, request.reading)
        elif look_again and home is not None:
            _refuse_changed(engine, registration, table, images, home, request.reading)
    with engine.connect() as connection:
        result = register(
            connection,
            request.name,
            request.site,
            source,
            table,
            images,
            truth=truth,
            contents=contents,
            strict=strict,
            partial=partial,
            home=home,
            reading=request.reading if images is not None else AS_STORED,
            mapping=read_mapping(request.mapping).keys if request.mapping is not None else None,
        )
        notes = freeze_dataset(connection, result.dataset_id, protocol)
        if dry_run:
            connection.rollback()
        else:
            connection.commit()
    rules = load_protocol(protocol)
    return dataclasses.replace(
        result,
        notes=[*dict.fromkeys([*table.notes, *result.notes]), *notes],
        summary=summarise(
            table, rules.rule("manifest" if source == "phantom" else source), rules.name, source
        ),
    )


def _refuse_changed(
    engine: Engine, registration: Registration, table: SourceTable, images: Path, home: Path, reading: Reading
) -> None:
    """A registered picture that was replaced is not taken: models and labels would mean something else."""
    with engine.begin() as connection:
        result = connection.execute(text(query("dataset_images")), {"dataset_id": registration.dataset_id})
        content = {row.image: row.content_hash for row in result}
    rows = table.rows[table.rows["image"].isin(list(content))]
    files = [images / path for path in rows["path"]]
    different = changed(files, [content[image] for image in rows["image"]], home / MEMORY, reading)
    if different:
        raise DataError(
            f"{registration.name}: {len(different)} of {len(files)} picture(s) changed since they were registered, first "
            f"{different[0]}: put the registered files back, or register these under another name"
        )


def _read(
    request: DatasetRequest, home: Path | None
) -> tuple[str, Path | None, SourceTable, pd.DataFrame | None]:
    """Source, image folder, rows and planted truth of a dataset that is asked for."""
    if request.phantom is not None:
        assert home is not None
        labels = draw_phantom(request.name, request.phantom, home)
        truth = pd.read_csv(labels.parent / "truth.csv").rename(
            columns={"image_id": "image", "task": "finding"}
        )
        return "phantom", labels.parent, read_source("manifest", labels, labels.parent), truth
    assert request.labels is not None
    folder = request.labels if request.labels.is_dir() else request.labels.parent
    pictures = None if request.labels_only else request.images or folder
    table = read_source(
        request.source, request.labels, pictures, request.findings, request.mapping, request.readers
    )
    return request.source, pictures, table, None


def freeze_all(connection: Connection, protocols: Sequence[str]) -> list[str]:
    """Freeze the cohorts of every registered dataset under each of these protocols; what stood in the way of some."""
    registered = connection.execute(text("select id, name from dataset order by id")).all()
    return [
        f"{row.name}: {note}"
        for protocol in protocols
        for row in registered
        for note in freeze_dataset(connection, row.id, protocol)
    ]


def freeze_for_models(connection: Connection) -> list[str]:
    """Freeze the cohorts that are missing under protocols that models were trained under; what stood in the way of some.

    A protocol that does not come along (a file of the user's own) is left to who has the file.
    """
    missing = connection.execute(text(query("cohorts_missing"))).all()
    rows = [
        row for row in missing if row.protocol in NAMED and load_protocol(row.protocol).version == row.version
    ]
    return [
        f"{row.dataset}: {note}"
        for row in rows
        for note in freeze_dataset(connection, row.dataset_id, row.protocol)
    ]


def freeze_dataset(
    connection: Connection, registered: int, protocol: str, required: Collection[str] = ("train", "test")
) -> list[str]:
    """Freeze the cohorts of a registered dataset under a protocol; what stood in the way, where it can't be split.

    required: the parts without which it isn't."""
    rules = load_protocol(protocol)
    dataset = read_dataset(connection, registered)
    try:
        with connection.begin_nested():
            freeze(connection, dataset, rules, required)
    except DataError as failure:
        return [
            f"no cohorts under {rules.name}: {failure}{_tested_at_least(dataset) if rules.trains else ''}"
        ]
    return []


def _tested_at_least(dataset: RegisteredDataset) -> str:
    """A half sentence: which protocol takes the images of a dataset that can't be split."""
    images = len(select_rows(dataset.table, dataset.labeller, load_protocol(EXTERNAL)))
    return f" ({EXTERNAL}, for models from elsewhere, tests on {images} of its images)" if images else ""


def draw_phantom(name: str, phantom: Phantom, home: Path) -> Path:
    """Draw a phantom dataset into a home; its label file. What is there already stays.

    Raises `DataError` where there is no such site.
    """
    folder, sites = home / "phantom" / f"{name}-{phantom.seed}", load_sites()
    if phantom.site not in sites:
        raise DataError(unknown("phantom site", phantom.site, sites))
    return write_site(
        sites[phantom.site], folder, patients=phantom.patients, size=phantom.size, seed=phantom.seed
    )


_OF_ANY_TABLE: Final[
    Mapping[str, Callable[[Path, Path | None, Sequence[str], Words | None, str], SourceTable]]
] = {
    "manifest": read_manifest,
    "labels": read_labels,
    "dicom": read_dicom_folder,
}
"""Readers of tables in anybody's layout, which take declared findings and a mapping."""


def read_source(
    name: str,
    labels: Path,
    images: Path | None,
    findings: Sequence[str] = (),
    mapping: Path | None = None,
    readers: str | None = None,
) -> SourceTable:
    """Read native label files by the reader of this name. findings: those that are declared beside the default list.

    mapping: the file that says what columns and words are. readers: the rule by which labels follow from those of several
    readers. Raises `DataError` where there is no such reader, or it takes no
    mapping.
    """
    reader_of = sources()
    if name not in reader_of:
        raise DataError(unknown("reader", name, sorted(reader_of)))
    if name in _OF_ANY_TABLE:
        words = read_mapping(mapping) if mapping is not None else None
        origin = mapping.name if mapping is not None else ""
        table = _OF_ANY_TABLE[name](labels, images, findings, words, origin)
        return with_label(with_fit_names(table, labels.name), readers, labels.name)
    if mapping is not None:
        raise DataError(
            f"{mapping.name}: files of source {name} have known columns, and take no mapping file"
        )
    table = with_declared(reader_of[name](labels, images), findings, labels.name)
    return with_label(with_fit_names(table, labels.name), readers, labels.name)

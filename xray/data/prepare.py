"""From what a study says of a dataset to cohorts that can be trained on: drawn, read, registered, split, cached."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sqlalchemy import Engine

from xray.data.cohorts import freeze
from xray.data.phantom.generate import write_site
from xray.data.phantom.sites import load_sites
from xray.data.pictures import pixel_cache
from xray.data.protocol import load_protocol
from xray.data.register import Registration, register
from xray.data.registered import dataset_id, read_dataset
from xray.data.sources.base import SourceTable, sources
from xray.errors import DataError


@dataclass(frozen=True)
class Phantom:
    """A dataset to be drawn: one of the known phantom sites, so many patients, pictures of `size` pixels."""

    site: str
    patients: int
    size: int = 64
    seed: int = 0


@dataclass(frozen=True)
class DatasetRequest:
    """A dataset that is asked for: drawn (`phantom`), read from files (`labels`, `images`), or registered (neither)."""

    name: str
    site: str
    source: str
    labels: Path | None
    images: Path | None
    phantom: Phantom | None


@dataclass(frozen=True)
class Prepared:
    """A dataset that is ready: what is registered, and whether that was done now."""

    dataset_id: int
    n_images: int
    new: bool


def prepare(engine: Engine, home: Path, request: DatasetRequest, protocol: str, size: int) -> Prepared:
    """Make a dataset ready for training and testing under a protocol at an image size; what is done already stays.

    Raises `DataError` where its files are bad, or it is neither described nor registered.
    """
    if request.phantom is None and request.labels is None:
        with engine.begin() as connection:
            registered, new = dataset_id(connection, request.name), False
    else:
        registration = register_request(engine, request, protocol, home=home)
        registered, new = registration.dataset_id, not registration.unchanged
    with engine.begin() as connection:
        dataset = read_dataset(connection, registered)
        if dataset.site != request.site:
            raise DataError(
                f"{request.name}: registered as site {dataset.site}, the study says {request.site}"
            )
        rules = load_protocol(protocol)
        freeze(connection, dataset, rules)
    pixel_cache(dataset, home, size, rules.preprocessing.crop)
    return Prepared(registered, len(dataset.image_ids), new)


def register_request(
    engine: Engine,
    request: DatasetRequest,
    protocol: str,
    *,
    home: Path | None = None,
    progress: bool = False,
) -> Registration:
    """Register a dataset from its files and freeze its cohorts under a protocol, in one transaction."""
    if request.phantom is not None:
        assert home is not None
        source, images = "phantom", home / "phantom" / f"{request.name}-{request.phantom.seed}"
        table, truth = _draw(request.phantom, images)
    else:
        assert request.labels is not None
        source, images, truth = request.source, request.images or request.labels.parent, None
        table = read_source(request.source, request.labels, images)
    with engine.begin() as connection:
        done = register(
            connection, request.name, request.site, source, table, images, truth=truth, progress=progress
        )
        freeze(connection, read_dataset(connection, done.dataset_id), load_protocol(protocol))
    return done


def _draw(phantom: Phantom, folder: Path) -> tuple[SourceTable, pd.DataFrame]:
    known = load_sites()
    if phantom.site not in known:
        raise DataError(f"there is no phantom site {phantom.site!r}; known: {', '.join(known)}")
    labels = write_site(
        known[phantom.site], folder, patients=phantom.patients, size=phantom.size, seed=phantom.seed
    )
    truth = pd.read_csv(folder / "truth.csv").rename(columns={"image_id": "image", "task": "finding"})
    return read_source("manifest", labels, folder), truth


def read_source(name: str, labels: Path, images: Path | None) -> SourceTable:
    """Read native label files by the reader of this name. Raises `DataError` where there is no such reader."""
    known = sources()
    if name not in known:
        raise DataError(f"there is no reader {name!r}; known: {', '.join(sorted(known))}")
    return known[name](labels, images)

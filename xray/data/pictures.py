"""The pictures of a registered dataset as a pixel cache: the one place where data and pixels meet."""

import shutil
from pathlib import Path
from typing import cast

import numpy as np

from xray.data.registered import RegisteredDataset
from xray.errors import DataError, PicturesError
from xray.pixels.cache import PixelCache, build
from xray.pixels.cache_files import holds_only_ours, request_of
from xray.pixels.preprocess import Crop


def pixel_cache(
    dataset: RegisteredDataset, home: Path, size: int, crop: str, *, progress: bool = False
) -> PixelCache:
    """The cache of a dataset's pictures at this size, in the dataset's order; built where it is not there yet.

    It is known by what the pictures show: the same pictures from another folder, or of another dataset, are prepared once.
    Raises `DataError` where the dataset was registered without pictures, or some that are still to be prepared are gone, or
    show something else than when they were registered.
    """
    content = [digest for digest in dataset.content if digest is not None]
    stored_paths_of = dataset.table.rows["path"]
    if stored_paths_of.isna().any() or len(content) < len(stored_paths_of):
        raise DataError(f"{dataset.name}: registered without pictures; add it again with its image folder")
    paths = [home / path for path in stored_paths_of]
    root = home / "pixels"
    folder = root / request_of(paths, content, size, crop, np.dtype(np.uint8)).name
    try:
        cache = build(
            paths,
            folder,
            content=content,
            reading=dataset.reading,
            size=size,
            crop=cast(Crop, crop),
            progress=progress,
        )
    except PicturesError as error:
        advice = (
            "put the registered files back, add the dataset again from where they are now, or register these under "
            "another name"
        )
        if paths[0].is_relative_to(home / "phantom"):
            advice = f"remove {paths[0].parent.parent}, and they are drawn again"
        raise DataError(f"{dataset.name}: {error}; {advice} (pictures already prepared are kept)") from error
    _remove_earlier(root / f"{dataset.name}-{dataset.id}-{size}-{crop}")
    return cache


def _remove_earlier(folder: Path) -> None:
    """Remove a cache of the format that knew pictures by their paths: this one stands in its place."""
    if holds_only_ours(folder):
        shutil.rmtree(folder, ignore_errors=True)

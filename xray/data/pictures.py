"""The pictures of a registered dataset as a pixel cache: the one place where data and pixels meet."""

from pathlib import Path
from typing import cast

from xray.data.registered import RegisteredDataset
from xray.errors import DataError
from xray.pixels.cache import PixelCache, build
from xray.pixels.preprocess import Crop


def pixel_cache(
    dataset: RegisteredDataset, home: Path, size: int, crop: str, *, progress: bool = False
) -> PixelCache:
    """The cache of a dataset's pictures at this size, in the dataset's order; built where it is not there yet.

    Raises `DataError` where the dataset was registered without pictures, or one of them is gone since.
    """
    paths = dataset.table.rows["path"]
    if paths.isna().any():
        raise DataError(f"{dataset.name}: registered without pictures; add it again with its image folder")
    folder = home / "pixels" / f"{dataset.name}-{dataset.id}-{size}-{crop}"
    cache = build([Path(p) for p in paths], folder, size=size, crop=cast(Crop, crop), progress=progress)
    if cache.failed:
        first = cache.failed[0]
        raise DataError(
            f"{dataset.name}: {len(cache.failed)} picture(s) can't be read any more, first {paths.iloc[first.index]}: "
            f"{first.reason}; put them back and remove {folder}"
        )
    return cache

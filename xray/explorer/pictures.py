"""Pictures as the pages show them: thumbnails from the pixel caches, whole pictures from their files.

Nothing of an address leads to a file: an image's id leads to its row, and that to its path or its place in a cache.
"""

import io
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from db.copy import read_array
from xray.errors import ImageError, XrayError
from xray.explorer.addresses import Refused
from xray.explorer.asking import Database
from xray.pixels.cache import PixelCache
from xray.pixels.cache_files import fault, read_request
from xray.pixels.decode import read_grey

THUMBNAIL: Final = 160
WHOLE: Final = 1024
"""Pixels of the longer side; a larger picture is made smaller."""
KEPT: Final = 2000
"""Thumbnails in memory, about 5 kB each."""
LOOK_SECONDS: Final = 60.0
GONE: Final = "the picture is not here: its file is gone, or it was registered without"
_AT_ONCE: Final = 2
"""Files that are decoded at the same time; each may be large."""


@dataclass(frozen=True)
class _Pictures:
    """The order of a dataset's images, and the cache of its pictures."""

    sorted_ids: NDArray[np.int32]
    rows: NDArray[np.int64]
    cache: PixelCache

    def picture(self, image: int) -> NDArray[Any] | None:
        """The cached picture of an image, None where it is not of this dataset."""
        at = int(np.searchsorted(self.sorted_ids, image))
        if at == len(self.sorted_ids) or self.sorted_ids[at] != image:
            return None
        return np.asarray(self.cache[self.rows[at : at + 1]][0])


@dataclass
class Pictures:
    """The pictures of an installation. home: its folder, in which relative paths are."""

    database: Database
    home: Path
    _places: dict[int, _Pictures] = field(default_factory=dict)
    _looked: dict[int, float] = field(default_factory=dict)
    _thumbnails: "OrderedDict[int, bytes]" = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _decoding: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_AT_ONCE))

    def thumbnail(self, image: int) -> bytes:
        """A small WebP picture. Raises `Refused`, 404, where there is none of this image."""
        with self._lock:
            if image in self._thumbnails:
                self._thumbnails.move_to_end(image)
                return self._thumbnails[image]
        picture = _encoded(_fitted(self._small(image), THUMBNAIL), "WEBP", quality=80)
        with self._lock:
            self._thumbnails[image] = picture
            while len(self._thumbnails) > KEPT:
                self._thumbnails.popitem(last=False)
        return picture

    def whole(self, image: int) -> bytes:
        """The picture as it was registered, in 8 bits, its darkest value 0 and its brightest 255, as PNG."""
        return _encoded(_fitted(self._stretched(image), WHOLE), "PNG", compress_level=1)

    def _small(self, image: int) -> NDArray[np.uint8]:
        for cache in [*self._places.values(), *self._new_places(image)]:
            cached = cache.picture(image)
            if cached is not None:
                return (
                    (cached >> 8).astype(np.uint8) if cached.dtype == np.uint16 else cached.astype(np.uint8)
                )
        return self._stretched(image)

    def _new_places(self, image: int) -> list[_Pictures]:
        """Caches of the datasets that have this image and were not looked for just now."""
        additions = []
        for row in self.database.rows("pictures", id=image) if (self.home / "pixels").is_dir() else ():
            if (
                row.pictures is None
                or time.monotonic() - self._looked.get(row.dataset_id, -LOOK_SECONDS) < LOOK_SECONDS
            ):
                continue
            self._looked[row.dataset_id] = time.monotonic()
            cache = largest(self.home / "pixels", row.pictures)
            if cache is None:
                continue
            stored = self.database.rows("dataset_order", dataset_id=row.dataset_id)[0].image_ids
            ids = read_array(memoryview(stored), "int4")
            order = np.argsort(ids, kind="stable")
            self._places[row.dataset_id] = _Pictures(ids[order], order, cache)
            additions.append(self._places[row.dataset_id])
        return additions

    def _stretched(self, image: int) -> NDArray[np.uint8]:
        rows = self.database.rows("image_file", id=image)
        if not rows or rows[0].path is None:
            raise Refused(404, GONE)
        try:
            with self._decoding:
                pixels = read_grey(self.home / rows[0].path).pixels
        except ImageError:
            raise Refused(404, GONE) from None
        low, high = float(pixels.min()), float(pixels.max())
        scale = 255 / (high - low) if high > low else 0.0
        return np.rint((pixels.astype(np.float32) - low) * scale).astype(np.uint8)


def largest(folder: Path, pictures: str) -> PixelCache | None:
    """The cache of these pictures that shows most of them, whole ones before centre crops; None where there is none."""
    fitting = []
    for path in sorted(entry for entry in folder.iterdir() if not entry.name.endswith(".partial")):
        try:
            request = read_request(path)
        except XrayError:
            continue
        if request is not None and request.pictures == pictures and fault(path) is None:
            fitting.append(((request.crop == "none", request.size), path))
    return PixelCache.open(max(fitting)[1]) if fitting else None


def _fitted(pixels: NDArray[np.uint8], side: int) -> Image.Image:
    picture = Image.fromarray(pixels)
    factor = side / max(picture.size)
    if factor < 1:
        size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
        return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2)
    return picture


def _encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    save: Callable[..., None] = picture.save
    save(buffer, form, **options)
    return buffer.getvalue()

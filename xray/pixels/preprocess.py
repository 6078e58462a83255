"""A decoded picture → the square that is stored and shown to networks (protocol §7)."""

from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike

from xray.errors import ImageError
from xray.pixels.grey import Decoded, Grey
from xray.pixels.resize import resize

Crop = Literal["centre", "none"]
"""`centre`: cut the longer side to a square. `none`: squash the whole picture into the square."""

PREPROCESSING: Final = 1
"""Raised whenever the same file would give other stored values, so that old caches are noticed."""


def check_request(size: int, crop: str, dtype: DTypeLike) -> np.dtype[Any]:
    """The dtype to store; `ValueError` where a size, crop or dtype is none that `prepare` knows."""
    if size < 1:
        raise ValueError(f"size is {size}, expected 1 or more")
    if crop not in get_args(Crop):
        raise ValueError(f"crop is {crop!r}, expected one of {get_args(Crop)}")
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind not in (np.uint8, np.uint16):
        raise ValueError(f"dtype is {kind}, expected uint8 or uint16")
    return kind


def centre_crop(pixels: Grey) -> Grey:
    """The central square of a picture (height, width), where torchxrayvision's XRayCenterCrop takes it."""
    height, width = pixels.shape
    side = min(height, width)
    top, left = height // 2 - side // 2, width // 2 - side // 2
    return pixels[top : top + side, left : left + side]


def prepare(decoded: Decoded, size: int, crop: Crop = "centre", dtype: DTypeLike = np.uint8) -> Grey:
    """Crop, resize to (size, size) as scikit-image does, and round to `dtype`, scaled to its whole range.

    The fill of the resize is mid-grey, 0 of the network's range. Rounding moves a network value by at most
    0.5 / 255 · 2048 = 4.0 for uint8 and 0.016 for uint16. An 8-bit picture that already has the right size
    loses nothing. Where a resize follows, the rounding (sd 0.29 of a grey level) is that of any 8-bit resized
    file. It drops the low byte of a 16-bit source: a protocol that wants to keep that asks for uint16.

    Raises `ImageError` where a value is above the declared maximum, `ValueError` for an unknown crop or
    dtype.
    """
    kind = check_request(size, crop, dtype)
    pixels = decoded.pixels
    if pixels.max() > decoded.maximum:
        raise ImageError(f"has value {pixels.max()}, above its declared maximum {decoded.maximum}")
    square = centre_crop(pixels) if crop == "centre" else pixels
    if square.shape == (size, size) and square.dtype == kind and decoded.maximum == np.iinfo(kind).max:
        return square.copy()
    values = resize(square, size, fill=decoded.maximum / 2)
    stored: Grey = np.rint(values * np.float32(np.iinfo(kind).max / decoded.maximum)).astype(kind)
    return stored

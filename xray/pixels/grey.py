"""What a grey picture is here, and how large it may be."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xray import limits
from xray.errors import ImageError

Grey = NDArray[np.uint8] | NDArray[np.uint16]
"""Grey values; (height, width) for one picture."""

DARK: Final = 16
"""A picture whose largest value is at most the DARKth part of its maximum shows almost nothing: its maximum is wrong."""


@dataclass(frozen=True)
class Decoded:
    """Grey values (height, width) of one picture and the largest value that its format can hold.

    choices: what was unusual or lost in reading it, in words of `xray.pixels.choices`. own_maximum: whether the maximum
    is the user's, and not the format's.
    """

    pixels: Grey
    maximum: int
    choices: tuple[str, ...] = ()
    own_maximum: bool = False


def check_size(width: int, height: int, pixel_bytes: int = 1, packed: int | None = None) -> None:
    """Raise `ImageError` for a picture without pixels, or too large (`limits.PIXELS`, `limits.PIXEL_BYTES`).

    pixel_bytes: of one pixel, all channels. packed: bytes that the pixels take in the file, if few could become many.
    """
    if width < 1 or height < 1:
        raise ImageError(f"has no pixels ({width} × {height})")
    if width * height > limits.PIXELS:
        raise ImageError(f"{width} × {height} is larger than {limits.PIXELS} pixels")
    size = width * height * pixel_bytes
    limits.check_bytes(
        size, limits.PIXEL_BYTES, f"{width} × {height} pixels of {pixel_bytes} bytes", ImageError
    )
    if packed is not None:
        limits.check_ratio(packed, size, f"{width} × {height} pixels", ImageError)

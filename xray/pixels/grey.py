"""What a grey picture is here, and how large it may be."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from xray.errors import ImageError

Grey = NDArray[np.uint8] | NDArray[np.uint16]
"""Grey values; (height, width) for one picture."""

MAX_PIXELS: Final = 2**26
"""Larger pictures (8192 × 8192) are refused before any pixel is decoded."""


def check_size(width: int, height: int) -> None:
    """Raise `ImageError` for a picture without pixels or with more than `MAX_PIXELS`."""
    if width < 1 or height < 1:
        raise ImageError(f"has no pixels ({width} × {height})")
    if width * height > MAX_PIXELS:
        raise ImageError(f"{width} × {height} is larger than {MAX_PIXELS} pixels")

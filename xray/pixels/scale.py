"""Stored values ↔ the range that every network of the platform takes: [−1024, 1024], mid-grey 0."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_network_range(values: NDArray[Any]) -> NDArray[np.float32]:
    """uint8 (or uint16) of any shape → float32: value / 255 · 2048 − 1024 (65535 for uint16).

    Computed as torchxrayvision's `normalize` does, (2 · value / maximum − 1) · 1024 in float32, so equal to
    the bit.
    """
    scaled: NDArray[np.float32] = network_table(values.dtype)[values]
    return scaled


@lru_cache(maxsize=4)
def network_table(dtype: np.dtype[Any]) -> NDArray[np.float32]:
    """The network value of every stored value: float32 (256,) for uint8, (65536,) for uint16. Read-only."""
    if dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected uint8 or uint16, got {dtype}")
    maximum = np.iinfo(dtype).max
    levels = np.arange(maximum + 1, dtype=np.float32)
    table: NDArray[np.float32] = (2 * (levels / np.float32(maximum)) - np.float32(1)) * np.float32(1024)
    table.flags.writeable = False
    return table

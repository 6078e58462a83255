"""Resize as scikit-image does it, as two products with banded matrices.

`skimage.transform.resize` of order 1 with anti-aliasing is linear and separable: out = R · image · Cᵀ. Row j
of R is a Gaussian of σ = (input / output − 1) / 2, cut at 4 σ (none when enlarging), interpolated linearly at
the centre of output pixel j. Only a band of each row differs from 0. What falls outside the picture has the
value `fill`.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xray.compiled import compiled_with
from xray.pixels.grey import Grey


class Band(NamedTuple):
    """The rows of one resize matrix: row j is `weights[j]` from column `first[j]` on.

    first: int64 (n_out,). weights: float32 (n_out, n_taps). outside: float32 (n_out,), the weight that falls
    outside the picture.
    """

    first: NDArray[np.int64]
    weights: NDArray[np.float32]
    outside: NDArray[np.float32]


def resize(pixels: Grey, size: int, *, fill: float = 0.0) -> NDArray[np.float32]:
    """A picture (height, width) of uint8 or uint16 at (size, size), in the picture's own units.

    Equal, but for float32 rounding, to `skimage.transform.resize(pixels.astype(float), (size, size), order=1,
    mode="constant", cval=fill, preserve_range=True)`: the aspect ratio is not kept, values are clipped to the
    range of the input. `fill` is the value outside the picture, which its outermost pixels blend with.
    """
    if pixels.ndim != 2 or 0 in pixels.shape:
        raise ValueError(f"expected a picture (height, width), got shape {pixels.shape}")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected uint8 or uint16, got {pixels.dtype}")
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    picture: Grey = pixels[:] if pixels.flags.c_contiguous else pixels.copy()
    picture.flags.writeable = False
    out = np.empty((size, size), np.float32)
    _apply(picture, *band(pixels.shape[0], size), *band(pixels.shape[1], size), np.float32(fill), out)
    return np.clip(out, np.float32(pixels.min()), np.float32(pixels.max()), out=out)


@lru_cache(maxsize=256)
def band(n_in: int, n_out: int) -> Band:
    """The resize matrix from `n_in` to `n_out` pixels along one axis."""
    step = n_in / n_out
    sigma = max(0.0, (step - 1) / 2)
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2) if sigma > 0 else np.ones(1)
    kernel /= kernel.sum()
    matrix_taps = 2 * radius + 2
    n_taps = min(matrix_taps, n_in)
    first = np.empty(n_out, np.int64)
    weights = np.zeros((n_out, n_taps))
    for row in range(n_out):
        centre = (row + 0.5) * step - 0.5
        left = int(np.floor(centre))
        first[row] = min(max(left - radius, 0), n_in - n_taps)
        for pixel, share in ((left, left + 1 - centre), (left + 1, centre - left)):
            if 0 <= pixel < n_in:
                column = pixel + offsets
                inside = (column >= 0) & (column < n_in)
                weights[row, column[inside] - first[row]] += share * kernel[inside]
    outside = 1 - weights.sum(axis=1)
    return Band(first, weights.astype(np.float32), outside.astype(np.float32))


@compiled_with(fastmath={"contract", "reassoc", "nsz"})
def _apply(
    picture: Grey,
    first_row: NDArray[np.int64],
    row_weights: NDArray[np.float32],
    row_outside: NDArray[np.float32],
    first_column: NDArray[np.int64],
    column_weights: NDArray[np.float32],
    column_outside: NDArray[np.float32],
    fill: np.float32,
    out: NDArray[np.float32],
) -> None:
    """out = R · picture · Cᵀ, one output row at a time: first down the columns, then along the row."""
    line = np.empty(picture.shape[1], np.float32)
    for j in range(out.shape[0]):
        line[:] = row_outside[j] * fill
        for k in range(row_weights.shape[1]):
            weight = row_weights[j, k]
            source = picture[first_row[j] + k]
            for x in range(line.shape[0]):
                line[x] += weight * np.float32(source[x])
        for i in range(out.shape[1]):
            total = column_outside[i] * fill
            taps = column_weights[i]
            first = first_column[i]
            for k in range(taps.shape[0]):
                total += taps[k] * line[first + k]
            out[j, i] = total

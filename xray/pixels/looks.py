"""How pictures of a site look, whatever they show: greys, sharpness, noise, borders. uint8 squares (n, size, size).

What is measured is what a network sees: pictures as they are cached, cropped and resized. Black or constant edges are
measured as borders, and left out of everything else.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Pictures = NDArray[np.uint8]
"""(n, size, size)."""

LEVELS: Final = 256
"""Points of a quantile function, at (k + ½) / 256."""
FLAT: Final = 4
"""Grey levels: an edge whose pixels differ by no more is a border. An 8-bit JPEG of black is within it."""
MOST_BORDER: Final = 0.8
"""A picture with more border than this share of its width shows nothing: taken to have none."""
BLOCK: Final = 4
"""Pixels along a side of the blocks whose means give the quantiles: of noise a quarter is left."""
LEAST_SIDE: Final = 64
"""Smaller pictures are not cut into blocks larger than a sixteenth of them."""
SIGNAL: Final = 0.5
"""A frequency is used where pictures of both sites have this many times the power of their noise, beside it."""
FEWEST_FREQUENCIES: Final = 3


def grid() -> Floats:
    """The shares (LEVELS,) at which quantile functions are known."""
    return (np.arange(LEVELS) + 0.5) / LEVELS


@dataclass(frozen=True)
class Borders:
    """widths: int (n, 4), pixels of constant edge left, right, top and bottom. values: (n,), the grey of the widest."""

    widths: NDArray[np.int64]
    values: NDArray[np.uint8]

    def inside(self, size: int) -> NDArray[np.bool_]:
        """Where the pictures are no border: (n, size, size)."""
        at = np.arange(size)
        left, right, top, bottom = (width[:, None] for width in self.widths.T)
        across = (at >= left) & (at < size - right)
        along = (at >= top) & (at < size - bottom)
        inside: NDArray[np.bool_] = along[:, :, None] & across[:, None, :]
        return inside


def borders(pictures: Pictures) -> Borders:
    """Constant edges of each picture."""
    n, size, _ = pictures.shape
    widths = np.zeros((n, 4), np.int64)
    for axis, (near, far) in ((1, (0, 1)), (2, (2, 3))):
        flat = pictures.max(axis=axis).astype(np.int64) - pictures.min(axis=axis) <= FLAT
        widths[:, near], widths[:, far] = _leading(flat), _leading(flat[:, ::-1])
    pairs = widths.reshape(n, 2, 2).sum(axis=2)
    widths[(pairs > MOST_BORDER * size).any(axis=1)] = 0
    widest = widths.argmax(axis=1)
    lines = np.stack([pictures[:, :, 0], pictures[:, :, -1], pictures[:, 0], pictures[:, -1]], axis=1)
    values = np.median(lines[np.arange(n), widest], axis=1).astype(np.uint8)
    return Borders(widths, values)


def _leading(flat: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many lines are flat from the first on, (n,)."""
    return np.where(flat.all(axis=1), flat.shape[1], flat.argmin(axis=1))


def quantiles(pictures: Pictures) -> Floats:
    """The mean, over pictures, of their quantile functions (LEVELS,), in grey levels, inside their borders.

    Of means of small blocks, so that noise, which is measured apart, is hardly in it.
    """
    n, size, _ = pictures.shape
    side = min(BLOCK, max(1, size * BLOCK // LEAST_SIDE))
    cut = size // side * side
    inside = borders(pictures).inside(size)[:, :cut, :cut]
    shape = (n, cut // side, side, cut // side, side)
    whole = inside.reshape(shape).all(axis=(2, 4)).reshape(n, -1)
    means = pictures[:, :cut, :cut].reshape(shape).mean(axis=(2, 4)).reshape(n, -1)
    of = [np.quantile(row[blocks], grid()) for row, blocks in zip(means, whole, strict=True) if blocks.any()]
    return np.mean(of, axis=0) if of else np.zeros(LEVELS)


def noise(pictures: Pictures) -> float:
    """Standard deviation of white noise, in grey levels: the median over pictures. 0 where nothing can be measured.

    From differences of 2 × 2 pixels along the diagonal (the finest diagonal wavelet of Haar; Donoho and Johnstone 1994), in
    the half of all blocks that differ least along rows and columns, which under white noise is another matter.
    """
    cut = pictures.shape[1] // 2 * 2
    blocks = pictures[:, :cut, :cut].reshape(len(pictures), cut // 2, 2, cut // 2, 2).astype(np.float64)
    a, b, c, d = blocks[:, :, 0, :, 0], blocks[:, :, 0, :, 1], blocks[:, :, 1, :, 0], blocks[:, :, 1, :, 1]
    lowest, highest = blocks.min(axis=(2, 4)), blocks.max(axis=(2, 4))
    within = borders(pictures).inside(pictures.shape[1])[:, :cut, :cut]
    usable = within.reshape(blocks.shape).all(axis=(2, 4)) & (lowest > 0) & (highest < 255)
    edges = (a - b + c - d) ** 2 + (a + b - c - d) ** 2
    diagonal = (a - b - c + d) / 2
    levels = []
    for edge, detail, inside in zip(edges, diagonal, usable, strict=True):
        if inside.sum() >= 8:
            quiet = inside & (edge <= np.median(edge[inside]))
            levels.append(float(np.sqrt(np.mean(detail[quiet] ** 2))))
    return float(np.median(levels)) if levels else 0.0


def power(pictures: Pictures) -> tuple[Floats, Floats]:
    """Frequencies (cycles a pixel) and the mean power of the pictures' middle there, (n_frequencies,) each.

    Of the middle half, where no border is, under Hann's window, in squared grey levels of a pixel: white noise of sd s has
    power s² everywhere. Averaged over rings of equal frequency; the mean grey and the coarsest ring are left out.
    """
    size = pictures.shape[1]
    side = size // 2
    start = (size - side) // 2
    middle = pictures[:, start : start + side, start : start + side].astype(np.float64)
    line = np.hanning(side + 2)[1:-1]
    window = np.outer(line, line)
    weight = window / np.sqrt((window**2).sum())
    centred = middle - (middle * window).sum(axis=(1, 2), keepdims=True) / window.sum()
    spectrum = (np.abs(np.fft.fft2(centred * weight)) ** 2).mean(axis=0)
    along = np.fft.fftfreq(side)
    ring = np.rint(np.hypot(along[:, None], along) * side).astype(np.int64)
    sums, cells = np.bincount(ring.ravel(), spectrum.ravel()), np.bincount(ring.ravel())
    rings = np.arange(2, side // 2 + 1)
    return rings / side, sums[rings] / cells[rings]


def blur_between(a: Pictures, b: Pictures) -> float:
    """Standard deviation, in pixels, of the Gaussian blur that makes pictures of A as unsharp as those of B; 0: none.

    Blurring by σ multiplies power at frequency f by exp(−(2πσf)²). So σ² is the slope of the logarithm of the ratio of
    both powers, less their noise, on −(2πf)²; contrast, which multiplies all of them, is the intercept.
    """
    frequencies, of_a = power(a)
    _, of_b = power(b)
    floors = noise(a) ** 2, noise(b) ** 2
    rings = (of_a > (1 + SIGNAL) * floors[0]) & (of_b > (1 + SIGNAL) * floors[1]) & (of_a > 0) & (of_b > 0)
    if rings.sum() < FEWEST_FREQUENCIES:
        return 0.0
    ratio = np.log((of_b[rings] - floors[1]) / (of_a[rings] - floors[0]))
    x = -((2 * np.pi * frequencies[rings]) ** 2)
    clean = np.minimum(1 - floors[0] / of_a[rings], 1 - floors[1] / of_b[rings])
    weight = frequencies[rings] * clean**2  # a ring has as many cells as its radius
    centred = x - np.average(x, weights=weight)
    slope = float((weight * centred * ratio).sum() / (weight * centred**2).sum())
    return float(np.sqrt(max(slope, 0.0)))

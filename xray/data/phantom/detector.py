"""What a site's detector makes of a radiograph: brightness in, 8-bit pixels out."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from xray.data.phantom.anatomy import Floats
from xray.data.phantom.patients import Cases
from xray.data.phantom.sites import Images, PhantomSite
from xray.data.phantom.streams import FloatArray, stream, uniforms

_N_STYLE: Final = 8
_LETTERS: Final = np.array(
    [
        [[1, 1, 0], [1, 0, 1], [1, 1, 0], [1, 0, 1], [1, 0, 1]],
        [[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 1]],
    ],
    dtype=np.float32,
)
"""R and L in five rows of three."""


def exposure_style(site: PhantomSite, cases: Cases, seed: int) -> FloatArray:
    """(n, 8) numbers in [0, 1) that decide how each picture is taken, whatever is in it."""
    return uniforms("image", seed, site.name, cases.patient, cases.image, _N_STYLE)


def is_antero_posterior(images: Images, style: FloatArray) -> NDArray[np.bool_]:
    """(n,) whether each picture is taken antero-posterior."""
    antero_posterior: NDArray[np.bool_] = style[:, 0] < images.ap_fraction
    return antero_posterior


def expose(
    site: PhantomSite, cases: Cases, style: FloatArray, brightness: Floats, seed: int
) -> NDArray[np.uint8]:
    """(n, s, s) pixels of brightness (n, s, s): gamma, contrast, blur, noise, border, marker."""
    images, size = site.images, brightness.shape[-1]
    picture = np.power(brightness, np.float32(images.gamma))
    picture = np.float32(images.contrast) * (picture - np.float32(0.5)) + np.float32(0.5)
    if images.blur > 0:
        kernel = _gaussian(size, images.blur * size)
        picture = kernel @ picture @ kernel.T
    if images.noise > 0:
        picture += np.float32(images.noise) * _noise(site, cases, size, seed)
    if images.border > 0:
        picture *= _inside_border(style[:, 1:5] * images.border * size, size)
    if images.marker > 0:
        _burn_markers(picture, style[:, 5] < images.marker, style[:, 6:8])
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def _gaussian(size: int, sigma: float) -> Floats:
    """(size, size) matrix that blurs along one axis; its rows sum to one."""
    at = np.arange(size)
    weights = np.exp(-0.5 * np.square((at[:, None] - at) / sigma))
    kernel: Floats = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return kernel


def _noise(site: PhantomSite, cases: Cases, size: int, seed: int) -> Floats:
    noise = np.empty((len(cases.patient), size, size), dtype=np.float32)
    for grain, patient, image in zip(noise, cases.patient, cases.image, strict=True):
        stream("noise", seed, site.name, int(patient), int(image)).standard_normal(
            out=grain, dtype=np.float32
        )
    return noise


def _inside_border(widths: FloatArray, size: int) -> Floats:
    """(n, size, size) 1 inside a border of 0; widths: (n, 4) left, right, top and bottom in pixels."""
    at = np.arange(size)
    left, right, top, bottom = (width[:, None] for width in np.floor(widths).T)
    across = (at >= left) & (at < size - right)
    along = (at >= top) & (at < size - bottom)
    inside: Floats = (along[:, :, None] & across[:, None, :]).astype(np.float32)
    return inside


def _burn_markers(picture: Floats, has_marker: NDArray[np.bool_], position: FloatArray) -> None:
    """Burn R into the upper left corner (the patient's right) or L into the upper right."""
    size = picture.shape[-1]
    stroke = max(1, round(size / 64))
    for row in np.flatnonzero(has_marker):
        is_left = int(position[row, 0] < 0.5)
        letter = np.kron(_LETTERS[is_left], np.ones((stroke, stroke), dtype=np.float32))
        height, width = letter.shape
        top = int(size * (0.06 + 0.10 * position[row, 1]))
        start = int(size * 0.89) - width if is_left else int(size * 0.11)
        corner = picture[row, top : top + height, start : start + width]
        np.maximum(corner, letter, out=corner)

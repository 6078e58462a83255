"""The chest of each image as soft masks on a grid of pixels: what the findings are drawn into.

Lengths are in half-widths of the picture; x runs to the right (the patient's left), y downwards, both from -1
to 1. The x-ray thickness that is drawn adds up, and brightness is 1 - exp(-thickness), so overlapping shadows
do not glow.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xray.data.phantom.patients import Body, Cases
from xray.data.phantom.streams import FloatArray

Floats = NDArray[np.floating[Any]]
"""Arrays of pixels, float32 throughout."""

_WIDEST: Final = 0.30
_TILT: Final = 0.30
LUNG_TEXTURE: Final = 0.05


@dataclass(frozen=True)
class Heart:
    """An ellipse that leans to the patient's left: centre, half-width and half-height, each (n, 1, 1)."""

    x: Floats
    y: Floats
    half_width: Floats
    half_height: Floats


@dataclass(frozen=True)
class Lungs:
    """The lungs of n images, as findings need them.

    x: (n, 1, s); y: (n, s, 1); edge: width of a drawn border. apex, base, thorax: (n, 1, 1) as in `Body`.
    wall: (n, s, 1) distance of the inner chest wall from the midline. visible: (n, s, s) mask of the lung
    that neither heart nor mediastinum covers. texture: (n, s, s) and patches: (n, k, k) irregularity, mean 0,
    deviation about 1.
    """

    x: Floats
    y: Floats
    edge: float
    apex: Floats
    base: Floats
    thorax: Floats
    wall: Floats
    heart: Heart
    visible: Floats
    texture: Floats
    patches: Floats

    def take(self, rows: NDArray[np.intp]) -> "Lungs":
        """The lungs of some of the images."""
        parts: dict[str, Any] = {
            name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        parts["heart"] = Heart(*(value[rows] for value in vars(self.heart).values()))
        return replace(self, **parts)


@dataclass(frozen=True)
class Chest:
    """The lungs, and masks (n, s, s) of heart, mediastinum, thoracic cavity and abdomen."""

    lungs: Lungs
    heart: Floats
    mediastinum: Floats
    cavity: Floats
    abdomen: Floats


def build_chest(
    cases: Cases, size: int, *, heart_magnification: FloatArray, raised: FloatArray, flattened: FloatArray
) -> Chest:
    """Masks of every image, `size` pixels along a side.

    raised: (n, 2) rise of the right and the left dome. flattened: (n,) part of the domes' curve that is lost.
    """
    body = cases.body
    edge = max(0.02, 2.0 / size)
    pixels = ((np.arange(size) + 0.5) * (2.0 / size) - 1.0).astype(np.float32)
    x = (pixels[None, None, :] - column(body.shift_x)) / column(body.zoom)
    y = (pixels[None, :, None] - column(body.shift_y)) / column(body.zoom)
    apex, thorax = column(body.apex), column(body.thorax)
    wall = wall_at(y, apex, thorax)
    diaphragm = _diaphragm(body, x, raised, flattened)
    heart = _heart(cases, heart_magnification)
    heart_mask = _ellipse(heart, x, y, edge)
    mediastinum = _mediastinum(body, x, y, edge)
    inside = soft(wall - np.abs(x), edge)
    above = soft(diaphragm - y, edge)
    cavity = inside * above
    lungs = Lungs(
        x=x,
        y=y,
        edge=edge,
        apex=apex,
        base=column(body.base),
        thorax=thorax,
        wall=wall,
        heart=heart,
        visible=cavity * (1 - heart_mask) * (1 - mediastinum),
        texture=upsample(cases.texture.astype(np.float32), size),
        patches=cases.patches.astype(np.float32),
    )
    return Chest(lungs, heart_mask, mediastinum, cavity, inside * (1 - above))


def chest_thickness(chest: Chest, body: Body, lung_density: FloatArray) -> Floats:
    """(n, s, s) thickness of the chest without opacities. lung_density: (n,) factor on the lungs' own."""
    lungs = chest.lungs
    shadow = (0.30 * column(lung_density) - 0.95 + LUNG_TEXTURE * lungs.texture) * lungs.visible
    shadow += 0.95
    shadow += 0.28 * chest.heart * chest.cavity
    shadow += 0.22 * chest.mediastinum
    shadow += 0.42 * chest.abdomen
    shadow += _spine(lungs)
    shadow += _ribs(lungs, body)
    shadow += _hila(lungs)
    shadow += _soft_tissue(lungs, body)
    shadow *= _outline(lungs)
    return shadow


def upsample(cells: Floats, size: int) -> Floats:
    """(n, k, k) values on a grid → (n, size, size), linear in between."""
    n_cells = cells.shape[-1]
    at = np.linspace(0, n_cells - 1, size)[:, None]
    weights = np.clip(1 - np.abs(at - np.arange(n_cells)), 0, None).astype(np.float32)
    field: Floats = weights @ cells @ weights.T
    return field


def column(values: FloatArray) -> Floats:
    """(n,) numbers, one per image, in the shape that goes with (n, s, s)."""
    return values.astype(np.float32)[:, None, None]


def wall_at(y: Floats, apex: Floats, thorax: Floats) -> Floats:
    """Distance of the inner chest wall from the midline at height y: 0 at the apex, at most `thorax`."""
    above = np.clip((_WIDEST - y) / (_WIDEST - apex), 0, 1)
    reached: Floats = thorax * (1 - above**2.4) ** np.float32(0.62)
    return reached


def radius_about(x: Floats, y: Floats) -> Floats:
    """Distance from the origin."""
    square: Floats = np.square(x) + np.square(y)
    np.sqrt(square, out=square)
    return square


def soft(distance: Floats, edge: float) -> Floats:
    """Mask of a shape from the signed distance to its border: 1 inside, 0 outside, one half on the border."""
    mask = distance * np.float32(1 / edge)
    mask += np.float32(0.5)
    np.clip(mask, 0, 1, out=mask)
    return mask


def _diaphragm(body: Body, x: Floats, raised: FloatArray, flattened: FloatArray) -> Floats:
    left = x > 0
    base = column(body.base) + left * column(body.left_drop) + 0.10 * column(flattened)
    base = base - np.where(left, column(raised[:, 1]), column(raised[:, 0]))
    middle = 0.45 * column(body.thorax)
    curve = column(body.dome) * (1 - 0.8 * column(flattened))
    from_top = (np.abs(x) - middle) / middle
    fall = np.where(from_top > 0, np.float32(1), np.float32(0.45))
    domes: Floats = base + curve * np.square(from_top) * fall
    return domes


def _heart(cases: Cases, magnification: FloatArray) -> Heart:
    half_width = cases.size_of("Cardiomegaly") * cases.body.thorax * magnification
    return Heart(
        x=column(0.24 * half_width),
        y=column(cases.body.base - 0.20),
        half_width=column(half_width),
        half_height=column(0.24 + 0.28 * half_width),
    )


def _ellipse(heart: Heart, x: Floats, y: Floats, edge: float) -> Floats:
    """Mask whose half level reaches exactly half_width to either side of the centre."""
    across = (x - heart.x) / heart.half_width
    along = (y - heart.y) / heart.half_height
    square = (np.square(across) + np.square(along) - 2 * _TILT * across * along) / (1 - _TILT**2)
    return soft((1 - np.sqrt(square)) * heart.half_height, edge)


def _mediastinum(body: Body, x: Floats, y: Floats, edge: float) -> Floats:
    """The great vessels: a column, the aortic arch and the pulmonary trunk below it."""
    below_apex = y - column(body.apex)
    half_width = 0.12 + 0.10 * np.exp(-np.square(below_apex / 0.14)) + 0.05 * np.clip(y + 0.1, 0, 0.6)
    vessels = soft(half_width - np.abs(x), edge)
    np.maximum(vessels, soft(0.10 - radius_about(x - 0.075, below_apex - 0.42), edge), out=vessels)
    return np.maximum(
        vessels, soft(0.13 - radius_about(x - 0.055, 0.5 * (below_apex - 0.68)), edge), out=vessels
    )


def _spine(lungs: Lungs) -> Floats:
    x, y = np.abs(lungs.x), lungs.y
    vertebrae = 0.24 + 0.07 * np.cos(y * np.float32(2 * np.pi / 0.17))
    airway = soft(0.05 - x, 0.03) * soft(-0.22 - y, 0.1)
    shadow: Floats = soft(0.085 - x, 0.04) * vertebrae - 0.22 * airway
    return shadow


def _ribs(lungs: Lungs, body: Body) -> Floats:
    """The posterior ribs, the fainter anterior ones that run across them, and the collar bones."""
    x, y = np.abs(lungs.x), lungs.y
    turn = np.float32(2 * np.pi) / column(body.rib_spacing)
    phase = np.float32(2 * np.pi) * column(body.rib_phase)
    ribs = _crests((y * turn + phase) - 0.75 * np.square(x - 0.22) * turn, 0.1)
    anterior = _crests(0.87 * y * turn + (0.48 * x * turn + phase), 0.3)
    anterior *= 0.35 * soft(x - 0.35, 0.3)
    ribs += anterior
    ribs *= soft(y - lungs.apex, 0.06) * soft(0.72 - y, 0.3) * column(body.rib_contrast)
    ribs *= soft(lungs.wall + 0.03 - x, 0.05)
    ribs *= soft(x - 0.06, 0.04)
    clavicle = soft(0.030 - np.abs(y - (lungs.apex + 0.20 - 0.20 * x)), lungs.edge)
    clavicle *= 2.2 * column(body.rib_contrast) * soft(x - 0.09, 0.03)
    ribs += clavicle
    return ribs


def _crests(phase: Floats, floor: float) -> Floats:
    crests: Floats = np.cos(phase, out=phase)
    crests -= floor
    np.clip(crests, 0, None, out=crests)
    return crests


def _hila(lungs: Lungs) -> Floats:
    x, y = np.abs(lungs.x), lungs.y
    near: Floats = 0.22 * np.exp(-np.square((x - 0.17) / 0.09)) * np.exp(-np.square((y + 0.06) / 0.14))
    near += 0.10 * np.exp(-np.square((x - 0.2) / 0.24)) * np.exp(-np.square(y / 0.34))
    near *= lungs.visible
    return near


def _soft_tissue(lungs: Lungs, body: Body) -> Floats:
    """Shoulders and breasts, less the gas in the stomach."""
    x, y = np.abs(lungs.x), lungs.y
    shadow = soft(-0.35 - y + 0.5 * (x - 0.75), 0.3)
    shadow *= 0.35 * soft(x - lungs.wall - 0.02, 0.12)
    shadow += column(body.breast) * soft(0.40 - radius_about(x - 0.44, 0.9 * (y - 0.22)), 0.12)
    bubble = radius_about(lungs.x - 0.36, 1.4 * (y - (lungs.base + 0.25)))
    shadow -= column(body.gas) * soft(0.12 - bubble, 0.06)
    return shadow


def _outline(lungs: Lungs) -> Floats:
    x, y, edge = np.abs(lungs.x), lungs.y, 2 * lungs.edge
    flank = lungs.thorax + 0.12 + 0.9 * np.clip(-0.05 - y, 0, None) ** np.float32(1.2)
    shoulder_line = -1.02 + 0.55 * np.clip(x - 0.26, 0, None) ** np.float32(1.4)
    outline = soft(y - shoulder_line, edge)
    np.maximum(outline, soft(0.27 - x, edge) * (y < 0), out=outline)
    outline *= soft(flank - x, edge)
    return outline

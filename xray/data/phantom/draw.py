"""Findings drawn into chests: cases in, radiographs out."""

from collections.abc import Callable
from typing import Final

import numpy as np

from xray.data.phantom.anatomy import (
    Floats,
    Lungs,
    build_chest,
    chest_thickness,
    column,
    radius_about,
    soft,
    upsample,
    wall_at,
)
from xray.data.phantom.patients import Cases
from xray.data.phantom.sites import FINDINGS
from xray.data.phantom.streams import FloatArray

_DARKENING: Final = 1.25
_LEAST_THICKNESS: Final = 0.03


def draw_radiographs(cases: Cases, size: int, *, heart_magnification: FloatArray | None = None) -> Floats:
    """(n, size, size) brightness in [0, 1) of each case, before any detector.

    size: pixels along a side. heart_magnification: (n,) factor on the heart's width, 1 where not given.
    """
    emphysema = cases.size_of("Emphysema")
    chest = build_chest(
        cases,
        size,
        heart_magnification=np.ones(len(emphysema)) if heart_magnification is None else heart_magnification,
        raised=_raised(cases),
        flattened=1.2 * emphysema,
    )
    shadow = chest_thickness(chest, cases.body, 1 - emphysema)
    for finding, draw in _SHADOWS.items():
        rows = np.flatnonzero(cases.present[:, FINDINGS.index(finding)])
        lungs = chest.lungs.take(rows)
        extra = draw(
            lungs, column(cases.size_of(finding)[rows]), cases.place_of(finding)[rows].astype(np.float32)
        )
        shadow[rows] += extra * lungs.visible
    np.clip(shadow, _LEAST_THICKNESS, None, out=shadow)
    shadow *= column(-_DARKENING * cases.body.exposure)
    np.exp(shadow, out=shadow)
    return np.subtract(1, shadow, out=shadow)


def _raised(cases: Cases) -> FloatArray:
    """(n, 2) how much the lost volume of a collapsed lung pulls the right and the left dome up."""
    left = cases.place_of("Atelectasis")[:, :1] >= 0.5
    rise = 0.30 * cases.size_of("Atelectasis")[:, None]
    return rise * np.hstack([~left, left])


def _side(position: Floats) -> Floats:
    """(n, 1, 1) the lung that a one-sided finding is in: -1 the patient's right, 1 the left."""
    return np.where(position[:, 0, None, None] < 0.5, np.float32(-1), np.float32(1))


def _atelectasis(lungs: Lungs, size: Floats, position: Floats) -> Floats:
    """A plate of collapsed lung above a raised dome."""
    x = lungs.x * _side(position)
    height = lungs.base - 0.30 - 0.25 * position[:, 1, None, None]
    slope = 0.5 * position[:, 2, None, None] - 0.25
    plate = soft(0.040 - np.abs(lungs.y - (height + slope * (x - 0.4))), max(lungs.edge, 0.04))
    plate *= soft(x - 0.16, 0.1) * soft(0.62 - x, 0.1) * size
    return plate


def _infiltration(lungs: Lungs, size: Floats, position: Floats) -> Floats:
    """A patchy haze in the middle and lower zones of one lung."""
    x = lungs.x * _side(position)
    across: Floats = np.exp(-np.square((x - (0.36 + 0.14 * position[:, 1, None, None])) / 0.20))
    along = np.exp(-np.square((lungs.y - (0.35 * position[:, 2, None, None] - 0.10)) / 0.24))
    haze: Floats = 0.8 + 0.55 * upsample(lungs.patches, lungs.x.shape[-1])
    np.clip(haze, 0.1, None, out=haze)
    haze *= across * size
    haze *= along
    return haze


def _reticular_pattern(lungs: Lungs, size: Floats, position: Floats) -> Floats:
    """A fine irregular net in the upper zones of both lungs."""
    wave = np.float32(2 * np.pi / 0.115)
    phases = np.float32(2 * np.pi) * position
    bend = 0.9 * lungs.texture
    net: Floats = np.cos(wave * (lungs.y + 0.7 * lungs.x) + phases[:, 1, None, None] + bend)
    crossing = np.cos(wave * (lungs.y - 0.7 * lungs.x) + phases[:, 2, None, None] - bend)
    np.maximum(net, crossing, out=net)
    net *= soft(lungs.apex + 0.62 - lungs.y, 0.15) * size
    return net


def _round_opacity(lungs: Lungs, radius: Floats, position: Floats) -> Floats:
    """A disc somewhere in the lung that the heart doesn't cover; a small one is dense."""
    radius = 2 * radius
    side = _side(position)
    y = lungs.apex + (0.25 + 0.55 * position[:, 1, None, None]) * (lungs.base - lungs.apex)
    heart = lungs.heart
    beside_heart = np.where(y > heart.y - heart.half_height, heart.x * side + heart.half_width, np.float32(0))
    inner = np.maximum(beside_heart, 0.20) + 0.5 * radius
    outer = np.maximum(wall_at(y, lungs.apex, lungs.thorax) - radius, inner)
    x = side * (inner + (outer - inner) * position[:, 2, None, None])
    disc = soft(radius - radius_about(lungs.x - x, lungs.y - y), max(lungs.edge, 0.04))
    disc *= np.where(radius > 0.13, np.float32(0.50), np.float32(0.85))
    return disc


def _effusion(lungs: Lungs, size: Floats, position: Floats) -> Floats:
    """Fluid above one dome that climbs up the chest wall."""
    x = lungs.x * _side(position)
    climb = 0.5 + 0.9 * np.square(np.clip(x / lungs.thorax, 0, 1))
    level = lungs.base + 0.12 - size * (lungs.base - lungs.apex) * climb
    fluid = soft(lungs.y - level, max(lungs.edge, 0.06))
    fluid *= 0.75 * (x > 0)
    return fluid


def _pneumothorax(lungs: Lungs, size: Floats, position: Floats) -> Floats:
    """Air beside one lung: a darker rim under the chest wall, and the fine line of the pleura."""
    x = lungs.x * _side(position)
    depth = np.clip((lungs.y - lungs.apex) / 1.2, 0, 1)
    beyond = x - (lungs.wall * (1 - size * (1.5 - depth)) - 0.04)
    rim = soft(beyond, lungs.edge)
    rim *= -0.20
    rim += 0.22 * soft(0.018 - np.abs(beyond), lungs.edge)
    rim *= x > 0
    return rim


_SHADOWS: Final[dict[str, Callable[[Lungs, Floats, Floats], Floats]]] = {
    "Atelectasis": _atelectasis,
    "Infiltration": _infiltration,
    "Reticular_Pattern": _reticular_pattern,
    "Nodule": _round_opacity,
    "Mass": _round_opacity,
    "Effusion": _effusion,
    "Pneumothorax": _pneumothorax,
}

"""Names beside the dots of a panel, placed so that they cover neither each other nor, where there is room, the dots."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from xray.report.style import EDGE, INK, text_width

RADII: Final = (3.0, 7.0, 12.0, 18.0, 26.0, 36.0, 48.0)
"""Points between a dot and the box of its name; the first one that is free is taken."""
ANGLES: Final = np.radians([0, 180, 90, 270, 45, 135, 315, 225, 22, 158, 338, 202])
LEADER: Final = 9.0
"""Points from which on a line leads from the dot to its name."""
COVERED, CUT = 0.35, 1e6
"""Cost of covering a dot, and of leaving the panel, in units of covering half a name."""

Floats = NDArray[np.float64]


def place_names(axes: Axes, names: Sequence[str], at: Floats, dots: Floats, size: float) -> None:
    """Write each name, in `size` points, near its position.

    at: (n_names, 2), dots: (n_dots, 2), in data coordinates. The limits of the axes stay as they are then.
    """
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())  # limits are found when they are asked for
    figure = axes.get_figure()
    assert figure is not None
    to_points = 72 / figure.dpi
    frame = np.asarray(axes.get_window_extent().get_points(), dtype=np.float64) * to_points
    positions, covered = (axes.transData.transform(points) * to_points for points in (at, dots))
    boxes: list[Floats] = []
    crowded = np.argsort(
        [-np.sum(np.hypot(*(covered - position).T) < RADII[-1]) for position in positions], kind="stable"
    )
    for index in crowded[::-1]:  # those with room first: the others get lines
        width, height = 72 * text_width(names[index], size) + 1, size * 1.15
        tried = [_box(positions[index], width, height, r, angle) for r in RADII for angle in ANGLES]
        cost = [
            r / 200 + _cost(box, frame, boxes, covered)
            for (r, box) in zip(np.repeat(RADII, len(ANGLES)), tried, strict=True)
        ]
        best = int(np.argmin(cost))
        box = tried[best]
        boxes.append(box)
        middle, dot = box.mean(axis=0), positions[index]
        if RADII[best // len(ANGLES)] >= LEADER:
            to_data = axes.transData.inverted().transform
            line = to_data(np.array([dot, np.clip(dot, *box)]) / to_points)
            axes.plot(*line.T, "-", color=EDGE, linewidth=0.5, zorder=0, scalex=False, scaley=False)
        axes.annotate(
            names[index], at[index], tuple(middle - dot), textcoords="offset points", ha="center", va="center",
            size=size, color=INK,
        )  # fmt: skip


def _box(position: Floats, width: float, height: float, radius: float, angle: float) -> Floats:
    """((left, bottom), (right, top)) of a name whose box begins `radius` from the position, in a direction."""
    way = np.array([np.cos(angle), np.sin(angle)])
    half = np.array([width, height]) / 2
    middle = position + way * radius + np.sign(np.round(way, 6)) * half * (np.abs(np.round(way, 6)) > 0.3)
    return np.array([middle - half, middle + half])


def _cost(box: Floats, frame: Floats, boxes: Sequence[Floats], dots: Floats) -> float:
    if (box[0] < frame[0]).any() or (box[1] > frame[1]).any():
        return CUT
    size = np.prod(box[1] - box[0])
    hidden = sum(
        float(np.prod(np.clip(np.minimum(box[1], other[1]) - np.maximum(box[0], other[0]), 0, None)))
        for other in boxes
    )
    inside = ((dots > box[0] - 1) & (dots < box[1] + 1)).all(axis=1).sum()
    return 2 * hidden / float(size) + COVERED * float(inside)

"""Two scores of the same images as Bland and Altman draw them: mean against difference."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from xray.report import spots
from xray.report.layout import empty
from xray.report.style import CATEGORIES, EDGE, INK, PAGE_WIDTH, SOFT, WHITE, settings, text_width, wrap
from xray.report.words import interval, number, task_name

LABEL: Final = 6.5
MOST: Final = 4000
"""So many points are drawn at most; more would only cover each other. The limits are of all."""
LABELS: Final = (("negative", CATEGORIES[4]), ("positive", CATEGORIES[1]))
AGREEMENT: Final = (
    ("both negative", CATEGORIES[4]),
    ("both positive", CATEGORIES[0]),
    ("they disagree", CATEGORIES[5]),
)


@dataclass(frozen=True)
class Pair:
    """Two models on one test cohort and task, with what is known of them.

    first, second: calibrated scores of the labelled images (n,), ½ being each one's threshold. labels: (n,) of 1 and 0.
    bias, lower, upper: each (value, from, to), of first minus second.
    """

    heading: str
    task: str
    test_dataset: str
    names: tuple[str, str]
    aucs: tuple[float, float]
    kappa: float
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    labels: NDArray[np.float64]
    bias: tuple[float, float, float]
    lower: tuple[float, float, float]
    upper: tuple[float, float, float]


def bland_altman(pairs: list[Pair]) -> Figure:
    """A row for each pair: points coloured by label, and by agreement of the calls. Bands: 95 % bounds of the limits."""
    with settings():
        if not pairs:
            return empty()
        width, row, head = PAGE_WIDTH, 2.35, 0.52
        height = len(pairs) * (row + head) + 0.3
        figure = Figure(figsize=(width, height), facecolor=WHITE)
        FigureCanvasAgg(figure)
        side = (width - 1.2) / 2
        for index, pair in enumerate(pairs):
            top = index * (row + head) + head
            is_drawn = _sample(pair)
            groups = (
                [(pair.labels == 0, *LABELS[0]), (pair.labels == 1, *LABELS[1])],
                _agreement(pair),
            )
            for column, colouring in enumerate(groups):
                x = 0.5 + column * (side + 0.35)
                rectangle = (
                    x / width,
                    1 - (top + row - 0.5) / height,
                    (side - 0.05) / width,
                    (row - 0.5) / height,
                )
                left, bottom, wide, high = rectangle
                box = left, 1 - bottom - high, wide, high
                cell = pair.names[0], pair.test_dataset, pair.task
                spots.add(figure, [spots.Spot(box, _lines(pair), cell)])
                _panel(
                    figure,
                    figure.add_axes(rectangle, label=f"{index}|{column}"),
                    pair,
                    is_drawn,
                    colouring,
                    column == 0,
                )
            text = (
                f"{task_name(pair.task)}, tested on {pair.test_dataset}: {pair.names[0]} (AUC "
                f"{number(pair.aucs[0], 2)}) and {pair.names[1]} (AUC {number(pair.aucs[1], 2)}), κ {number(pair.kappa, 2)}"
            )
            y = 1 - (top - 0.36) / height
            figure.text(0.5 / width, y, pair.heading, size=LABEL + 1, weight="bold", color=INK)
            figure.text(
                0.5 / width, y - 0.15 / height, wrap(text, width - 0.7, LABEL, 1), size=LABEL, color=INK
            )
        figure.text(
            0.5, 0.08 / height, "mean of the two calibrated scores", size=LABEL, color=SOFT, ha="center"
        )
        return figure


def _lines(pair: Pair) -> tuple[str, ...]:
    """What a panel answers to the pointer."""
    return (
        f"{task_name(pair.task)}, tested on {pair.test_dataset}: {pair.names[0]} minus {pair.names[1]}",
        *(
            f"{name} {number(value)} ({interval((low, high))})"
            for name, (value, low, high) in (
                ("bias", pair.bias),
                ("lower limit", pair.lower),
                ("upper limit", pair.upper),
            )
        ),
        f"{pair.labels.size:,} images, {int(pair.labels.sum()):,} positive",
    )


def _agreement(pair: Pair) -> list[tuple[NDArray[np.bool_], str, str]]:
    one, two = pair.first >= 0.5, pair.second >= 0.5
    return [
        (~one & ~two, *AGREEMENT[0]),
        (one & two, *AGREEMENT[1]),
        (one != two, *AGREEMENT[2]),
    ]


def _sample(pair: Pair) -> NDArray[np.bool_]:
    """Which points are drawn: all, or an even choice of every class, always the same."""
    n = pair.first.size
    if n <= MOST:
        return np.ones(n, dtype=bool)
    is_drawn = np.zeros(n, dtype=bool)
    order = np.random.default_rng(0).permutation(n)
    positives = order[pair.labels[order] == 1]
    is_drawn[positives[: MOST // 2]] = True
    rest = order[~is_drawn[order]]
    is_drawn[rest[: MOST - int(is_drawn.sum())]] = True
    return is_drawn


def _panel(
    figure: Figure,
    axes: Axes,
    pair: Pair,
    is_drawn: NDArray[np.bool_],
    groups: list[tuple[NDArray[np.bool_], str, str]],
    first: bool,
) -> None:
    mean, difference = (pair.first + pair.second) / 2, pair.first - pair.second
    for member, text, colour in groups:
        points = member & is_drawn
        axes.plot(
            mean[points], difference[points], "o", markersize=1.9, markerfacecolor=colour, markeredgewidth=0, alpha=0.55,
            rasterized=True, gid=f"{pair.heading}|{text}",
        )  # fmt: skip
    for value, low, high in (pair.bias, pair.lower, pair.upper):
        axes.axhspan(low, high, color=EDGE, alpha=0.45, linewidth=0, zorder=0.5)
        axes.axhline(value, color=INK, linewidth=0.8, linestyle="-" if value == pair.bias[0] else "--")
    reach = (
        max(1e-3, float(np.nanmax(np.abs(difference), initial=0.0)), abs(pair.lower[1]), abs(pair.upper[2]))
        * 1.08
    )
    axes.set_ylim(-reach, reach)
    values = [pair.lower[0], pair.bias[0], pair.upper[0]]
    tall = axes.get_position().height * float(figure.get_size_inches()[1]) * 72
    for value, height in zip(values, spread(values, 2 * reach * LABEL * 1.1 / tall), strict=True):
        axes.annotate(
            number(value, 2), (1.0, height), (3, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            size=LABEL - 0.5, ha="left", va="center", color=INK, gid="limit",
        )  # fmt: skip
    axes.set_xlim(-0.01, 1.01)
    axes.tick_params(length=2, width=0.4, labelsize=LABEL - 0.5, pad=2)
    for spine in axes.spines.values():
        spine.set_edgecolor(EDGE)
    if first:
        axes.set_ylabel("difference, first − second", size=LABEL, color=SOFT, labelpad=2)
    else:
        axes.tick_params(labelleft=False)
    _key(figure, axes, groups)


def spread(values: list[float], least: float) -> list[float]:
    """Places of three rising values, the middle one kept, at least so far apart that their labels don't overlap."""
    low, middle, high = values
    return [min(low, middle - least), middle, max(high, middle + least)]


def _key(figure: Figure, axes: Axes, groups: list[tuple[NDArray[np.bool_], str, str]]) -> None:
    box: Any = axes.get_position()
    width, height = figure.get_size_inches()
    texts = [f"{text} ({int(member.sum()):,})" for member, text, _ in groups]
    width_of_texts = sum(0.18 + text_width(text, LABEL) for text in texts)
    size = LABEL * min(1.0, box.width * width / width_of_texts)
    x, y = box.x0 * width, box.y0 * height - 0.27
    for label, (_, _, colour) in zip(texts, groups, strict=True):
        figure.text(x / width, y / height, "●", size=size, color=colour, va="center_baseline")
        figure.text((x + 0.09) / width, y / height, label, size=size, color=INK, va="center_baseline")
        x += (0.18 + text_width(label, LABEL)) * size / LABEL

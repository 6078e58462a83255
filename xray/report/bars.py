"""Leaving one site out as a figure: three bars for each test dataset, growing from chance."""

from math import floor
from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MultipleLocator

from xray.report import spots
from xray.report.layout import empty
from xray.report.leave_out import Arm, Group, groups
from xray.report.style import (
    ARM_COLOURS,
    COLUMN_WIDTH,
    EDGE,
    INK,
    PAGE_WIDTH,
    SOFT,
    WHITE,
    settings,
    text_width,
    wrap,
)
from xray.report.words import ARMS, number, short

CHANCE: Final = 0.5
BAR: Final = 0.26
"""Width of a bar where the distance between test datasets is 1."""
LABEL: Final = 6.5
LEFT: Final = 0.52
RIGHT: Final = 0.08
PLOT: Final = 1.9
TOP: Final = 0.34
"""Inches."""


def draw(rows: pd.DataFrame) -> Figure:
    """Bars: mean over the seeds. Whiskers: one standard deviation either way. Dots: the seeds themselves.

    Bars carry a gid "test dataset|arm", the dots "test dataset|arm|seeds".
    """
    with settings():
        bar_groups = groups(rows)
        if not bar_groups:
            return empty()
        step = min(0.95, (PAGE_WIDTH - LEFT - RIGHT) / len(bar_groups))
        width = max(COLUMN_WIDTH, LEFT + RIGHT + step * len(bar_groups))
        step = (width - LEFT - RIGHT) / len(bar_groups)
        labels = [_label(group, step * 0.96) for group in bar_groups]
        foot = max(label.count("\n") + 1 for label in labels) * LABEL * 1.25 / 72 + 0.1
        height = TOP + PLOT + foot
        figure = Figure(figsize=(width, height), facecolor=WHITE)
        FigureCanvasAgg(figure)
        axes = figure.add_axes(
            (LEFT / width, foot / height, (width - LEFT - RIGHT) / width, PLOT / height), label="bars"
        )
        _dress(axes, bar_groups, labels)
        for x, group in enumerate(bar_groups):
            for offset, (name, arm) in zip((-1, 0, 1), group.arms.items(), strict=True):
                _bar(axes, x + offset * (BAR + 0.02), arm, name, group.test_dataset, BAR * step)
        _legend(figure, width, height)
        return figure


def _label(group: Group, width: float) -> str:
    lines = [wrap(group.test_dataset, width, LABEL, most=4)]
    if group.site != group.test_dataset:
        lines.append(wrap(f"site {group.site}", width, LABEL, most=2))
    if group.n_tasks is not None:
        lines.append(f"{group.n_tasks} task{'' if group.n_tasks == 1 else 's'}")
    return "\n".join(lines)


def _dress(axes: Axes, bar_groups: list[Group], labels: list[str]) -> None:
    lowest = min(
        (value for group in bar_groups for arm in group.arms.values() for value in _reach(arm)),
        default=CHANCE,
    )
    axes.set_xlim(-0.5, len(bar_groups) - 0.5)
    axes.set_ylim(min(CHANCE, max(0.0, floor(lowest * 10) / 10)) - (0.02 if lowest < CHANCE else 0), 1.04)
    axes.set_xticks(range(len(bar_groups)), labels)
    axes.tick_params(axis="x", length=0, labelsize=LABEL, pad=3)
    axes.tick_params(axis="y", length=2, width=0.5, labelsize=LABEL, pad=2)
    axes.yaxis.set_major_locator(MultipleLocator(0.1))
    axes.set_ylabel("mean AUC over tasks,\nfrom chance (0.5)", size=LABEL, labelpad=3)
    axes.grid(axis="y", color=EDGE, linewidth=0.4)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.axhline(CHANCE, color=INK, linewidth=0.8)


def _reach(arm: Arm) -> tuple[float, ...]:
    if arm.mean is None:
        return ()
    return (*arm.seeds, arm.mean - (arm.spread or 0.0))


def _bar(axes: Axes, x: float, arm: Arm, name: str, test_dataset: str, width: float) -> None:
    """`width`: of the bar, in inches."""
    gid = f"{test_dataset}|{name}"
    if arm.mean is None:
        axes.text(x, CHANCE + 0.01, "–", size=LABEL, color=SOFT, ha="center", va="bottom", gid=f"{gid}|none")
        return
    axes.bar(x, arm.mean - CHANCE, BAR, bottom=CHANCE, color=ARM_COLOURS[name], gid=gid)
    axes.patches[-1].set_gid(gid)
    if arm.spread is not None:
        axes.errorbar(x, arm.mean, arm.spread, color=INK, elinewidth=0.7, capsize=1.8, capthick=0.7, zorder=3)
    spread = "" if arm.spread is None else f", standard deviation {number(arm.spread)}"
    lines = (
        f"{ARMS[name]}, tested on {test_dataset}",
        f"mean AUC over tasks {number(arm.mean)}{spread}",
        f"seeds: {', '.join(number(value) for value in arm.seeds)}",
    )
    spots.around(axes, x, arm.mean, lines)
    places = [x + BAR * 0.5 * ((i + 0.5) / len(arm.seeds) - 0.5) for i in range(len(arm.seeds))]
    axes.plot(
        places, arm.seeds, "o", markersize=2.6, markerfacecolor=WHITE, markeredgecolor=INK,
        markeredgewidth=0.5, zorder=4, gid=f"{gid}|seeds",
    )  # fmt: skip
    size = min(LABEL - 0.5, width * 1.1 / text_width(".87", 10) * 10)
    up = arm.mean >= CHANCE
    edge = (
        max(arm.mean + (arm.spread or 0.0), *arm.seeds)
        if up
        else min(arm.mean - (arm.spread or 0.0), *arm.seeds)
    )
    axes.annotate(
        short(arm.mean), (x, edge), (0, 2.5 if up else -2.5), textcoords="offset points", size=size,
        color=INK, ha="center", va="bottom" if up else "top", gid=f"{gid}|mean",
    )  # fmt: skip


def _legend(figure: Figure, width: float, height: float) -> None:
    x = LEFT
    for arm, text in ARMS.items():
        box = (x / width, (height - 0.19) / height), 0.1 / width, 0.1 / height
        figure.add_artist(Rectangle(*box, facecolor=ARM_COLOURS[arm], edgecolor="none"))
        figure.text(
            (x + 0.14) / width, (height - 0.14) / height, text, size=LABEL, va="center_baseline", color=INK
        )
        x += 0.14 + text_width(text, LABEL) + 0.18

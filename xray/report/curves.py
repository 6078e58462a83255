"""Reliability curves: observed share of positives against predicted probability."""

from math import ceil
from typing import Any, Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from xray.report.grids import FEW_OF_A_CLASS, task_order
from xray.report.layout import empty
from xray.report.style import (
    CATEGORIES,
    COLUMN_WIDTH,
    EDGE,
    GREY,
    INK,
    PAGE_WIDTH,
    SOFT,
    WHITE,
    settings,
    text_width,
)
from xray.report.words import task_name

LABEL: Final = 6.5
SIDE: Final = 1.25
"""Inches: a panel is square."""
LEFT: Final = 0.42
FOOT: Final = 0.74
HEAD: Final = 0.24


def reliability(rows: pd.DataFrame) -> Figure:
    """A panel for each task: each test dataset's own model in colour with intervals, models of other datasets in grey.

    Curves of fewer than 10 positives or negatives are left out. rows: those of `calibration_results`.
    """
    with settings():
        few = (
            (rows["n_pos"] < FEW_OF_A_CLASS) | (rows["n"] - rows["n_pos"] < FEW_OF_A_CLASS)
            if len(rows)
            else None
        )
        known = rows[~few & rows["ece"].notna()] if few is not None else rows
        if not len(known):
            return empty()
        tasks = task_order(str(task) for task in known["task"])
        datasets = list(dict.fromkeys(known["test_dataset"]))
        across = min(len(tasks), int((PAGE_WIDTH - 0.1) / (SIDE + LEFT)))
        down = ceil(len(tasks) / across)
        width = max(COLUMN_WIDTH, across * (SIDE + LEFT) + 0.1)
        height = down * (SIDE + HEAD + 0.2) + FOOT
        figure = Figure(figsize=(width, height), facecolor=WHITE)
        FigureCanvasAgg(figure)
        for index, task in enumerate(tasks):
            x = LEFT + (index % across) * (SIDE + LEFT)
            top = HEAD + (index // across) * (SIDE + HEAD + 0.2)
            place = (x / width, 1 - (top + SIDE) / height, SIDE / width, SIDE / height)
            axes = figure.add_axes(place, label=task)
            same = known[known["task"] == task]
            _panel(axes, task, same.to_dict("records"), datasets)
        figure.text(0.5, 0.46 / height, "predicted probability", size=LABEL, color=SOFT, ha="center")
        figure.text(
            0.06 / width,
            0.5,
            "observed share of positives",
            size=LABEL,
            color=SOFT,
            rotation=90,
            va="center",
            ha="center",
        )
        _legend(figure, datasets)
        return figure


def _panel(axes: Axes, task: str, rows: list[dict[Any, Any]], datasets: list[str]) -> None:
    seen = [v for r in rows for name in ("bin_predicted", "bin_observed") for v in r[name]]
    limit = min(1.0, ceil(max([*seen, 0.05]) * 20) / 20 + 0.02)
    axes.set_xlim(0, limit)
    axes.set_ylim(0, limit)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.6)
    axes.set_title(task_name(task), size=LABEL + 1, pad=3)
    axes.tick_params(length=2, width=0.4, labelsize=LABEL - 0.5, pad=2)
    axes.locator_params(nbins=4)
    axes.grid(color=EDGE, linewidth=0.3)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_edgecolor(EDGE)
    for row in rows:
        if row["trained_on"] != row["test_dataset"] and row["trained_on"] in datasets:
            axes.plot(row["bin_predicted"], row["bin_observed"], color=GREY, linewidth=0.7, zorder=1.5)
    for row in rows:
        if row["trained_on"] == row["test_dataset"]:
            colour = CATEGORIES[datasets.index(row["test_dataset"]) % len(CATEGORIES)]
            below = [o - lo for o, lo in zip(row["bin_observed"], row["bin_lower"], strict=True)]
            above = [up - o for o, up in zip(row["bin_observed"], row["bin_upper"], strict=True)]
            axes.errorbar(
                row["bin_predicted"], row["bin_observed"], (below, above), color=colour, linewidth=1.0, marker="o",
                markersize=2.2, elinewidth=0.4, zorder=3, gid=f"{task}|{row['test_dataset']}",
            )  # fmt: skip


def _legend(figure: Figure, datasets: list[str]) -> None:
    width, height = figure.get_size_inches()
    entries = [(name, CATEGORIES[i % len(CATEGORIES)]) for i, name in enumerate(datasets)]
    entries.append(("models of other datasets", GREY))
    x, y = LEFT, 0.28
    for text, colour in entries:
        room = 0.3 + text_width(text, LABEL)
        if x + room > width - 0.05 and x > LEFT:
            x, y = LEFT, y - 0.12
        figure.add_artist(_line(x / width, (x + 0.16) / width, y / height, colour))
        figure.text((x + 0.2) / width, y / height, text, size=LABEL, va="center_baseline", color=INK)
        x += room


def _line(start: float, end: float, y: float, colour: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([start, end], [y, y], color=colour, linewidth=1.4)

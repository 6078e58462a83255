"""Estimates with intervals as dots and lines, one under another."""

from collections.abc import Iterator
from math import ceil
from typing import Any, Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from xray.report import judged, spots
from xray.report.grids import FEW_OF_A_CLASS, text_or_none
from xray.report.layout import empty
from xray.report.models import compared_with
from xray.report.style import (
    CATEGORIES,
    COLUMN_WIDTH,
    EDGE,
    INK,
    PAGE_HEIGHT,
    PAGE_WIDTH,
    SOFT,
    WHITE,
    settings,
    text_width,
    wrap,
)
from xray.report.words import interval, number, task_name

LABEL: Final = 6.5
LINE: Final = 0.145
"""Inches between two lines."""
WIDEST_LABEL: Final = 1.25
DOT: Final = 2.2
BAR: Final = 5.0
"""Points: a dot is lower than the bar of its interval, which is seen however short it is."""


def _records(frame: pd.DataFrame) -> Iterator[Any]:
    """The rows, with their columns as attributes."""
    return iter(frame.itertuples())


def _lines(title: str, row: Any, value: str = "AUC") -> tuple[str, ...]:
    """What a dot answers to the pointer: of a row with auc, lower, upper, n and, where there are, n_pos and method."""
    between = f" ({interval((row.lower, row.upper))})" if row.lower == row.lower else ""
    n_pos = getattr(row, "n_pos", None)
    positives = "" if n_pos is None else f", {int(n_pos):,} positive"
    method = text_or_none(getattr(row, "method", None))
    lines = (title, f"{value} {number(row.auc)}{between}", f"{int(row.n):,} images{positives}", method)
    return tuple(line for line in lines if line)


def mean_auc(rows: pd.DataFrame) -> Figure:
    """A panel for each test dataset, a line for each model; the dataset's own is filled."""
    defined = rows[rows["auc"].notna()]
    if not len(defined):
        with settings():
            return empty()
    panels = []
    for dataset, same in defined.groupby("test_dataset", sort=False):
        lines = [
            (
                str(r.trained_on), float(r.auc), float(r.lower), float(r.upper),
                CATEGORIES[0] if r.trained_on == r.reference else SOFT, bool(r.trained_on == r.reference),
                _lines(f"{r.trained_on} tested on {dataset}", r, "mean AUC"), None,
            )
            for r in _records(same)
        ]  # fmt: skip
        panels.append((f"tested on {dataset}", lines))
    reference = compared_with(rows, "the test dataset's own model")
    return _draw(panels, f"mean AUC over tasks (filled: {reference})")


def subgroups(rows: pd.DataFrame, most: int = 24) -> Figure:
    """A panel for each task and test dataset of the dataset's own model, and of each from elsewhere; at most so many, the
    widest gaps first."""
    rows_of_own = rows[(judged.own(rows) | judged.from_elsewhere(rows)) & rows["auc"].notna()]
    keys = ["task", "test_dataset", "trained_on"]
    enough = (
        rows_of_own[["n_pos"]].assign(n_neg=rows_of_own["n"] - rows_of_own["n_pos"]).min(axis=1)
        >= FEW_OF_A_CLASS
    )
    gaps = (
        rows_of_own[enough].groupby(keys, sort=False)["auc"].agg(lambda values: values.max() - values.min())
    )
    if not len(gaps):
        with settings():
            return empty()
    cells = dict(iter(rows_of_own.groupby(keys, sort=False)))
    panels = []
    for key in gaps.astype(float).nlargest(most).index:
        same, (task, dataset, model) = cells[key], key
        groupings = list(dict.fromkeys(same["grouping"]))
        lines = [
            (
                f"{r.grouping} {r.subgroup}", float(r.auc), float(r.lower), float(r.upper),
                CATEGORIES[groupings.index(r.grouping) % len(CATEGORIES)],
                min(r.n_pos, r.n - r.n_pos) >= FEW_OF_A_CLASS,
                _lines(f"{task_name(task)}: {model} tested on {dataset}, {r.grouping} {r.subgroup}", r),
                (model, dataset, task),
            )
            for r in _records(same)
        ]  # fmt: skip
        title = dataset if model == dataset else f"{model} on {dataset}"
        panels.append((f"{task_name(task)}, {title}", lines))
    return _draw(panels, "AUC in the subgroup (hollow: fewer than 10 of a class)")


def _draw(panels: list[tuple[str, list[tuple[Any, ...]]]], axis: str) -> Figure:
    """Panels of lines (label, value, lower, upper, colour, filled, hover text, cell of its images), as many side by
    side as the page has room for."""
    with settings():
        left = (
            min(WIDEST_LABEL, max(text_width(line[0], LABEL) for _, lines in panels for line in lines)) + 0.12
        )
        panel_width = left + 1.15
        across = max(1, min(len(panels), int(PAGE_WIDTH / panel_width)))
        tallest = max(len(lines) for _, lines in panels)
        down = ceil(len(panels) / across)
        height_of = tallest * LINE + 0.5
        width, height = max(COLUMN_WIDTH, PAGE_WIDTH if across > 1 else COLUMN_WIDTH), down * height_of + 0.25
        if height > 2 * PAGE_HEIGHT:
            height_of *= 2 * PAGE_HEIGHT / height
            height = down * height_of + 0.25
        figure = Figure(figsize=(width, height), facecolor=WHITE)
        FigureCanvasAgg(figure)
        values = [v for _, lines in panels for line in lines for v in line[1:4] if v == v]
        low = max(0.0, min(values) - 0.02)
        low = min(0.49, low) if low < 0.55 else low
        step = (width - 0.1) / across
        for index, (title, lines) in enumerate(panels):
            x = 0.05 + (index % across) * step + left
            top = (index // across) * height_of + 0.24
            rectangle = (
                x / width,
                1 - (top + tallest * LINE * (height_of - 0.5) / (tallest * LINE)) / height,
                (step - left - 0.1) / width,
                (height_of - 0.5) / height,
            )
            spots.add(figure, _spots(rectangle, lines, tallest))
            _panel(figure.add_axes(rectangle, label=title), title, lines, (low, 1.01), tallest, step - 0.2)
        figure.text(0.5, 0.06 / height, axis, size=LABEL, color=SOFT, ha="center", va="bottom")
        return figure


def _spots(rectangle: spots.Box, lines: list[tuple[Any, ...]], rows: int) -> list[spots.Spot]:
    """A spot for each line of a panel; `rectangle` of its axes as matplotlib has it: left, bottom, width and height."""
    left, bottom, width, height = rectangle
    step = height / rows
    return [
        spots.Spot((left, 1 - bottom - height + y * step, width, step), line[6], line[7])
        for y, line in enumerate(lines)
    ]


def _panel(
    axes: Axes, title: str, lines: list[tuple[Any, ...]], limits: tuple[float, float], rows: int, room: float
) -> None:
    axes.set_xlim(*limits)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.axvline(0.5, color=INK, linewidth=0.6)
    axes.grid(axis="x", color=EDGE, linewidth=0.4)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(wrap(title, room, LABEL + 0.5, most=1), size=LABEL + 0.5, pad=3, loc="right")
    labels = [wrap(str(line[0]), WIDEST_LABEL, LABEL, most=1) for line in lines]
    axes.set_yticks(range(len(lines)), labels)
    axes.tick_params(axis="y", length=0, labelsize=LABEL, pad=3)
    axes.tick_params(axis="x", length=2, width=0.4, labelsize=LABEL - 0.5, pad=2)
    for y, (label, value, lower, upper, colour, is_filled, *_) in enumerate(lines):
        if lower == lower and upper == upper:
            axes.plot([lower, upper], [y, y], color=colour, linewidth=BAR, alpha=0.4, solid_capstyle="butt")
        axes.plot(
            [value], [y], "o", markersize=DOT, markerfacecolor=colour if is_filled else WHITE, markeredgecolor=colour,
            markeredgewidth=0.6, gid=f"{title}|{label}",
        )  # fmt: skip

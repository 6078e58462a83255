"""Decision curves: net benefit against threshold probability, of models, of treating all and of treating none."""

from collections.abc import Sequence
from math import ceil
from typing import Any, Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from xray.report import decisions, judged, spots
from xray.report.grids import text_or_none
from xray.report.layout import empty
from xray.report.models import models_of
from xray.report.style import (
    CATEGORIES,
    EDGE,
    INK,
    SOFT,
    WHITE,
    settings,
    wrap,
)
from xray.report.words import interval, number, task_name

LABEL: Final = 6.5
WIDE: Final = 1.2
HIGH: Final = 1.15
"""Inches of a panel; three stand beside each other on a page."""
LEFT: Final = 0.42
NAMES: Final = 0.76
"""Inches to the right of a panel, for the names of its lines."""
HEAD: Final = 0.32
BETWEEN: Final = 0.16
FOOT: Final = 0.42
MOST: Final = 8
"""So many panels, of findings and test datasets where most is lost."""
LINE: Final = 1.15 * LABEL / 72
"""Inches from one name to the next."""
OWN, OTHER = CATEGORIES[:2]
PALE: Final = "#9a9a9a"
"""Of the lines of other models, whose names are grey as well."""
TICKS: Final = (0.01, 0.05, 0.2, 0.5)
ALL: Final[dict[str, Any]] = {"color": INK, "linewidth": 0.8, "dashes": (3, 2)}
Named = tuple[str, float, str]
"""A line's name, where it ends at the right, and its colour."""


def draw(rows: pd.DataFrame) -> Figure:
    """A panel for each of the tasks and test datasets where a model of another dataset loses most against the own one.

    Every line is labelled at its end. The own model is blue, the one that loses most orange, the other datasets' are
    grey; models from elsewhere have a colour each. Where no dataset has a model of its own, the first tasks and test
    datasets. rows: those of `net_benefit_results`.
    """
    with settings():
        defined = decisions.measurable(rows) if len(rows) else rows
        if not len(defined):
            return empty()
        panels = _worst(defined, decisions.summary(rows))
        datasets = set(defined["test_dataset"])
        colours = judged.colours(defined)
        across = min(3, len(panels))
        down = ceil(len(panels) / across)
        width, height = 0.08 + across * (LEFT + WIDE + NAMES), down * (HIGH + HEAD + BETWEEN) + FOOT
        figure = Figure(figsize=(width, height), facecolor=WHITE)
        FigureCanvasAgg(figure)
        for index, (task, dataset, worst) in enumerate(panels):
            x = LEFT + 0.08 + (index % across) * (LEFT + WIDE + NAMES)
            top = HEAD + (index // across) * (HIGH + HEAD + BETWEEN)
            rectangle = (x / width, 1 - (top + HIGH) / height, WIDE / width, HIGH / height)
            axes = figure.add_axes(rectangle, label=f"{task}|{dataset}")
            of_panel = defined[(defined["task"] == task) & (defined["test_dataset"] == dataset)]
            is_named = of_panel["trained_on"].isin({*datasets, *colours})
            _panel(axes, of_panel[is_named] if worst else of_panel, worst, colours)
        middle: dict[str, Any] = {"size": LABEL, "color": SOFT, "ha": "center"}
        figure.text(0.5, 0.1 / height, "threshold probability", **middle)
        figure.text(0.06 / width, 0.5, "net benefit per image", rotation=90, va="center", **middle)
        return figure


def _worst(defined: pd.DataFrame, cells: pd.DataFrame) -> list[tuple[str, str, str | None]]:
    """(task, test dataset, the model that loses most there), the largest loss first."""
    single = cells[
        cells["trained_on"].isin({*defined["test_dataset"], *judged.names(defined)})
        & ~cells["own"]
        & (cells["loss"] > 0)
    ]
    if not len(single):
        panels = cells[["task", "test_dataset"]].drop_duplicates().head(MOST)
        return [(str(task), str(dataset), None) for task, dataset in panels.itertuples(index=False)]
    worst = single.sort_values("loss", ascending=False, kind="stable").drop_duplicates(
        ["task", "test_dataset"]
    )
    return [(str(r.task), str(r.test_dataset), str(r.trained_on)) for r in worst.head(MOST).itertuples()]


def _panel(axes: Axes, rows: pd.DataFrame, worst: str | None, colours: dict[str, str]) -> None:
    task, dataset = str(rows["task"].iloc[0]), str(rows["test_dataset"].iloc[0])
    top = 1.12 * float(max(rows["treat_all"].max(), rows["net_benefit"].max(), 1e-6))
    thresholds = sorted(set(rows["threshold"]))
    axes.set_xscale("log")
    axes.set_xlim(thresholds[0], thresholds[-1])
    axes.set_ylim(-0.6 * top, top)
    axes.set_xticks([t for t in TICKS if t in thresholds] or thresholds)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.tick_params(length=2, width=0.4, labelsize=LABEL - 0.5, pad=2)
    axes.locator_params(axis="y", nbins=4)
    axes.grid(color=EDGE, linewidth=0.3)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_edgecolor(EDGE)
    title = wrap(f"{task_name(task)} on {dataset}", WIDE + 0.2, LABEL + 0.5, most=2)
    axes.set_title(title, size=LABEL + 0.5, pad=3, linespacing=1.05)
    axes.axhline(0, color=INK, linewidth=0.6, zorder=1.8)
    treat_all = rows.drop_duplicates("threshold")
    axes.plot(treat_all["threshold"], treat_all["treat_all"], zorder=1.9, gid=f"{task}|{dataset}|all", **ALL)
    last = float(treat_all["treat_all"].iloc[-1])
    lines: list[Named] = [("treat all", last, INK), ("treat none", 0.0, INK)]
    for name, same in rows.groupby("trained_on", sort=False):
        _answer(axes, task, dataset, str(name), same)
        curve, gid = (same["threshold"], same["net_benefit"]), f"{task}|{dataset}|{name}"
        if name in (dataset, worst, *colours):
            colour = OWN if name == dataset else colours.get(str(name), OTHER)
            band = same["lower"], same["upper"]
            axes.fill_between(same["threshold"], *band, color=colour, alpha=0.18, linewidth=0, zorder=2)
            axes.plot(*curve, color=colour, linewidth=1.1, zorder=3, gid=gid)
        else:
            colour = SOFT
            axes.plot(*curve, color=PALE, linewidth=0.7, zorder=1.5, gid=gid)
        text = "own model" if name == dataset else str(name)
        lines.append((text, float(same["net_benefit"].iloc[-1]), colour))
    _name(axes, lines)


def _name(axes: Axes, lines: list[Named]) -> None:
    """Label each line at its end, or where it leaves the panel; grey ones as space allows."""
    low, high = axes.get_ylim()
    room = int((HIGH + HEAD) / LINE)
    if len(lines) > room:
        grey = [line for line in lines if line[2] == SOFT]
        n_grey = room - 1 - (len(lines) - len(grey))
        lines = [line for line in lines if line[2] != SOFT or line in grey[: max(0, n_grey)]]
    lines = sorted(lines, key=lambda line: line[1])
    ends = [min(max((value - low) / (high - low), 0.0), 1.0) for _, value, _ in lines]
    for (text, _, colour), end, at in zip(
        lines, ends, apart(ends, LINE / HIGH, 1 + LINE / HIGH), strict=True
    ):
        leader = Line2D(
            [1, 1.05], [end, at], color=EDGE, linewidth=0.5, transform=axes.transAxes, clip_on=False
        )
        axes.add_line(leader)
        axes.text(
            1.07, at, wrap(text, NAMES - 0.1, LABEL, most=1), color=colour, size=LABEL, va="center_baseline",
            transform=axes.transAxes,
        )  # fmt: skip


def apart(values: Sequence[float], least: float, highest: float) -> list[float]:
    """Rising positions near the values, at least this far apart, and none above the highest while there is room below."""
    positions = list(values)
    for index in range(1, len(positions)):
        positions[index] = max(positions[index], positions[index - 1] + least)
    for index in reversed(range(len(positions))):
        positions[index] = min(
            positions[index], highest if index == len(positions) - 1 else positions[index + 1] - least
        )
    return positions


def _answer(axes: Axes, task: str, dataset: str, model: str, rows: pd.DataFrame) -> None:
    """Give each point of a model's curve a hover text, also where the curve is grey."""
    model_name = models_of(rows).phrase(model)
    for row in rows.to_dict("records"):
        lines = (
            f"{task_name(task)}: {model_name}, tested on {dataset}",
            f"at a threshold of {row['threshold']:g}: net benefit {number(float(row['net_benefit']))} "
            f"({interval((float(row['lower']), float(row['upper'])))}), treating all {number(float(row['treat_all']))}",
            f"{int(row['n']):,} images, {int(row['n_pos']):,} positive",
            text_or_none(row.get("method")) or "",
        )
        spots.around(axes, row["threshold"], row["net_benefit"], lines, (model, dataset, task))

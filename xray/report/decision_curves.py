"""Decision curves: net benefit against threshold probability, of models, of treating all and of treating none."""

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
from xray.report.style import (
    CATEGORIES,
    COLUMN_WIDTH,
    EDGE,
    GREY,
    INK,
    SOFT,
    WHITE,
    settings,
    text_width,
    wrap,
)
from xray.report.words import interval, number, task_name

LABEL: Final = 6.5
WIDE: Final = 1.24
HIGH: Final = 1.0
"""Inches of a panel; two stand beside each other in a column."""
LEFT: Final = 0.42
HEAD: Final = 0.32
BETWEEN: Final = 0.16
FOOT: Final = 0.72
MOST: Final = 8
"""So many panels, of findings and test datasets where most is lost."""
OWN, OTHER = CATEGORIES[:2]
TICKS: Final = (0.01, 0.05, 0.2, 0.5)
ALL: Final[dict[str, Any]] = {"color": INK, "linewidth": 0.8, "dashes": (3, 2)}


def draw(rows: pd.DataFrame) -> Figure:
    """A panel for each of the tasks and test datasets where a model of another dataset loses most against the own one.

    The own model is blue, the one that loses most orange and named, the other datasets' grey; models from elsewhere have
    a colour each. Where no dataset has a model of its own, the first tasks and test datasets. rows: those of
    `net_benefit_results`.
    """
    with settings():
        known = decisions.known(rows) if len(rows) else rows
        if not len(known):
            return empty()
        panels = _chosen(known, decisions.summary(rows))
        datasets = set(known["test_dataset"])
        theirs = judged.colours(known)
        across = min(2, len(panels))
        down = ceil(len(panels) / across)
        width, height = COLUMN_WIDTH, down * (HIGH + HEAD + BETWEEN) + FOOT
        figure = Figure(figsize=(width, height), facecolor=WHITE)
        FigureCanvasAgg(figure)
        for index, (task, dataset, worst) in enumerate(panels):
            x = LEFT + 0.08 + (index % across) * (WIDE + LEFT)
            top = HEAD + (index // across) * (HIGH + HEAD + BETWEEN)
            place = (x / width, 1 - (top + HIGH) / height, WIDE / width, HIGH / height)
            axes = figure.add_axes(place, label=f"{task}|{dataset}")
            here = known[(known["task"] == task) & (known["test_dataset"] == dataset)]
            shown = here["trained_on"].isin({*datasets, *theirs})
            _panel(axes, here[shown] if worst else here, worst, theirs)
        middle: dict[str, Any] = {"size": LABEL, "color": SOFT, "ha": "center"}
        figure.text(0.5, (FOOT - 0.22) / height, "threshold probability", **middle)
        figure.text(0.06 / width, 0.5, "net benefit per image", rotation=90, va="center", **middle)
        _legend(figure, theirs, bool(judged.own(known).any()))
        return figure


def _chosen(known: pd.DataFrame, cells: pd.DataFrame) -> list[tuple[str, str, str | None]]:
    """(task, test dataset, the model that loses most there), the largest loss first."""
    single = cells[
        cells["trained_on"].isin({*known["test_dataset"], *judged.names(known)})
        & ~cells["own"]
        & (cells["loss"] > 0)
    ]
    if not len(single):
        places = cells[["task", "test_dataset"]].drop_duplicates().head(MOST)
        return [(str(task), str(dataset), None) for task, dataset in places.itertuples(index=False)]
    worst = single.sort_values("loss", ascending=False, kind="stable").drop_duplicates(
        ["task", "test_dataset"]
    )
    return [(str(r.task), str(r.test_dataset), str(r.trained_on)) for r in worst.head(MOST).itertuples()]


def _panel(axes: Axes, rows: pd.DataFrame, worst: str | None, theirs: dict[str, str]) -> None:
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
    everyone = rows.drop_duplicates("threshold")
    axes.plot(everyone["threshold"], everyone["treat_all"], zorder=1.9, gid=f"{task}|{dataset}|all", **ALL)
    for name, same in rows.groupby("trained_on", sort=False):
        _answer(axes, task, dataset, str(name), same)
        if name not in (dataset, worst, *theirs):
            axes.plot(same["threshold"], same["net_benefit"], color=GREY, linewidth=0.7, zorder=1.5)
            continue
        colour = OWN if name == dataset else theirs.get(str(name), OTHER)
        band = same["lower"], same["upper"]
        axes.fill_between(same["threshold"], *band, color=colour, alpha=0.18, linewidth=0, zorder=2)
        gid = f"{task}|{dataset}|{name}"
        axes.plot(same["threshold"], same["net_benefit"], color=colour, linewidth=1.1, zorder=3, gid=gid)
    if worst is not None:
        text = wrap(worst, WIDE - 0.1, LABEL, most=1)
        axes.text(0.04, 0.05, text, color=theirs.get(worst, OTHER), size=LABEL, transform=axes.transAxes)


def _answer(axes: Axes, task: str, dataset: str, model: str, rows: pd.DataFrame) -> None:
    """Let each point of a model's curve say what it is, also where the curve is grey."""
    for row in rows.to_dict("records"):
        lines = (
            f"{task_name(task)}: trained on {model}, tested on {dataset}",
            f"at a threshold of {row['threshold']:g}: net benefit {number(float(row['net_benefit']))} "
            f"({interval((float(row['lower']), float(row['upper'])))}), treating all {number(float(row['treat_all']))}",
            f"{int(row['n']):,} images, {int(row['n_pos']):,} positive",
            text_or_none(row.get("method")) or "",
        )
        spots.around(axes, row["threshold"], row["net_benefit"], lines, (model, dataset, task))


def _legend(figure: Figure, theirs: dict[str, str], has_own: bool) -> None:
    width, height = figure.get_size_inches()
    own: tuple[tuple[str, dict[str, Any]], ...] = (
        ("the dataset's own model", {"color": OWN, "linewidth": 1.1}),
        ("loses most", {"color": OTHER, "linewidth": 1.1}),
        ("other datasets' models", {"color": GREY, "linewidth": 1.1}),
    )
    entries: tuple[tuple[str, dict[str, Any]], ...] = (
        *(own if has_own or not theirs else ()),
        *((name, {"color": colour, "linewidth": 1.1}) for name, colour in theirs.items()),
        ("treat all", ALL),
        ("treat none", {"color": INK, "linewidth": 0.6}),
    )
    x, y = 0.1, 0.36
    for text, looks in entries:
        room = 0.34 + text_width(text, LABEL)
        if x + room > width and x > 0.1:
            x, y = 0.1, y - 0.14
        figure.add_artist(Line2D([x / width, (x + 0.2) / width], [y / height, y / height], **looks))
        figure.text((x + 0.24) / width, y / height, text, size=LABEL, va="center_baseline", color=INK)
        x += room

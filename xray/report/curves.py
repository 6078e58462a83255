"""Reliability curves: observed share of positives against predicted probability."""

from math import ceil
from typing import Any, Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from xray.report import judged, spots
from xray.report.grids import FEW_OF_A_CLASS, task_order, text_or_none
from xray.report.layout import empty
from xray.report.models import Models, models_of
from xray.report.style import (
    CATEGORIES,
    COLUMN_WIDTH,
    EDGE,
    INK,
    PAGE_WIDTH,
    SOFT,
    WHITE,
    settings,
    text_width,
)
from xray.report.words import interval, number, task_name

LABEL: Final = 6.5
SIDE: Final = 1.25
"""Inches: a panel is square."""
LEFT: Final = 0.42
FOOT: Final = 0.74
HEAD: Final = 0.24


def reliability(rows: pd.DataFrame) -> Figure:
    """A panel for each task: each test dataset's own model with intervals; dashed and numbered, the model
    of another dataset that is farthest off there.

    Models from elsewhere have a marker each; a line's colour is that of its test dataset. Where no dataset has a model of
    its own, colours are those of models, and markers of datasets.

    Curves of fewer than 10 positives or negatives are left out. rows: those of `calibration_results`.
    """
    with settings():
        too_few = (
            (rows["n_pos"] < FEW_OF_A_CLASS) | (rows["n"] - rows["n_pos"] < FEW_OF_A_CLASS)
            if len(rows)
            else None
        )
        defined = rows[~too_few & rows["ece"].notna()] if too_few is not None else rows
        if not len(defined):
            return empty()
        tasks = task_order(str(task) for task in defined["task"])
        datasets = list(dict.fromkeys(defined["test_dataset"]))
        looks, models = _looks(defined, datasets), models_of(defined)
        across = min(len(tasks), int((PAGE_WIDTH - 0.1) / (SIDE + LEFT)))
        down = ceil(len(tasks) / across)
        width = max(COLUMN_WIDTH, across * (SIDE + LEFT) + 0.1)
        height = down * (SIDE + HEAD + 0.2) + FOOT
        figure = Figure(figsize=(width, height), facecolor=WHITE)
        FigureCanvasAgg(figure)
        for index, task in enumerate(tasks):
            x = LEFT + (index % across) * (SIDE + LEFT)
            top = HEAD + (index // across) * (SIDE + HEAD + 0.2)
            rectangle = (x / width, 1 - (top + SIDE) / height, SIDE / width, SIDE / height)
            axes = figure.add_axes(rectangle, label=task)
            same = defined[defined["task"] == task]
            _panel(axes, task, same.to_dict("records"), datasets, looks, models)
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
        _legend(figure, defined, datasets)
        return figure


def _looks(defined: pd.DataFrame, datasets: list[str]) -> dict[tuple[str, str], tuple[str, str]]:
    """(model, test dataset) → colour and marker of each line that is not grey."""
    elsewhere = judged.names(defined)
    has_own = bool(judged.own(defined).any())
    looks = {(name, name): (_colour(position), "o") for position, name in enumerate(datasets)}
    for m, model in enumerate(elsewhere):
        for d, dataset in enumerate(datasets):
            mark = judged.MARKS[(m if has_own else d) % len(judged.MARKS)]
            looks[model, dataset] = (_colour(d if has_own else m), mark)
    return looks


def _colour(position: int) -> str:
    return CATEGORIES[position % len(CATEGORIES)]


def _panel(
    axes: Axes,
    task: str,
    rows: list[dict[Any, Any]],
    datasets: list[str],
    looks: dict[tuple[str, str], tuple[str, str]],
    models: Models,
) -> None:
    shares = [v for r in rows for name in ("bin_predicted", "bin_observed") for v in r[name]]
    limit = min(1.0, ceil(max([*shares, 0.05]) * 20) / 20 + 0.02)
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
    dashed = farthest(rows, datasets)
    _others(axes, dashed, datasets, limit)
    for row in (*dashed, *(row for row in rows if (row["trained_on"], row["test_dataset"]) in looks)):
        _answer(axes, row, models)
    for row in rows:
        look = looks.get((row["trained_on"], row["test_dataset"]))
        if look is not None:
            colour, marker = look
            is_own = row["trained_on"] == row["test_dataset"]
            gid = f"{task}|{row['test_dataset']}" + ("" if is_own else f"|{row['trained_on']}")
            below = [o - lo for o, lo in zip(row["bin_observed"], row["bin_lower"], strict=True)]
            above = [up - o for o, up in zip(row["bin_observed"], row["bin_upper"], strict=True)]
            axes.errorbar(
                row["bin_predicted"], row["bin_observed"], (below, above), color=colour, linewidth=1.0, marker=marker,
                markersize=2.2, elinewidth=0.4, zorder=3, gid=gid,
            )  # fmt: skip


def _answer(axes: Axes, row: dict[Any, Any], models: Models) -> None:
    """Let each point of a curve say what it is."""
    n, n_pos = int(row["n"]), int(row["n_pos"])
    cell = str(row["trained_on"]), str(row["test_dataset"]), str(row["task"])
    points = zip(*(row[f"bin_{name}"] for name in ("predicted", "observed", "lower", "upper")), strict=True)
    for predicted, observed, lower, upper in points:
        lines = (
            f"{task_name(cell[2])}: {models.phrase(cell[0])}, tested on {cell[1]}",
            f"predicted {number(predicted)}, observed {number(observed)} ({interval((lower, upper))})",
            f"all bins: {n:,} images, {n_pos:,} positive; expected calibration error {number(float(row['ece']))}",
            text_or_none(row.get("method")) or "",
        )
        spots.around(axes, predicted, observed, lines, cell)


def farthest(rows: list[dict[Any, Any]], datasets: list[str]) -> list[dict[Any, Any]]:
    """For each test dataset the row of another dataset's model with the largest calibration error, of one task."""
    away = [row for row in rows if row["trained_on"] in datasets and row["trained_on"] != row["test_dataset"]]
    by = {name: [row for row in away if row["test_dataset"] == name] for name in datasets}
    return [max(several, key=lambda row: row["ece"]) for several in by.values() if several]


def _others(axes: Axes, rows: list[dict[Any, Any]], datasets: list[str], limit: float) -> None:
    """A dashed line for each row in the colour of its test dataset, and the number of its model where it is farthest off."""
    positions: list[tuple[float, float]] = []
    for row in rows:
        colour = _colour(datasets.index(row["test_dataset"]))
        model = row["trained_on"]
        points = list(zip(row["bin_predicted"], row["bin_observed"], strict=True))
        axes.plot(
            *zip(*points, strict=True), color=colour, linewidth=0.7, linestyle=(0, (3, 1.5)), zorder=2,
            gid=f"other|{row['test_dataset']}|{model}",
        )  # fmt: skip
        points.sort(key=lambda point: -abs(point[0] - point[1]))
        free = (
            p for p in points if all(abs(p[0] - q[0]) + abs(p[1] - q[1]) > 0.14 * limit for q in positions)
        )
        x, y = next(free, points[0])
        positions.append((x, y))
        axes.text(
            min(max(x, 0.04 * limit), 0.96 * limit), min(max(y, 0.04 * limit), 0.96 * limit), str(datasets.index(model) + 1),
            size=LABEL - 0.5, color=INK, ha="center", va="center", zorder=4, gid="model",
            bbox={"boxstyle": "circle,pad=0.12", "facecolor": WHITE, "edgecolor": colour, "linewidth": 0.6},
        )  # fmt: skip


OTHERS: Final = "farthest off of the other datasets' models, its number beside it"


def _entries(defined: pd.DataFrame, datasets: list[str]) -> list[tuple[str, str, str]]:
    """Text, colour and marker of each legend entry; the dashed line has no colour."""
    elsewhere, marks = judged.names(defined), judged.MARKS
    numbered = bool(farthest(defined.to_dict("records"), datasets))
    texts = [f"{i + 1} {name}" if numbered else name for i, name in enumerate(datasets)]
    dashed = [(OTHERS, "", "")] if numbered else []
    if not elsewhere:
        return [*((text, _colour(i), "o") for i, text in enumerate(texts)), *dashed]
    if judged.own(defined).any():
        return [
            *((text, _colour(i), "o") for i, text in enumerate(texts)),
            *((name, INK, marks[i % len(marks)]) for i, name in enumerate(elsewhere)),
            *dashed,
        ]
    models = [(name, _colour(i), marks[0] if len(datasets) == 1 else "") for i, name in enumerate(elsewhere)]
    if len(datasets) == 1:
        return [*models, *dashed]
    return [*models, *((text, INK, marks[i % len(marks)]) for i, text in enumerate(texts)), *dashed]


def _legend(figure: Figure, defined: pd.DataFrame, datasets: list[str]) -> None:
    width, height = figure.get_size_inches()
    x, y = LEFT, 0.28
    for text, colour, marker in _entries(defined, datasets):
        room = 0.3 + text_width(text, LABEL)
        if x + room > width - 0.05 and x > LEFT:
            x, y = LEFT, y - 0.12
        figure.add_artist(_line(x / width, (x + 0.16) / width, y / height, colour, marker))
        figure.text((x + 0.2) / width, y / height, text, size=LABEL, va="center_baseline", color=INK)
        x += room


def _line(start: float, end: float, y: float, colour: str, marker: str) -> Any:
    from matplotlib.lines import Line2D

    looks: dict[str, Any] = {"marker": marker, "markersize": 3} if marker else {}
    if not colour:
        return Line2D([start, end], [y, y], color=INK, linewidth=0.7, linestyle=(0, (3, 1.5)))
    return Line2D([start, end], [y, y], color=colour, linewidth=1.4, **looks)

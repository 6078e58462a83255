"""Verdicts (images, prevalence or labels) as a figure: a panel for each task, rows trained on, columns tested on."""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from xray.report.captions import Caption
from xray.report.grids import Record, number_or_none, records, task_order
from xray.report.panels import LABEL, LINE, Layout, arrange, empty
from xray.report.style import EDGE, GREY, HATCH, INK, SOFT, WHITE, settings
from xray.report.verdicts import CANNOT_TELL, SHIFT, causes
from xray.report.words import short

COLOURS: Final = {"image": "#56b4e9", "prevalence": "#f0e442", "label": "#d55e00"}
"""Okabe and Ito's sky blue, yellow and vermilion; a cell of two causes is shared between two colours."""
KEY: Final = (1.15, 0.18)
"""Inches that an entry of the key takes, across and down."""
LETTERS: Final = {"image": "I", "prevalence": "P", "label": "L"}
CAPTION: Final = Caption(
    "Images, prevalence or labels: why a model does worse elsewhere",
    "One panel for each task. Rows: what the model was trained on (A). Columns: the test images (B). Blue, I: the images "
    "differ. Yellow, P: the finding is more or less common. Orange, L: the labels mean something else. White: no change "
    "is shown and a large drop is excluded, or the pair has no verdict. Grey, ?: the data can't tell. The small number is "
    "the drop in AUC from A's test images to B's.",
    "Grid of verdicts by training and test dataset; the tables hold them.",
)


def draw(frame: pd.DataFrame) -> Figure:
    """The verdicts as a grid of coloured cells, a panel for each task."""
    rows = records(frame, SHIFT, "images or labels")
    with settings():
        if not rows:
            return empty()
        tasks = tuple(task_order(row["task"] for row in rows))
        names = tuple(
            dict.fromkeys([*(r["train_dataset"] for r in rows), *(r["test_dataset"] for r in rows)])
        )
        layout = arrange(tasks, names, names)
        width, height = layout.size
        figure = Figure(figsize=(width, height), facecolor=WHITE)
        FigureCanvasAgg(figure)
        for index, task in enumerate(tasks):
            x, top = layout.corner(index)
            panel = layout.panel
            place = (x / width, 1 - (top + panel[1]) / height, panel[0] / width, panel[1] / height)
            axes = figure.add_axes(place, label=task)
            _frame(axes, layout, index, len(tasks))
            _fill(axes, [row for row in rows if row["task"] == task], names)
        _axis_names(figure, layout)
        _key(figure)
        return figure


def _frame(axes: Axes, layout: Layout, index: int, panels: int) -> None:
    rows, columns = len(layout.row_labels), len(layout.column_labels)
    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    axes.set_title(layout.titles[index], size=LABEL + 1, pad=3, color=INK, linespacing=1.05)
    axes.tick_params(length=0, pad=2.5, labelsize=LABEL)
    for spine in axes.spines.values():
        spine.set_edgecolor(EDGE)
    first = index % layout.across == 0
    axes.set_yticks([row + 0.5 for row in range(rows)], layout.row_labels if first else [""] * rows)
    shown = layout.feet or index + layout.across >= panels
    labels = layout.column_labels if shown else [""] * columns
    axes.set_xticks([column + 0.5 for column in range(columns)], labels, rotation=90 if layout.upright else 0)


def _fill(axes: Axes, rows: Sequence[Record], names: tuple[str, ...]) -> None:
    for place in range(len(names)):
        axes.add_patch(
            Rectangle((place, place), 1, 1, facecolor=WHITE, edgecolor=HATCH, linewidth=0, hatch="////")
        )
    for row in rows:
        y, x = names.index(row["train_dataset"]), names.index(row["test_dataset"])
        claimed = causes(row["verdict"])
        faces = [COLOURS[cause] for cause in claimed] or [GREY if row["verdict"] == CANNOT_TELL else WHITE]
        for part, face in enumerate(faces):
            axes.add_patch(
                Rectangle((x + part / len(faces), y), 1 / len(faces), 1, facecolor=face, linewidth=0)
            )
        name = f"{row['task']}|{row['train_dataset']}|{row['test_dataset']}"
        axes.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor=EDGE, linewidth=0.4, gid=name))
        letters = "".join(LETTERS[cause] for cause in claimed)
        said = letters or ("?" if row["verdict"] == CANNOT_TELL else "")
        drop = number_or_none(row["auc_drop"])
        below = "" if drop is None else short(drop)
        style: dict[str, Any] = {"ha": "center", "va": "center", "color": INK}
        axes.text(x + 0.5, y + 0.3, said, size=LABEL, weight="bold", gid=f"{name}|verdict", **style)
        axes.text(x + 0.5, y + 0.72, below, size=LABEL - 1.5, gid=f"{name}|drop", **style)


def _axis_names(figure: Figure, layout: Layout) -> None:
    width, height = layout.size
    for line in range(layout.down):
        left, top = layout.corner(line * layout.across)
        x, y = left - layout.left + LABEL * LINE / 2, top + layout.panel[1] / 2
        figure.text(
            x / width,
            1 - y / height,
            "trained on",
            rotation=90,
            size=LABEL,
            color=SOFT,
            ha="center",
            va="center",
        )
    middle = left + (layout.content - layout.left) / 2
    y = top + layout.panel[1] + layout.foot + LABEL * LINE / 2 + 0.02
    figure.text(middle / width, 1 - y / height, "tested on", size=LABEL, color=SOFT, ha="center", va="center")


def _key(figure: Figure) -> None:
    width, height = figure.get_size_inches()
    entries = [
        (COLOURS["image"], "I  images"),
        (COLOURS["prevalence"], "P  prevalence"),
        (COLOURS["label"], "L  labels"),
        (WHITE, "no loss shown"),
        (GREY, "?  cannot tell"),
    ]
    across = max(1, min(len(entries), int((width - 0.2) / KEY[0])))
    left, lines = (width - KEY[0] * across) / 2, 1 + (len(entries) - 1) // across
    for place, (face, text) in enumerate(entries):
        x, y = left + KEY[0] * (place % across), 0.2 + KEY[1] * (lines - 1 - place // across)
        box = Rectangle(
            (x / width, y / height),
            0.14 / width,
            0.1 / height,
            facecolor=face,
            edgecolor=EDGE,
            linewidth=0.5,
        )
        figure.add_artist(box)
        figure.text((x + 0.18) / width, (y + 0.05) / height, text, size=LABEL - 1, va="center", color=INK)

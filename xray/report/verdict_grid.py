"""Verdicts (images, prevalence or labels) as a figure: a panel for each task, rows trained on, columns tested on."""

from typing import Final

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from xray.report.captions import Caption
from xray.report.grids import Record, number_or_none, records, task_order
from xray.report.layout import LABEL, Box, add_boxes, add_panel, arrange, empty, name_axes, new_figure
from xray.report.style import EDGE, GREY, HATCH, INK, WHITE, settings
from xray.report.verdicts import CANNOT_TELL, SHIFT, causes
from xray.report.words import short
from xray.report.writing import Writing

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
        figure, writing = new_figure(layout), Writing()
        for index, task in enumerate(tasks):
            axes = add_panel(figure, layout, index, task)
            own: list[Box] = [(place, place, 1) for place in range(len(names))]
            add_boxes(axes, own, facecolors=WHITE, edgecolors=HATCH, linewidths=0, hatch="////")
            whole: list[Box] = []
            parts: dict[Box, str] = {}
            for row in rows:
                if row["task"] == task:
                    x, y = names.index(row["test_dataset"]), names.index(row["train_dataset"])
                    whole.append((x, y, 1))
                    fills = _fills(row["verdict"])
                    parts |= {(x + k / len(fills), y, 1 / len(fills)): fill for k, fill in enumerate(fills)}
                    _write(writing, row, layout.middle(index, x, y), layout.cell_height)
            add_boxes(axes, list(parts), facecolors=list(parts.values()), linewidths=0, gid="verdicts")
            add_boxes(axes, whole, facecolors="none", edgecolors=EDGE, linewidths=0.4, gid="frames")
        writing.draw(figure)
        name_axes(figure, layout, "trained on", "tested on")
        _key(figure)
        return figure


def _fills(verdict: str) -> list[str]:
    """Colours of the parts of a cell."""
    return [COLOURS[cause] for cause in causes(verdict)] or [GREY if verdict == CANNOT_TELL else WHITE]


def _write(writing: Writing, row: Record, middle: tuple[float, float], height: float) -> None:
    """The letters of a verdict and the drop in AUC below them, around a place in inches; `height` of the cell in inches."""
    x, y = middle
    letters = "".join(LETTERS[cause] for cause in causes(row["verdict"]))
    said = letters or ("?" if row["verdict"] == CANNOT_TELL else "")
    writing.put(said, x, y + 0.2 * height, LABEL, INK, weight="bold")
    drop = number_or_none(row["auc_drop"])
    writing.put("" if drop is None else short(drop), x, y - 0.22 * height, LABEL - 1.5, INK)


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

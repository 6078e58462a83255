"""Verdicts as a figure: a panel for each task, rows trained on, or the reference; columns tested on."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from xray.report import spots
from xray.report.captions import Caption
from xray.report.grids import Record, count_or_none, number_or_none, records, task_order, text_or_none
from xray.report.layout import LABEL, Box, add_boxes, add_panel, arrange, empty, name_axes, new_figure
from xray.report.style import EDGE, GREY, HATCH, INK, WHITE, settings
from xray.report.verdicts import CANNOT_TELL, GAIN, LOSS, NONE, causes, direction
from xray.report.words import interval, number, short, task_name
from xray.report.writing import Writing

COLUMNS: Final = (
    "train_dataset", "test_dataset", "task", "verdict", "basis", "resolve", "auc_drop", "drop_lower", "drop_upper",
    "n_pos_a", "n_pos_b",
)  # fmt: skip
"""Columns that a frame must have. Of models from elsewhere also home (the row's name), trained_on_a (model) and odds."""
COLOURS: Final = {"image": "#56b4e9", "population": "#cc79a7", "prevalence": "#f0e442", "label": "#d55e00"}
"""Okabe and Ito's sky blue, reddish purple, yellow, vermilion; a cell of two causes is shared between two colours."""
PALE: Final = {"image": "#e6f3fb", "population": "#f7e9f1", "prevalence": "#fcfadc", "label": "#f9e7dc"}
"""The same colours where the cause is there, but no loss is shown."""
BETTER: Final = "#c3e6d8"
"""Pale green: the model does better there, whatever the cause."""
FINE: Final = "✓"
UNKNOWN: Final = "?"
KEY: Final = (1.72, 0.18)
"""Inches that an entry of the key takes, across and down."""
LETTERS: Final = {"image": "I", "population": "C", "prevalence": "P", "label": "L"}
NAMES: Final = {
    "image": "images", "population": "patients (case mix)", "prevalence": "prevalence", "label": "labels",
}  # fmt: skip
_CAPTION: Final = Caption(
    "Images, prevalence or labels: why a model does worse elsewhere",
    "One panel for each task. Rows: what the model was trained on (A). Columns: the test images (B). Blue, I: the images "
    "differ. Yellow, P: the finding is more or less common. Orange, L: the labels mean something else. Full colour: AUC is "
    "lost (the interval of the drop lies above 0); pale, small letter: the cause is there, but no loss is shown; green: the "
    "model does better there. White, ✓: no change is shown and a large drop is excluded. Grey, ?: the data can't tell. "
    "Crossed out: the pair has no verdict, for one of them has no such model or label. Hatched: home. The small number is "
    "the drop in AUC from A's test images to B's; below 0 it is a gain.",
    "Grid of verdicts by training and test dataset; the tables hold them.",
)
_ELSEWHERE: Final = Caption(
    "Images, patients, prevalence or labels: why a model from elsewhere does worse",
    "One panel for each task. Rows: the reference (A), of each model. Columns: the test images (B). Blue, I: the images "
    "differ. Purple, C: the patients do (case mix, population). Yellow, P: the finding is more or less common. "
    "Orange, L: the labels mean something else. Full colour: AUC is lost (the interval of the drop lies above 0); pale, "
    "small letter: the cause is likely, but no loss is shown; green: the model does better there. White, ✓: no cause is "
    "likely. Grey, ?: the data can't tell. Crossed out: the pair is not compared. Hatched: the reference itself. The small "
    "number is the drop in AUC from A's test images to B's; below 0 it is a gain.",
    "Grid of verdicts on models from elsewhere by reference and test dataset; the tables hold them.",
)


def caption(frame: pd.DataFrame) -> Caption:
    """How to read the figure, with the findings that share its last panel."""
    rows = records(frame, COLUMNS, "verdicts")
    without_loss = _others(rows)
    own = _ELSEWHERE if "home" in frame else _CAPTION
    ending = (
        f" Panels with the largest loss come first; no loss is shown for {', '.join(map(task_name, without_loss))}, which "
        "share the last one: each cell is the gravest of theirs."
    )
    return replace(own, text=own.text + ending) if without_loss else own


def home(row: Record) -> str:
    """The name of a verdict's row: what the model was trained on, or its reference."""
    return str(row.get("home", row["train_dataset"]))


def draw(frame: pd.DataFrame) -> Figure:
    """The verdicts as a grid of coloured cells, a panel for each task."""
    rows = records(frame, COLUMNS, "verdicts")
    with settings():
        if not rows:
            return empty()
        tasks, panel_rows = _ranked(rows)
        columns = tuple(
            dict.fromkeys(
                [*(r["train_dataset"] for r in panel_rows), *(r["test_dataset"] for r in panel_rows)]
            )
        )
        homes = {home(row): row["train_dataset"] for row in panel_rows}
        if "home" not in frame:
            homes = {name: name for name in columns}
        layout = arrange(tasks, tuple(homes), columns)
        figure, writing = new_figure(layout), Writing()
        pairs = {(row["task"], home(row), row["test_dataset"]): row for row in panel_rows}
        for index, task in enumerate(tasks):
            axes = add_panel(figure, layout, index, task)
            cells, cell_spots = _Cells(), []
            for y, (name, reference) in enumerate(homes.items()):
                for x, dataset in enumerate(columns):
                    row = pairs.get((task, name, dataset))
                    cells.put(row, x, y, at_home=dataset == reference)
                    if row is not None:
                        cell_spots.append(_spot(layout.share(index, x, y), row))
                        _write(writing, row, layout.middle(index, x, y), layout.cell_height)
            cells.draw(axes)
            spots.add(figure, cell_spots)
        writing.draw(figure)
        name_axes(figure, layout, "reference" if "home" in frame else "trained on", "tested on")
        _key(
            figure,
            _entries(panel_rows, missing=len(panel_rows) < len(tasks) * len(homes) * (len(columns) - 1)),
        )
        return figure


def _loss(rows: Sequence[Record], task: str) -> float:
    """The largest loss of a finding that is shown, and for which a cause is named or sought; 0 without one."""
    losses = [
        row["auc_drop"]
        for row in rows
        if row["task"] == task and row["verdict"] != NONE and direction(row) == LOSS
    ]
    return max(losses, default=0.0)


def _others(rows: Sequence[Record]) -> tuple[str, ...]:
    """The findings without a loss, if they would hide others."""
    tasks = task_order(row["task"] for row in rows)
    without_loss = tuple(task for task in tasks if _loss(rows, task) == 0)
    return without_loss if 1 < len(without_loss) < len(tasks) else ()


def _ranked(rows: Sequence[Record]) -> tuple[tuple[str, ...], Sequence[Record]]:
    """The panels, largest loss first, and their rows; findings without a loss are one panel, the gravest of each pair."""
    tasks = sorted(task_order(row["task"] for row in rows), key=lambda task: -_loss(rows, task))
    without_loss = _others(rows)
    if not without_loss:
        return tuple(tasks), rows
    title = f"{len(without_loss)} others, the gravest"
    gravest: dict[tuple[str, str], Record] = {}
    for row in sorted((row for row in rows if row["task"] in without_loss), key=_gravity):
        gravest[home(row), row["test_dataset"]] = {**row, "task": title, "finding": row["task"]}
    with_loss = [row for row in rows if row["task"] not in without_loss]
    return (*(task for task in tasks if task not in without_loss), title), [*with_loss, *gravest.values()]


def _gravity(row: Record) -> tuple[int, float]:
    """Causes are graver than "cannot tell", and that than nothing; then larger drops."""
    rank = 2 if causes(row["verdict"]) else 1 if row["verdict"] == CANNOT_TELL else 0
    return rank, number_or_none(row["auc_drop"]) or 0.0


@dataclass
class _Cells:
    """The drawn cells of one panel."""

    home: list[Box] = field(default_factory=list)
    nothing: list[tuple[float, float]] = field(default_factory=list)
    whole: list[Box] = field(default_factory=list)
    parts: dict[Box, str] = field(default_factory=dict)

    def put(self, row: Record | None, x: int, y: int, at_home: bool) -> None:
        if row is not None:
            self.whole.append((x, y, 1))
            fills = fills_of(row)
            self.parts |= {(x + k / len(fills), y, 1 / len(fills)): fill for k, fill in enumerate(fills)}
        elif at_home:
            self.home.append((x, y, 1))
        else:
            self.nothing.append((x, y))

    def draw(self, axes: Axes) -> None:
        """Add them to the panel; gids: "home", "verdicts", "frames", "no verdict"."""
        add_boxes(axes, self.home, facecolors=WHITE, edgecolors=HATCH, linewidths=0, hatch="////", gid="home")
        add_boxes(axes, list(self.parts), facecolors=list(self.parts.values()), linewidths=0, gid="verdicts")
        add_boxes(axes, self.whole, facecolors="none", edgecolors=EDGE, linewidths=0.4, gid="frames")
        lines = [
            line for x, y in self.nothing for line in (((x, y), (x + 1, y + 1)), ((x, y + 1), (x + 1, y)))
        ]
        if lines:
            axes.add_artist(LineCollection(lines, colors=EDGE, linewidths=0.5, gid="no verdict"))


def _spot(box: spots.Box, row: Record) -> spots.Spot:
    """A cell's hover text."""
    task = str(row.get("finding", row["task"]))
    drop, low, high = (number_or_none(row[name]) for name in ("auc_drop", "drop_lower", "drop_upper"))
    between = "" if low is None or high is None else f" ({interval((low, high))})"
    settle = text_or_none(row["resolve"])
    model_text = (
        f"{row['trained_on_a']}, reference {row['train_dataset']}"
        if "home" in row
        else f"trained on {row['train_dataset']}"
    )
    lines = (
        f"{task_name(task)}: {model_text}, tested on {row['test_dataset']}",
        f"verdict: {row['verdict']}; {row['basis']}",
        text_or_none(row.get("odds")) or "",
        f"drop in AUC {number(drop)}{between}",
        f"{_images(row, 'a')} at home, {_images(row, 'b')} there",
        f"would be settled by: {settle}" if settle else "",
        text_or_none(row.get("method")) or "",
    )
    model = str(row.get("trained_on_a", row["train_dataset"]))
    return spots.Spot(box, tuple(line for line in lines if line), (model, str(row["test_dataset"]), task))


def _images(row: Record, side: str) -> str:
    n, n_pos = count_or_none(row.get(f"n_{side}")), count_or_none(row[f"n_pos_{side}"])
    images = "" if n is None else f"{n:,} images, "
    return f"{images}{'–' if n_pos is None else f'{n_pos:,}'} positive"


def fills_of(row: Record) -> list[str]:
    """Colours of the parts of a cell, from left to right."""
    claimed, way = causes(row["verdict"]), direction(row)
    if way == GAIN and row["verdict"] != CANNOT_TELL:
        return [BETTER]
    colours = COLOURS if way == LOSS else PALE
    return [colours[cause] for cause in claimed] or [GREY if row["verdict"] == CANNOT_TELL else WHITE]


def letters_of(row: Record) -> str:
    """What stands in a cell: a letter for each cause, "?" where the data can't tell, "✓" where nothing is wrong."""
    letters = "".join(LETTERS[cause] for cause in causes(row["verdict"]))
    return letters or (UNKNOWN if row["verdict"] == CANNOT_TELL else FINE)


def _write(writing: Writing, row: Record, middle: tuple[float, float], height: float) -> None:
    """The letters of a verdict and the drop in AUC below them, around a place in inches; `height` of the cell in inches."""
    x, y = middle
    loud = direction(row) == LOSS and row["verdict"] != NONE
    size, weight = (LABEL, "bold") if loud else (LABEL - 1, "normal")
    writing.put(letters_of(row), x, y + 0.2 * height, size, INK, weight=weight)
    drop = number_or_none(row["auc_drop"])
    writing.put("" if drop is None else short(drop), x, y - 0.22 * height, LABEL - 1.5, INK)


def _entries(rows: Sequence[Record], missing: bool) -> list[tuple[str, str, str]]:
    """Fill, hatch and text of the key: only of what occurs."""
    fills = {fill for row in rows for fill in fills_of(row)}
    claimed = {cause for row in rows for cause in causes(row["verdict"])}
    entries = [
        (COLOURS[cause], "", f"{LETTERS[cause]}  {NAMES[cause]}") for cause in COLOURS if cause in claimed
    ]
    pale = [PALE[cause] for cause in PALE if PALE[cause] in fills]
    entries += [(pale[0], "", "pale: no loss shown")] if pale else []
    entries += [(BETTER, "", "better there")] if BETTER in fills else []
    entries += [(WHITE, "", f"{FINE}  no change shown")] if WHITE in fills else []
    entries += [(GREY, "", f"{UNKNOWN}  cannot tell")] if GREY in fills else []
    entries += [("", "×", "no verdict")] if missing else []
    return [*entries, (WHITE, "////", "home")]


def _key(figure: Figure, entries: Sequence[tuple[str, str, str]]) -> None:
    width, height = figure.get_size_inches()
    across = max(1, min(len(entries), int((width - 0.2) / KEY[0])))
    left, lines = (width - KEY[0] * across) / 2, 1 + (len(entries) - 1) // across
    for position, (face, hatch, text) in enumerate(entries):
        x, y = left + KEY[0] * (position % across), 0.06 + KEY[1] * (lines - 1 - position // across)
        box = (x / width, y / height), 0.14 / width, 0.1 / height
        figure.add_artist(Rectangle(*box, facecolor=face or WHITE, edgecolor=EDGE, linewidth=0.5))
        if hatch == "×":
            for start, end in ((0.0, 0.1), (0.1, 0.0)):
                ends = [x / width, (x + 0.14) / width], [(y + start) / height, (y + end) / height]
                figure.add_artist(Line2D(*ends, color=EDGE, linewidth=0.6))
        elif hatch:
            figure.add_artist(Rectangle(*box, fill=False, edgecolor=HATCH, linewidth=0, hatch=hatch))
        figure.text((x + 0.18) / width, (y + 0.05) / height, text, size=LABEL - 1, va="center", color=INK)

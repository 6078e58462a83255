"""Where the panels of a grid and their cells are on the page, and the frames around them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from xray.report.style import (
    COLUMN_WIDTH,
    EDGE,
    INK,
    PAGE_HEIGHT,
    PAGE_WIDTH,
    SOFT,
    WHITE,
    fits,
    text_width,
    wrap,
)
from xray.report.words import task_name

LABEL: Final = 6.5
TITLE: Final = 7.5
LINE: Final = 1.25 / 72
"""Height in inches of one line of text, for each point of its size."""
MARGIN: Final = 0.08
GAP: Final = 0.14
LEGEND: Final = 0.56
LARGEST: Final = (0.8, 0.42)
SMALLEST: Final = (0.21, 0.135)
"""Width and height of a cell in inches: never more, and never less even where the page then grows."""

NOTHING: Final = "no results"

Box = tuple[float, float, float]
"""Column and row where a box begins, and its width in columns; it is one row high."""


@dataclass(frozen=True)
class Layout:
    """Where things are, in inches."""

    across: int
    down: int
    cell_width: float
    cell_height: float
    row_labels: tuple[str, ...]
    column_labels: tuple[str, ...]
    titles: tuple[str, ...]
    left: float
    title: float
    foot: float
    """Height of the column labels."""
    upright: bool
    """Whether the column labels stand on end."""
    feet: bool
    """Whether every row of panels has column labels, or only the lowest panels."""

    @property
    def panel(self) -> tuple[float, float]:
        """Width and height of one panel."""
        return self.cell_width * len(self.column_labels), self.cell_height * len(self.row_labels)

    @property
    def content(self) -> float:
        """Width of everything but the margins."""
        return self.left + self.across * self.panel[0] + (self.across - 1) * GAP

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure."""
        feet = self.down if self.feet else 1
        height = self.down * (self.title + self.panel[1]) + feet * self.foot + (self.down - 1) * GAP
        return max(COLUMN_WIDTH, self.content + 2 * MARGIN), height + LEGEND + 3 * MARGIN + LABEL * LINE

    def corner(self, index: int) -> tuple[float, float]:
        """Left and top of a panel, from the figure's top left corner."""
        start = MARGIN + max(0.0, (self.size[0] - 2 * MARGIN - self.content) / 2) + self.left
        step = self.title + self.panel[1] + GAP + (self.foot if self.feet else 0.0)
        x = start + (index % self.across) * (self.panel[0] + GAP)
        return x, MARGIN + self.title + (index // self.across) * step

    def middle(self, index: int, column: int, row: int) -> tuple[float, float]:
        """Middle of a panel's cell, in inches from the figure's bottom left corner."""
        x, top = self.corner(index)
        return x + (column + 0.5) * self.cell_width, self.size[1] - top - (row + 0.5) * self.cell_height

    def share(self, index: int, column: int, row: int) -> tuple[float, float, float, float]:
        """Left, top, width and height of a panel's cell as shares of the figure, from its top left corner."""
        x, top = self.corner(index)
        width, height = self.size
        left, above = x + column * self.cell_width, top + row * self.cell_height
        return left / width, above / height, self.cell_width / width, self.cell_height / height


def arrange(tasks: tuple[str, ...], rows: tuple[str, ...], columns: tuple[str, ...]) -> Layout:
    """The arrangement with the largest cells that fits the width of a page, and its height if it can."""
    row_labels = tuple(wrap(row, 1.15, LABEL, most=2) for row in rows)
    layouts = [_layout(across, tasks, row_labels, columns) for across in range(1, len(tasks) + 1)]
    fitting = [layout for layout in layouts if layout.size[0] <= PAGE_WIDTH + 1e-6] or layouts[:1]
    return max(fitting, key=lambda layout: (_legibility(layout), -layout.size[0] * layout.size[1]))


def _legibility(layout: Layout) -> float:
    return round(min(layout.cell_width / 1.7, layout.cell_height), 4)


def _layout(
    across: int, tasks: tuple[str, ...], row_labels: tuple[str, ...], columns: tuple[str, ...]
) -> Layout:
    down = ceil(len(tasks) / across)
    left = _widest(row_labels, LABEL) + LABEL * LINE + 0.09
    room = PAGE_WIDTH - 2 * MARGIN - left - (across - 1) * GAP
    cell_width = _within(room / (across * len(columns)), SMALLEST[0], LARGEST[0])
    titles = tuple(wrap(task_name(task), cell_width * len(columns), TITLE, most=2) for task in tasks)
    title = max(_lines(title) for title in titles) * TITLE * LINE + 0.05
    upright = any(not fits(column, cell_width * 0.94, LABEL, most=3) for column in columns)
    width, most = (
        (1.15, int(_within(cell_width / (LABEL * LINE), 1, 2))) if upright else (cell_width * 0.94, 3)
    )
    column_labels = tuple(wrap(column, width, LABEL, most) for column in columns)
    tallest = max(_lines(label) for label in column_labels) * LABEL * LINE
    foot = (_widest(column_labels, LABEL) if upright else tallest) + 0.07

    def layout(feet: bool, cell_height: float) -> Layout:
        return Layout(
            across,
            down,
            cell_width,
            cell_height,
            row_labels,
            column_labels,
            titles,
            left,
            title,
            foot,
            upright,
            feet,
        )

    def height(feet: bool) -> float:
        room = PAGE_HEIGHT - layout(feet, 0.0).size[1]
        return min(room / (down * len(row_labels)), LARGEST[1], cell_width * 0.75)

    lines = max((_lines(label) for label in row_labels), default=1)
    least = max(SMALLEST[1], lines * LABEL * LINE * 0.92)
    return layout(True, height(True)) if height(True) >= 0.17 else layout(False, max(least, height(False)))


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _lines(text: str) -> int:
    return text.count("\n") + 1


def _widest(labels: tuple[str, ...], size: float) -> float:
    return max((text_width(line, size) for label in labels for line in label.split("\n")), default=0.0)


def new_figure(layout: Layout) -> Figure:
    """An empty figure of the layout's size."""
    figure = Figure(figsize=layout.size, facecolor=WHITE)
    FigureCanvasAgg(figure)
    return figure


def add_panel(figure: Figure, layout: Layout, index: int, task: str) -> Axes:
    """The axes of a panel with title and labels; a cell is from (column, row) to (column + 1, row + 1)."""
    width, height = layout.size
    x, top = layout.corner(index)
    panel_width, panel_height = layout.panel
    rectangle = (x / width, 1 - (top + panel_height) / height, panel_width / width, panel_height / height)
    axes = figure.add_axes(rectangle, label=task)
    rows, columns = len(layout.row_labels), len(layout.column_labels)
    axes.set(xlim=(0, columns), ylim=(rows, 0))
    axes.set_title(layout.titles[index], size=TITLE, pad=3, color=INK, linespacing=1.05)
    axes.tick_params(length=0, pad=2.5, labelsize=LABEL)
    for spine in axes.spines.values():
        spine.set_edgecolor(EDGE)
    first = index % layout.across == 0
    lowest = layout.feet or index + layout.across >= len(layout.titles)
    axes.set_yticks([row + 0.5 for row in range(rows)] if first else [], layout.row_labels if first else [])
    for label in axes.get_yticklabels():
        label.set_linespacing(1.05)
    axes.set_xticks(
        [column + 0.5 for column in range(columns)] if lowest else [], layout.column_labels if lowest else [],
        rotation=90 if layout.upright else 0,
    )  # fmt: skip
    return axes


def name_axes(figure: Figure, layout: Layout, rows: str, columns: str) -> None:
    """Write what rows and columns are: beside each row of panels, and once below."""
    width, height = layout.size
    style: dict[str, Any] = {"size": LABEL, "color": SOFT, "ha": "center", "va": "center"}
    for line in range(layout.down):
        left, top = layout.corner(line * layout.across)
        x, y = left - layout.left + LABEL * LINE / 2, top + layout.panel[1] / 2
        figure.text(x / width, 1 - y / height, rows, rotation=90, **style)
    middle = left + (layout.content - layout.left) / 2
    y = top + layout.panel[1] + layout.foot + LABEL * LINE / 2 + 0.02
    figure.text(middle / width, 1 - y / height, columns, **style)


def add_boxes(axes: Axes, boxes: Sequence[Box], **style: Any) -> None:
    """Boxes of a panel as one artist, without a look for new limits of the axes."""
    if boxes:
        corners = [((x, y), (x + width, y), (x + width, y + 1), (x, y + 1)) for x, y, width in boxes]
        axes.add_artist(PolyCollection(corners, **style))


def empty() -> Figure:
    """The figure of a frame without rows; no file is made of it (`is_empty`)."""
    figure = Figure(figsize=(COLUMN_WIDTH, 1.0), facecolor=WHITE)
    FigureCanvasAgg(figure)
    figure.text(0.5, 0.5, NOTHING, ha="center", va="center", color=SOFT, size=TITLE)
    figure.set_label(NOTHING)
    return figure


def is_empty(figure: Figure) -> bool:
    """Whether a figure shows that there is nothing to show."""
    return figure.get_label() == NOTHING

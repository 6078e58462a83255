"""A grid of results as a figure: a panel for each task, rows trained on, columns tested on."""

from dataclasses import dataclass, field
from math import ceil, inf
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from xray.report.grids import Cell, Grid
from xray.report.style import (
    COLUMN_WIDTH,
    DIVERGING,
    EDGE,
    GREY,
    HATCH,
    INK,
    PAGE_HEIGHT,
    PAGE_WIDTH,
    SOFT,
    WHITE,
    contrast_ink,
    fits,
    settings,
    text_width,
    wrap,
)
from xray.report.words import MINUS, short, task_name

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
SMALLEST_TYPE: Final = 4.6
LARGEST_TYPE: Final = (8.0, 5.6)
"""Points: the smallest type of a second line; the largest of first and second."""


@dataclass(frozen=True)
class Scale:
    """What the colours say: name of the value and range, its chance level in the middle if the colours diverge."""

    name: str
    low: float
    high: float
    separator: str
    """Between the bounds of an interval."""
    own: str
    """What a boxed cell is."""
    colours: Colormap = field(default_factory=lambda: DIVERGING)
    rows: str = "trained on"
    columns: str = "tested on"


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


@dataclass(frozen=True)
class Type:
    """Points of a cell's first and second line (0: no second line), and the cell's height in inches."""

    first: float
    second: float
    cell_height: float

    def offset(self, points: float) -> float:
        """A distance in points as a share of the cell's height."""
        return points / 72 / self.cell_height


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


def draw(grid: Grid, scale: Scale) -> Figure:
    """The grid as a figure. White: undefined. Grey, hatched: few positives. Boxed: tested on its own dataset.

    Cells carry a gid "task|row|column", their texts "task|row|column|value" and "…|detail".
    """
    with settings():
        if not grid.cells:
            return empty()
        layout = arrange(grid.tasks, grid.rows, grid.columns)
        width, height = layout.size
        figure = Figure(figsize=(width, height), facecolor=WHITE)
        FigureCanvasAgg(figure)
        sizes = _type_sizes(grid, layout, scale)
        for index, task in enumerate(grid.tasks):
            x, top = layout.corner(index)
            panel_width, panel_height = layout.panel
            place = (x / width, 1 - (top + panel_height) / height, panel_width / width, panel_height / height)
            axes = figure.add_axes(place, label=task)
            _frame(axes, layout, index, len(grid.tasks))
            _fill(axes, grid, task, scale, Type(*sizes, layout.cell_height))
        _axis_names(figure, layout, scale)
        _legend(figure, grid, scale)
        return figure


def empty() -> Figure:
    """The figure of a frame without rows."""
    figure = Figure(figsize=(COLUMN_WIDTH, 1.0), facecolor=WHITE)
    FigureCanvasAgg(figure)
    figure.text(0.5, 0.5, "no results", ha="center", va="center", color=SOFT, size=TITLE)
    return figure


def _frame(axes: Axes, layout: Layout, index: int, panels: int) -> None:
    rows, columns = len(layout.row_labels), len(layout.column_labels)
    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    axes.set_title(layout.titles[index], size=TITLE, pad=3, color=INK, linespacing=1.05)
    axes.tick_params(length=0, pad=2.5, labelsize=LABEL)
    for spine in axes.spines.values():
        spine.set_edgecolor(EDGE)
    axes.set_yticks(
        [row + 0.5 for row in range(rows)], layout.row_labels if index % layout.across == 0 else [""] * rows
    )
    for label in axes.get_yticklabels():
        label.set_linespacing(1.05)
    lowest = index + layout.across >= panels
    labels = layout.column_labels if layout.feet or lowest else [""] * columns
    axes.set_xticks([column + 0.5 for column in range(columns)], labels, rotation=90 if layout.upright else 0)


def _fill(axes: Axes, grid: Grid, task: str, scale: Scale, sizes: Type) -> None:
    own = []
    for y, row in enumerate(grid.rows):
        for x, column in enumerate(grid.columns):
            cell = grid.cell(task, row, column)
            face, ink = cell_colours(cell, scale)
            name = f"{task}|{row}|{column}"
            patch = Rectangle((x, y), 1, 1, facecolor=face, edgecolor=EDGE, linewidth=0.4, gid=name)
            axes.add_artist(patch)  # `add_patch` would look for new limits, and take most of the time
            if cell.few and cell.value is not None:
                few: dict[str, Any] = {"fill": False, "edgecolor": HATCH, "linewidth": 0, "hatch": "////"}
                axes.add_artist(Rectangle((x, y), 1, 1, gid=f"{name}|few", **few))
            _write(axes, cell, (x + 0.5, y + 0.5), ink, sizes, scale, name)
            if cell.own and cell.value is not None:
                own.append((x, y))
    for x, y in own:
        axes.add_patch(
            Rectangle((x, y), 1, 1, fill=False, edgecolor=INK, linewidth=0.9, zorder=3, clip_on=False)
        )


def cell_colours(cell: Cell, scale: Scale) -> tuple[tuple[float, float, float, float] | str, str]:
    """Fill and ink of a cell."""
    if cell.value is None:
        return WHITE, SOFT
    if cell.few:
        return GREY, INK
    fill = scale.colours(Normalize(scale.low, scale.high, clip=True)(cell.value))
    return fill, contrast_ink(fill)


def _write(
    axes: Axes,
    cell: Cell,
    centre: tuple[float, float],
    ink: str,
    sizes: Type,
    scale: Scale,
    name: str,
) -> None:
    x, y = centre
    detail = detail_text(cell, scale) if sizes.second else ""
    if cell.value is not None:
        axes.text(
            x, y - sizes.offset(sizes.second * 0.62 if detail else 0.0), value_text(cell),
            size=sizes.first, color=ink, ha="center", va="center", gid=f"{name}|value",
        )  # fmt: skip
    if detail:
        axes.text(
            x, y + sizes.offset(sizes.first * 0.6 if cell.value is not None else 0.0), detail,
            size=sizes.second, color=ink, ha="center", va="center", gid=f"{name}|detail",
        )  # fmt: skip


def value_text(cell: Cell) -> str:
    """The first line of a cell: its value, with "!" where training saw test images or patients; empty without a value."""
    return "" if cell.value is None else f"{short(cell.value)}{'!' if cell.warning else ''}"


def detail_text(cell: Cell, scale: Scale) -> str:
    """The second line of a cell: the published value in brackets if there is one, otherwise the interval.

    Empty where both bounds are one value, such as the range of a single pair of seeds.
    """
    if cell.published is not None:
        return f"({short(cell.published)})"
    if cell.value is None or cell.lower == cell.upper or cell.interval is None:
        return ""
    return scale.separator.join(short(bound) for bound in cell.interval)


def _type_sizes(grid: Grid, layout: Layout, scale: Scale) -> tuple[float, float]:
    """Points of the first and of the second line; 0 for the second where it would not fit."""
    values = [text for cell in grid.cells.values() if (text := value_text(cell))]
    details = [text for cell in grid.cells.values() if (text := detail_text(cell, scale))]
    width, height = layout.cell_width * 0.9, layout.cell_height * 72 * 0.9
    widest = max((text_width(text, 10) for text in values), default=inf) / 10
    first = min(LARGEST_TYPE[0], width / widest, height / 1.25)
    second = min([LARGEST_TYPE[1], *(width / text_width(text, 10) * 10 for text in details)])
    second = min(second, height / 2.7)
    if not details or second < SMALLEST_TYPE:
        return first, 0.0
    return min(first, height - 1.2 * second), second


def _axis_names(figure: Figure, layout: Layout, scale: Scale) -> None:
    width, height = layout.size
    style: dict[str, Any] = {"size": LABEL, "color": SOFT, "ha": "center", "va": "center"}
    for line in range(layout.down):
        left, top = layout.corner(line * layout.across)
        x, y = left - layout.left + LABEL * LINE / 2, top + layout.panel[1] / 2
        figure.text(x / width, 1 - y / height, scale.rows, rotation=90, **style)
    last = top + layout.panel[1]
    middle = left + (layout.content - layout.left) / 2
    y = last + layout.foot + LABEL * LINE / 2 + 0.02
    figure.text(middle / width, 1 - y / height, scale.columns, **style)


def _legend(figure: Figure, grid: Grid, scale: Scale) -> None:
    width, height = figure.get_size_inches()
    bar = 1.5
    left = max(MARGIN + 0.12, (width - 3.35) / 2)
    axes = figure.add_axes((left / width, 0.34 / height, bar / width, 0.11 / height), label="scale")
    mappable = ScalarMappable(Normalize(scale.low, scale.high), scale.colours)
    colorbar = figure.colorbar(mappable, cax=axes, orientation="horizontal")
    ticks = [scale.low + (scale.high - scale.low) * step / 4 for step in range(5)]
    colorbar.set_ticks(ticks, labels=[_tick(tick) for tick in ticks])
    colorbar.outline.set_linewidth(0.4)
    axes.tick_params(labelsize=LABEL - 0.5, length=1.5, width=0.4, pad=1.5)
    axes.set_title(scale.name, size=LABEL, pad=2.5)
    _key(figure, left + bar + 0.3, _key_entries(grid, scale))


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", MINUS)


def _key_entries(grid: Grid, scale: Scale) -> list[tuple[str, str, str]]:
    """(fill, hatch, text) of what the colour bar does not say, and only of what occurs."""
    cells = list(grid.cells.values())
    entries = [(WHITE, "", "undefined, or no such model")]
    if any(cell.few and cell.value is not None for cell in cells):
        entries.append((GREY, "////", "fewer than 10 of a class"))
    if any(cell.own for cell in cells):
        entries.append(("none", "", scale.own))
    if any(cell.warning and cell.value is not None for cell in cells):
        entries.append(("", "", "! training saw test images"))
    if any(cell.published is not None for cell in cells):
        entries.append(("", "", "(.77) published value"))
    return entries


def _key(figure: Figure, left: float, entries: list[tuple[str, str, str]]) -> None:
    width, height = figure.get_size_inches()
    line = 0.135
    top = 0.3 + line * len(entries) / 2
    for index, (fill, hatch, text) in enumerate(entries):
        y = (top - line * (index + 1)) / height
        box = ((left / width), y), 0.16 / width, 0.09 / height
        if fill:
            edge, thick = (INK, 0.9) if fill == "none" else (EDGE, 0.5)
            figure.add_artist(
                Rectangle(*box, facecolor=WHITE if fill == "none" else fill, edgecolor=edge, linewidth=thick)
            )
        if hatch:
            figure.add_artist(Rectangle(*box, fill=False, edgecolor=HATCH, linewidth=0, hatch=hatch))
        figure.text(
            (left + 0.22) / width, y + 0.045 / height, text, size=LABEL - 0.5, va="center_baseline", color=INK
        )

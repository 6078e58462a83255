"""A grid of results as a figure: a panel for each task, rows models, columns tested on."""

from dataclasses import dataclass, field
from math import inf
from typing import Final

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from xray.report import spots
from xray.report.grids import Cell, Grid, Key
from xray.report.layout import (
    LABEL,
    MARGIN,
    Box,
    Layout,
    add_boxes,
    add_panel,
    arrange,
    empty,
    name_axes,
    new_figure,
)
from xray.report.models import TESTED, Models
from xray.report.ranking import Calm, ranked
from xray.report.spots import Spot
from xray.report.style import (
    DIVERGING,
    EDGE,
    GREY,
    HATCH,
    INK,
    SOFT,
    WHITE,
    contrast_ink,
    settings,
    text_width,
)
from xray.report.words import MINUS, interval, number, short, task_name
from xray.report.writing import Writing

SMALLEST_TYPE: Final = 4.6
LARGEST_TYPE: Final = (8.0, 5.6)
"""Points: the smallest type of a second line; the largest of first and second."""

Colour = tuple[float, float, float, float]
"""Red, green, blue and opacity from 0 to 1."""


@dataclass(frozen=True)
class Scale:
    """The colour scale: name of the value and range, its chance level in the middle if the colours diverge."""

    name: str
    low: float
    high: float
    separator: str
    """Between the bounds of an interval."""
    own: str
    """What a boxed cell is."""
    colours: Colormap = field(default_factory=lambda: DIVERGING)
    rows: str = ""
    """What the rows are; empty: as the grid names its models."""
    columns: str = TESTED
    calm: Calm | None = None
    """The limits within which panels may be merged into one."""


def draw(grid: Grid, scale: Scale) -> Figure:
    """The grid as a figure, the lowest panels first, calm ones as one (`ranking`).

    White: undefined. Grey, hatched: few positives. Boxed: tested on its own dataset.
    """
    with settings():
        if not grid.cells:
            return empty()
        grid = ranked(grid, scale.calm)
        layout = arrange(grid.tasks, grid.rows, grid.columns)
        figure, writing = new_figure(layout), Writing()
        sizes = _type_sizes(grid, layout, scale)
        cell_spots: list[Spot] = []
        for index, task in enumerate(grid.tasks):
            boxes = _Boxes()
            for y, row in enumerate(grid.rows):
                for x, column in enumerate(grid.columns):
                    cell = grid.cell(task, row, column)
                    fill, ink = cell_colours(cell, scale)
                    boxes.put(cell, (x, y, 1), fill)
                    if (task, row, column) in grid.cells:
                        cell_spots.append(
                            _spot(layout.share(index, x, y), cell, scale, (task, row, column), grid.models)
                        )
                    _write(writing, cell, scale, layout.middle(index, x, y), sizes, ink)
            boxes.draw(add_panel(figure, layout, index, task))
        writing.draw(figure)
        name_axes(figure, layout, scale.rows or grid.models.heading, scale.columns)
        _legend(figure, grid, scale)
        spots.add(figure, cell_spots)
        return figure


def _spot(box: spots.Box, cell: Cell, scale: Scale, key: Key, models: Models) -> Spot:
    """A cell's hover text."""
    task, row, column = key
    task = cell.task or task
    model = f"{scale.rows} {row}" if scale.rows else models.phrase(row)
    between = f" ({interval(cell.interval)})" if cell.interval else ""
    positives = "" if cell.n_pos is None else f", {cell.n_pos:,} positive"
    lines = (
        f"{task_name(task)}: {model}, {scale.columns} {column}",
        f"{scale.name} {number(cell.value)}{between}"
        if cell.value is not None
        else cell.reason or "undefined",
        "" if cell.n is None else f"{cell.n:,} images{positives}",
        cell.method or "",
        cell.warning or "",
    )
    looked_at = (row, column.partition(" (vs ")[0], task) if scale.columns == TESTED else None
    return Spot(box, tuple(line for line in lines if line), looked_at if cell.value is not None else None)


@dataclass
class _Boxes:
    """The boxes of one panel's cells."""

    fills: list[Colour | str] = field(default_factory=list)
    all: list[Box] = field(default_factory=list)
    few: list[Box] = field(default_factory=list)
    own: list[Box] = field(default_factory=list)

    def put(self, cell: Cell, box: Box, fill: Colour | str) -> None:
        self.all.append(box)
        self.fills.append(fill)
        if cell.few and cell.value is not None:
            self.few.append(box)
        if cell.own and cell.value is not None:
            self.own.append(box)

    def draw(self, axes: Axes) -> None:
        """Add them to the panel; gids: "cells", "few", "own"."""
        add_boxes(axes, self.all, facecolors=self.fills, edgecolors=EDGE, linewidths=0.4, gid="cells")
        add_boxes(axes, self.few, edgecolors=HATCH, linewidths=0, facecolors="none", hatch="////", gid="few")
        add_boxes(
            axes,
            self.own,
            edgecolors=INK,
            linewidths=0.9,
            facecolors="none",
            zorder=3,
            clip_on=False,
            gid="own",
        )


def cell_colours(cell: Cell, scale: Scale) -> tuple[Colour | str, str]:
    """Fill and ink of a cell."""
    if cell.value is None:
        return WHITE, SOFT
    if cell.few:
        return GREY, INK
    share = (cell.value - scale.low) / (scale.high - scale.low)
    fill = scale.colours(min(max(share, 0.0), 1.0))
    return fill, contrast_ink(fill)


def _write(
    writing: Writing,
    cell: Cell,
    scale: Scale,
    middle: tuple[float, float],
    sizes: tuple[float, float],
    ink: str,
) -> None:
    """The lines of one cell, in type of so many points, around a place in inches from the figure's bottom left corner."""
    (x, y), (first, second) = middle, sizes
    detail = detail_text(cell, scale) if second else ""
    if cell.value is not None:
        writing.put(value_text(cell), x, y + (second * 0.62 / 72 if detail else 0.0), first, ink)
    if detail:
        writing.put(detail, x, y - (first * 0.6 / 72 if cell.value is not None else 0.0), second, ink)


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

"""What a grid shows, read back from what was drawn: fill, hatching and frame of a cell, and the letters inside of it."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.collections import Collection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from xray.report import spots


@dataclass(frozen=True)
class ShownCell:
    """One cell as an eye sees it."""

    fills: list[str]
    """From left to right."""
    hatched: bool
    boxed: bool
    lines: list[str]
    """From top to bottom."""
    inks: set[str]


def cell(figure: Figure, task: str, row: str, column: str) -> ShownCell:
    """The cell of a task's panel, found by the labels at the figure's rows and columns."""
    (panel,) = (axes for axes in figure.axes if axes.get_label() == task)
    y, x = _tick_index(figure, "y", row), _tick_index(figure, "x", column)
    box = _pixels(panel, Bbox([[x, y], [x + 1, y + 1]]))
    colours = [(gid, colour) for gid, index, colour in _boxes(panel) if _contains(box, index)]
    lines: defaultdict[float, list[tuple[float, str]]] = defaultdict(list)
    inks = set()
    for letter, at, index, ink in glyphs(figure):
        if _contains(box, index):
            lines[round(at[1], 6)].append((at[0], letter))
            inks.add(ink)
    return ShownCell(
        [colour for gid, colour in colours if gid in ("cells", "verdicts")],
        "few" in dict(colours),
        "own" in dict(colours),
        ["".join(letter for _, letter in sorted(lines[y])) for y in sorted(lines, reverse=True)],
        inks,
    )


def glyphs(figure: Figure) -> Iterator[tuple[str, tuple[float, float], Bbox, str]]:
    """Each letter of the cells: itself, its start in inches, its place in dots, its ink."""
    for collection in figure.artists:
        if isinstance(collection, Collection):
            (outline,) = collection.get_paths()
            ink = collection.get_facecolor()
            extent = outline.get_extents(collection.get_transform())
            for index, at in enumerate(collection.get_offsets()):
                dx, dy = collection.get_offset_transform().transform(at)
                yield (
                    str(collection.get_gid()), (at[0], at[1]), extent.translated(dx, dy), to_hex(ink[index % len(ink)])
                )  # fmt: skip


def boxes(figure: Figure) -> list[Bbox]:
    """The cells of all panels in dots."""
    return [box for axes in figure.axes for gid, box, _ in _boxes(axes) if gid == "cells"]


def _boxes(axes: Axes) -> Iterator[tuple[str, Bbox, str]]:
    for collection in axes.collections:
        if isinstance(collection, PolyCollection) and collection.get_gid():
            colours = collection.get_facecolor()
            for index, path in enumerate(collection.get_paths()):
                colour = to_hex(colours[index % len(colours)], keep_alpha=False) if len(colours) else "none"
                yield str(collection.get_gid()), _pixels(axes, path.get_extents()), colour


def _tick_index(figure: Figure, axis: str, label: str) -> int:
    for axes in figure.axes:
        texts = [text.get_text() for text in getattr(axes, f"get_{axis}ticklabels")()]
        if label in texts:
            return texts.index(label)
    raise LookupError(label)


def _pixels(axes: Axes, box: Bbox) -> Bbox:
    return box.transformed(axes.transData)


def _contains(outer: Bbox, inner: Bbox) -> bool:
    x, y = (inner.x0 + inner.x1) / 2, (inner.y0 + inner.y1) / 2
    return bool(outer.xmin < x < outer.xmax and outer.ymin < y < outer.ymax)


def answers(figure: Figure) -> dict[str, tuple[float, float]]:
    """What the places of a figure say, all lines in one, and their middles in dots from the figure's bottom left corner."""
    width, height = figure.get_size_inches() * figure.dpi
    return {
        " | ".join(spot.lines): ((spot.box[0] + spot.box[2] / 2) * width, (1 - spot.box[1] - spot.box[3] / 2) * height)
        for spot in spots.of(figure)
    }  # fmt: skip

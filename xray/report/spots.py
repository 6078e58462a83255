"""Hover texts of a figure: the numbers behind each spot, and the cell or image they belong to."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xray.report.answer import Judged

Box = tuple[float, float, float, float]
"""Left, top, width and height as shares of the figure, from its top left corner."""


@dataclass(frozen=True)
class Spot:
    """A place of a figure. lines: what is said of it. cell: model, test dataset, finding of its images; image: a number."""

    box: Box
    lines: tuple[str, ...]
    cell: tuple[str, str, str] | None = None
    image: int | None = None


_SPOTS: Final["WeakKeyDictionary[Figure, list[Spot]]"] = WeakKeyDictionary()


REACH: Final = 0.05
"""Inches from a point of a curve that still answer for it."""


def around(
    axes: "Axes",
    x: float,
    y: float,
    lines: Sequence[str],
    cell: tuple[str, str, str] | None = None,
    image: int | None = None,
) -> None:
    """Let a point of a panel answer; x, y in the panel's own scales. A point outside of the panel does not."""
    if not (axes.get_xlim()[0] <= x <= axes.get_xlim()[1] and axes.get_ylim()[0] <= y <= axes.get_ylim()[1]):
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    across, up = figure.transFigure.inverted().transform(axes.transData.transform((x, y)))
    width, height = (2 * REACH / inches for inches in figure.get_size_inches())
    box = float(across) - width / 2, 1 - float(up) - height / 2, float(width), float(height)
    add(figure, [Spot(box, tuple(line for line in lines if line), cell, image)])


def add(figure: "Figure", several: Iterable[Spot]) -> None:
    """Give a figure more spots."""
    _SPOTS.setdefault(figure, []).extend(several)


def of(figure: "Figure") -> tuple[Spot, ...]:
    """The spots of a figure."""
    return tuple(_SPOTS.get(figure, ()))


def as_json(several: Sequence[Spot], study: str, foreign: Sequence[str]) -> str:
    """The spots for a page's script: texts once, and of each spot its box in 1/10,000, its texts, and its cell or image.

    Models have the names of the explorer's addresses: a configuration's ensemble that of its study before it.
    """
    texts: dict[str, int] = {}

    def index_of(text: str) -> int:
        return texts.setdefault(text, len(texts))

    rows = [
        [
            *(round(10_000 * share) for share in spot.box),
            [index_of(line) for line in spot.lines],
            [index_of(name) for name in (address_name(spot.cell[0], study, foreign), *spot.cell[1:])]
            if spot.cell
            else spot.image or [],
        ]
        for spot in several
    ]
    content = json.dumps({"texts": list(texts), "spots": rows}, ensure_ascii=False, separators=(",", ":"))
    # within a page no text may end the element or begin another
    return content.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def address_name(model: str, study: str, foreign: Sequence[str]) -> str:
    """A model as the explorer's addresses have it."""
    return model if model in foreign else f"{study}.{model}"


def images_of(cell: tuple[str, str, str], study: str, foreign: Sequence[str]) -> str:
    """Model, dataset and finding of a table's cell, or of its row, for the page's script: a list of one."""
    model, dataset, task = cell
    return json.dumps([[address_name(model, study, foreign), dataset, task]], ensure_ascii=False)


def cells_of(models: "Sequence[Judged]", study: str, foreign: Sequence[str]) -> str:
    """Models, dataset and finding of a cell of the first screen for the page's script: a list of each that has an AUC."""
    return json.dumps(
        [[address_name(m.model, study, foreign), m.site, m.task] for m in models if m.auc is not None]
    )

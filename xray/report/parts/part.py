"""A part of the report, made from the rows of one result view, and what several parts share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from xray.report import grids
from xray.report.captions import Caption
from xray.report.models import TESTED
from xray.report.tables import Table
from xray.report.text import frame_table
from xray.report.words import interval, number, number_of, task_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LISTED: Final = 20
"""So many rows of a long table are shown; all are in the database and in the CSV."""


@dataclass(frozen=True)
class Part:
    """One analysis in the report.

    name: of its files. short_table: a table of a few rows. data: behind the figure. central: a main part, so that its
    `tables` are on the page in full, its figure whatever its size, and it is shown without results too. boxed: what a
    boxed cell of its tables is.
    """

    name: str
    title: str
    about: str
    findings: Sequence[str]
    data: pd.DataFrame
    text: str
    short_table: pd.DataFrame = field(default_factory=pd.DataFrame)
    draw: "Callable[[], Figure] | None" = None
    caption: Caption | None = None
    tables: Sequence[Table] = ()
    central: bool = False
    boxed: str = ""


def plain(name: str, title: str, rows: pd.DataFrame) -> Part:
    """Any other analysis: its rows as they are."""
    return Part(name, title, "", [], rows, frame_table(rows))


def with_figure(part: Part, data: pd.DataFrame, draw: "Callable[[], Figure]", caption: Caption) -> Part:
    """The part with a figure and the data behind it."""
    return replace(part, data=data, draw=draw, caption=caption)


def renamed(part: Part, name: str) -> Part:
    """The part under another name of its files."""
    return replace(part, name=name)


def beside(grid: grids.Grid) -> pd.DataFrame:
    """Our values next to the published ones, where there are both: task, row, column, value, interval, published."""
    rows = [
        (task_name(task), row, column, cell.value, interval(cell.interval), cell.published)
        for (task, row, column), cell in grid.cells.items()
        if cell.published is not None
    ]
    names = ["task", grid.models.heading, TESTED, "here", "95% interval", "published"]
    return pd.DataFrame(rows, columns=names).sort_values("task", kind="stable", ignore_index=True)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows, each as column → value."""
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def smallest(rows: pd.DataFrame, column: str, most: int = LISTED) -> pd.DataFrame:
    """The rows with the smallest numbers of a column, those without one left out.

    Also where all are missing, which pandas takes for objects and refuses to order.
    """
    return rows.loc[rows[column].astype(float).dropna().nsmallest(most).index]


def largest(rows: pd.DataFrame, column: str, most: int = LISTED) -> pd.DataFrame:
    """The rows with the largest numbers of a column; as `smallest`."""
    return rows.loc[rows[column].astype(float).dropna().nlargest(most).index]


def estimate(
    row: dict[str, Any], value: str, lower: str = "lower", upper: str = "upper", sign: int = 1
) -> str:
    """A value with its interval, or with the sign turned; "–" where it is missing."""
    if pd.isna(row[value]):
        return "–"
    bounds = [row[lower], row[upper]]
    if any(pd.isna(bound) for bound in bounds):
        return number(sign * float(row[value]))
    low, high = sorted(sign * float(bound) for bound in bounds)
    return f"{number(sign * float(row[value]))} ({interval((low, high))})"


def alt_text(grid: grids.Grid, subject: str) -> str:
    """What a heat map shows, for screen readers."""
    values = [cell.value for cell in grid.cells.values() if cell.value is not None]
    if not values:
        return f"Heat map of {subject}: no value is defined."
    return (
        f"Heat map of {subject}, {number_of(len(values), 'value')} from {number(min(values), 2)} to "
        f"{number(max(values), 2)}, mean {number(mean(values), 2)}."
    )


def figures() -> Any:
    """The module that draws, which is imported when a figure is asked for."""
    from xray.report import figures

    return figures

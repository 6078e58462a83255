"""Result rows as tables that a person reads: plain values, no markup. The page turns them into HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from xray.report.grids import (
    FEW_OF_A_CLASS,
    Cell,
    Grid,
    Record,
    count_or_none,
    number_or_none,
    records,
    task_order,
    text_or_none,
)
from xray.report.leave_out import Arm, groups
from xray.report.models import MODEL, TESTED, TRAINED
from xray.report.words import ARMS, COMPARISON, interval, number, number_of, p_cell, task_name

Images = tuple[str, str, str]
"""Model, test dataset and finding: the images that numbers are about."""

COHORTS: Final = ("dataset", "part", "task", "n", "n_pos")
"""Columns of the frame of counts. Rows without a task count the images of the whole part."""
SPELLINGS: Final = (("trained_on", TRAINED, MODEL), ("test_dataset", TESTED), ("task", "finding"))
"""Columns that say which images a row is about, as stored and as people read them."""


@dataclass(frozen=True)
class Entry:
    """What one place of a table says: a text, smaller lines under it, and a kind.

    kind: words of "own" (tested on its own dataset), "few" (few positives), "leaks" (training saw test images or patients),
    "undefined". images: those it is about.
    """

    text: str
    detail: tuple[str, ...] = ()
    kind: str = ""
    images: Images | None = None


@dataclass(frozen=True)
class Table:
    """A captioned table: column headings, and rows with a heading each. `corner` heads the row headings.

    images: those that each row is about, where all its numbers are about the same.
    """

    caption: str
    corner: str
    columns: tuple[Entry, ...]
    rows: tuple[tuple[str, tuple[Entry, ...]], ...]
    images: tuple[Images | None, ...] = ()


def performance(grid: Grid) -> list[Table]:
    """A table for each task: rows models, columns tested on; AUC with interval; n and n_pos."""
    return [_grid_table(grid, task, "AUC") for task in grid.valued]


def agreement(grid: Grid) -> list[Table]:
    """A table for each task: rows models, columns tested on; κ with interval and PABAK; n."""
    return [_grid_table(grid, task, "κ") for task in grid.valued]


def _grid_table(grid: Grid, task: str, value: str) -> Table:
    counts = {column: _shared_counts(grid, task, column) for column in grid.columns}
    return Table(
        caption=f"{task_name(task)}: {value}, 95% interval",
        corner=grid.models.heading,
        columns=tuple(Entry(column, (counts[column],) if counts[column] else ()) for column in grid.columns),
        rows=tuple(
            (row, tuple(_entry(grid, (task, row, column), bool(counts[column])) for column in grid.columns))
            for row in grid.rows
        ),
    )


def _shared_counts(grid: Grid, task: str, column: str) -> str:
    """The counts, where all cells of a column have the same; otherwise each cell says its own."""
    counts = {_counts(cell) for row in grid.rows if (cell := grid.cells.get((task, row, column)))}
    return counts.pop() if len(counts) == 1 else ""


def _counts(cell: Cell) -> str:
    if cell.n is None:
        return ""
    positive = "" if cell.n_pos is None else f", {cell.n_pos:,} positive"
    return f"n = {cell.n:,}{positive}{' (few)' if cell.few else ''}"


def _entry(grid: Grid, key: tuple[str, str, str], counted_above: bool) -> Entry:
    cell = grid.cells.get(key)
    if cell is None:
        return Entry("–", ("not evaluated",), "undefined")
    detail = [interval(cell.interval)] if cell.interval else []
    if cell.reason or cell.value is None:
        detail.append(cell.reason or "undefined")
    if cell.pabak is not None:
        detail.append(f"PABAK {number(cell.pabak)}")
    if cell.warning is not None and cell.value is not None:
        detail.append("leaks from training")
    if cell.published is not None:
        detail.append(f"published {number(cell.published)}")
    if not counted_above and (counts := _counts(cell)):
        detail.append(counts)
    task, model, dataset = key
    images = None if cell.value is None else (model, dataset.partition(" (vs ")[0], task)
    return Entry(number(cell.value), tuple(detail), _kind(cell), images)


def _kind(cell: Cell) -> str:
    if cell.value is None:
        return "undefined"
    return " ".join(
        kind
        for kind, holds in (("own", cell.own), ("few", cell.few), ("leaks", cell.warning is not None))
        if holds
    )


def leave_one_site_out(rows: pd.DataFrame) -> Table:
    """Mean test AUC over tasks of each test dataset and arm: mean ± standard deviation over the seeds."""
    return Table(
        caption="Mean AUC over tasks: mean over the seeds ± standard deviation",
        corner="tested on",
        columns=(Entry("site"), Entry("tasks"), *(Entry(text) for text in ARMS.values())),
        rows=tuple(
            (
                group.test_dataset,
                (
                    Entry(group.site),
                    Entry("–" if group.n_tasks is None else str(group.n_tasks)),
                    *(_arm_entry(arm) for arm in group.arms.values()),
                ),
            )
            for group in groups(rows)
        ),
    )


def _arm_entry(arm: Arm) -> Entry:
    if arm.mean is None:
        return Entry("–", ("no result",), "undefined")
    spread = "" if arm.spread is None else f" ± {number(arm.spread)}"
    return Entry(f"{number(arm.mean)}{spread}", (number_of(len(arm.seeds), "seed"),))


def comparison(frame: pd.DataFrame) -> list[Table]:
    """A table for each test dataset: rows tasks and arms; AUCs, difference, p values or the reason."""
    by_dataset: dict[str, list[Record]] = {}
    for row in records(frame, COMPARISON, "comparison"):
        by_dataset.setdefault(row["test_dataset"], []).append(row)
    columns = ("first", "second", "AUC first", "AUC second", "difference", "p", "p, Holm")
    tables = []
    for dataset, rows in by_dataset.items():
        order = task_order(row["task"] for row in rows)
        rows = sorted(rows, key=lambda row: order.index(row["task"]))
        tables.append(
            Table(
                caption=f"Tested on {dataset}: first minus second, 95% interval",
                corner="task",
                columns=tuple(Entry(column) for column in columns),
                rows=tuple((task_name(row["task"]), _comparison_entries(row)) for row in rows),
            )
        )
    return tables


def _comparison_entries(row: Record) -> tuple[Entry, ...]:
    lower, upper = number_or_none(row["lower"]), number_or_none(row["upper"])
    difference = number_or_none(row["difference"])
    detail = [] if lower is None or upper is None else [interval((lower, upper))]
    if difference is None or text_or_none(row["reason"]):
        detail.append(text_or_none(row["reason"]) or "undefined")
    if text_or_none(row.get("warning")):
        detail.append("leaks from training")
    return (
        Entry(ARMS.get(row["arm_a"], str(row["arm_a"]))),
        Entry(ARMS.get(row["arm_b"], str(row["arm_b"]))),
        Entry(number(number_or_none(row["auc_a"]))),
        Entry(number(number_or_none(row["auc_b"]))),
        Entry(number(difference), tuple(detail), "undefined" if difference is None else ""),
        Entry(p_cell(row["p"])),
        Entry(p_cell(row["p_holm"])),
    )


def cohorts(frame: pd.DataFrame) -> list[Table]:
    """A table for each part (train, validation, test): rows tasks, columns datasets; positives.

    frame: columns `COHORTS`.
    """
    rows = records(frame, COHORTS, "cohorts")
    datasets = tuple(dict.fromkeys(row["dataset"] for row in rows))
    return [
        _cohort_table(part, datasets, [row for row in rows if row["part"] == part])
        for part in dict.fromkeys(row["part"] for row in rows)
    ]


def _cohort_table(part: str, datasets: tuple[str, ...], rows: Sequence[Record]) -> Table:
    images = {row["dataset"]: count_or_none(row["n"]) for row in rows if text_or_none(row["task"]) is None}
    row_of = {(row["task"], row["dataset"]): row for row in rows if text_or_none(row["task"]) is not None}
    body = [
        (task_name(task), tuple(_cohort_entry(row_of.get((task, dataset))) for dataset in datasets))
        for task in task_order(task for task, _ in row_of)
    ]
    if images:
        total = tuple(Entry("–" if (n := images.get(dataset)) is None else f"{n:,}") for dataset in datasets)
        body.insert(0, ("images", total))
    return Table(
        caption=f"Part “{part}”: positive of labelled images",
        corner="task",
        columns=tuple(Entry(dataset) for dataset in datasets),
        rows=tuple(body),
    )


def _cohort_entry(row: Record | None) -> Entry:
    n = None if row is None else count_or_none(row["n"])
    n_pos = None if row is None else count_or_none(row["n_pos"])
    if not n or n_pos is None:
        return Entry("–", ("not labelled",), "undefined")
    return Entry(f"{n_pos:,} of {n:,}", kind="few" if n_pos < FEW_OF_A_CLASS else "")


def images_of(frame: pd.DataFrame, stored: pd.DataFrame) -> tuple[Images | None, ...]:
    """The images that each row of a table for people is about; None where `stored`, the rows behind it, has no such cell."""
    columns = [
        next((str(name) for name in frame.columns if name in spellings), None) for spellings in SPELLINGS
    ]
    if None in columns or not {spellings[0] for spellings in SPELLINGS} <= set(stored.columns):
        return ()
    cells = stored[[spellings[0] for spellings in SPELLINGS]].dropna().drop_duplicates()
    cell_of = {
        (str(m), str(d), task_name(str(t))): (str(m), str(d), str(t))
        for m, d, t in cells.itertuples(index=False)
    }
    names = frame[columns].itertuples(index=False)
    return tuple(cell_of.get((str(m), str(d), task_name(str(t)))) for m, d, t in names)


def plain(name: str, frame: pd.DataFrame, images: tuple[Images | None, ...] = ()) -> Table:
    """Any other frame as it is: its first column heads the rows. Three decimals; missing is "–"."""
    columns = [str(column).replace("_", " ") for column in frame.columns]
    return Table(
        caption=name.replace("_", " "),
        corner=columns[0] if columns else "",
        columns=tuple(Entry(column) for column in columns[1:]),
        rows=tuple(
            (_plain(values[0]), tuple(Entry(_plain(value)) for value in values[1:]))
            for values in frame.itertuples(index=False, name=None)
        ),
        images=images,
    )


def _plain(value: Any) -> str:
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return "–"
    return number(value) if isinstance(value, float) else str(value)

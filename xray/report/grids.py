"""A grid of results: one cell per (task, row, column). Figures, tables and terminal text are made from it."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import pandas as pd

from xray.errors import AnalysisError
from xray.findings import in_order
from xray.report.models import OWN, Models, models_of

FEW_OF_A_CLASS: Final = 10
"""A cell with fewer positives, or negatives, than this is greyed (protocol §8)."""

PERFORMANCE: Final = (
    "trained_on",
    "test_dataset",
    "task",
    "seed",
    "n",
    "n_pos",
    "auc",
    "lower",
    "upper",
    "reason",
)
AGREEMENT: Final = (
    "test_dataset",
    "task",
    "reference",
    "trained_on",
    "n",
    "kappa",
    "lower",
    "upper",
    "pabak",
    "reason",
)
PUBLISHED: Final = ("trained_on", "test_dataset", "task", "value")
"""Columns that the frames must have."""

Key = tuple[str, str, str]
"""(task, row, column)"""

Record = Mapping[Hashable, Any]


@dataclass(frozen=True)
class Cell:
    """One result: estimate with 95% interval, counts, and why a number is missing (None: missing).

    pabak: agreement adjusted for prevalence and bias, beside a κ.
    """

    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    n: int | None = None
    n_pos: int | None = None
    reason: str | None = None
    published: float | None = None
    pabak: float | None = None
    own: bool = False
    """Trained on the dataset that it is tested on."""
    warning: str | None = None
    """What the models saw of the test images or patients in training: the value flatters them."""
    method: str | None = None
    task: str | None = None
    """The finding whose cell this is, in a panel that several share."""

    @property
    def few(self) -> bool:
        """Whether fewer than `FEW_OF_A_CLASS` positives, or negatives, carry the value."""
        if self.n_pos is None:
            return False
        return self.n_pos < FEW_OF_A_CLASS or (self.n is not None and self.n - self.n_pos < FEW_OF_A_CLASS)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval, or None where a bound is missing."""
        return None if self.lower is None or self.upper is None else (self.lower, self.upper)


@dataclass(frozen=True)
class Grid:
    """Cells by (task, row, column). A key without a cell is a combination that nobody asked for."""

    tasks: tuple[str, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[Key, Cell]
    models: Models = OWN

    @property
    def warnings(self) -> list[str | None]:
        """The warning of each cell that has a value; None where it has no warning."""
        return [cell.warning for cell in self.cells.values() if cell.value is not None]

    @cached_property
    def valued(self) -> tuple[str, ...]:
        """The tasks with a value anywhere; all, where none has one."""
        with_value = {task for (task, _, _), cell in self.cells.items() if cell.value is not None}
        return tuple(task for task in self.tasks if task in with_value) or self.tasks

    def cell(self, task: str, row: str, column: str) -> Cell:
        """The cell of a key; an empty one where there is no result."""
        return self.cells.get((task, row, column), Cell())


def number_or_none(value: Any) -> float | None:
    """A float, or None for None, NaN and NA."""
    return None if value is None or pd.isna(value) else float(value)


def count_or_none(value: Any) -> int | None:
    """An int, or None for None, NaN and NA."""
    return None if value is None or pd.isna(value) else int(value)


def text_or_none(value: Any) -> str | None:
    """A text, or None for None, NaN, NA and the empty text."""
    return None if value is None or pd.isna(value) or value == "" else str(value)


def records(frame: pd.DataFrame, columns: Iterable[str], subject: str) -> list[dict[Hashable, Any]]:
    """The rows of a result frame. Raises AnalysisError for missing columns, unless there is no row."""
    missing = [column for column in columns if column not in frame.columns]
    if len(frame) and missing:
        raise AnalysisError(f"{subject}: the frame lacks the columns {', '.join(missing)}")
    return frame.to_dict("records")


def task_order(tasks: Iterable[str]) -> tuple[str, ...]:
    """Each task once, those of the default list first and in its order, then the others in the order seen."""
    return in_order(tasks)


def training_order(trained_on: Iterable[str], datasets: Iterable[str]) -> tuple[str, ...]:
    """Each training set once: datasets in the datasets' order, then the others in the order seen."""
    names = dict.fromkeys(trained_on)
    own_sets = [dataset for dataset in dict.fromkeys(datasets) if dataset in names]
    return tuple(dict.fromkeys([*own_sets, *names]))


def auc_grid(performance: pd.DataFrame, published: pd.DataFrame | None = None) -> Grid:
    """AUC by (task, trained on, tested on).

    performance: columns `PERFORMANCE`. A cell is its ensemble row (seed missing); without one, its only seed.
    Several seeds without an ensemble leave the cell undefined, with that as its reason.
    Raises AnalysisError for missing columns and for two rows of the same cell and seed.
    """
    rows = records(performance, PERFORMANCE, "performance")
    by_key: dict[Key, list[Record]] = {}
    for row in rows:
        by_key.setdefault((row["task"], row["trained_on"], row["test_dataset"]), []).append(row)
    cells = {key: _auc_cell(key, same) for key, same in by_key.items()}
    columns = tuple(dict.fromkeys(column for _, _, column in cells))
    return Grid(
        tasks=task_order(task for task, _, _ in cells),
        rows=training_order((row for _, row, _ in cells), columns),
        columns=columns,
        cells=_with_published(cells, published, {column: column for column in columns}),
        models=models_of(performance),
    )


def kappa_grid(agreement: pd.DataFrame, published: pd.DataFrame | None = None) -> Grid:
    """Cohen's κ by (task, trained on, tested on); each test dataset's model is the other rater.

    agreement: columns `AGREEMENT`. A column is named after its test dataset; where the reference model was
    trained on something else, the name says on what.
    Raises AnalysisError for missing columns and doubled cells.
    """
    rows = records(agreement, AGREEMENT, "agreement")
    cells: dict[Key, Cell] = {}
    datasets: dict[str, str] = {}
    for row in rows:
        column = _agreement_column(row["test_dataset"], row["reference"])
        datasets[column] = row["test_dataset"]
        key = (row["task"], row["trained_on"], column)
        if key in cells:
            raise AnalysisError(_doubled("agreement", key))
        cells[key] = _cell(row, "kappa", own=row["trained_on"] == row["reference"])
    return Grid(
        tasks=task_order(task for task, _, _ in cells),
        rows=training_order((row for _, row, _ in cells), datasets.values()),
        columns=tuple(datasets),
        cells=_with_published(cells, published, datasets),
        models=models_of(agreement),
    )


def value_grid(
    frame: pd.DataFrame,
    value: str,
    subject: str,
    published: pd.DataFrame | None = None,
    row: str = "trained_on",
    column: str = "test_dataset",
) -> Grid:
    """Any value by (task, row, column): a frame of one row per cell with lower, upper, n, n_pos and reason.

    Raises AnalysisError for missing columns and doubled cells.
    """
    names = ("task", row, column, value, "lower", "upper", "n", "n_pos", "reason")
    cells: dict[Key, Cell] = {}
    for record in records(frame, names, subject):
        key = (record["task"], record[row], record[column])
        if key in cells:
            raise AnalysisError(_doubled(subject, key))
        cells[key] = _cell(record, value, own=record[row] == record[column])
    columns = tuple(dict.fromkeys(column for _, _, column in cells))
    return Grid(
        tasks=task_order(task for task, _, _ in cells),
        rows=training_order((row for _, row, _ in cells), columns),
        columns=columns,
        cells=_with_published(cells, published, {column: column for column in columns}),
        models=models_of(frame),
    )


def _agreement_column(test_dataset: str, reference: str) -> str:
    return test_dataset if reference == test_dataset else f"{test_dataset} (vs {reference})"


def _auc_cell(key: Key, rows: list[Record]) -> Cell:
    seeds = [number_or_none(row["seed"]) for row in rows]
    if len(set(seeds)) < len(seeds):
        raise AnalysisError(_doubled("performance", key))
    is_own = key[1] == key[2]
    if None in seeds:
        return _cell(rows[seeds.index(None)], "auc", is_own)
    if len(rows) == 1:
        return _cell(rows[0], "auc", is_own)
    return Cell(
        n=count_or_none(rows[0]["n"]),
        n_pos=count_or_none(rows[0]["n_pos"]),
        reason=f"{len(rows)} seeds, no ensemble",
        own=is_own,
    )


def _cell(row: Record, value: str, own: bool) -> Cell:
    return Cell(
        value=number_or_none(row[value]),
        lower=number_or_none(row["lower"]),
        upper=number_or_none(row["upper"]),
        n=count_or_none(row["n"]),
        n_pos=count_or_none(row.get("n_pos")),
        reason=text_or_none(row["reason"]),
        pabak=number_or_none(row.get("pabak")),
        own=own,
        warning=text_or_none(row.get("warning")),
        method=text_or_none(row.get("method")),
    )


def _doubled(subject: str, key: Key) -> str:
    task, row, column = key
    return f"{subject}: two rows for {task}, trained on {row}, tested on {column}; expected one for each seed"


def _with_published(
    cells: dict[Key, Cell], published: pd.DataFrame | None, datasets: Mapping[str, str]
) -> dict[Key, Cell]:
    """Each cell with its published value. `datasets`: column → test dataset."""
    if published is None:
        return cells
    values = {
        (row["task"], row["trained_on"], row["test_dataset"]): number_or_none(row["value"])
        for row in records(published, PUBLISHED, "published values")
    }
    return {
        (task, row, column): replace(cell, published=values.get((task, row, datasets[column])))
        for (task, row, column), cell in cells.items()
    }

"""Results as plain text for a terminal, at most 100 columns wide."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pandas as pd

from xray.report.grids import FEW_OF_A_CLASS, Cell, Grid, auc_grid
from xray.report.models import Models, models_of
from xray.report.words import MINUS, leaks, short, task_name

WIDTH: Final = 100
NAME: Final = 26
"""Columns for the names of the rows at most; longer names take further lines."""
CELL: Final = 15
"""Columns of "0.87*(.81-1.00)"."""
BETWEEN: Final = "  "


def auc_table(performance: pd.DataFrame) -> str:
    """AUC with 95% interval, a block for each task: rows models, columns tested on; fits 100 columns.

    performance: columns `grids.PERFORMANCE`. "*" marks fewer than 10 of a class, "!" a model that saw test images or
    patients in training; "-" with a letter is undefined, for the reason that the last lines give; blank was not
    evaluated. Ends without a newline.
    Raises AnalysisError for missing columns and doubled rows.
    """
    grid = auc_grid(performance)
    return grid_table(grid, f"AUC (95% interval); {grid.models.axes}")


def grid_table(grid: Grid, heading: str, head: str = "") -> str:
    """A grid as text: a heading, a block for each task; marks as in `auc_table`. `head` names the rows, if
    not as the grid's models are headed.
    """
    if not grid.cells:
        return "no results"
    cells = {key: cell for key, cell in grid.cells.items() if key[0] in grid.valued}
    grid = replace(grid, tasks=grid.valued, cells=cells)
    head = head or grid.models.heading
    name = min(NAME, max(map(len, (head, *grid.rows))))
    per_block = (WIDTH - name) // (CELL + len(BETWEEN))
    letters = _letters(grid)
    lines = [heading]
    for task in grid.tasks:
        for start in range(0, len(grid.columns), per_block):
            lines += ["", *_block(grid, task, grid.columns[start : start + per_block], name, letters, head)]
    return "\n".join([*lines, *_legend(grid, letters)])


def _block(
    grid: Grid, task: str, columns: tuple[str, ...], name: int, letters: Mapping[str, str], head: str
) -> list[str]:
    lines = [task_name(task), *_row(head, [_wrap(column, CELL) for column in columns], name)]
    for row in grid.rows:
        cells = [grid.cells.get((task, row, column)) for column in columns]
        lines += _row(row, [[_cell(cell, letters)] for cell in cells], name)
    return lines


def _row(head: str, cells: list[list[str]], name: int) -> list[str]:
    heads = _wrap(head, name)
    height = max(len(heads), *(len(cell) for cell in cells))
    lines = []
    for line in range(height):
        texts = [cell[line] if line < len(cell) else "" for cell in cells]
        first = heads[line] if line < len(heads) else ""
        lines.append(BETWEEN.join([first.ljust(name), *(text.ljust(CELL) for text in texts)]).rstrip())
    return lines


def _cell(cell: Cell | None, letters: Mapping[str, str]) -> str:
    if cell is None:
        return ""
    if cell.value is None:
        return f"-    {letters[cell.reason or 'undefined']}"
    mark = "!" if cell.warning else "*" if cell.few else " "
    between = "" if cell.interval is None else f"({'-'.join(short(bound) for bound in cell.interval)})"
    return f"{cell.value:.2f}{mark}{between}".rstrip().replace(MINUS, "-")


def _letters(grid: Grid) -> dict[str, str]:
    """A letter for each reason: a to z, then a1, b1, …"""
    reasons = dict.fromkeys(cell.reason or "undefined" for cell in grid.cells.values() if cell.value is None)
    return {
        reason: chr(ord("a") + index % 26) + (str(index // 26) if index >= 26 else "")
        for index, reason in enumerate(reasons)
    }


def _legend(grid: Grid, letters: Mapping[str, str]) -> list[str]:
    lines = [f"- {letter}: {reason}" for reason, letter in letters.items()]
    defined = [cell for cell in grid.cells.values() if cell.value is not None]
    if any(cell.few for cell in defined):
        lines.insert(0, f"*: fewer than {FEW_OF_A_CLASS} of a class")
    if any(grid.warnings):
        lines.append("!: the model saw test images or patients in training, which flatters it:")
        lines += leaks(grid.warnings)
    return ["", *(part for line in lines for part in _wrap(line, WIDTH))] if lines else []


def _wrap(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` letters, broken after " ", "_" or "-" where it can be."""
    lines = []
    text = " ".join(text.split())
    while len(text) > width:
        cut = max(text.rfind(letter, 0, width) for letter in " _-") + 1 or width
        lines.append(text[:cut].rstrip())
        text = text[cut:]
    return [*lines, text]


def frame_table(frame: pd.DataFrame, models: Models | None = None) -> str:
    """A frame as aligned text: numbers to three decimals, to the right; what is missing as "-".

    models: those of column `trained_on`, where the frame does not say which are from elsewhere.
    """
    if not len(frame):
        return "no results"
    cells = [[_plain(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    heads = [
        (models or models_of(frame)).heading if column == "trained_on" else str(column).replace("_", " ")
        for column in frame.columns
    ]
    widths = [max(len(head), *(len(row[i]) for row in cells)) for i, head in enumerate(heads)]
    numeric = [pd.api.types.is_numeric_dtype(frame[column]) for column in frame.columns]
    lines = [heads, ["-" * width for width in widths], *cells]
    return "\n".join(
        BETWEEN.join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def _plain(value: Any) -> str:
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)

"""Which panels of a figure come first: those where something fails. Uneventful panels are merged into one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from xray.report.grids import Cell, Grid, Key
from xray.report.limits import LOST, USEFUL
from xray.report.words import number, number_of, task_name


@dataclass(frozen=True)
class Calm:
    """The limits that all cells of a panel must keep for it to be merged with others.

    low: the lower bound of each value's interval, or the value without one, is at least this. lost: each value is less than
    this below the row's own cell in the same panel.
    """

    low: float
    lost: float

    def __str__(self) -> str:
        lost = f" or by {number(self.lost, 2)} below home" if self.lost < 1 else ""
        return f"below {number(self.low, 2)}{lost}"


AUC: Final = Calm(USEFUL.value, LOST.value)
KAPPA: Final = Calm(0.61, 1.0)
"""Landis and Koch call more than 0.6 substantial."""
SENSITIVITY: Final = Calm(0.80, LOST.value)
PRECISION: Final = Calm(0.80, LOST.value)
TRANSFER: Final = Calm(-0.05, 1.0)


def ranked(grid: Grid, calm: Calm | None) -> Grid:
    """The grid, lowest tasks first, without those that have no value anywhere; the calm ones are one last panel, each
    of its cells the lowest of theirs.

    As many panels as before where fewer than two are calm or nothing but calm is there, and beside published values.
    """
    order = sorted(grid.valued, key=lambda task: _lowest(grid, task))
    calm_tasks = _others(grid, calm, order)
    if not calm_tasks:
        return replace(grid, tasks=tuple(order))
    title = f"lowest of {len(calm_tasks)} others"
    cells: dict[Key, Cell] = {key: cell for key, cell in grid.cells.items() if key[0] not in calm_tasks}
    for row in grid.rows:
        for column in grid.columns:
            same = [
                replace(grid.cells[task, row, column], task=task)
                for task in calm_tasks
                if (task, row, column) in grid.cells
            ]
            if same:
                cells[title, row, column] = min(same, key=_height)
    return replace(grid, tasks=(*(task for task in order if task not in calm_tasks), title), cells=cells)


def note(grid: Grid, calm: Calm | None) -> str:
    """What a caption says of the order of the panels, and which are one."""
    order = sorted(grid.valued, key=lambda task: _lowest(grid, task))
    calm_tasks = _others(grid, calm, order)
    first = "The lowest panels come first. " if len(order) > 1 else ""
    if n_empty := len(grid.tasks) - len(order):
        first += f"{number_of(n_empty, 'task')} without a value anywhere {'has' if n_empty == 1 else 'have'} no panel. "
    if not calm_tasks:
        return first
    names = ", ".join(task_name(task) for task in calm_tasks)
    return f"{first}Last panel: the lowest of {number_of(len(calm_tasks), 'other')} ({names}), where no value is {calm}. "


def _others(grid: Grid, calm: Calm | None, order: Sequence[str]) -> tuple[str, ...]:
    """The calm tasks, if they would hide others."""
    if calm is None or any(cell.published is not None for cell in grid.cells.values()):
        return ()
    calm_tasks = tuple(task for task in order if _is_calm(grid, task, calm))
    return calm_tasks if 1 < len(calm_tasks) < len(order) else ()


def _is_calm(grid: Grid, task: str, calm: Calm) -> bool:
    cells = {key: cell for key, cell in grid.cells.items() if key[0] == task}
    home = {row: cell.value for (_, row, _), cell in cells.items() if cell.own and cell.value is not None}
    solid = [(row, cell) for (_, row, _), cell in cells.items() if cell.value is not None and not cell.few]
    return bool(solid) and all(
        (cell.value if cell.lower is None else cell.lower) >= calm.low
        and home.get(row, cell.value) - cell.value < calm.lost
        for row, cell in solid
        if cell.value is not None
    )


def _lowest(grid: Grid, task: str) -> float:
    """The lowest value of a task that enough images carry; infinite without one."""
    cells = (cell for key, cell in grid.cells.items() if key[0] == task)
    return min(
        (cell.value for cell in cells if cell.value is not None and not cell.few), default=float("inf")
    )


def _height(cell: Cell) -> tuple[bool, bool, float]:
    """Cells with values that enough images carry come first, then low values."""
    return cell.value is None, cell.few, 0.0 if cell.value is None else cell.value

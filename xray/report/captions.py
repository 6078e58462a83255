"""What stands under a figure: how to read it, and the short text for those who can't see it."""

from dataclasses import dataclass
from typing import Final

import pandas as pd

from xray.report import ranking
from xray.report.grids import FEW_OF_A_CLASS, Grid
from xray.report.leave_out import groups
from xray.report.ranking import Calm
from xray.report.words import ARMS, number, number_of


@dataclass(frozen=True)
class Caption:
    """title: what is shown. text: how to read it. alt: what it shows, in place of the picture."""

    title: str
    text: str
    alt: str


OWN_MODEL: Final = "the test dataset's own model"
_BOXED: Final = (
    "Boxed: tested on held-out images of the dataset that it was trained on; compare the other cells of its row to see what "
    "is lost elsewhere. "
)
_READ: Final = (
    "White: the value is undefined, or there is no such model or label; the tables say why. "
    "Where cells are wide enough, the small second line is the 95% interval"
)


def auc_grid(grid: Grid) -> Caption:
    """For the AUC grid."""
    boxed = _BOXED if any(cell.own for cell in grid.cells.values()) else ""
    by = "model" if grid.models.elsewhere else "training"
    return Caption(
        "AUC of each model on each dataset",
        f"One panel for each task. Rows: {grid.models.rows}. Columns: the test images. "
        "0.5 is chance (cream), 1 is perfect (dark blue); brown is below chance: the order is inverted. "
        f"Grey and hatched: fewer than {FEW_OF_A_CLASS} positives or negatives, too few to judge. "
        f"{boxed}{ranking.note(grid, ranking.AUC)}{_READ}{_published(grid)}.",
        f"Heat map of AUC by {by} and test dataset, {_alt(grid)}",
    )


def agreement_grid(grid: Grid, reference: str = OWN_MODEL) -> Caption:
    """For the agreement grid. reference: what models are compared with, in words."""
    with_whom = "the model trained on that dataset" if reference == OWN_MODEL else reference
    return Caption(
        f"Agreement of each model with {reference}",
        f"One panel for each task. Columns: the test images. Rows: the model compared with {with_whom} "
        "(boxed: that model itself). Cohen's κ of their yes/no answers: 1 is full agreement "
        "(dark blue), 0 is what chance gives (cream), brown is less than chance. κ falls where a finding is "
        f"rare, at the same skill: read it beside PABAK in the tables. {ranking.note(grid, ranking.KAPPA)}"
        f"{_READ}{_published(grid)}.",
        f"Heat map of Cohen's kappa by model and test dataset, {_alt(grid)}",
    )


def boxed_agreement(grid: Grid) -> str:
    """What a boxed cell of the agreement grid is."""
    boxed = {row for (_, row, _), cell in grid.cells.items() if cell.own}
    return "the model compared with" if boxed & grid.models.elsewhere else "the dataset's own model"


def read_grid(grid: Grid, calm: Calm) -> str:
    """How the cells of any grid are to be read, after what is special to it. `calm`: of its figure."""
    few = any(cell.few and cell.value is not None for cell in grid.cells.values())
    grey = f"Grey and hatched: fewer than {FEW_OF_A_CLASS} positives or negatives. " if few else ""
    return f"{ranking.note(grid, calm)}{grey}{_READ}{_published(grid)}."


def leave_one_site_out(rows: pd.DataFrame) -> Caption:
    """For the bars of leaving one site out."""
    parts = [
        f"{group.test_dataset}: "
        + ", ".join(f"{text} {number(group.arms[arm].mean, 2)}" for arm, text in ARMS.items())
        for group in groups(rows)
    ]
    return Caption(
        "Leaving the test site out of training",
        "Three bars for each test dataset: trained on its own data only, on all sites but this one, on all "
        "sites. Height: mean AUC over the tasks that all three can be tested on, mean over the seeds, from "
        "chance (0.5). Whisker: one standard deviation over the seeds; dots: the seeds. The second bar "
        "is how well the method does on a site that it has never seen.",
        "Bar chart of mean AUC. " + ("; ".join(parts) + "." if parts else "No results."),
    )


def _published(grid: Grid) -> str:
    some = any(cell.published is not None for cell in grid.cells.values())
    return ", or in brackets the published value" if some else ""


def _alt(grid: Grid) -> str:
    values = [cell.value for cell in grid.cells.values() if cell.value is not None]
    sizes = (len(grid.tasks), "task"), (len(grid.rows), "row"), (len(grid.columns), "column")
    size = ", ".join(number_of(count, noun) for count, noun in sizes)
    if not values:
        return f"{size}: no value is defined."
    return (
        f"{size}: {number_of(len(values), 'value')} from {number(min(values), 2)} to {number(max(values), 2)}. "
        "The tables of this section hold the same values."
    )

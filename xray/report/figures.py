"""The study's figures, from result rows; and writing a figure with the data behind it."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pandas as pd
from matplotlib.figure import Figure

from xray import csv_cells
from xray.durable import write_whole
from xray.report import (
    bars,
    captions,
    curves,
    decision_curves,
    forests,
    grids,
    maps,
    panels,
    ranking,
    scatter,
)
from xray.report.files import png, svg
from xray.report.style import SEQUENTIAL

AUC: Final = panels.Scale("AUC", 0.0, 1.0, "–", "tested on its own dataset", calm=ranking.AUC)
KAPPA: Final = panels.Scale("Cohen's κ", -1.0, 1.0, ", ", "the dataset's own model", calm=ranking.KAPPA)
OWN: Final = "tested on its own dataset"
SEEDS: Final = panels.Scale("Cohen's κ between seeds", -1.0, 1.0, ", ", OWN, calm=ranking.KAPPA)
POOLED: Final = panels.Scale(
    "Cohen's κ (upper right), Kendall's τ (lower left)",
    -1.0,
    1.0,
    ", ",
    "",
    rows="model",
    columns="model",
    calm=ranking.KAPPA,
)
TRANSFER: Final = panels.Scale("change in accuracy", -0.5, 0.5, ", ", OWN, calm=ranking.TRANSFER)
SENSITIVITY: Final = panels.Scale("sensitivity", 0.0, 1.0, "–", OWN, SEQUENTIAL, calm=ranking.SENSITIVITY)
PRECISION: Final = panels.Scale("average precision", 0.0, 1.0, "–", OWN, SEQUENTIAL, calm=ranking.PRECISION)


def auc_grid(performance: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    """How well does each model do on each dataset? AUC with 95% interval (the paper's Fig 1 in form).

    performance: one row per result, columns `grids.PERFORMANCE`; the ensemble rows (no seed) are shown.
    published: columns trained_on, test_dataset, task, value; shown in brackets in place of the intervals.
    White: undefined. Grey, hatched: fewer than 10 of a class. Below chance is brown, above it blue.
    Raises AnalysisError for missing columns and doubled rows.
    """
    return panels.draw(grids.auc_grid(performance, published), AUC)


def agreement_grid(agreement: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    """Does each model agree with the test dataset's own? Cohen's κ with 95% interval (Fig 3 in form).

    agreement: one row per result, columns `grids.AGREEMENT`. published: as in `auc_grid`.
    Raises AnalysisError for missing columns and doubled rows.
    """
    grid = grids.kappa_grid(agreement, published)
    return panels.draw(grid, replace(KAPPA, own=captions.boxed_agreement(grid)))


def leave_one_site_out(rows: pd.DataFrame) -> Figure:
    """What does a model lose where the test site is left out of training? (Fig 2 in form.)

    rows: columns `leave_out.LEAVE_ONE_SITE_OUT`; arms own, all-but-site, all. Bars grow from chance (0.5):
    mean over the seeds with their standard deviation; dots are the seeds.
    Raises AnalysisError for missing columns, an unknown arm and doubled rows.
    """
    return bars.draw(rows)


def transfer_grid(grid: grids.Grid) -> Figure:
    """What does a threshold from home cost? Change in accuracy (§4)."""
    return panels.draw(grid, TRANSFER)


def seed_grid(grid: grids.Grid) -> Figure:
    """Do the seeds of one configuration agree? Mean Cohen's κ over their pairs (Fig A.1 in form)."""
    return panels.draw(grid, SEEDS)


def pooled_grid(grid: grids.Grid) -> Figure:
    """Do pairs of models agree on all test images? κ above the diagonal, τ below."""
    return panels.draw(grid, POOLED)


def sensitivity_grid(grid: grids.Grid) -> Figure:
    """Sensitivity at the threshold from home."""
    return panels.draw(grid, SENSITIVITY)


def precision_grid(grid: grids.Grid) -> Figure:
    """Area under the precision-recall curve."""
    return panels.draw(grid, PRECISION)


def forest(rows: pd.DataFrame) -> Figure:
    """Mean AUC of each model on each test dataset, with interval. rows: those of `mean_auc_results`."""
    return forests.mean_auc(rows)


def subgroup_forest(rows: pd.DataFrame) -> Figure:
    """AUC by subgroup of each test dataset's own model. rows: those of `subgroup_auc_results`."""
    return forests.subgroups(rows)


def reliability(rows: pd.DataFrame) -> Figure:
    """Reliability curves, a panel for each task. rows: those of `calibration_results`."""
    return curves.reliability(rows)


def decisions(rows: pd.DataFrame) -> Figure:
    """Decision curves where most is lost away from home. rows: those of `net_benefit_results`."""
    return decision_curves.draw(rows)


def bland_altman(pairs: "list[scatter.Pair]") -> Figure:
    """Mean against difference of two models' calibrated scores, for each pair twice (Fig 4 in form)."""
    return scatter.bland_altman(pairs)


def classifier_map(rows: pd.DataFrame) -> Figure:
    """Principal components of classifier vectors (Fig 5 in form). rows: those of `classifier_map_results`."""
    return maps.classifiers(rows)


def classifier_distance(rows: pd.DataFrame) -> Figure:
    """Relative distance of classifiers against AUC across datasets (Fig 6 in form). rows: `classifier_distance_results`."""
    return maps.distances(rows)


def feature_map(rows: pd.DataFrame, images: pd.DataFrame | None = None) -> Figure:
    """t-SNE of pooled features by view (Fig A.2 in form). rows: those of `feature_map_results`."""
    return maps.features(rows, images)


def save(figure: Figure, folder: Path, name: str, data: pd.DataFrame) -> list[Path]:
    """Write name.png, name.svg and name.csv (the data behind the figure) into a folder, made if missing.

    The same input gives the same bytes. Each file appears whole or not at all. Returns the three paths.
    Raises ValueError where `name` is not a plain file name.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(f"figure name {name!r}: expected letters, digits, '.', '_' and '-' only")
    contents = {
        "png": png(figure),
        "svg": svg(figure),
        "csv": csv_cells.cells(data).to_csv(index=False, lineterminator="\n").encode(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    return [write_whole(folder / f"{name}.{ending}", content) for ending, content in contents.items()]

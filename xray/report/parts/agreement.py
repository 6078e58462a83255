"""Whether models give the same answers: kappa and tau, between models and between seeds, and limits of agreement."""

from statistics import median
from typing import Any, Final

import pandas as pd

from xray.report import captions, grids, judged, ranking, tables
from xray.report.captions import Caption, read_grid
from xray.report.models import compared_with, models_of
from xray.report.parts.part import Part, alt_text, beside, figures
from xray.report.text import frame_table, grid_table
from xray.report.words import number, number_of, task_name

OWN_OR_FIRST: Final = "the model that was trained on the test dataset (without one: the first from elsewhere)"


def agreement(rows: pd.DataFrame, published: pd.DataFrame | None = None) -> Part:
    """Fig 3: κ against the test dataset's own model, both rules; τ beside it."""
    from xray.report.words import agreement_findings

    target = rows[rows["rule"] == "target"]
    grid = grids.kappa_grid(target, published)
    reference = compared_with(target, "a test dataset's own model")
    taus = target.loc[(target["trained_on"] != target["reference"]) & target["tau"].notna()].groupby(
        "task", sort=False
    )["tau"]
    medians = ", ".join(
        f"{task_name(str(task))} {number(float(value), 2)}" for task, value in taus.median().items()
    )
    return Part(
        "agreement",
        "Do the models agree?",
        "Do two models give the same answers on the same images, right or wrong? Each model is "
        f"compared with {compared_with(target, OWN_OR_FIRST)}. Good "
        "AUC with poor agreement, or poor AUC "
        "with good agreement, is a sign that labels may mean different things at different sites; alone it is "
        "no proof.",
        [
            *agreement_findings(grid, reference),
            *([f"Median Kendall τ of their scores, which needs no threshold: {medians}."] if medians else []),
        ],
        rows,
        grid_table(grid, f"Cohen's kappa with {reference} (95% interval); columns: tested on")
        if published is None
        else frame_table(beside(grid)),
        draw=lambda: figures().agreement_grid(target, published),
        caption=captions.agreement_grid(grid, compared_with(target, captions.OWN_MODEL)),
        tables=tables.agreement(grid),
        central=True,
        boxed=captions.boxed_agreement(grid),
    )


def pooled_agreement(rows: pd.DataFrame, published: pd.DataFrame | None = None) -> Part:
    """κ of every pair of single-dataset models over all test images, symmetric, and τ in the other half."""
    target = rows[rows["rule"] == "target"]
    frame = pd.concat(
        [
            _pair(target, "kappa", "trained_on_a", "trained_on_b"),
            _pair(_counted_for_tau(rows, target), "tau", "trained_on_b", "trained_on_a"),
        ]
    )
    order = list(dict.fromkeys([*rows["trained_on_a"], *rows["trained_on_b"]]))
    frame["place"] = [order.index(name) for name in frame["test_dataset"]]
    frame = frame.sort_values("place", kind="stable")
    grid = grids.value_grid(frame, "value", "pooled agreement", published)
    of = "" if judged.from_elsewhere(rows).any() else " of one dataset each"
    defined = target[target["kappa"].notna()]
    kappas = defined.groupby("task", sort=False)[["kappa", "tau"]].mean()
    lines = [
        "Mean κ over pairs of models, all test images together: "
        + ", ".join(
            f"{task_name(str(task))} {number(float(k), 2)} (τ {number(float(t), 2)})"
            for task, k, t in kappas.itertuples()
        )
        + "."
        if len(kappas)
        else f"No pair of models{of} shares a task."
    ]
    return Part(
        "pooled_agreement",
        "Do they agree on everybody's images together?",
        f"As above, but symmetric: each pair of models{of} is compared on all test images that "
        "are labelled for the task, each model at its Youden point on each test dataset; the rule “own” "
        "is in the database.",
        lines,
        rows,
        grid_table(grid, "Upper right: Cohen's kappa (95% interval), lower left: Kendall's tau", "model")
        if published is None
        else frame_table(beside(grid)),
        draw=lambda: figures().pooled_grid(grid),
        caption=Caption(
            "Agreement of pairs of models over all test images",
            "One panel for each task; rows and columns are models. Above the diagonal: Cohen's κ of their "
            "yes/no answers; below it: Kendall's τ of their scores, which needs no threshold. 1 is full "
            "agreement, 0 what chance gives. " + read_grid(grid, ranking.KAPPA),
            alt_text(grid, "agreement"),
        ),
    )


def _counted_for_tau(rows: pd.DataFrame, target: pd.DataFrame) -> pd.DataFrame:
    """The target rule's rows with counts for τ, which needs no threshold: those of κ leave out images without one.

    The most images that any rule has called: τ is over at least those. Missing where no rule has called any.
    """
    pairs = rows.groupby(["task", "trained_on_a", "trained_on_b"], sort=False)
    most = pairs[["n", "n_pos"]].transform("max").loc[target.index]
    return target.assign(lower=None, upper=None, **most.where(most["n"] > 0))


def _pair(rows: pd.DataFrame, value: str, row: str, column: str) -> pd.DataFrame:
    method = ["method"] if "method" in rows else []
    columns = rows[["task", row, column, value, "lower", "upper", "n", "n_pos", "reason", *method]]
    return columns.rename(columns={row: "trained_on", column: "test_dataset", value: "value"})


def seed_agreement(rows: pd.DataFrame) -> Part:
    """Fig A.1: κ between the seeds of one configuration, mean over pairs."""
    keys = ["task", "trained_on", "test_dataset"]
    grouped = rows.groupby(keys, sort=False)
    frame = grouped.agg(
        kappa=("kappa", "mean"), lower=("kappa", "min"), upper=("kappa", "max"), n=("n", "min"), n_pos=("n_pos", "min"),
        reason=("reason", "first"), **({"method": ("method", "first")} if "method" in rows else {}),
    ).reset_index() if len(rows) else pd.DataFrame()  # fmt: skip
    grid = grids.value_grid(frame, "kappa", "agreement of seeds")
    solid = [c.value for c in grid.cells.values() if c.value is not None and not c.few]
    lines = ["No configuration has two seeds that were scored."]
    if solid:
        lines = [
            f"Two trainings of one configuration agree with a median κ of {number(median(solid), 2)} "
            f"({number_of(len(solid), 'cell')}, from {number(min(solid), 2)} to {number(max(solid), 2)}): the "
            "ceiling for the agreement of different models."
        ]
    return Part(
        "seed_agreement",
        "Do two trainings of one configuration agree?",
        "The same data and settings, another seed. What they disagree on is chance, not hospitals.",
        lines,
        rows,
        grid_table(grid, "Cohen's kappa between seeds: mean over pairs (lowest-highest pair)"),
        draw=lambda: figures().seed_grid(grid),
        caption=Caption(
            "Agreement between the seeds of one configuration",
            "One panel for each task. Rows: what the models were trained on, columns: the test images. Cohen's "
            "κ, each seed at its Youden point there; mean over the pairs of seeds, second line the lowest "
            "and highest pair. " + read_grid(grid, ranking.KAPPA),
            alt_text(grid, "kappa between seeds"),
        ),
    )


def bland_altman(rows: pd.DataFrame) -> Part:
    """Limits of agreement; the two pairs that the paper would show are named."""
    pairs = contrasting_pairs(rows)
    lines = []
    for heading, row in pairs.items():
        lines.append(
            f"{heading}: {task_name(str(row['task']))} on {row['test_dataset']}, {row['reference']} (AUC "
            f"{number(float(row['auc_reference']), 2)}) and {row['trained_on']} (AUC "
            f"{number(float(row['auc']), 2)}), κ {number(float(row['kappa']), 2)}; 95% of the differences "
            f"within {number(float(row['lower_limit']), 2)} to {number(float(row['upper_limit']), 2)}."
        )
    defined = rows[rows["sd"].notna()]
    columns = [
        "task",
        "test_dataset",
        "reference",
        "trained_on",
        "n",
        "bias",
        "lower_limit",
        "upper_limit",
        "auc_reference",
    ]
    return Part(
        "bland_altman",
        "How far apart are two models' scores of one image?",
        "Scores are probabilities, stretched so that each model's Youden point lies at ½ (Eq. 1 of the paper). "
        "Limits of agreement hold 95% of the differences, if these are normal.",
        lines or ["No pair of models can be compared."],
        rows,
        frame_table(defined[[*columns, "auc", "kappa"]], models_of(rows)),
    )


BEST_WORST: Final = "Best AUC with worst agreement"

WORST_BEST: Final = "Worst AUC with best agreement"


def contrasting_pairs(rows: pd.DataFrame) -> "dict[str, pd.Series[Any]]":
    """The rows of limits of agreement that contrast AUC and κ most: where their ranks differ most, either way.

    AUC of a pair is the lower of the two. Only rows with at least 10 of either class; none of fewer than two.
    """
    fewest = grids.FEW_OF_A_CLASS
    defined = rows[
        rows["kappa"].notna()
        & rows["sd"].notna()
        & (rows["n_pos"] >= fewest)
        & (rows["n"] - rows["n_pos"] >= fewest)
    ]
    if len(defined) < 2:
        return {}
    area = defined[["auc", "auc_reference"]].min(axis=1).rank()
    gap = area - defined["kappa"].rank()
    return {BEST_WORST: defined.loc[gap.idxmax()], WORST_BEST: defined.loc[gap.idxmin()]}

"""How well models do: AUC, its mean over tasks, without the site, precision, and in subgroups."""

from statistics import median
from typing import Final

import pandas as pd

from xray.report import captions, grids, ranking, tables
from xray.report.captions import Caption, read_grid
from xray.report.models import TESTED, compared_with, models_of
from xray.report.parts.part import Part, alt_text, beside, estimate, figures, records, smallest
from xray.report.text import auc_table, frame_table, grid_table
from xray.report.words import number, number_of, p_cell, task_name

OWN_OR_FIRST: Final = "the test dataset's own model (without one: the first model from elsewhere)"
DATASETS_OWN: Final = "the dataset's own model"
WHOSE: Final = "Each test dataset's own model, and models from elsewhere"


def performance(rows: pd.DataFrame, published: pd.DataFrame | None = None) -> Part:
    """AUC by task, training and test dataset."""
    from xray.report.words import performance_findings

    grid = grids.auc_grid(rows, published)
    estimate = "one model" if grid.models.bought else "the ensemble of its seeds"
    return Part(
        "auc",
        "How well does each model do on each dataset?",
        "AUC is the chance that a model ranks a random positive image above a random negative one: "
        f"0.5 is guessing, 1 is perfect. Each cell is {estimate}, with the 95% interval. "
        "An AUC says nothing about prevalence or about the right threshold.",
        performance_findings(grid),
        rows,
        auc_table(rows) if published is None else frame_table(beside(grid)),
        draw=lambda: figures().auc_grid(rows, published),
        caption=captions.auc_grid(grid),
        tables=tables.performance(grid),
        central=True,
        boxed="tested on its own dataset" if any(cell.own for cell in grid.cells.values()) else "",
    )


def mean_auc(rows: pd.DataFrame) -> Part:
    """The headline table, as a forest plot."""
    defined = rows[rows["auc"].notna()]
    reference = compared_with(rows, captions.OWN_MODEL)
    lines = []
    for dataset, of_dataset in defined.groupby("test_dataset", sort=False):
        behind = of_dataset[(of_dataset["difference"] < 0) & (of_dataset["p_holm"] < 0.05)]
        ahead = of_dataset[(of_dataset["difference"] > 0) & (of_dataset["p_holm"] < 0.05)]
        n_others = int(of_dataset["difference"].notna().sum())
        if n_others:
            other = str(of_dataset["reference"].iloc[0])
            than = "its own" if other == dataset else other
            lines.append(
                f"Tested on {dataset}: {len(behind)} of {number_of(n_others, 'other model')} "
                f"{'does' if len(behind) == 1 else 'do'} worse than {than} on the tasks that both have, {len(ahead)} better "
                "(p < 0.05 after Holm over all these tests)."
            )
    table = pd.DataFrame(
        {
            TESTED: rows["test_dataset"],
            models_of(rows).heading: rows["trained_on"],
            "tasks": [len(tasks) for tasks in rows["tasks"]],
            "mean AUC": [estimate(r, "auc") for r in records(rows)],
            f"{'own' if reference == captions.OWN_MODEL else 'reference'} − this": [
                estimate(r, "difference", "difference_lower", "difference_upper", -1) for r in records(rows)
            ],
            "p, Holm": [p_cell(r["p_holm"]) for r in records(rows)],
        }
    )
    return Part(
        "mean_auc",
        "The headline: mean AUC over tasks",
        f"Mean AUC over the tasks that a model shares with {compared_with(rows, OWN_OR_FIRST)} and that have "
        "at least 10 positives and 10 negatives. Intervals: 1,000 draws of patients, the same for every task and model, "
        "so that differences are paired. Rows with other tasks are not comparable by their means, only by "
        "the difference.",
        lines,
        rows.assign(tasks=[", ".join(tasks) for tasks in rows["tasks"]]),
        frame_table(table),
        table,
        lambda: figures().forest(rows),
        Caption(
            "Mean AUC of each model on each test dataset",
            f"Dot: mean over the tasks that the model shares with {compared_with(rows, DATASETS_OWN)} "
            "(filled: that model). "
            "Bar: 95% interval of a bootstrap over patients.",
            "Forest plot of mean AUC; the table below holds the same values.",
        ),
    )


def leave_one_site_out(comparison: pd.DataFrame, rows: pd.DataFrame) -> Part:
    """Paired differences between the arms, and the bars of mean AUC (`rows`, columns `leave_out.LEAVE_ONE_SITE_OUT`)."""
    from xray.report.words import comparison_findings

    table = comparison[
        ["test_dataset", "task", "arm_a", "arm_b", "auc_a", "auc_b", "difference", "p", "p_holm", "reason"]
    ]
    return Part(
        "leave_one_site_out",
        "What is lost where the site was not in training?",
        "What would a site get from a model that has never seen its images? For each test "
        "dataset three kinds of model are compared: trained on its own data only, on all sites but this one, and "
        "on all sites. Differences are paired: the same images, first minus second. p values are corrected after "
        "Holm.",
        comparison_findings(comparison),
        rows,
        frame_table(table),
        draw=lambda: figures().leave_one_site_out(rows),
        caption=captions.leave_one_site_out(rows),
        tables=[*([tables.leave_one_site_out(rows)] if len(rows) else []), *tables.comparison(comparison)],
        central=True,
    )


def average_precision(rows: pd.DataFrame) -> Part:
    """Area under the precision-recall curve."""
    grid = grids.value_grid(rows, "average_precision", "average precision")
    defined = rows[rows["average_precision"].notna() & (rows["prevalence"] > 0)]
    gains = [float(v) for v in defined["average_precision"] / defined["prevalence"]]
    line = "No area is defined."
    if gains:
        line = (
            "Against guessing, which gets the prevalence, models reach "
            f"{number(median(gains), 1)} times that in the median cell."
        )
    return Part(
        "average_precision",
        "How pure is what the models find?",
        "Area under the precision-recall curve. Guessing gets the prevalence, so cells of datasets with other "
        "prevalences are not comparable with each other.",
        [line],
        rows,
        grid_table(grid, f"Average precision (95% interval); {grid.models.axes}"),
        draw=lambda: figures().precision_grid(grid),
        caption=Caption(
            "Area under the precision-recall curve",
            f"One panel for each task. Rows: {grid.models.rows}, columns: the test images. Guessing "
            "gets the prevalence of the test images, not ½. " + read_grid(grid, ranking.PRECISION),
            alt_text(grid, "average precision"),
        ),
    )


def subgroups(rows: pd.DataFrame) -> Part:
    """For each grouping the worst subgroups, and how many differences remain after adjustment."""
    lines = []
    for grouping, same in rows.groupby("grouping", sort=False):
        tested = same[same["p_holm"].notna()]
        lower = tested[(tested["p_holm"] < 0.05) & (tested["difference"] < 0)]
        lines.append(
            f"By {grouping}: {number_of(len(tested), 'comparison')} of a subgroup with the rest; {len(lower)} "
            f"lower after Holm's correction, "
            f"{int(((tested['q'] < 0.05) & (tested['difference'] < 0)).sum())} at a false discovery rate of 5%."
        )
    worst = rows[rows["is_worst"].astype(bool) & rows["difference"].notna()] if len(rows) else rows
    worst = smallest(worst, "difference")
    table = pd.DataFrame(
        {
            "task": [task_name(str(t)) for t in worst["task"]],
            models_of(rows).heading: worst["trained_on"],
            TESTED: worst["test_dataset"],
            "worst group": [f"{r['grouping']}: {r['subgroup']}" for r in records(worst)],
            "n": [f"{r['n']:,}, {r['n_pos']:,} positive" for r in records(worst)],
            "AUC": [estimate(r, "auc") for r in records(worst)],
            "the rest": worst["auc_rest"],
            "p, Holm": [p_cell(r["p_holm"]) for r in records(worst)],
        }
        if len(rows)
        else {}
    )
    return Part(
        "subgroups",
        "For whom do the models work less well?",
        "AUC in each subgroup against the rest of the same test dataset. The worst of many subgroups is low by "
        "chance alone: p values are adjusted over all comparisons of one grouping in the study. Worst group: "
        "among those with at least 10 positives and 10 negatives.",
        lines or ["Nothing is known of the images that could group them."],
        rows,
        frame_table(table) if len(table) else "no worst group: no subgroup has 10 positives and 10 negatives",
        table,
        (lambda: figures().subgroup_forest(rows)) if len(rows) else None,
        Caption(
            "AUC by subgroup",
            f"{'Each model' if models_of(rows).bought else WHOSE} by name "
            "(mean over its tasks would hide the worst: the panels are tasks). "
            "Dot and bar: AUC with 95% interval in the subgroup; hollow: fewer than 10 of a class.",
            "Forest plot of AUC by subgroup; the table below lists the worst groups.",
        ),
    )

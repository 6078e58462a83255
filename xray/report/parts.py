"""Each further analysis as a part of the report: findings in words, a figure with its caption, a table, text for a terminal.

A part is made from the rows of one result view. Its figure is drawn when asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean, median
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from xray.report import captions, grids
from xray.report.captions import Caption, read_grid
from xray.report.text import auc_table, frame_table, grid_table
from xray.report.words import counted, interval, number, task_name
from xray.stats.correlation import spearman

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LISTED: Final = 20
"""So many rows of a long table are shown; all are in the database and in the CSV."""


@dataclass(frozen=True)
class Part:
    """What is said of one analysis. name: of files and anchor. shown: a table of a few rows. data: behind the figure."""

    name: str
    title: str
    about: str
    findings: Sequence[str]
    data: pd.DataFrame
    text: str
    shown: pd.DataFrame = field(default_factory=pd.DataFrame)
    draw: "Callable[[], Figure] | None" = None
    caption: Caption | None = None


def performance(rows: pd.DataFrame, published: pd.DataFrame | None = None) -> Part:
    """AUC by task, training and test dataset."""
    from xray.report.words import performance_findings

    grid = grids.auc_grid(rows, published)
    return Part(
        "auc",
        "How well does each model do on each dataset?",
        "",
        performance_findings(grid),
        rows,
        auc_table(rows) if published is None else frame_table(beside(grid)),
        draw=lambda: _figures().auc_grid(rows, published),
        caption=captions.auc_grid(grid),
    )


def mean_auc(rows: pd.DataFrame) -> Part:
    """The headline table, as a forest plot."""
    known = rows[rows["auc"].notna()]
    lines = []
    for dataset, here in known.groupby("test_dataset", sort=False):
        behind = here[(here["difference"] < 0) & (here["p_holm"] < 0.05)]
        ahead = here[(here["difference"] > 0) & (here["p_holm"] < 0.05)]
        others = int(here["difference"].notna().sum())
        if others:
            lines.append(
                f"Tested on {dataset}: of {counted(others, 'other model')}, {len(behind)} do worse than its own on "
                f"the tasks that both have, {len(ahead)} better (p < 0.05 after Holm over all these tests)."
            )
    shown = pd.DataFrame(
        {
            "tested on": rows["test_dataset"],
            "trained on": rows["trained_on"],
            "tasks": [len(tasks) for tasks in rows["tasks"]],
            "mean AUC": [_estimate(r, "auc") for r in _records(rows)],
            "own − this": [
                _estimate(r, "difference", "difference_lower", "difference_upper", -1) for r in _records(rows)
            ],
            "p, Holm": [_p(r["p_holm"]) for r in _records(rows)],
        }
    )
    return Part(
        "mean_auc",
        "The headline: mean AUC over tasks",
        "Mean AUC over the tasks that a model shares with the test dataset's own model and that have at least "
        "10 positives and 10 negatives. Intervals: 1,000 draws of patients, the same for every task and model, "
        "so that differences are paired. Rows with other tasks are not comparable by their means, only by "
        "the difference.",
        lines,
        rows.assign(tasks=[", ".join(tasks) for tasks in rows["tasks"]]),
        frame_table(shown),
        shown,
        lambda: _figures().forest(rows),
        Caption(
            "Mean AUC of each model on each test dataset",
            "Dot: mean over the tasks that the model shares with the dataset's own model (filled: that model). "
            "Line: 95% interval of a bootstrap over patients.",
            "Forest plot of mean AUC; the table below holds the same values.",
        ),
    )


def leave_one_site_out(comparison: pd.DataFrame, rows: pd.DataFrame) -> Part:
    """Paired differences between the arms, and the bars of mean AUC (`rows`, columns `leave_out.LEAVE_ONE_SITE_OUT`)."""
    from xray.report.words import comparison_findings

    shown = comparison[
        ["test_dataset", "task", "arm_a", "arm_b", "auc_a", "auc_b", "difference", "p", "p_holm", "reason"]
    ]
    return Part(
        "leave_one_site_out",
        "What is lost where the site was not in training?",
        "",
        comparison_findings(comparison),
        rows,
        frame_table(shown),
        draw=lambda: _figures().leave_one_site_out(rows),
        caption=captions.leave_one_site_out(rows),
    )


def images_or_labels(rows: pd.DataFrame) -> Part:
    """The verdict per task and ordered pair of datasets."""
    from xray.report import verdict_grid, verdicts

    shown = pd.DataFrame(
        {
            "trained on": rows["train_dataset"],
            "tested on": rows["test_dataset"],
            "task": rows["task"],
            "verdict": rows["verdict"],
            "drop in AUC": [_estimate(r, "auc_drop", "drop_lower", "drop_upper") for r in _records(rows)],
            "p": [_p(r["p_adjusted"]) for r in _records(rows)],
            "why": rows["basis"],
        }
    )
    return Part(
        "images_or_labels",
        "Images or labels?",
        "",
        verdicts.findings(rows),
        rows,
        frame_table(shown),
        draw=lambda: verdict_grid.draw(rows),
        caption=verdict_grid.CAPTION,
    )


def threshold_transfer(rows: pd.DataFrame, published: pd.DataFrame | None = None) -> Part:
    """§4: the change of accuracy that a threshold from home brings; sensitivity and specificity beside it."""
    accuracy = rows[rows["measure"] == "accuracy"]
    grid = grids.value_grid(accuracy, "difference", "threshold transfer", published)
    lines = _transfer_findings(rows)
    title = "What does a threshold that was set at home cost?"
    return Part(
        "threshold_transfer",
        title,
        "A hospital that buys a model cannot choose its threshold by labels that it has not got. Change when "
        "the model's threshold is Youden's point on its own dataset instead of on the test images: below 0 is "
        "a loss. Each on the same images and scores. The point on the test images is chosen on them, so "
        "it flatters a little.",
        lines,
        rows,
        frame_table(beside(grid))
        if published is not None
        else "\n\n".join(
            grid_table(
                grids.value_grid(rows[rows["measure"] == m], "difference", "threshold transfer"),
                f"Change in {m} at the home threshold (95% interval); rows: trained on, columns: tested on",
            )
            for m in ("accuracy", "sensitivity", "specificity")
            if (rows["measure"] == m).any()
        ),
        _worst_transfers(accuracy),
        lambda: _figures().transfer_grid(grid),
        Caption(
            "Change in accuracy at the threshold from home",
            "One panel for each task. Rows: what the model was trained on, columns: the test images. Brown: "
            "accuracy is lost, blue: gained against the threshold that is best on the test images "
            "themselves; the scale ends at ±0.5. " + read_grid(grid),
            _alt(grid, "change in accuracy"),
        ),
    )


def _transfer_findings(rows: pd.DataFrame) -> list[str]:
    lines = []
    away = rows[(rows["trained_on"] != rows["test_dataset"]) & rows["difference"].notna()]
    for measure in ("accuracy", "sensitivity", "specificity"):
        some = away[away["measure"] == measure]
        if not len(some):
            continue
        worst = some.loc[some["difference"].idxmin()]
        lines.append(
            f"{measure.capitalize()}: {number(float(some['difference'].mean()), 3)} on average over "
            f"{counted(len(some), 'cell')} away from home; worst {number(float(worst['difference']), 3)} "
            f"({interval((float(worst['lower']), float(worst['upper'])))}) for "
            f"{task_name(str(worst['task']))}, trained on {worst['trained_on']}, tested on {worst['test_dataset']}."
        )
    return lines or ["No threshold could be carried over."]


def _worst_transfers(accuracy: pd.DataFrame) -> pd.DataFrame:
    worst = accuracy[accuracy["difference"].notna()].nsmallest(LISTED, "difference")
    return pd.DataFrame(
        {
            "task": [task_name(str(t)) for t in worst["task"]],
            "trained on": worst["trained_on"],
            "tested on": worst["test_dataset"],
            "accuracy at the target's point": worst["at_target"],
            "accuracy at the home point": worst["at_home"],
            "change": [_estimate(r, "difference") for r in _records(worst)],
        }
    )


def agreement(rows: pd.DataFrame, published: pd.DataFrame | None = None) -> Part:
    """Fig 3: κ against the test dataset's own model, both rules; τ beside it."""
    from xray.report.words import agreement_findings

    target = rows[rows["rule"] == "target"]
    grid = grids.kappa_grid(target, published)
    taus = target.loc[(target["trained_on"] != target["reference"]) & target["tau"].notna()].groupby(
        "task", sort=False
    )["tau"]
    said = ", ".join(
        f"{task_name(str(task))} {number(float(value), 2)}" for task, value in taus.median().items()
    )
    return Part(
        "agreement",
        "Do the models agree?",
        "",
        [
            *agreement_findings(grid),
            *([f"Median Kendall τ of their scores, which needs no threshold: {said}."] if said else []),
        ],
        rows,
        grid_table(grid, "Cohen's kappa with the test dataset's own model (95% interval); columns: tested on")
        if published is None
        else frame_table(beside(grid)),
        draw=lambda: _figures().agreement_grid(target, published),
        caption=captions.agreement_grid(grid),
    )


def pooled_agreement(rows: pd.DataFrame, published: pd.DataFrame | None = None) -> Part:
    """κ of every pair of single-dataset models over all test images, symmetric, and τ in the other half."""
    target = rows[rows["rule"] == "target"]
    frame = pd.concat(
        [
            _pair(target, "kappa", "trained_on_a", "trained_on_b"),
            _pair(target.assign(lower=None, upper=None), "tau", "trained_on_b", "trained_on_a"),
        ]
    )
    order = list(dict.fromkeys([*rows["trained_on_a"], *rows["trained_on_b"]]))
    frame["place"] = [order.index(name) for name in frame["test_dataset"]]
    frame = frame.sort_values("place", kind="stable")
    grid = grids.value_grid(frame, "value", "pooled agreement", published)
    known = target[target["kappa"].notna()]
    kappas = known.groupby("task", sort=False)[["kappa", "tau"]].mean()
    lines = [
        "Mean κ over pairs of models, all test images together: "
        + ", ".join(
            f"{task_name(str(task))} {number(float(k), 2)} (τ {number(float(t), 2)})"
            for task, k, t in kappas.itertuples()
        )
        + "."
        if len(kappas)
        else "No pair of models of one dataset each shares a task."
    ]
    return Part(
        "pooled_agreement",
        "Do they agree on everybody's images together?",
        "As above, but symmetric: each pair of models of one dataset each is compared on all test images that "
        "are labelled for the task, each model at its Youden point on each test dataset; the rule “own” "
        "is in the database.",
        lines,
        rows,
        grid_table(grid, "Upper right: Cohen's kappa (95% interval), lower left: Kendall's tau", "model")
        if published is None
        else frame_table(beside(grid)),
        draw=lambda: _figures().pooled_grid(grid),
        caption=Caption(
            "Agreement of pairs of models over all test images",
            "One panel for each task; rows and columns are models. Above the diagonal: Cohen's κ of their "
            "yes/no answers; below it: Kendall's τ of their scores, which needs no threshold. 1 is full "
            "agreement, 0 what chance gives. " + read_grid(grid),
            _alt(grid, "agreement"),
        ),
    )


def _pair(rows: pd.DataFrame, value: str, row: str, column: str) -> pd.DataFrame:
    chosen = rows[["task", row, column, value, "lower", "upper", "n", "n_pos", "reason"]]
    return chosen.rename(columns={row: "trained_on", column: "test_dataset", value: "value"})


def seed_agreement(rows: pd.DataFrame) -> Part:
    """Fig A.1: κ between the seeds of one configuration, mean over pairs."""
    keys = ["task", "trained_on", "test_dataset"]
    grouped = rows.groupby(keys, sort=False)
    frame = grouped.agg(
        kappa=("kappa", "mean"), lower=("kappa", "min"), upper=("kappa", "max"), n=("n", "min"), n_pos=("n_pos", "min"),
        reason=("reason", "first"),
    ).reset_index() if len(rows) else pd.DataFrame()  # fmt: skip
    grid = grids.value_grid(frame, "kappa", "agreement of seeds")
    solid = [c.value for c in grid.cells.values() if c.value is not None and not c.few]
    lines = ["No configuration has two seeds that were scored."]
    if solid:
        lines = [
            f"Two trainings of one configuration agree with a median κ of {number(median(solid), 2)} "
            f"({counted(len(solid), 'cell')}, from {number(min(solid), 2)} to {number(max(solid), 2)}): the "
            "ceiling for the agreement of different models."
        ]
    return Part(
        "seed_agreement",
        "Do two trainings of one configuration agree?",
        "The same data and settings, another seed. What they disagree on is chance, not hospitals.",
        lines,
        rows,
        grid_table(grid, "Cohen's kappa between seeds: mean over pairs (lowest-highest pair)"),
        draw=lambda: _figures().seed_grid(grid),
        caption=Caption(
            "Agreement between the seeds of one configuration",
            "One panel for each task. Rows: what the models were trained on, columns: the test images. Cohen's "
            "κ, each seed at its Youden point there; mean over the pairs of seeds, second line the lowest "
            "and highest pair. " + read_grid(grid),
            _alt(grid, "kappa between seeds"),
        ),
    )


def operating_points(rows: pd.DataFrame) -> Part:
    """Sensitivity and specificity at the home threshold."""
    home = rows[rows["rule"] == "own"]
    lines = []
    for measure in ("sensitivity", "specificity", "ppv", "npv"):
        some = home[(home["measure"] == measure) & home["value"].notna()]
        own, away = (
            some[(some["trained_on"] == some["test_dataset"]) == same]["value"] for same in (True, False)
        )
        if len(own) and len(away):
            name = measure.upper() if measure in ("ppv", "npv") else measure.capitalize()
            lines.append(
                f"{name} at the home threshold: median {number(float(own.median()), 2)} at home, "
                f"{number(float(away.median()), 2)} elsewhere."
            )
    grid = grids.value_grid(home[home["measure"] == "sensitivity"], "value", "operating points")
    blocks = [
        grid_table(
            grids.value_grid(home[home["measure"] == measure], "value", "operating points"),
            f"{measure} at the home threshold (95% interval); rows: trained on, columns: tested on",
        )
        for measure in ("sensitivity", "specificity")
    ]
    return Part(
        "operating_points",
        "What does each model do at its threshold?",
        "The threshold is Youden's point on the model's own test images. Wilson's intervals. Predictive values "
        "depend on how common the finding is in the test images.",
        lines or ["No model has a threshold of its own."],
        rows,
        "\n\n".join(blocks),
        draw=lambda: _figures().sensitivity_grid(grid),
        caption=Caption(
            "Sensitivity at the threshold from home",
            "One panel for each task. Rows: what the model was trained on, columns: the test images. Share of "
            "the positives that the model finds. " + read_grid(grid),
            _alt(grid, "sensitivity"),
        ),
    )


def average_precision(rows: pd.DataFrame) -> Part:
    """Area under the precision-recall curve."""
    grid = grids.value_grid(rows, "average_precision", "average precision")
    known = rows[rows["average_precision"].notna() & (rows["prevalence"] > 0)]
    gains = [float(v) for v in known["average_precision"] / known["prevalence"]]
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
        grid_table(grid, "Average precision (95% interval); rows: trained on, columns: tested on"),
        draw=lambda: _figures().precision_grid(grid),
        caption=Caption(
            "Area under the precision-recall curve",
            "One panel for each task. Rows: what the model was trained on, columns: the test images. Guessing "
            "gets the prevalence of the test images, not ½. " + read_grid(grid),
            _alt(grid, "average precision"),
        ),
    )


def calibration(rows: pd.DataFrame) -> Part:
    """Reliability curves, and the worst calibrated cells."""
    known = rows[rows["ece"].notna()]
    own = known[known["trained_on"] == known["test_dataset"]]["ece"]
    away = known[known["trained_on"] != known["test_dataset"]]["ece"]
    lines = [
        f"Expected calibration error: median {number(float(own.median()), 3)} on the own dataset, "
        f"{number(float(away.median()), 3)} elsewhere; highest {number(float(known['ece'].max()), 3)}."
        if len(own) and len(away)
        else "Calibration could not be compared."
    ]
    worst = known.nlargest(LISTED, "ece")
    shown = pd.DataFrame(
        {
            "task": [task_name(str(t)) for t in worst["task"]],
            "trained on": worst["trained_on"],
            "tested on": worst["test_dataset"],
            "prevalence": worst["n_pos"] / worst["n"],
            "ECE": worst["ece"],
            "Brier": worst["brier"],
            "reliability": worst["reliability"],
            "resolution": worst["resolution"],
            "uncertainty": worst["uncertainty"],
            "slope": [_estimate(r, "slope", "slope_lower", "slope_upper") for r in _records(worst)],
        }
    )
    columns = [
        "task",
        "trained_on",
        "test_dataset",
        "brier",
        "reliability",
        "resolution",
        "uncertainty",
        "ece",
        "slope",
    ]
    return Part(
        "calibration",
        "Do the probabilities mean what they say?",
        "Brier's score = reliability − resolution + uncertainty; ECE: mean gap between predicted and observed "
        "share over ten bins of equally many images, too high in small samples. Slope below 1: too extreme. "
        "Sigmoid of the mean logit, nothing fitted afterwards.",
        lines,
        rows,
        frame_table(rows[columns]),
        shown,
        lambda: _figures().reliability(rows),
        Caption(
            "Reliability of the probabilities",
            "One panel for each task, one line for each test dataset: observed share of positives in ten bins "
            "of predicted probability. Coloured: the dataset's own model, with 95% intervals; grey: models of "
            "other datasets. On the diagonal the probabilities are right; below it they are too high.",
            "Reliability curves; the table below lists the worst cells.",
        ),
    )


def net_benefit(rows: pd.DataFrame) -> Part:
    """Decision curves: where acting on the calls is worth more than treating all and none, and where it is worth less."""
    from xray.report import decisions

    cells = decisions.summary(rows)
    worst = cells[cells["loss"] > 0].nlargest(LISTED, "loss")
    return Part(
        "net_benefit",
        "Is acting on the calls worth it?",
        "Net benefit: findings per image, less those acted on in vain at the odds of a threshold probability; of treating "
        "none it is 0. The calls are worth it where they have more than treating all and than treating none, either by its "
        "95% interval; worse than doing without where they have less than one of them. Nine thresholds from 0.01 to 0.5, "
        "intervals one at a time, cells with 10 of either class. The probability is used as it stands (sigmoid of the mean "
        "logit), as a hospital without labels must.",
        decisions.findings(rows, cells),
        rows,
        frame_table(decisions.table(cells)),
        decisions.table(worst).assign(loss=worst["loss"].to_numpy(), at=worst["at"].to_numpy()),
        lambda: _figures().decisions(rows),
        Caption(
            "Decision curves where most is lost away from home",
            "A panel for each of the findings and test datasets where a model of another dataset loses most net benefit "
            "against the dataset's own. Blue: the own model; orange: the model named, which loses most; bands: 95% "
            "intervals; grey: models of other datasets. Dashed: acting on every image; the line at 0: on none. Calls are "
            "worth it where a curve is above both. Curves that leave the panel below are worth much less than nothing.",
            "Decision curves by finding and test dataset; the table below lists the largest losses.",
        ),
    )


def subgroups(rows: pd.DataFrame) -> Part:
    """For each grouping the worst subgroups, and what of it stands after adjustment."""
    lines = []
    for grouping, same in rows.groupby("grouping", sort=False):
        tested = same[same["p_holm"].notna()]
        shown = tested[(tested["p_holm"] < 0.05) & (tested["difference"] < 0)]
        lines.append(
            f"By {grouping}: {counted(len(tested), 'comparison')} of a subgroup with the rest; {len(shown)} "
            f"lower after Holm's correction, "
            f"{int(((tested['q'] < 0.05) & (tested['difference'] < 0)).sum())} at a false discovery rate of 5%."
        )
    worst = rows[rows["is_worst"].astype(bool) & rows["difference"].notna()] if len(rows) else rows
    worst = worst.nsmallest(LISTED, "difference") if len(worst) else worst
    table = pd.DataFrame(
        {
            "task": [task_name(str(t)) for t in worst["task"]],
            "trained on": worst["trained_on"],
            "tested on": worst["test_dataset"],
            "worst group": [f"{r['grouping']}: {r['subgroup']}" for r in _records(worst)],
            "n": [f"{r['n']:,}, {r['n_pos']:,} positive" for r in _records(worst)],
            "AUC": [_estimate(r, "auc") for r in _records(worst)],
            "the rest": worst["auc_rest"],
            "p, Holm": [_p(r["p_holm"]) for r in _records(worst)],
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
        (lambda: _figures().subgroup_forest(rows)) if len(rows) else None,
        Caption(
            "AUC by subgroup",
            "Each test dataset's own model (mean over its tasks would hide the worst: the panels are tasks). "
            "Dot and line: AUC with 95% interval in the subgroup; hollow: fewer than 10 of a class.",
            "Forest plot of AUC by subgroup; the table below lists the worst groups.",
        ),
    )


def bland_altman(rows: pd.DataFrame) -> Part:
    """Limits of agreement; the two pairs that the paper would show are named."""
    chosen = contrasting_pairs(rows)
    lines = []
    for what, row in chosen.items():
        lines.append(
            f"{what}: {task_name(str(row['task']))} on {row['test_dataset']}, {row['reference']} (AUC "
            f"{number(float(row['auc_reference']), 2)}) and {row['trained_on']} (AUC "
            f"{number(float(row['auc']), 2)}), κ {number(float(row['kappa']), 2)}; 95% of the differences "
            f"within {number(float(row['lower_limit']), 2)} to {number(float(row['upper_limit']), 2)}."
        )
    known = rows[rows["sd"].notna()]
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
        frame_table(known[[*columns, "auc", "kappa"]]),
    )


NO_HEADS: Final = "No model of this study has a head for each dataset."
NO_FEATURES: Final = "This study stores no features; name datasets under `features` in its file."


def classifier_map(rows: pd.DataFrame) -> Part:
    """Fig 5: where the classifiers of each dataset and task lie."""
    return Part(
        "classifier_map",
        "Where do the classifiers of each dataset lie?",
        "Of models with a head per dataset: the weight vectors of each dataset and task on the two main axes of one model. "
        "Vectors of a task that lie together speak alike of it.",
        [] if len(rows) else [NO_HEADS],
        rows,
        frame_table(rows),
        draw=(lambda: _figures().classifier_map(rows)) if len(rows) else None,
        caption=Caption(
            "Principal components of the classifier vectors",
            "A panel for each configuration, its first seed. A dot for each dataset (colour) and task (name).",
            "Scatter plot of classifier vectors by dataset and task.",
        ),
    )


def classifier_distance(rows: pd.DataFrame) -> Part:
    """Fig 6: distances of classifiers and their relation to the AUC across datasets."""
    lines = []
    means = rows[rows["seed"].isna()] if len(rows) else rows
    for trained_on, same in means.groupby("trained_on", sort=False) if len(means) else ():
        found = spearman(same["relative"].to_numpy(float), same["cross_domain_auc"].to_numpy(float))
        known = "" if found.lower != found.lower else f" ({interval((found.lower, found.upper), 2)})"
        furthest = same.nlargest(3, "relative")
        lines.append(
            f"{trained_on}: furthest apart are {', '.join(task_name(str(t)) for t in furthest['task'])}. Over "
            f"{counted(found.n, 'task')} the distance and the AUC across datasets have Spearman's ρ = "
            f"{number(None if found.value != found.value else found.value, 2)}{known}."
        )
    return Part(
        "classifier_distance",
        "Do tasks whose classifiers differ generalise less well?",
        "Of models with a head per dataset: mean distance between a task's vectors over datasets, relative to the other "
        "tasks; mean over the seeds. Beside it the mean AUC of models of one dataset on the others.",
        lines or [NO_HEADS],
        rows,
        frame_table(means[["trained_on", "task", "n_datasets", "distance", "relative", "cross_domain_auc"]])
        if len(means)
        else "no results",
        draw=(lambda: _figures().classifier_distance(rows)) if len(rows) else None,
        caption=Caption(
            "Distance of classifiers and AUC across datasets",
            "A dot for each task: to the right, classifiers of the datasets differ more than those of other tasks.",
            "Scatter plot of relative distance against AUC. " + " ".join(lines),
        ),
    )


def feature_map(rows: pd.DataFrame) -> Part:
    """Fig A.2: images by their features."""
    return Part(
        "feature_map",
        "Does a network see the view?",
        "Pooled features of images on a plane by t-SNE; only neighbourhoods mean anything.",
        [] if len(rows) else [NO_FEATURES],
        rows,
        frame_table(rows.head(LISTED)),
        draw=(lambda: _figures().feature_map(rows)) if len(rows) else None,
        caption=Caption(
            "Images by their features",
            "A panel for each model; a dot for each image, coloured by the view that its files state.",
            "Scatter plot of images by t-SNE, coloured by view.",
        ),
    )


def view_classifier(rows: pd.DataFrame) -> Part:
    """The view classifier beside Fig A.2."""
    lines = [
        f"From the features of {r['trained_on']} (seed {r['seed']}) lateral views are told from frontal ones with an AUC of "
        f"{_estimate(r, 'auc')}, {counted(int(r['n']), 'image')}, {int(r['n_pos'])} lateral."
        if pd.notna(r["auc"])
        else f"{r['trained_on']} (seed {r['seed']}): {r['reason']}."
        for r in _records(rows)
    ]
    return Part(
        "view_classifier",
        "Can the view be told from the features?",
        "",
        lines or [NO_FEATURES],
        rows,
        frame_table(rows),
    )


def plain(name: str, title: str, rows: pd.DataFrame) -> Part:
    """Any other analysis: its rows as they are."""
    return Part(name, title, "", [], rows, frame_table(rows))


def drawn(part: Part, data: pd.DataFrame, draw: "Callable[[], Figure]", caption: Caption) -> Part:
    """The part with a figure and the data behind it."""
    return replace(part, data=data, draw=draw, caption=caption)


def renamed(part: Part, name: str) -> Part:
    """The part under another name of its files."""
    return replace(part, name=name)


BEST_WORST: Final = "Best AUC with worst agreement"
WORST_BEST: Final = "Worst AUC with best agreement"


def contrasting_pairs(rows: pd.DataFrame) -> "dict[str, pd.Series[Any]]":
    """The rows of limits of agreement that contrast AUC and κ most: where their ranks differ most, either way.

    AUC of a pair is the lower of the two. Only rows with at least 10 of either class; none of fewer than two.
    """
    few = grids.FEW_OF_A_CLASS
    known = rows[
        rows["kappa"].notna()
        & rows["sd"].notna()
        & (rows["n_pos"] >= few)
        & (rows["n"] - rows["n_pos"] >= few)
    ]
    if len(known) < 2:
        return {}
    area = known[["auc", "auc_reference"]].min(axis=1).rank()
    gap = area - known["kappa"].rank()
    return {BEST_WORST: known.loc[gap.idxmax()], WORST_BEST: known.loc[gap.idxmin()]}


def beside(grid: grids.Grid) -> pd.DataFrame:
    """One's own values beside the published ones, where both are: task, row, column, value, interval, published."""
    rows = [
        (task_name(task), row, column, cell.value, interval(cell.interval), cell.published)
        for (task, row, column), cell in grid.cells.items()
        if cell.published is not None
    ]
    names = ["task", "trained on", "tested on", "here", "95% interval", "published"]
    return pd.DataFrame(rows, columns=names).sort_values("task", kind="stable", ignore_index=True)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _estimate(
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


def _p(value: Any) -> str:
    return "–" if pd.isna(value) else "<0.001" if value < 0.001 else f"{value:.3f}"


def _alt(grid: grids.Grid, what: str) -> str:
    values = [cell.value for cell in grid.cells.values() if cell.value is not None]
    if not values:
        return f"Heat map of {what}: no value is defined."
    return (
        f"Heat map of {what}, {counted(len(values), 'value')} from {number(min(values), 2)} to "
        f"{number(max(values), 2)}, mean {number(mean(values), 2)}."
    )


def _figures() -> Any:
    from xray.report import figures

    return figures

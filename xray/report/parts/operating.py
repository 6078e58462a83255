"""How models do in use: at thresholds from home, by their probabilities, and when their calls are acted on."""

from typing import Final

import pandas as pd

from xray.report import grids, judged, ranking
from xray.report.captions import Caption, read_grid
from xray.report.models import TESTED, Models, models_of
from xray.report.parts.part import Part, alt_text, beside, estimate, figures, largest, records, smallest
from xray.report.text import frame_table, grid_table
from xray.report.words import interval, number, number_of, task_name

_EACH: Final = "each model's threshold"
_LINES: Final = (
    "test dataset: observed share of positives in ten bins of predicted probability. Coloured: the dataset's own model and "
    "models from elsewhere, which are named, with 95% intervals; dashed: on the test dataset of that colour, the model of "
    "another dataset with the largest error, by its number"
)
_LINES_BOUGHT: Final = (
    "model and test dataset: observed share of positives in ten bins of predicted probability, with 95% "
    "intervals"
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
                f"Change in {m} at the home threshold (95% interval); {grid.models.axes}",
            )
            for m in ("accuracy", "sensitivity", "specificity")
            if (rows["measure"] == m).any()
        ),
        _worst_transfers(accuracy),
        lambda: figures().transfer_grid(grid),
        Caption(
            "Change in accuracy at the threshold from home",
            f"One panel for each task. Rows: {grid.models.rows}, columns: the test images. Brown: "
            "accuracy is lost, blue: gained against the threshold that is best on the test images "
            "themselves; the scale ends at ±0.5. " + read_grid(grid, ranking.TRANSFER),
            alt_text(grid, "change in accuracy"),
        ),
    )


def _transfer_findings(rows: pd.DataFrame) -> list[str]:
    lines, models = [], models_of(rows)
    away = rows[(rows["trained_on"] != rows["test_dataset"]) & rows["difference"].notna()]
    for measure in ("accuracy", "sensitivity", "specificity"):
        of_measure = away[away["measure"] == measure]
        if not len(of_measure):
            continue
        worst = of_measure.loc[of_measure["difference"].idxmin()]
        lines.append(
            f"{measure.capitalize()}: {number(float(of_measure['difference'].mean()), 3)} on average over "
            f"{number_of(len(of_measure), 'cell')} away from home; worst {number(float(worst['difference']), 3)} "
            f"({interval((float(worst['lower']), float(worst['upper'])))}) for "
            f"{task_name(str(worst['task']))}, {models.phrase(worst['trained_on'])}, tested on {worst['test_dataset']}."
        )
    return lines or ["No threshold could be carried over."]


def _worst_transfers(accuracy: pd.DataFrame) -> pd.DataFrame:
    worst = smallest(accuracy[accuracy["difference"].notna()], "difference")
    return pd.DataFrame(
        {
            "task": [task_name(str(t)) for t in worst["task"]],
            models_of(accuracy).heading: worst["trained_on"],
            TESTED: worst["test_dataset"],
            "accuracy at the target's point": worst["at_target"],
            "accuracy at the home point": worst["at_home"],
            "change": [estimate(r, "difference") for r in records(worst)],
        }
    )


def operating_points(rows: pd.DataFrame) -> Part:
    """Sensitivity and specificity at the home threshold."""
    home = _in_use(rows)
    lines = [
        f"{measure.capitalize()} of models from elsewhere, median over findings: {'; '.join(texts)}."
        for measure in ("sensitivity", "specificity")
        if (texts := judged.sentences(home[home["measure"] == measure], "value"))
    ]
    for measure in ("sensitivity", "specificity", "ppv", "npv"):
        of_measure = home[(home["measure"] == measure) & home["value"].notna()]
        own_values, away = (
            of_measure[(judged.own(of_measure) == same) & ~judged.from_elsewhere(of_measure)]["value"]
            for same in (True, False)
        )
        if len(own_values) and len(away):
            name = measure.upper() if measure in ("ppv", "npv") else measure.capitalize()
            lines.append(
                f"{name} at the home threshold: median {number(float(own_values.median()), 2)} at home, "
                f"{number(float(away.median()), 2)} elsewhere."
            )
    grid = grids.value_grid(home[home["measure"] == "sensitivity"], "value", "operating points")
    at = _EACH if grid.models.elsewhere else "the home threshold"
    blocks = [
        grid_table(
            grids.value_grid(home[home["measure"] == measure], "value", "operating points"),
            f"{measure} at {at} (95% interval); {grid.models.axes}",
        )
        for measure in ("sensitivity", "specificity")
    ]
    return Part(
        "operating_points",
        "What does each model do at its threshold?",
        f"The threshold is {_origin(grid.models)}. Wilson's intervals. "
        "Predictive values depend on how common the finding is in the test images.",
        lines or ["No model has a threshold of its own."],
        rows,
        "\n\n".join(blocks),
        draw=lambda: figures().sensitivity_grid(grid),
        caption=Caption(
            f"Sensitivity at {_EACH if grid.models.elsewhere else 'the threshold from home'}",
            f"One panel for each task. Rows: {grid.models.rows}, columns: the test images. Share of "
            "the positives that the model finds. " + read_grid(grid, ranking.SENSITIVITY),
            alt_text(grid, "sensitivity"),
        ),
    )


def _origin(models: Models) -> str:
    """In words, which threshold is in use."""
    declared = (
        "the one that its maker declares, and where none is declared Youden's point on these test images, "
    )
    declared += "which flatters"
    if models.bought:
        return declared
    return f"Youden's point on the model's own test images; of a model from elsewhere {declared}"


def _in_use(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the threshold that each model comes with: from home, or declared; else the best on the test images."""
    elsewhere = judged.from_elsewhere(rows)
    keys = ["trained_on", "test_dataset", "task"]
    declared = rows.loc[rows["rule"] == "declared", keys].drop_duplicates().assign(has=True)
    has = rows[keys].merge(declared, "left", on=keys)["has"].notna().to_numpy()
    return rows[
        (rows["rule"] == "own")
        | (rows["rule"] == "declared")
        | (elsewhere & ~has & (rows["rule"] == "target"))
    ]


def calibration(rows: pd.DataFrame) -> Part:
    """Reliability curves, and the worst calibrated cells."""
    defined = rows[rows["ece"].notna()]
    own_values = defined[defined["trained_on"] == defined["test_dataset"]]["ece"]
    away = defined[~judged.own(defined) & ~judged.from_elsewhere(defined)]["ece"]
    foreign_texts, models = judged.sentences(defined, "ece"), models_of(rows)
    lines = [
        f"Expected calibration error: median {number(float(own_values.median()), 3)} on the own dataset, "
        f"{number(float(away.median()), 3)} elsewhere; highest {number(float(defined['ece'].max()), 3)}."
        if len(own_values) and len(away)
        else "No model of these datasets can be compared with its own dataset."
    ]
    if foreign_texts:
        slopes = judged.sentences(defined, "slope")
        lines = [
            *(lines if len(own_values) else []),
            f"Expected calibration error of models from elsewhere, median over findings: {'; '.join(foreign_texts)}.",
            *([f"Calibration slope, where 1 is right: {'; '.join(slopes)}."] if slopes else []),
        ]
    worst = largest(defined, "ece")
    table = pd.DataFrame(
        {
            "task": [task_name(str(t)) for t in worst["task"]],
            models.heading: worst["trained_on"],
            TESTED: worst["test_dataset"],
            "prevalence": worst["n_pos"] / worst["n"],
            "ECE": worst["ece"],
            "Brier": worst["brier"],
            "reliability": worst["reliability"],
            "resolution": worst["resolution"],
            "uncertainty": worst["uncertainty"],
            "slope": [estimate(r, "slope", "slope_lower", "slope_upper") for r in records(worst)],
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
        frame_table(rows[columns], models),
        table,
        lambda: figures().reliability(rows),
        Caption(
            "Reliability of the probabilities",
            f"One panel for each task, one line for each {_LINES_BOUGHT if models.bought else _LINES}. On the diagonal the "
            "probabilities are right; below it they are too high.",
            "Reliability curves; the table below lists the worst cells.",
        ),
    )


def net_benefit(rows: pd.DataFrame) -> Part:
    """Decision curves: where acting on the calls is worth more than treating all and none, and where it is worth less."""
    from xray.report import decisions

    cells = decisions.summary(rows)
    worst = largest(cells[cells["loss"].astype(float) > 0], "loss")
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
        frame_table(decisions.table(rows, cells)),
        decisions.table(rows, worst).assign(loss=worst["loss"].to_numpy(), at=worst["at"].to_numpy()),
        lambda: figures().decisions(rows),
        _decisions_caption(bool(judged.own(rows).any())),
    )


def _decisions_caption(has_own: bool) -> Caption:
    """How to read the decision curves. has_own: whether some test dataset has a model of its own."""
    names = "each line is labelled at its end"
    if has_own:
        title = "Decision curves where most is lost away from home"
        description = (
            "A panel for each of the findings and test datasets where a model of another dataset loses most net benefit "
            f"against the dataset's own; {names}. Blue: the own model; orange: the one that loses most; grey: models of "
            "other datasets"
        )
    else:
        title = "Decision curves of the models from elsewhere"
        description = f"A panel for each of the first findings and test datasets; {names}"
    return Caption(
        title,
        f"{description}; bands: 95% intervals. Dashed, treat all: acting on every image; the line at 0, treat none: on "
        "none. Calls are worth it where a curve is above both. Curves that leave the panel are far below zero.",
        "Decision curves by finding and test dataset; the table below lists the largest losses.",
    )

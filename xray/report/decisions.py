"""Where acting on a model's calls is worth more than treating all and none: thresholds of each cell, findings in words."""

from collections.abc import Iterable
from math import isnan, nan
from typing import Any, Final

import pandas as pd

from xray.report import judged
from xray.report.grids import FEW_OF_A_CLASS
from xray.report.models import TESTED, models_of
from xray.report.words import number, number_of, task_name

CELL: Final = ["task", "trained_on", "test_dataset"]
OWNS, OTHERS = "own model", "other model"
NOWHERE: Final = "nowhere"
VALUES: Final = (
    "net_benefit",
    "lower",
    "upper",
    "treat_all",
    "difference",
    "difference_lower",
    "difference_upper",
)


def measurable(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of `net_benefit_results` with a value and 10 positives and 10 negatives; worth, worse: by intervals."""
    enough = (rows["n_pos"] >= FEW_OF_A_CLASS) & (rows["n"] - rows["n_pos"] >= FEW_OF_A_CLASS)
    defined = rows[enough & rows["net_benefit"].notna()].astype(dict.fromkeys(VALUES, float))
    return defined.assign(
        worth=(defined["lower"] > 0) & (defined["difference_lower"] > 0),
        worse=(defined["upper"] < 0) | (defined["difference_upper"] < 0),
        own=defined["trained_on"] == defined["test_dataset"],
        whose=_whose(defined),
    )


def _whose(rows: pd.DataFrame) -> "pd.Series[str]":
    """In words, whose model each row is of; models from elsewhere go by name."""
    owners = rows["trained_on"].where(judged.from_elsewhere(rows), OTHERS)
    return owners.where(~judged.own(rows), OWNS)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each task, model and test dataset with 10 of either class, in their order.

    worth, worse: the thresholds at which it is, in words. lowest, highest: of those where it is worth it. loss: the most by
    which its net benefit is below that of the test dataset's own model at one threshold, which is `at`; NaN where there is
    no such model.
    """
    defined = measurable(rows)
    own_rows = defined.loc[defined["own"], ["task", "test_dataset", "threshold", "net_benefit"]]
    both = defined.merge(own_rows, "left", on=["task", "test_dataset", "threshold"], suffixes=("", "_own"))
    both["lost"] = both["net_benefit_own"] - both["net_benefit"]
    cells: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in both.sort_values("threshold", kind="stable").to_dict("records"):
        cells.setdefault(tuple(row[name] for name in CELL), []).append(row)
    summaries = []
    for cell in defined[CELL].drop_duplicates().itertuples(index=False, name=None):
        same = cells[cell]
        first, worst = same[0], max(same, key=lambda row: -1.0 if isnan(row["lost"]) else row["lost"])
        worth = [row["threshold"] for row in same if row["worth"]]
        summaries.append(
            {
                **dict(zip(CELL, cell, strict=True)),
                "own": bool(first["own"]),
                "whose": first["whose"],
                "prevalence": first["n_pos"] / first["n"],
                "worth": ranges((row["threshold"], row["worth"]) for row in same),
                "worse": ranges((row["threshold"], row["worse"]) for row in same),
                "lowest": min(worth, default=nan),
                "highest": max(worth, default=nan),
                "loss": worst["lost"],
                "at": worst["threshold"],
            }
        )
    numbers = ("prevalence", "lowest", "highest", "loss", "at")
    frame = pd.DataFrame(summaries, columns=[*CELL, "own", "whose", "worth", "worse", *numbers])
    return frame.astype(dict.fromkeys(numbers, float))


def ranges(holds: Iterable[tuple[float, bool]]) -> str:
    """The ascending thresholds at which something holds, neighbours joined: "0.01, 0.1 to 0.3"; or "nowhere"."""
    runs: list[list[float]] = []
    before = False
    for threshold, holds_here in holds:
        if holds_here and before:
            runs[-1].append(threshold)
        elif holds_here:
            runs.append([threshold])
        before = holds_here
    return (
        ", ".join(" to ".join(f"{t:g}" for t in dict.fromkeys((run[0], run[-1]))) for run in runs) or NOWHERE
    )


def table(rows: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Rows of `summary` as a person reads them. rows: those that it is of."""
    return pd.DataFrame(
        {
            "task": [task_name(str(task)) for task in cells["task"]],
            models_of(rows).heading: cells["trained_on"].to_numpy(),
            TESTED: cells["test_dataset"].to_numpy(),
            "prevalence": cells["prevalence"].to_numpy(),
            "worth it at": cells["worth"].to_numpy(),
            "worse than doing without at": cells["worse"].to_numpy(),
        }
    )


def findings(rows: pd.DataFrame, cells: pd.DataFrame) -> list[str]:
    """How often acting on own and on other models' calls is worth it, for which findings, and the worst result."""
    if not len(cells):
        return ["No cell has 10 positives and 10 negatives."]
    sentences = []
    words = {OWNS: "By the test dataset's own model", OTHERS: "By other models"}
    for owner in _order(cells):
        rows_of_owner = cells[cells["whose"] == owner]
        worth = rows_of_owner[rows_of_owner["lowest"].notna()]
        over = ""
        if len(worth):
            middle = f"{worth['lowest'].median():.2g} to {worth['highest'].median():.2g}"
            over = f" (in the median of these from {middle})"
        sentences.append(
            f"{words.get(owner, f'By {owner}')}, acting on the calls is worth more than treating all and treating "
            f"none at some threshold in "
            f"{len(worth)} of {number_of(len(rows_of_owner), 'cell')}{over}, and worse than doing without at some in "
            f"{int((rows_of_owner['worse'] != NOWHERE).sum())}."
        )
    by_task = [f"{task_name(str(task))} {_of_task(same)}" for task, same in cells.groupby("task", sort=False)]
    sentences.append(f"Worth it, by finding: {'; '.join(by_task)}.")
    rows_of_owner, models = measurable(rows), models_of(rows)
    harm = rows_of_owner[rows_of_owner["upper"] < 0]
    if len(harm):
        worst = harm.loc[harm["net_benefit"].idxmin()]
        sentences.append(
            f"Lowest net benefit: {number(float(worst['net_benefit']))} per image for {task_name(str(worst['task']))}, "
            f"{models.phrase(worst['trained_on'])}, tested on {worst['test_dataset']}, at {worst['threshold']:g}, where "
            "treating none has 0."
        )
    return sentences


def _order(cells: pd.DataFrame) -> list[str]:
    """The owners of the models: own first, then other datasets, then elsewhere."""
    owners = list(dict.fromkeys(cells["whose"]))
    return [
        *(owner for owner in (OWNS, OTHERS) if owner in owners),
        *(e for e in owners if e not in (OWNS, OTHERS)),
    ]


def _of_task(cells: pd.DataFrame) -> str:
    parts = []
    for owner in _order(cells):
        rows_of_owner = cells[cells["whose"] == owner]
        share = int(rows_of_owner["lowest"].notna().sum())
        of = f"{share} of {number_of(len(rows_of_owner), owner)}"
        if owner not in (OWNS, OTHERS):
            of = f"{owner} {share} of {number_of(len(rows_of_owner), 'dataset')}"
        low, high = rows_of_owner["lowest"].min(), rows_of_owner["highest"].max()
        parts.append(of if pd.isna(low) else f"{of} ({low:g} to {high:g})")
    return ", ".join(parts)

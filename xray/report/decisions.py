"""Where acting on a model's calls is worth more than treating all and none: thresholds of each cell, findings in words."""

from collections.abc import Iterable
from math import isnan, nan
from typing import Any, Final

import pandas as pd

from xray.report import judged
from xray.report.grids import FEW_OF_A_CLASS
from xray.report.models import TESTED, models_of
from xray.report.words import counted, number, task_name

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


def known(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of `net_benefit_results` with a value and 10 positives and 10 negatives; worth and worse: by intervals."""
    enough = (rows["n_pos"] >= FEW_OF_A_CLASS) & (rows["n"] - rows["n_pos"] >= FEW_OF_A_CLASS)
    some = rows[enough & rows["net_benefit"].notna()].astype(dict.fromkeys(VALUES, float))
    return some.assign(
        worth=(some["lower"] > 0) & (some["difference_lower"] > 0),
        worse=(some["upper"] < 0) | (some["difference_upper"] < 0),
        own=some["trained_on"] == some["test_dataset"],
        whose=_whose(some),
    )


def _whose(rows: pd.DataFrame) -> "pd.Series[str]":
    """In words, whose model a row is of: models from elsewhere have their names."""
    named = rows["trained_on"].where(judged.from_elsewhere(rows), OTHERS)
    return named.where(~judged.own(rows), OWNS)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each task, model and test dataset with 10 of either class, in their order.

    worth, worse: the thresholds at which it is, in words. lowest, highest: of those where it is worth it. loss: the most by
    which its net benefit is below that of the test dataset's own model at one threshold, which is `at`; NaN where there is
    no such model.
    """
    some = known(rows)
    own = some.loc[some["own"], ["task", "test_dataset", "threshold", "net_benefit"]]
    both = some.merge(own, "left", on=["task", "test_dataset", "threshold"], suffixes=("", "_own"))
    both["lost"] = both["net_benefit_own"] - both["net_benefit"]
    cells: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in both.sort_values("threshold", kind="stable").to_dict("records"):
        cells.setdefault(tuple(row[name] for name in CELL), []).append(row)
    made = []
    for cell in some[CELL].drop_duplicates().itertuples(index=False, name=None):
        same = cells[cell]
        first, worst = same[0], max(same, key=lambda row: -1.0 if isnan(row["lost"]) else row["lost"])
        worth = [row["threshold"] for row in same if row["worth"]]
        made.append(
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
    frame = pd.DataFrame(made, columns=[*CELL, "own", "whose", "worth", "worse", *numbers])
    return frame.astype(dict.fromkeys(numbers, float))


def ranges(holds: Iterable[tuple[float, bool]]) -> str:
    """The ascending thresholds at which something holds, neighbours joined: "0.01, 0.1 to 0.3"; or "nowhere"."""
    runs: list[list[float]] = []
    before = False
    for threshold, now in holds:
        if now and before:
            runs[-1].append(threshold)
        elif now:
            runs.append([threshold])
        before = now
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
    """How often the calls of own and of other models are worth it, for which findings, and the worst that they do."""
    if not len(cells):
        return ["No cell has 10 positives and 10 negatives."]
    said = []
    words = {OWNS: "By the test dataset's own model", OTHERS: "By other models"}
    for whose in _order(cells):
        some = cells[cells["whose"] == whose]
        worth = some[some["lowest"].notna()]
        over = ""
        if len(worth):
            middle = f"{worth['lowest'].median():.2g} to {worth['highest'].median():.2g}"
            over = f" (in the median of these from {middle})"
        said.append(
            f"{words.get(whose, f'By {whose}')}, acting on the calls is worth more than treating all and treating "
            f"none at some threshold in "
            f"{len(worth)} of {counted(len(some), 'cell')}{over}, and worse than doing without at some in "
            f"{int((some['worse'] != NOWHERE).sum())}."
        )
    by_task = [f"{task_name(str(task))} {_of_task(same)}" for task, same in cells.groupby("task", sort=False)]
    said.append(f"Worth it, by finding: {'; '.join(by_task)}.")
    some, models = known(rows), models_of(rows)
    harm = some[some["upper"] < 0]
    if len(harm):
        worst = harm.loc[harm["net_benefit"].idxmin()]
        said.append(
            f"Lowest net benefit: {number(float(worst['net_benefit']))} per image for {task_name(str(worst['task']))}, "
            f"{models.called(worst['trained_on'])}, tested on {worst['test_dataset']}, at {worst['threshold']:g}, where "
            "treating none has 0."
        )
    return said


def _order(cells: pd.DataFrame) -> list[str]:
    """Whose models there are: own ones first, then other ones, then those from elsewhere."""
    there = list(dict.fromkeys(cells["whose"]))
    return [
        *(each for each in (OWNS, OTHERS) if each in there),
        *(e for e in there if e not in (OWNS, OTHERS)),
    ]


def _of_task(cells: pd.DataFrame) -> str:
    said = []
    for whose in _order(cells):
        some = cells[cells["whose"] == whose]
        share = int(some["lowest"].notna().sum())
        of = f"{share} of {counted(len(some), whose)}"
        if whose not in (OWNS, OTHERS):
            of = f"{whose} {share} of {counted(len(some), 'dataset')}"
        low, high = some["lowest"].min(), some["highest"].max()
        said.append(of if pd.isna(low) else f"{of} ({low:g} to {high:g})")
    return ", ".join(said)

"""The headline: mean AUC over tasks of each configuration on each test cohort, with a bootstrap over patients.

One draw of patients serves every task and every model, so that the mean over tasks and the difference to the cohort's own
model carry their correlation. Tasks: those with at least 10 positives and 10 negatives for which both the configuration and
the cohort's own model were trained; a row lists them, and rows with other tasks are not to be compared but by `difference`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from db.results import MeanAuc
from xray.analyses.analysis import Stored, analysis
from xray.analyses.resampled import REPLICATES, Replicates, replicates
from xray.analyses.rows import number
from xray.analyses.stored import StoredStudy, TestSet
from xray.report.parts import accuracy
from xray.report.parts.part import Part
from xray.stats.multiplicity import holm

METHOD = f"mean over tasks of AUCs of mean logits, bootstrap over patients, {REPLICATES} replicates, percentile 95 %"
FEWEST: Final = 10
NO_TASK: Final = "no task of both models with 10 of either class"
COLUMNS_OF_ESTIMATE: Final = (
    "auc",
    "lower",
    "upper",
    "difference",
    "difference_lower",
    "difference_upper",
    "p",
)


def show(stored: Stored) -> Part:
    """What is said of the rows, and the figure."""
    return accuracy.mean_auc(stored.rows)


@analysis(
    "mean_auc",
    "The headline: mean AUC over tasks, with a bootstrap over patients, against the own model",
    MeanAuc,
    place=50,
    show=show,
)
def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `mean_auc`: per test cohort and configuration."""
    rows = [row for test in tests for row in _means(study, test)]
    tested = [row for row in rows if row["p"] is not None]
    for row, adjusted in zip(tested, holm([row["p"] for row in tested]) if tested else [], strict=True):
        row["p_holm"] = float(adjusted)
    yield from rows


def _means(study: StoredStudy, test: TestSet) -> Iterator[dict[str, Any]]:
    labels, found = test.cohort.labels, replicates(test)
    solid = {
        task
        for task in test.labelled_tasks()
        if min((labels[:, task] == 1).sum(), (labels[:, task] == 0).sum()) >= FEWEST
    }
    reference = study.reference(test)
    if reference is not None and not solid & test.trained_tasks(reference):
        reference = None
    for name in test.trained_on:
        tasks = sorted(solid & test.trained_tasks(name))
        if reference is not None:
            tasks = sorted(set(tasks) & test.trained_tasks(reference))
        yield {
            "cohort_id": test.cohort.id,
            "trained_on": name,
            "reference": reference,
            "task_ids": tasks,
            "n": len(labels),
            "n_patients": int(np.unique(test.cohort.patients).size),
            **_estimate([found[task] for task in tasks], name, reference),
            "p_holm": None,
            "method": METHOD,
            "reason": None if tasks else NO_TASK,
            "evaluation_ids": test.ids(name),
        }


def _estimate(found: Sequence[Replicates], name: str, reference: str | None) -> dict[str, float | None]:
    """Mean AUC, and its difference to the reference, with bounds and p."""
    if not found:
        return dict.fromkeys(COLUMNS_OF_ESTIMATE)
    drawn = np.mean([task.drawn(name) for task in found], axis=0)
    value = float(np.mean([task.value(name) for task in found]))
    difference = low = high = p = np.nan
    if reference not in (None, name):
        change = drawn - np.mean([task.drawn(str(reference)) for task in found], axis=0)
        difference = value - float(np.mean([task.value(str(reference)) for task in found]))
        low, high = _percentiles(change)
        se = float(np.nanstd(change, ddof=1))
        p = float(2 * ndtr(-abs(difference) / se)) if se > 0 else np.nan
    values = (value, *_percentiles(drawn), difference, low, high, p)
    return dict(zip(COLUMNS_OF_ESTIMATE, map(number, values), strict=True))


def _percentiles(drawn: NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile bounds of the replicates that are defined."""
    known = drawn[~np.isnan(drawn)]
    if known.size < 2:
        return np.nan, np.nan
    lower, upper = np.quantile(known, [0.025, 0.975])
    return float(lower), float(upper)

"""The headline: mean AUC over tasks of each configuration on each test cohort, with a bootstrap over patients.

One draw of patients serves every task and every model, so that the mean over tasks and the difference to the cohort's own
model carry their correlation; bounds and p are those of `xray.stats.means`. Tasks: those with at least 10 patients with and
10 without the finding, for which both the configuration and the cohort's own model were trained; a row lists them, and rows
with other tasks are not to be compared but by `difference`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from db.results import MeanAuc
from xray.analyses.analysis import Stored, analysis
from xray.analyses.resampled import REPLICATES, Replicates, replicates
from xray.analyses.rows import number
from xray.analyses.stored import StoredStudy, TestSet
from xray.report.parts import accuracy
from xray.report.parts.part import Part
from xray.stats.means import mean_difference, mean_of
from xray.stats.multiplicity import holm

METHOD = (
    f"mean over tasks of AUCs of mean logits, bootstrap over patients, {REPLICATES} replicates, 95 %: "
    "mean on the logit scale, difference by Student's t"
)
FEWEST: Final = 10
NO_TASK: Final = "no task of both models with 10 patients of either class"
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
    patients = test.cohort.patients
    solid = {
        task
        for task in test.labelled_tasks()
        if min(np.unique(patients[labels[:, task] == value]).size for value in (0, 1)) >= FEWEST
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
    mean = mean_of([task.result for task in found], [task.names.index(name) for task in found])
    difference = [np.nan] * 4
    if reference not in (None, name):
        others = [task.names.index(str(reference)) for task in found]
        difference = list(
            mean_difference([t.result for t in found], [t.names.index(name) for t in found], others)
        )
    return dict(zip(COLUMNS_OF_ESTIMATE, map(number, (*mean, *difference)), strict=True))

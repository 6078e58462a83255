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
from xray.analyses import cells
from xray.analyses.analysis import Stored, analysis
from xray.analyses.families import Family
from xray.analyses.resampled import REPLICATES, replicates
from xray.analyses.rows import number
from xray.analyses.stored import StoredStudy, TestSet
from xray.report.parts import accuracy
from xray.report.parts.part import Part
from xray.stats.bootstrap import BootstrapAuc
from xray.stats.means import mean_difference, mean_of
from xray.stats.multiplicity import holm

METHOD = (
    f"mean over tasks of AUCs of mean logits, bootstrap over patients, {REPLICATES} replicates, 95 %: "
    "mean on the logit scale, difference by Student's t"
)
FEWEST: Final = 10
FAMILY: Final = Family({"p_holm": holm})
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


def show(result: Stored) -> Part:
    """The findings in words, and the figure."""
    return accuracy.mean_auc(result.rows)


@analysis(
    "mean_auc",
    "The headline: mean AUC over tasks, with a bootstrap over patients, against the own model",
    MeanAuc,
    order=50,
    unit=cells.MODEL_AGAINST,
    show=show,
    family=FAMILY,
)
def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `mean_auc`: per test cohort and configuration."""
    rows = [row for test in tests for row in _means(study, test)]
    FAMILY.fill(rows)
    yield from rows


def _means(study: StoredStudy, test: TestSet) -> Iterator[dict[str, Any]]:
    labels = test.cohort.labels
    patients = test.cohort.patients
    solid = {
        task
        for task in test.labelled_tasks()
        if min(np.unique(patients[labels[:, task] == value]).size for value in (0, 1)) >= FEWEST
    }
    reference = study.reference(test)
    if reference is not None and not solid & test.trained_tasks(reference):
        reference = None
    tasks_of = {name: sorted(solid & test.trained_tasks(name)) for name in test.configurations}
    if reference is not None:
        trained = test.trained_tasks(reference)
        tasks_of = {name: [task for task in tasks if task in trained] for name, tasks in tasks_of.items()}
    replicates_of = replicates(
        test,
        [
            (task, names)
            for name, tasks in tasks_of.items()
            for task in tasks
            for names in dict.fromkeys([(name,), _compared(name, reference)])
        ],
    )
    for name, tasks in tasks_of.items():
        alone = [replicates_of[task, (name,)].result for task in tasks]
        beside = [replicates_of[task, _compared(name, reference)].result for task in tasks]
        yield {
            "cohort_id": test.cohort.id,
            "trained_on": name,
            "reference": reference,
            "task_ids": tasks,
            "n": len(labels),
            "n_patients": int(np.unique(test.cohort.patients).size),
            **_estimate(alone, beside),
            "p_holm": None,
            "method": METHOD,
            "reason": None if tasks else NO_TASK,
            "evaluation_ids": test.ids(name),
        }


def _compared(name: str, reference: str | None) -> tuple[str, ...]:
    """A configuration and the reference, where that is another one."""
    return (name,) if reference in (None, name) else (name, str(reference))


def _estimate(unpaired: Sequence[BootstrapAuc], paired: Sequence[BootstrapAuc]) -> dict[str, float | None]:
    """Mean AUC, and its difference to the reference, with bounds and p. beside: with the reference, if there is any."""
    if not unpaired:
        return dict.fromkeys(COLUMNS_OF_ESTIMATE)
    first, second = [0] * len(unpaired), [1] * len(unpaired)
    difference: Sequence[float] = [np.nan] * 4
    if paired[0].replicates.shape[1] > 1:
        difference = mean_difference(paired, first, second)
    values = (*mean_of(unpaired, first), *difference)
    return dict(zip(COLUMNS_OF_ESTIMATE, map(number, values), strict=True))

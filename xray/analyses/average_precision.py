"""How pure is what a model finds? Area under the precision-recall curve, beside the prevalence that guessing gets."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.results import AveragePrecision
from xray.analyses import cells
from xray.analyses.analysis import Stored, analysis
from xray.analyses.parallel import flat_side_by_side
from xray.analyses.resampled import has_repeated_patients
from xray.analyses.rows import NOT_TRAINED, number
from xray.analyses.stored import StoredStudy, TestSet
from xray.report.parts import accuracy
from xray.report.parts.part import Part
from xray.stats.precision_recall import average_precision_interval

METHOD = "average precision of mean logits over seeds, variance of influences, logit interval 95 %"
CLUSTERED_METHOD = METHOD.replace("influences", "influences, by patient")


def show(result: Stored) -> Part:
    """The findings in words, and the figure."""
    return accuracy.average_precision(result.rows)


@analysis(
    "average_precision",
    "How pure is what a model finds? Area under the precision-recall curve, beside prevalence",
    AveragePrecision,
    order=110,
    unit=cells.MODEL,
    show=show,
)
def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `average_precision`: per test cohort, task and configuration."""
    for test in tests:
        patients = test.cohort.patients if has_repeated_patients(test) else None
        yield from flat_side_by_side(_rows, ((test, patients, name) for name in test.configurations))


def _rows(test: TestSet, patients: NDArray[np.int64] | None, trained_on: str) -> Iterator[dict[str, Any]]:
    labels = test.cohort.labels
    precision = average_precision_interval(labels, test.ensemble(trained_on), patients)
    trained = test.trained_tasks(trained_on)
    for task in sorted(test.labelled_tasks()):
        n, n_pos = int(precision.n[task]), int(precision.n_pos[task])
        reason = str(precision.reason[task]) or None
        if task not in trained:
            reason = NOT_TRAINED
            n, n_pos = int((~np.isnan(labels[:, task])).sum()), int((labels[:, task] == 1).sum())
        yield {
            "cohort_id": test.cohort.id,
            "task_id": task,
            "trained_on": trained_on,
            "n": n,
            "n_pos": n_pos,
            "average_precision": number(precision.value[task]),
            "lower": number(precision.lower[task]),
            "upper": number(precision.upper[task]),
            "prevalence": n_pos / n if n else None,
            "method": METHOD if patients is None else CLUSTERED_METHOD,
            "reason": reason,
            "evaluation_ids": test.ids(trained_on),
        }

"""What does a threshold that was set at home cost elsewhere? Accuracy, sensitivity, specificity (paper, §4).

Each ensemble calls the test images at two thresholds: Youden's point on these very images, which takes labels that a
hospital that buys a model has not got, and Youden's point on the test cohorts of its own datasets. Both are taken as fixed.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.results import ThresholdTransfer
from xray.analyses import cells
from xray.analyses.analysis import Stored, analysis
from xray.analyses.parallel import flat_side_by_side
from xray.analyses.points import calls, points_at_home
from xray.analyses.resampled import repeated_patients
from xray.analyses.rows import NOT_TRAINED, number
from xray.analyses.stored import StoredStudy, TestSet
from xray.report import published
from xray.report.parts import operating
from xray.report.parts.part import Part
from xray.stats.agreement import cross_table
from xray.stats.paired import paired_difference, paired_inflation
from xray.stats.roc import Youden

METHOD = "ensemble at its home Youden point minus at the target's, same images, Newcombe 1998 paired 95 %"
CLUSTERED_METHOD = f"{METHOD}, counts divided by patients' inflation of the variance"
MEASURES = ("accuracy", "sensitivity", "specificity")


def show(result: Stored) -> Part:
    """The findings in words, and the figure."""
    return operating.threshold_transfer(result.rows, result.published)


@analysis(
    "threshold_transfer",
    "What does a threshold that was set at home cost elsewhere? (paper, §4)",
    ThresholdTransfer,
    order=60,
    unit=cells.MODEL_AT_HOME,
    show=show,
    metric=published.TRANSFER,
)
def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `threshold_transfer`: per test cohort, task, configuration and measure."""
    at_home = points_at_home(study, tests)
    yield from flat_side_by_side(
        _transfer,
        ((test, name, at_home[name]) for test in tests for name in test.configurations if name in at_home),
    )


def _transfer(test: TestSet, trained_on: str, home: Youden) -> Iterator[dict[str, Any]]:
    target, scores, labels = test.youden(trained_on), test.ensemble(trained_on), test.cohort.labels
    at_target = _right(labels, calls(labels, scores, target.threshold))
    at_home = _right(labels, calls(labels, scores, home.threshold))
    labelled_tasks, trained = test.labelled_tasks(), test.trained_tasks(trained_on)
    patients = repeated_patients(test)
    for measure, subset in zip(MEASURES, (labels >= 0, labels == 1, labels == 0), strict=True):
        first, second = (np.where(subset, right, np.nan) for right in (at_target, at_home))
        table = cross_table(first, second)
        inflation = 1.0 if patients is None else paired_inflation(first, second, patients)
        difference = paired_difference(*table.cells, inflation=inflation)
        shares = [
            np.divide(c, np.maximum(table.n, 1)) for c in (table.both + table.first_only, difference.n_pos)
        ]
        for task in sorted(labelled_tasks):
            reason = str(difference.reason[task]) or None
            for name, point in (("target", target), ("home", home)):
                if np.isnan(point.threshold[task]):
                    reason = f"{name}: {point.reason[task]}"
            if task not in trained:
                reason = NOT_TRAINED
            defined = table.n[task] > 0
            yield {
                "cohort_id": test.cohort.id,
                "task_id": task,
                "trained_on": trained_on,
                "measure": measure,
                "n": int(table.n[task]),
                "n_pos": int((labels[:, task] == 1).sum()),
                "threshold_target": number(target.threshold[task]),
                "threshold_home": number(home.threshold[task]),
                "at_target": number(shares[0][task]) if defined else None,
                "at_home": number(shares[1][task]) if defined else None,
                "difference": number(difference.value[task]),
                "lower": number(difference.lower[task]),
                "upper": number(difference.upper[task]),
                "method": METHOD if patients is None else CLUSTERED_METHOD,
                "reason": reason,
                "evaluation_ids": test.ids(trained_on),
            }


def _right(labels: NDArray[np.float32], calls: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where the call is the label, 0 where not, NaN where there is none."""
    return np.where(np.isnan(calls), np.nan, calls == labels)

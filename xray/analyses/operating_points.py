"""What does each model do at its threshold? Sensitivity, specificity, predictive values, accuracy, with intervals."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from db.results import OperatingPoint
from xray.analyses.analysis import Stored, analysis
from xray.analyses.parallel import flat_side_by_side
from xray.analyses.points import points_at_home
from xray.analyses.rows import NOT_TRAINED, number
from xray.analyses.stored import StoredStudy, TestSet
from xray.report.parts import operating
from xray.report.parts.part import Part
from xray.stats.operating import operating_point
from xray.stats.roc import Youden

METHOD = "ensemble, score >= Youden point, Wilson 95 %"
MEASURES = ("sensitivity", "specificity", "ppv", "npv", "accuracy")


def show(stored: Stored) -> Part:
    """What is said of the rows, and the figure."""
    return operating.operating_points(stored.rows)


@analysis(
    "operating_points",
    "What does each model do at its threshold? Sensitivity, specificity, PPV, NPV, accuracy",
    OperatingPoint,
    place=100,
    show=show,
)
def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `operating_point`: per test cohort, task, configuration, rule and measure."""
    at_home = points_at_home(study, tests)
    yield from flat_side_by_side(
        _at_both, ((test, name, at_home.get(name)) for test in tests for name in test.trained_on)
    )


def _at_both(test: TestSet, trained_on: str, at_home: Youden | None) -> Iterator[dict[str, Any]]:
    if at_home is not None:
        yield from _rows(test, trained_on, "own", at_home)
    yield from _rows(test, trained_on, "target", test.youden(trained_on))


def _rows(test: TestSet, trained_on: str, rule: str, point: Youden) -> Iterator[dict[str, Any]]:
    labels, trained = test.cohort.labels, test.trained_tasks(trained_on)
    found = operating_point(labels, test.ensemble(trained_on), point.threshold)
    counted = found.true_positives + found.false_positives + found.true_negatives + found.false_negatives
    for task in sorted(test.labelled_tasks()):
        for measure in MEASURES:
            share = getattr(found, measure)
            reason = str(share.reason[task]) or None
            if np.isnan(point.threshold[task]):
                reason = str(point.reason[task])
            yield {
                "cohort_id": test.cohort.id,
                "task_id": task,
                "trained_on": trained_on,
                "rule": rule,
                "measure": measure,
                "threshold": number(point.threshold[task]),
                "n": int(counted[task]),
                "n_pos": int(found.true_positives[task] + found.false_negatives[task]),
                "numerator": int(share.n_pos[task]),
                "denominator": int(share.n[task]),
                "value": number(share.value[task]),
                "lower": number(share.lower[task]),
                "upper": number(share.upper[task]),
                "method": METHOD,
                "reason": reason if task in trained else NOT_TRAINED,
                "evaluation_ids": test.ids(trained_on),
            }

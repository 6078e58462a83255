"""What does each model do at its threshold? Sensitivity, specificity, predictive values, accuracy, with intervals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.results import OperatingPoint
from xray.analyses import cells
from xray.analyses.analysis import Stored, analysis
from xray.analyses.declared import Declared, declared_points, declared_state
from xray.analyses.parallel import flat_side_by_side
from xray.analyses.points import by_place, points_at_home
from xray.analyses.resampled import has_repeated_patients
from xray.analyses.rows import NOT_TRAINED, number
from xray.analyses.stored import StoredStudy, TestSet
from xray.report.parts import operating
from xray.report.parts.part import Part
from xray.stats.estimates import Estimates
from xray.stats.intervals import proportion
from xray.stats.operating import operating_point
from xray.stats.roc import Youden
from xray.stats.shares import shares_at_threshold

METHOD = "ensemble, score >= Youden point, Wilson 95 %"
DECLARED_METHOD = "one foreign model, score >= the threshold that its maker declares, Wilson 95 %"
BY_PATIENT = ", patients as units"
MEASURES = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "positive_rate")


def show(result: Stored) -> Part:
    """The findings in words, and the figure."""
    return operating.operating_points(result.rows)


@analysis(
    "operating_points",
    "What does each model do at its threshold? Sensitivity, specificity, PPV, NPV, accuracy, share of positive calls",
    OperatingPoint,
    order=100,
    unit=cells.MODEL_AT_HOME,
    show=show,
    prepare=declared_points,
    state=declared_state,
)
def compute(
    study: StoredStudy, tests: Sequence[TestSet], declared: Declared = MappingProxyType({})
) -> Iterator[dict[str, Any]]:
    """Rows of table `operating_point`: per test cohort, task, configuration, rule and measure."""
    at_home = points_at_home(study, tests)
    yield from flat_side_by_side(
        _at_each,
        (
            (test, name, at_home.get(name), declared.get(name))
            for test in tests
            for name in test.configurations
        ),
    )


def _at_each(
    test: TestSet, trained_on: str, at_home: Youden | None, points: Mapping[int, float] | None
) -> Iterator[dict[str, Any]]:
    labelled_tasks = sorted(test.labelled_tasks())
    if at_home is not None:
        yield from _rows(test, trained_on, "own", at_home.threshold, at_home.reason, labelled_tasks)
    target = test.youden(trained_on)
    yield from _rows(test, trained_on, "target", target.threshold, target.reason, labelled_tasks)
    if points:
        thresholds = by_place(points, test.cohort.labels.shape[1])
        tasks = [task for task in labelled_tasks if task in points]
        yield from _rows(test, trained_on, "declared", thresholds, np.full(len(thresholds), ""), tasks)


def _shares(test: TestSet, trained_on: str, thresholds: NDArray[np.float64]) -> dict[str, Estimates]:
    """Measure → its share per task; patients are the units where some have several images."""
    labels, scores = test.cohort.labels, test.ensemble(trained_on)
    point = operating_point(labels, scores, thresholds)
    n = point.accuracy.n
    shares = {name: getattr(point, name) for name in MEASURES if name != "positive_rate"}
    shares["positive_rate"] = proportion(point.true_positives + point.false_positives, n)
    if not has_repeated_patients(test):
        return shares
    by_patient = shares_at_threshold(labels, scores, thresholds, test.cohort.patients)
    return {
        name: replace(by_patient[name.replace("_", " ")], reason=shares[name].reason) for name in MEASURES
    }


def _rows(
    test: TestSet,
    trained_on: str,
    rule: str,
    thresholds: NDArray[np.float64],
    reasons: NDArray[np.str_],
    tasks: Sequence[int],
) -> Iterator[dict[str, Any]]:
    labels, trained = test.cohort.labels, test.trained_tasks(trained_on)
    point = operating_point(labels, test.ensemble(trained_on), thresholds)
    shares = _shares(test, trained_on, thresholds)
    method = DECLARED_METHOD if rule == "declared" else METHOD
    method += BY_PATIENT if has_repeated_patients(test) else ""
    n = point.true_positives + point.false_positives + point.true_negatives + point.false_negatives
    for task in tasks:
        for measure in MEASURES:
            share = shares[measure]
            reason = str(share.reason[task]) or None
            if np.isnan(thresholds[task]):
                reason = str(reasons[task])
            yield {
                "cohort_id": test.cohort.id,
                "task_id": task,
                "trained_on": trained_on,
                "rule": rule,
                "measure": measure,
                "threshold": number(thresholds[task]),
                "n": int(n[task]),
                "n_pos": int(point.true_positives[task] + point.false_negatives[task]),
                "numerator": int(share.n_pos[task]),
                "denominator": int(share.n[task]),
                "value": number(share.value[task]),
                "lower": number(share.lower[task]),
                "upper": number(share.upper[task]),
                "method": method,
                "reason": reason if task in trained else NOT_TRAINED,
                "evaluation_ids": test.ids(trained_on),
            }

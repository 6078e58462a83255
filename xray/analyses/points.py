"""Operating points: Youden's on the test cohort itself, or at home, or declared; calls by them, scores stretched by them."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from xray.analyses.stored import StoredStudy, TestSet
from xray.stats.operating import calibrate
from xray.stats.roc import Youden, youden

Scores = NDArray[np.float64]


def by_place(points: Mapping[int, float], n: int) -> Scores:
    """Thresholds of n findings, NaN where none is declared."""
    thresholds = np.full(n, np.nan)
    thresholds[list(points)] = list(points.values())
    return thresholds


def points_at_home(study: StoredStudy, tests: Sequence[TestSet]) -> dict[str, Youden]:
    """Configuration → Youden points (n_tasks,) on the pooled test cohorts of the datasets that it was trained on.

    tests: all of these; or any, where the study brings the points (`stored.Whole`).
    """
    if study.whole is not None:
        return dict(study.whole.at_home)
    by_dataset = {test.dataset: test for test in tests}
    points = {}
    for name, datasets in study.configurations.items():
        home = [by_dataset[d] for d in datasets if d in by_dataset and name in by_dataset[d].trained_on]
        if len(home) == 1:
            points[name] = home[0].youden(name)
        elif home:
            labels = np.concatenate([test.cohort.labels for test in home])
            points[name] = youden(labels, np.concatenate([test.ensemble(name) for test in home]))
    return points


def calls(labels: NDArray[np.float32], scores: NDArray[np.floating], thresholds: Scores) -> Scores:
    """1 where score >= threshold, 0 below, NaN without label, score or threshold; (n_images, n_tasks)."""
    is_called = np.where(scores >= thresholds, 1.0, 0.0)
    is_called[np.isnan(labels) | np.isnan(scores) | np.isnan(thresholds)] = np.nan
    return is_called


def calibrated(test: TestSet, trained_on: str, tasks: Sequence[int]) -> NDArray[np.float64]:
    """Eq. 1 of the ensemble's probabilities on the labelled images, (n_images, n_tasks): ½ is the Youden point."""
    labels, scores = test.cohort.labels[:, tasks], test.ensemble(trained_on)[:, tasks]
    stretched = calibrate(expit(scores), expit(test.youden(trained_on).threshold[tasks]))
    return np.where(np.isnan(labels), np.nan, stretched)

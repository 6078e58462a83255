"""The numbers of a cell, against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score

from xray.explorer.cell import STEPS, counts, curve, measure, ppv_at, same_calls, short

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("n", [2, 3, 50, 5000])
@pytest.mark.parametrize("ties", [True, False])
def test_every_threshold_of_the_curve_gives_its_stated_counts(n: int, ties: bool) -> None:
    scores = RNG.normal(size=n).round(1 if ties else 12)
    labels = np.append([0, 1], RNG.integers(0, 2, n - 2)).astype(np.int16)
    points = curve(scores, labels)
    assert len(points.threshold) <= STEPS + 1
    assert (np.diff(points.threshold) < 0).all()
    assert (points.tp[-1], points.fp[-1]) == (points.n_pos, points.n_neg)
    for threshold, tp, fp in zip(points.threshold, points.tp, points.fp, strict=True):
        (_, false), (_, true) = confusion_matrix(labels, scores >= threshold, labels=[0, 1])
        assert (tp, fp) == (true, false)
        assert counts(scores, labels, threshold)[:2] == (true, false)
        assert points.at(threshold) == int(np.flatnonzero(points.threshold == threshold)[0])


def test_the_auc_of_a_cell_is_that_of_its_scores() -> None:
    scores, labels = RNG.normal(size=400).astype(np.float32), RNG.integers(0, 2, 400).astype(np.int16)
    measures = measure(scores, labels)
    assert measures.auc == pytest.approx(roc_auc_score(labels, scores))
    assert measures.lower < measures.auc < measures.upper
    assert measures.histogram.positives.sum() == pytest.approx(1)


@pytest.mark.parametrize("labels", [[], [1], [0, 0], [1, 1, 1]])
def test_an_absent_class_is_no_error(labels: list[int]) -> None:
    measures = measure(np.zeros(len(labels), np.float32), np.array(labels, np.int16))
    assert np.isnan(measures.auc)
    assert measures.reason
    assert measures.n == len(labels)


def test_the_shortest_threshold_calls_the_same_images() -> None:
    scores = RNG.normal(size=300)
    for threshold in RNG.normal(size=50):
        shortened = same_calls(scores, threshold)
        assert ((scores >= shortened) == (scores >= threshold)).all()
        assert len(repr(shortened)) <= len(repr(float(threshold)))
    assert short(0.12341, 0.12349) == 0.12345 or short(0.12341, 0.12349) == 0.12349
    assert short(-0.5, 0.3) == 0.3
    assert short(1.0, np.nextafter(1.0, 2)) == np.nextafter(1.0, 2)


def test_predictive_values_follow_bayes() -> None:
    n, prevalence = 10**6, 0.02
    tp, fp = 0.8 * prevalence * n, 0.1 * (1 - prevalence) * n
    fn, tn = 0.2 * prevalence * n, 0.9 * (1 - prevalence) * n
    assert ppv_at(0.8, 0.9, prevalence) == pytest.approx((tp / (tp + fp), tn / (tn + fn)))
    assert np.isnan(ppv_at(0, 1, 0.1)[0])

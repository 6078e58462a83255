import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from xray.stats.estimates import NO_CASES, NO_THRESHOLD
from xray.stats.intervals import wilson
from xray.stats.operating import calibrate, operating_point
from xray.stats.roc import youden


def test_counts_equal_scikit_learn():
    rng = np.random.default_rng(1)
    labels = (rng.random((300, 3)) < 0.3).astype(float)
    scores = np.round(rng.normal(size=(300, 3)) + labels, 1).astype(np.float32)
    labels[rng.random(labels.shape) < 0.1] = np.nan
    scores[rng.random(labels.shape) < 0.1] = np.nan
    threshold = np.float32([0.1, 0.5, -0.3])
    point = operating_point(labels, scores, threshold)
    for column in range(3):
        usable = ~np.isnan(labels[:, column]) & ~np.isnan(scores[:, column])
        truth, calls = labels[usable, column], scores[usable, column] >= threshold[column]
        tn, fp, fn, tp = confusion_matrix(truth, calls).ravel()
        own = [
            part[column]
            for part in (
                point.true_negatives,
                point.false_positives,
                point.false_negatives,
                point.true_positives,
            )
        ]
        assert own == [tn, fp, fn, tp]
        shares = {"sensitivity": (tp, tp + fn), "specificity": (tn, tn + fp), "ppv": (tp, tp + fp)}
        shares |= {"npv": (tn, tn + fn), "accuracy": (tp + tn, tp + tn + fp + fn)}
        for name, (part, whole) in shares.items():
            estimate = getattr(point, name)
            assert estimate.value[column] == pytest.approx(part / whole)
            np.testing.assert_allclose([estimate.lower[column], estimate.upper[column]], wilson(part, whole))
            assert (estimate.n_pos[column], estimate.n[column]) == (part, whole)


def test_the_rule_is_at_least_the_threshold_and_agrees_with_youden():
    rng = np.random.default_rng(2)
    labels = (rng.random(200) < 0.4).astype(float)
    for dtype in (np.float32, np.float64):
        scores = (np.round(rng.normal(size=200), 1) + labels).astype(dtype)
        best = youden(labels, scores)
        point = operating_point(labels, scores, best.threshold)
        assert float(point.sensitivity.value) == float(best.sensitivity)
        assert float(point.specificity.value) == float(best.specificity)


def test_without_a_threshold_or_cases_counts_are_undefined():
    labels, scores = np.array([[0, 1], [0, 1.0]]), np.zeros((2, 2))
    point = operating_point(labels, scores, [np.nan, 0])
    assert np.isnan(point.accuracy.value).tolist() == [True, False]
    assert point.accuracy.reason.tolist() == [NO_THRESHOLD, ""]
    assert point.specificity.reason.tolist() == [NO_THRESHOLD, NO_CASES]
    assert str(operating_point(labels[:, 0], scores[:, 0], np.nan).ppv.reason) == NO_THRESHOLD


def test_one_label_vector_serves_many_models():
    labels, scores = np.array([0, 1, 1.0]), np.array([[1.0, 2], [2, 1], [3, 3]])
    point = operating_point(labels, scores, 2)
    assert point.sensitivity.value.tolist() == [1, 0.5]


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_calibration_is_increasing_and_puts_the_optimum_at_half(x, y, optimum):
    low, high = calibrate([min(x, y), max(x, y)], optimum)
    assert 0 <= low <= high <= 1
    assert float(calibrate(optimum, optimum)) == 0.5


def test_the_calibration_equals_the_papers_equation():
    for x, optimum in [(0.1, 0.2), (0.2, 0.2), (0.3, 0.2), (1.0, 0.9), (0.0, 0.5)]:
        expected = x / (2 * optimum) if x <= optimum else 1 - (1 - x) / (2 * (1 - optimum))
        assert float(calibrate(x, optimum)) == pytest.approx(expected)
    assert calibrate([0.0, 1.0], 0.3).tolist() == [0, 1]
    assert np.isnan(calibrate([np.nan, 0.2], [0.5, np.nan])).all()
    with pytest.raises(ValueError, match="sigmoid"):
        calibrate(-1.3, 0.5)

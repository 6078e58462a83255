import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.metrics import average_precision_score

from xray.stats.precision_recall import average_precision_interval


def test_value_is_scikit_learns_and_the_interval_boyds():
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 3)) < [0.1, 0.4, 0.02]).astype(float)
    labels[:20, 1] = np.nan
    scores = np.round(labels.copy() * 1.2 + rng.normal(size=labels.shape), 1)
    found = average_precision_interval(labels, scores)
    for column in range(3):
        kept = ~np.isnan(labels[:, column])
        value = average_precision_score(labels[kept, column], scores[kept, column])
        n_pos = int(np.nansum(labels[:, column]))
        half = norm.ppf(0.975) / np.sqrt(n_pos * value * (1 - value))
        bounds = expit([logit(value) - half, logit(value) + half])
        assert found.value[column] == pytest.approx(value, abs=1e-12)
        assert [found.lower[column], found.upper[column]] == pytest.approx(bounds, abs=1e-12)
        assert found.n_pos[column] == n_pos


def test_what_has_no_interval_says_why():
    labels = np.array([[1, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]], dtype=float)
    scores = np.array([[3, 1, 3, 1], [2, 2, 2, 2], [1, 3, 1, 3]], dtype=float)
    found = average_precision_interval(labels, scores)
    assert found.reason.tolist() == ["fewer than two positives", "one class", "no variance", "one class"]
    assert np.isnan(found.lower).all()
    np.testing.assert_array_equal(np.isnan(found.value), [False, True, False, True])

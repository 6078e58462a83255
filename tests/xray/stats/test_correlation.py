import numpy as np
import pytest
from scipy.stats import norm, spearmanr

from xray.stats.correlation import spearman


def test_the_correlation_equals_scipy_and_the_interval_bonett_and_wright():
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=30), 1)
    y = np.round(x + rng.normal(size=30), 1)
    correlation = spearman(np.append(x, np.nan), np.append(y, 1.0))
    assert correlation.value == pytest.approx(spearmanr(x, y).statistic)
    spread = np.sqrt((1 + correlation.value**2 / 2) / (len(x) - 3))
    bounds = np.tanh(np.arctanh(correlation.value) + norm.ppf([0.025, 0.975]) * spread)
    assert (correlation.lower, correlation.upper) == pytest.approx(tuple(bounds))


def test_spearmans_interval_covers_at_its_level():
    rng = np.random.default_rng(1)
    big = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=200_000)
    truth = spearmanr(big[:, 0], big[:, 1]).statistic
    inside = 0
    for _ in range(2000):
        x, y = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=18).T
        correlation = spearman(x, y)
        inside += correlation.lower <= truth <= correlation.upper
    assert 0.925 < inside / 2000 < 0.975


def test_undefined_values_have_a_reason():
    assert spearman(np.array([1.0]), np.array([2.0])).reason == "fewer than two pairs"
    assert spearman(np.ones(5), np.arange(5)).reason == "no variance"
    correlation = spearman(np.arange(5), np.arange(5))
    assert correlation.value == pytest.approx(1)
    assert np.isnan(correlation.lower)
    with pytest.raises(ValueError, match="two vectors of one length"):
        spearman(np.ones(3), np.ones(4))

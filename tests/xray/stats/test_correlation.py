import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from xray.stats.correlation import pearson, spearman


def test_values_and_fishers_interval_are_scipys():
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=30), 1)
    y = np.round(x + rng.normal(size=30), 1)
    expected = pearsonr(x, y)
    found = pearson(np.append(x, np.nan), np.append(y, 1.0))
    assert found.value == pytest.approx(expected.statistic)
    assert (found.lower, found.upper) == pytest.approx(tuple(expected.confidence_interval()))
    assert spearman(x, y).value == pytest.approx(spearmanr(x, y).statistic)


def test_spearmans_interval_covers():
    rng = np.random.default_rng(1)
    big = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=200_000)
    truth = spearmanr(big[:, 0], big[:, 1]).statistic
    inside = 0
    for _ in range(2000):
        x, y = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=18).T
        found = spearman(x, y)
        inside += found.lower <= truth <= found.upper
    assert 0.925 < inside / 2000 < 0.975


def test_what_is_undefined_says_why():
    assert pearson(np.array([1.0]), np.array([2.0])).reason == "fewer than two pairs"
    assert spearman(np.ones(5), np.arange(5)).reason == "no variance"
    found = pearson(np.arange(5), np.arange(5))
    assert found.value == pytest.approx(1)
    assert np.isnan(found.lower)
    with pytest.raises(ValueError, match="two vectors of one length"):
        pearson(np.ones(3), np.ones(4))

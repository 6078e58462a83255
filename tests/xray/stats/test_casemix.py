"""Weights that make one site's patients look like the other's, and the AUC of weighted images."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from xray.stats.casemix import odds_of_site, weighted_auc, weighted_auc_in_order


def test_the_weighted_auc_equals_scikit_learn_with_ties():
    rng = np.random.default_rng(0)
    labels = (rng.random(400) < 0.3).astype(float)
    scores = np.round(rng.normal(size=400) + labels, 1)
    weights = rng.exponential(size=400)
    weighted = weighted_auc(scores, labels, weights)
    assert weighted.auc == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights), abs=1e-12)
    shares = [w.sum() ** 2 / (w**2).sum() / w.size for w in (weights[labels == 1], weights[labels == 0])]
    assert weighted.effective == pytest.approx(min(shares))


def test_nothing_behind_the_last_image_is_read():
    """Compiled code does not look where an array ends; here the same score goes on there."""
    scores, labels, weights = np.array([1.0, 2, 2, 2]), np.array([0.0, 0, 1, 0]), np.array([1.0, 1, 1, 100])
    weighted = weighted_auc_in_order(scores[:3], labels[:3], weights[:3])
    assert weighted.auc == pytest.approx(0.75)


def test_one_class_has_no_auc():
    weighted = weighted_auc(np.arange(3.0), np.ones(3), np.ones(3))
    assert np.isnan([weighted.auc, weighted.effective]).all()


def log_odds(a, b):
    """Of being B's, by scikit-learn, with a penalty of four on standardised columns."""
    x = np.vstack([a, b])
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    y = np.repeat([0, 1], [len(a), len(b)])
    peer = LogisticRegression(C=1 / 4, tol=1e-12, max_iter=10_000).fit(x, y)
    return np.split(peer.decision_function(x), [len(a)])


@pytest.mark.parametrize("apart", [0.7, 6.0])
def test_weights_are_the_odds_of_penalised_logistic_regression(apart):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(300, 2)), rng.normal((apart, -0.2), size=(200, 2))
    of_a, of_b = odds_of_site(a, b)
    at_a, at_b = (np.exp(of) for of in log_odds(a, b))
    np.testing.assert_allclose(of_a, np.minimum(at_a / at_a.mean(), 30), rtol=1e-4)
    np.testing.assert_allclose(of_b, np.minimum(1 / at_b / (1 / at_b).mean(), 30), rtol=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_a_few_extreme_values_do_not_lead_the_fit_astray(seed):
    """A column with Student's tails and its square, such as days since an operation: whole steps run away of 2 of 20."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1000, 3000, 2)
    column = np.r_[rng.standard_t(2, sizes[0]), rng.standard_t(2, sizes[1]) + rng.uniform(-2, 2)]
    columns = np.column_stack([column, (column - column.mean()) ** 2])
    a, b = np.split(columns, [sizes[0]])
    odds = log_odds(a, b)
    for weights, of in zip(odds_of_site(a, b), (odds[0], -odds[1]), strict=True):
        expected = np.exp(np.clip(of, -12, 12))
        np.testing.assert_allclose(weights, np.minimum(expected / expected.mean(), 30), rtol=0.01)


def test_log_odds_are_limited_to_twelve():
    rng = np.random.default_rng(4)
    far = np.array([[60.0], [50.0]])
    a, b = np.r_[rng.normal(size=(1500, 1)), far], np.r_[rng.normal(8, 1, size=(1500, 1)), -far]
    odds = log_odds(a, b)
    assert odds[0].max() > 20
    assert odds[1].min() < -20
    for weights, of in zip(odds_of_site(a, b), (odds[0], -odds[1]), strict=True):
        expected = np.exp(np.clip(of, -12, 12))
        np.testing.assert_allclose(weights, np.minimum(expected / expected.mean(), 30), rtol=1e-3)


def test_a_covariate_known_for_at_most_one_image_gets_no_weight():
    a, b = np.full((30, 2), np.nan), np.full((20, 2), np.nan)
    a[3, 1] = 5.0
    np.testing.assert_allclose(np.concatenate(odds_of_site(a, b)), 1)


def test_weighted_patients_have_the_other_sites_mix():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(4000, 1)), rng.normal(size=(4000, 1)) + 0.8
    a[:50] = np.nan
    of_a, of_b = odds_of_site(a, b)
    labelled = ~np.isnan(a[:, 0])
    assert np.average(a[labelled, 0], weights=of_a[labelled]) == pytest.approx(0.8, abs=0.1)
    assert np.average(b[:, 0], weights=of_b) == pytest.approx(0.0, abs=0.1)


def test_sites_with_nothing_in_common_have_finite_weights_and_few_effective_images():
    rng = np.random.default_rng(3)
    a, b = np.r_[rng.normal(size=(495, 1)), np.full((5, 1), 9.0)], rng.normal(size=(500, 1)) + 9
    of_a, _ = odds_of_site(a, b)
    assert of_a.max() == pytest.approx(30)
    labels = (rng.random(500) < 0.5).astype(float)
    assert weighted_auc(rng.normal(size=500), labels, of_a).effective < 0.05


def test_a_constant_column_gets_no_weight():
    of_a, of_b = odds_of_site(np.ones((10, 1)), np.ones((20, 1)))
    np.testing.assert_allclose(np.r_[of_a, of_b], 1)

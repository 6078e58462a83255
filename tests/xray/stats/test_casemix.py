"""Weights that make one site's patients look like the other's, and the AUC of weighted images."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from xray.stats.casemix import LIMIT, RIDGE, odds_of_site, weighted_auc


def test_weighted_auc_is_that_of_sklearn_with_ties():
    rng = np.random.default_rng(0)
    labels = (rng.random(400) < 0.3).astype(float)
    scores = np.round(rng.normal(size=400) + labels, 1)
    weights = rng.exponential(size=400)
    weighted = weighted_auc(scores, labels, weights)
    assert weighted.auc == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights), abs=1e-12)
    shares = [w.sum() ** 2 / (w**2).sum() / w.size for w in (weights[labels == 1], weights[labels == 0])]
    assert weighted.effective == pytest.approx(min(shares))


def test_one_class_has_no_auc():
    weighted = weighted_auc(np.arange(3.0), np.ones(3), np.ones(3))
    assert np.isnan([weighted.auc, weighted.effective]).all()


def test_weights_are_the_odds_of_penalised_logistic_regression():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(300, 2)), rng.normal((0.7, -0.2), size=(200, 2))
    of_a, of_b = odds_of_site(a, b)
    x = np.vstack([a, b])
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    y = np.repeat([0, 1], [300, 200])
    peer = LogisticRegression(C=1 / RIDGE, tol=1e-10, max_iter=1000).fit(x, y)
    odds = np.exp(peer.decision_function(x))
    np.testing.assert_allclose(of_a, odds[:300] / odds[:300].mean(), rtol=2e-3)
    np.testing.assert_allclose(of_b, 1 / odds[300:] / (1 / odds[300:]).mean(), rtol=2e-3)


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
    assert of_a.max() == pytest.approx(LIMIT)
    labels = (rng.random(500) < 0.5).astype(float)
    assert weighted_auc(rng.normal(size=500), labels, of_a).effective < 0.05


def test_a_column_without_spread_says_nothing():
    of_a, of_b = odds_of_site(np.ones((10, 1)), np.ones((20, 1)))
    np.testing.assert_allclose(np.r_[of_a, of_b], 1)

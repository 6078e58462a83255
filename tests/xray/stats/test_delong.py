from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import norm, rankdata
from scipy.stats import t as student

from xray.stats.comparisons import compare_paired, compare_unpaired
from xray.stats.delong import auc_interval, delong_covariance, newcombe_interval
from xray.stats.estimates import FEW_NEGATIVES, FEW_POSITIVES, INFINITE_SCORE, NO_DATA, NO_VARIANCE, ONE_CLASS


def midrank_covariance(labels, scores):
    """Sun and Xu 2014: DeLong by midranks. scores (k, n); labels complete."""
    positives, negatives = scores[:, labels == 1], scores[:, labels == 0]
    m, n = positives.shape[1], negatives.shape[1]
    together = rankdata(np.concatenate([positives, negatives], axis=1), axis=1)
    v10 = (together[:, :m] - rankdata(positives, axis=1)) / n
    v01 = 1 - (together[:, m:] - rankdata(negatives, axis=1)) / m
    return v10.mean(axis=1), np.atleast_2d(np.cov(v10)) / m + np.atleast_2d(np.cov(v01)) / n


def structural_covariance(labels, scores):
    """DeLong by its definition, every pair of images."""
    positives, negatives = scores[:, labels == 1], scores[:, labels == 0]
    psi = (positives[:, :, None] > negatives[:, None, :]) + 0.5 * (
        positives[:, :, None] == negatives[:, None, :]
    )
    m, n = psi.shape[1:]
    v10, v01 = psi.mean(axis=2), psi.mean(axis=1)
    return v10.mean(axis=1), np.cov(v10) / m + np.cov(v01) / n


def models(seed, k=4, n=400, prevalence=0.3, decimals=None):
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < prevalence).astype(float)
    labels[:4] = 0, 1, 0, 1
    scores = rng.normal(size=n) + labels + rng.normal(size=(k, n))
    return labels, scores if decimals is None else np.round(scores, decimals)


@pytest.mark.parametrize("oracle", [midrank_covariance, structural_covariance])
@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("prevalence", [0.05, 0.5, 0.9])
def test_covariance_equals_midranks_and_definition(oracle, decimals, prevalence):
    labels, scores = models(1, decimals=decimals, prevalence=prevalence)
    value, covariance = oracle(labels, scores)
    covariances = delong_covariance(labels, scores)
    np.testing.assert_allclose(covariances.value, value, rtol=0, atol=1e-12)
    np.testing.assert_allclose(covariances.covariance, covariance, rtol=0, atol=1e-14)
    for dtype in (np.float32, np.float64):
        alone = auc_interval(labels, scores.T.astype(dtype))
        expected = oracle(labels, scores.astype(dtype))[1]
        np.testing.assert_allclose(alone.se**2, np.diag(expected), rtol=0, atol=1e-14)


def test_covariance_leaves_out_images_missing_in_any_model():
    labels, scores = models(2)
    rng = np.random.default_rng(3)
    scores[rng.random(scores.shape) < 0.05] = np.nan
    labels[rng.random(labels.shape) < 0.05] = np.nan
    usable = ~np.isnan(labels) & ~np.isnan(scores).any(axis=0)
    result, expected = delong_covariance(labels, scores), delong_covariance(labels[usable], scores[:, usable])
    np.testing.assert_array_equal(result.covariance, expected.covariance)
    assert (result.n, result.n_pos) == (usable.sum(), (labels[usable] == 1).sum())
    assert result.n < 350


def test_interval_is_on_the_logit_scale():
    labels, scores = models(4, k=1)
    estimate = auc_interval(labels, scores[0], level=0.9)
    half = norm.ppf(0.95) * estimate.se / (estimate.value * (1 - estimate.value))
    centre = np.log(estimate.value / (1 - estimate.value))
    assert float(estimate.lower) == pytest.approx(1 / (1 + np.exp(half - centre)), abs=1e-14)
    assert float(estimate.upper) == pytest.approx(1 / (1 + np.exp(-half - centre)), abs=1e-14)
    wider = auc_interval(labels, scores[0], level=0.99)
    assert wider.lower < estimate.lower < estimate.value < estimate.upper < wider.upper


def test_interval_covers_at_its_level():
    """Binormal scores of known AUC: 2,000 samples, so the share covered has a standard error of 0.5 %."""
    rng = np.random.default_rng(5)
    labels = np.repeat([1.0, 0.0], [30, 170])
    scores = rng.normal(size=(200, 2000)) + 1.2 * labels[:, None]
    estimate = auc_interval(labels, scores)
    truth = norm.cdf(1.2 / np.sqrt(2))
    assert 0.93 < np.mean((estimate.lower <= truth) & (truth <= estimate.upper)) < 0.97


@pytest.mark.parametrize("area", [0.9, 0.98])
def test_interval_covers_with_ten_positives_near_one(area):
    """Where DeLong's own interval on the logit scale holds the truth in 86 to 90 % only (benchmarks/coverage.py)."""
    rng = np.random.default_rng(6)
    labels = np.repeat([1.0, 0.0], [10, 200])
    scores = rng.normal(size=(210, 1500)) + np.sqrt(2) * norm.ppf(area) * labels[:, None]
    estimate = auc_interval(labels, scores)
    assert np.mean((estimate.lower <= area) & (area <= estimate.upper)) > 0.94
    mirrored = auc_interval(1 - labels, scores)
    np.testing.assert_allclose(mirrored.lower, 1 - estimate.upper, atol=1e-9)


@pytest.mark.parametrize("perfect", [1.0, 0.0])
def test_perfect_separation_has_an_interval_of_positive_width(perfect):
    labels = np.repeat([0.0, 1.0], [20, 5])
    estimate = auc_interval(labels, labels if perfect else -labels)
    assert float(estimate.value) == perfect
    assert float(estimate.se) == 0
    inner = float(estimate.lower if perfect else estimate.upper)
    assert float(estimate.upper if perfect else estimate.lower) == perfect
    assert 0.1 < abs(perfect - inner) < 0.5
    more = auc_interval(np.tile(labels, 10), np.tile(labels if perfect else -labels, 10))
    assert abs(perfect - float(more.lower if perfect else more.upper)) < abs(perfect - inner)


def test_constant_scores_have_an_auc_of_a_half_and_a_wide_interval():
    estimate = auc_interval(np.repeat([0, 1], 30), np.zeros(60))
    assert float(estimate.value) == 0.5
    assert estimate.lower < 0.4
    assert estimate.upper > 0.6


def test_newcombes_bounds_solve_their_equation():
    value, m, n = np.array([0.0, 0.3, 0.9, 1.0]), np.array([2, 10, 50, 7]), np.array([9, 10, 400, 3])
    lower, upper = newcombe_interval(value, m, n)
    for bound, edge in ((lower, 0.0), (upper, 1.0)):
        for theta, a, p, q in zip(bound, value, m, n, strict=True):
            star = (p + q) / 2 - 1
            spread = (
                theta * (1 - theta) * (1 + star * ((1 - theta) / (2 - theta) + theta / (1 + theta))) / (p * q)
            )
            assert (
                theta == edge if a == edge else abs(theta - a) == pytest.approx(norm.ppf(0.975) * spread**0.5)
            )


@pytest.mark.parametrize(
    ("labels", "reason", "has_value"),
    [
        ([1, 0, 0, 0], FEW_POSITIVES, True),
        ([1, 1, 1, 0], FEW_NEGATIVES, True),
        ([1, 1, 1, 1], ONE_CLASS, False),
        ([np.nan] * 4, NO_DATA, False),
    ],
)
def test_too_few_images_give_no_interval(labels, reason, has_value):
    labels, scores = np.array(labels, dtype=float), np.array([0.3, 0.1, 0.4, 0.2])
    estimate = auc_interval(labels, scores)
    assert str(estimate.reason) == reason
    assert bool(np.isfinite(estimate.value)) is has_value
    assert np.isnan([estimate.lower, estimate.upper, estimate.se]).all()
    joint = delong_covariance(labels, np.stack([scores, scores**2]))
    assert joint.reason == reason
    assert np.isnan(joint.covariance).all()
    assert np.isfinite(joint.value).all() == has_value
    difference = compare_paired(labels, scores, scores**2)
    assert str(difference.reason) == reason
    assert bool(np.isfinite(difference.difference)) is has_value
    assert np.isnan([difference.lower, difference.p]).all()


def test_infinite_scores_are_refused():
    labels, scores = models(6, k=2)
    scores[0, 0] = np.inf
    assert auc_interval(labels, scores.T).reason.tolist() == [INFINITE_SCORE, ""]
    assert delong_covariance(labels, scores).reason == INFINITE_SCORE
    assert str(compare_paired(labels, scores[0], scores[1]).reason) == INFINITE_SCORE


@pytest.mark.parametrize("decimals", [None, 0])
def test_paired_comparison_equals_the_contrast(decimals):
    labels, scores = models(7, k=2, decimals=decimals)
    value, covariance = structural_covariance(labels, scores)
    contrast = np.array([1, -1])
    comparison = compare_paired(labels, scores[0], scores[1])
    se = np.sqrt(contrast @ covariance @ contrast)
    assert float(comparison.difference) == pytest.approx(value[0] - value[1], abs=1e-13)
    assert float(comparison.se) == pytest.approx(se, abs=1e-13)
    positives, negatives = scores[:, labels == 1], scores[:, labels == 0]
    psi = (positives[:, :, None] > negatives[:, None]) + 0.5 * (positives[:, :, None] == negatives[:, None])
    counts = np.array(psi.shape[1:])
    parts = (
        np.array([np.var(psi[0].mean(axis=1 - k) - psi[1].mean(axis=1 - k), ddof=1) for k in (0, 1)]) / counts
    )
    spread = np.sqrt(se**2 + ((0.25 / (counts + 1)) ** 2).sum())
    t = student(parts.sum() ** 2 / (parts**2 / (counts - 1)).sum())
    assert float(comparison.p) == pytest.approx(2 * t.sf(abs(value[0] - value[1]) / spread))
    assert float(comparison.z) == pytest.approx(
        np.sign(value[0] - value[1]) * norm.isf(float(comparison.p) / 2)
    )
    assert float(comparison.upper - comparison.lower) == pytest.approx(2 * t.ppf(0.975) * spread)


def test_paired_comparisons_are_computed_by_column_with_gaps():
    rng = np.random.default_rng(8)
    labels = np.stack([models(seed)[0] for seed in range(3)], axis=1)
    first, second = rng.normal(size=(2, 400, 3)) + labels
    second[:50, 1] = np.nan
    comparison = compare_paired(labels, first, second)
    assert comparison.difference.shape == (3,)
    assert comparison.n.tolist() == [400, 350, 400]
    alone = compare_paired(labels[50:, 1], first[50:, 1], second[50:, 1])
    assert comparison.p[1] == pytest.approx(float(alone.p), rel=1e-9)


def test_same_ranks_have_no_variance():
    labels, scores = models(9, k=1)
    comparison = compare_paired(labels, scores[0], np.exp(scores[0]))
    assert (
        float(comparison.difference),
        float(comparison.lower),
        float(comparison.upper),
        float(comparison.se),
    ) == (0, 0, 0, 0)
    assert str(comparison.reason) == NO_VARIANCE
    assert np.isnan([comparison.z, comparison.p]).all()


def test_paired_test_is_uniform_under_no_difference():
    rng = np.random.default_rng(10)
    labels = np.repeat([1.0, 0.0], [40, 160])[:, None] * np.ones(1500)
    common = rng.normal(size=labels.shape) + labels
    first, second = common + rng.normal(size=(2, *labels.shape))
    p = compare_paired(labels, first, second).p
    assert 0.03 < np.mean(p < 0.05) < 0.075
    assert 0.45 < np.mean(p) < 0.55


def test_unpaired_comparison_adds_variances():
    one = auc_interval(*(array.T if array.ndim > 1 else array for array in models(11, k=2)))
    two = auc_interval(*(array.T if array.ndim > 1 else array for array in models(12, k=2)))
    comparison = compare_unpaired(one, two)
    np.testing.assert_allclose(comparison.se, np.hypot(one.se, two.se))
    np.testing.assert_allclose(comparison.difference, one.value - two.value)
    np.testing.assert_array_equal(comparison.n, one.n + two.n)
    scalar = auc_interval(np.array([0, 1, 1]), np.array([1.0, 2, 3]))
    assert str(compare_unpaired(scalar, scalar).reason) == FEW_NEGATIVES
    assert compare_unpaired(scalar, scalar).difference.shape == ()


def test_level_as_a_percentage_is_refused():
    with pytest.raises(ValueError, match=r"0\.95"):
        auc_interval(np.array([0, 1]), np.array([0.0, 1]), level=95)


def test_a_small_variance_keeps_its_digits():
    """Nearly perfect separation: placements are huge counts that hardly vary."""
    rng = np.random.default_rng(13)
    labels = np.repeat([1.0, 0.0], [300, 20_000])
    scores = rng.normal(size=labels.size) + 6 * labels
    value, covariance = midrank_covariance(labels, scores[None])
    assert 1 - value[0] < 1e-4
    assert float(auc_interval(labels, scores).se) ** 2 == pytest.approx(covariance[0, 0], rel=1e-9)
    counts = np.searchsorted(np.sort(scores[labels == 0]), scores[labels == 1])
    of_negatives = np.searchsorted(np.sort(scores[labels == 1]), scores[labels == 0])
    exact = sum(
        (Fraction(int(k * (c**2).sum() - c.sum() ** 2), k * (k - 1) * k) / other**2)
        for c, k, other in ((counts, 300, 20_000), (of_negatives, 20_000, 300))
    )
    assert float(auc_interval(labels, scores).se) ** 2 == pytest.approx(float(exact), rel=1e-14)

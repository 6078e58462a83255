"""Tests and intervals hold their level where positives are few: seeded pieces of benchmarks/levels.py."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import norm

from xray.stats.bootstrap import Draws, bootstrap_auc
from xray.stats.comparisons import compare_paired, compare_unpaired
from xray.stats.delong import auc_interval, logit_bounds, newcombe_interval
from xray.stats.differences import between_samples, degrees_of_freedom
from xray.stats.means import _spread, mean_difference, mean_of
from xray.stats.multiplicity import holm


def scores(rng, area, n_pos, n_neg, columns):
    labels = np.repeat([1.0, 0.0], [n_pos, n_neg])
    return labels, rng.normal(size=(labels.size, columns)) + np.sqrt(2) * ndtri(area) * labels[:, None]


def false_families(p, size=60):
    """Share of families of null comparisons in which Holm's adjustment lets at least one through."""
    return np.mean([np.nanmin(holm(family)) < 0.05 for family in p.reshape(-1, size)])


@pytest.mark.parametrize("area", [0.75, 0.9, 0.97])
def test_families_of_unpaired_comparisons_keep_their_error_rate(area):
    rng = np.random.default_rng(1)
    group, rest = (auc_interval(*scores(rng, area, n_pos, 10 * n_pos, 2400)) for n_pos in (10, 40))
    comparison = compare_unpaired(group, rest)
    assert false_families(comparison.p) <= 0.1
    assert np.mean((comparison.lower <= 0) & (comparison.upper >= 0)) >= 0.945


@pytest.mark.parametrize("n_pos", [3, 10])
@pytest.mark.parametrize("area", [0.75, 0.9])
def test_families_of_paired_comparisons_keep_their_error_rate(area, n_pos):
    rng = np.random.default_rng(2)
    labels, common = scores(rng, area, n_pos, 200, 1800)
    first, second = (common / np.sqrt(2) + rng.normal(size=common.shape) / np.sqrt(2) for _ in range(2))
    assert false_families(compare_paired(labels, first, second).p) <= 0.1


def test_paired_intervals_cover_near_an_auc_of_one():
    """AUC .99 against .97, 20 positives: the normal interval holds 82 %."""
    rng = np.random.default_rng(3)
    labels, common = scores(rng, 0.5, 20, 400, 800)
    first, second = (
        np.sqrt(0.5) * common
        + np.sqrt(0.5) * rng.normal(size=common.shape)
        + np.sqrt(2) * ndtri(area) * labels[:, None]
        for area in (0.99, 0.97)
    )
    comparison = compare_paired(labels, first, second)
    assert np.mean((comparison.lower <= 0.02) & (comparison.upper >= 0.02)) >= 0.94


def test_the_p_value_is_the_level_whose_interval_touches_zero():
    values = np.array([[0.93, 0.6, 1.0, 0.7], [0.7, 0.8, 0.95, 0.7]])
    variances = np.array([[0.002, 0.01, 0.0, 0.01], [0.004, 0.003, 0.001, 0.02]])
    n_pos, n_neg = np.full((2, 4), 12), np.full((2, 4), 90)
    *_, p = between_samples(values, variances, n_pos, n_neg)
    for cell in range(3):
        lower, upper, _ = between_samples(values, variances, n_pos, n_neg, level=1 - p[cell])
        assert min(abs(lower[cell]), abs(upper[cell])) < 1e-6
    assert p[3] == pytest.approx(1)
    assert between_samples(values[::-1], variances[::-1], n_pos, n_neg)[2] == pytest.approx(p)


def test_many_images_give_the_textbook_interval():
    values, variances = np.array([[0.8], [0.78]]), np.array([[1e-5], [2e-5]])
    n = np.full((2, 1), 10_000)
    lower, upper, p = between_samples(values, variances, n, n)
    se = np.sqrt(3e-5)
    assert [lower[0], upper[0]] == pytest.approx([0.02 - 1.96 * se, 0.02 + 1.96 * se], abs=5e-4)
    assert p[0] == pytest.approx(2 * norm.sf(0.02 / se), rel=0.2)
    lower, upper, _ = between_samples(values, variances, n, n, covariance=np.sqrt(np.prod(variances, axis=0)))
    assert upper[0] - lower[0] < 2 * 1.96 * se / 3


def test_without_variance_the_bounds_are_newcombes():
    ones, none = np.array([[1.0], [1.0]]), np.zeros((2, 1))
    n_pos, n_neg = np.array([[10], [25]]), np.array([[80], [300]])
    lower, upper, p = between_samples(ones, none, n_pos, n_neg)
    first, second = (float(newcombe_interval(ones[k], n_pos[k], n_neg[k])[0][0]) for k in (0, 1))
    assert [lower[0], upper[0]] == pytest.approx([first - 1, 1 - second], abs=1e-9)
    assert p[0] == 1


def test_degrees_of_freedom_equal_satterthwaites():
    assert degrees_of_freedom([1.0, 0.0], [9, 99]) == 9
    assert degrees_of_freedom([1.0, 1.0], [9, 9]) == pytest.approx(18)
    assert degrees_of_freedom([0.0, 0.0], [5, 9]) == 5
    assert degrees_of_freedom([1.0, 1.0], [0, 4]) >= 1


def test_intervals_of_mean_aucs_of_few_findings_cover():
    """AUC .9, 10 positives, three findings: percentiles of the replicates hold 86 %."""
    rng = np.random.default_rng(5)
    covered, percentiles, p = [], [], []
    for seed in range(60):
        draws, tasks = Draws(np.arange(160), 200, seed, keep=True), []
        for _ in range(3):
            labels, one = scores(rng, 0.9, 10, 150, 2)
            tasks.append(bootstrap_auc(labels, one.T, np.arange(160), draws=draws))
        _, lower, upper = mean_of(tasks, [0] * 3)
        covered.append(lower <= 0.9 <= upper)
        means = np.mean([task.replicates[:, 0] for task in tasks], axis=0)
        low, high = np.nanquantile(means, [0.025, 0.975])
        percentiles.append(low <= 0.9 <= high)
        p.append(mean_difference(tasks, [0] * 3, [1] * 3)[3])
    assert np.mean(covered) >= 0.92 > np.mean(percentiles)
    assert np.mean(np.array(p) < 0.05) <= 0.12


def test_the_variance_of_a_mean_auc_is_that_of_its_replicates_by_hand():
    """Two findings of unequal numbers, whose replicates go together."""
    rng = np.random.default_rng(2)
    both = rng.normal(size=(400, 1)) * 0.03 + rng.normal(size=(400, 2)) * [0.02, 0.05]
    tasks = []
    for column, (positives, negatives) in enumerate([(12, 80), (150, 40)]):
        labels, one = scores(rng, 0.8, positives, negatives, 1)
        of = bootstrap_auc(labels, one.T, np.arange(labels.size), n_replicates=20)
        tasks.append(replace(of, replicates=0.8 + both[:, [column]]))
    fewest = np.array([12, 40])
    variances = both.var(axis=0, ddof=1) * fewest / (fewest - 1)
    of_mean = both.mean(axis=1).var(ddof=1) * (12 / 11 + 40 / 39) / 2
    together = of_mean / (variances.sum() / 4)
    assert together > 1
    variance, degrees, inflation = _spread([both[:, 0], both[:, 1]], tasks)
    assert (variance, inflation) == pytest.approx((of_mean, together))
    assert degrees == pytest.approx(variances.sum() ** 2 / (variances[0] ** 2 / 11 + variances[1] ** 2 / 39))
    value = np.array([np.mean([float(task.estimates.value[0]) for task in tasks])])
    n_pos, n_neg = (np.array([of / together]) for of in (12 + 150, 80 + 40))
    lower, upper = logit_bounds(value, np.array([of_mean]), n_pos, n_neg, 0.95, degrees)
    assert mean_of(tasks, [0, 0]) == pytest.approx((value[0], lower[0], upper[0]))

"""Sizes against pmvalsampsize (R, github.com/JoieEnsor/pmvalsampsize), against simulation, and their refusals.

The program draws a million log odds for the slope; ours integrates, so that those sizes agree to its Monte Carlo error.
"""

import numpy as np
import pytest
from scipy.special import expit, logit, ndtri

from xray.stats.comparisons import compare_paired
from xray.stats.delong import auc_interval
from xray.stats.logistic import fit_logistic
from xray.stats.planning import (
    _least,
    auc_se,
    detectable,
    logits_of,
    normal_logits,
    size_for_auc,
    size_for_difference,
    size_for_net_benefit,
    size_for_observed_expected,
    size_for_share,
    size_for_slope,
)

# prevalence, AUC, widths (O/E, slope, AUC), mean and SD of log odds, sensitivity, specificity, threshold, width (benefit)
PROGRAM = [
    ((0.018, 0.8, 1, 0.2, 0.1, -5, 2.5, 0.5, 0.9, 0.08, 0.4), (905, 4563, 4252, 2757)),
    ((0.2, 0.75, 0.2, 0.3, 0.05, -1.5, 1, 0.8, 0.7, 0.2, 0.2), (1538, 1559, 2265, 625)),
    ((0.43, 0.9, 0.25, 0.2, 0.07, 0, 1.8, 0.9, 0.6, 0.4, 0.15), (327, 1654, 327, 726)),
]


@pytest.mark.parametrize(("row", "sizes"), PROGRAM)
def test_sizes_equal_pmvalsampsize(row, sizes):
    prevalence, auc, ratio, slope, area, mean, sd, sensitivity, specificity, threshold, benefit = row
    assert size_for_observed_expected(prevalence, ratio) == sizes[0]
    assert size_for_slope(*normal_logits(mean, sd), slope) == pytest.approx(sizes[1], rel=0.005)
    assert size_for_auc(auc, prevalence, area) == sizes[2]
    assert size_for_net_benefit(sensitivity, specificity, threshold, prevalence, benefit) == sizes[3]


def test_the_size_for_the_slope_equals_the_published_example():
    """Riley et al. 2021: log odds N(-5, 2.5²), interval of width 0.2: 4544 by their simulation."""
    assert size_for_slope(*normal_logits(-5, 2.5), 0.2) == pytest.approx(4544, rel=0.005)


def world(rng: np.random.Generator, n: int, auc: float, prevalence: float):
    """Labels and calibrated log odds: (n,) each."""
    logits, weights = logits_of(auc, prevalence)
    sample = rng.choice(logits, n, p=weights / weights.sum())
    return (rng.random(n) < expit(sample)).astype(float), sample


def test_log_odds_reproduce_their_auc_and_prevalence():
    labels, logits = world(np.random.default_rng(1), 200_000, 0.8, 0.1)
    assert labels.mean() == pytest.approx(0.1, abs=0.003)
    assert auc_interval(labels, logits).value == pytest.approx(0.8, abs=0.006)
    slope = fit_logistic(logits[:, None], labels).coefficients[-1]
    assert slope == pytest.approx(1, abs=0.03)


def test_a_planned_width_is_what_a_study_of_that_size_gets():
    rng, n = np.random.default_rng(2), size_for_auc(0.8, 0.2, 0.08)
    intervals = [auc_interval(*world(rng, n, 0.8, 0.2)) for _ in range(40)]
    assert np.mean([float(i.upper - i.lower) for i in intervals]) == pytest.approx(0.08, rel=0.1)
    assert np.mean([float(i.se) for i in intervals]) == pytest.approx(float(auc_se(0.8, 0.2, n)), rel=0.1)


def test_a_planned_difference_is_shown_with_the_planned_power():
    """Two models whose AUCs correlate by 0.5, as the size assumes."""
    rng, n = np.random.default_rng(3), size_for_difference(0.85, 0.78, 0.3, 0.5)
    significant = []
    for _ in range(300):
        labels = (np.arange(n) < 0.3 * n).astype(float)
        noise = rng.multivariate_normal([0, 0], [[1, 0.52], [0.52, 1]], n)  # AUCs then correlate by about 0.5
        scores = noise + labels[:, None] * np.sqrt(2) * ndtri([0.85, 0.78])
        significant.append(float(compare_paired(labels, scores[:, 0], scores[:, 1]).p) < 0.05)
    assert np.mean(significant) == pytest.approx(0.8, abs=0.07)


def test_sizes_for_shares_equal_a_hand_computation():
    n = size_for_share(0.9, 0.2, 0.1)
    assert n == 692  # 0.09 · (2 · 1.96 / 0.1)² / 0.2 = 691.5
    assert 2 * 1.96 * np.sqrt(0.09 / (0.2 * n)) <= 0.1 < 2 * 1.96 * np.sqrt(0.09 / (0.2 * (n - 1)))


def test_sizes_are_the_least_that_suffice():
    n = size_for_auc(0.9, 0.3, 0.05)
    assert 2 * 1.96 * auc_se(0.9, 0.3, n) <= 0.05 < 2 * 1.96 * auc_se(0.9, 0.3, n - 1)


def test_twice_the_precision_needs_four_times_the_images():
    assert size_for_slope(*logits_of(0.8, 0.1), 0.1) == pytest.approx(
        4 * size_for_slope(*logits_of(0.8, 0.1), 0.2), abs=4
    )
    assert detectable(0.02) == pytest.approx(0.02 * 2.8015852, abs=1e-7)
    assert detectable(0.02, power=0.9) > detectable(0.02)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: size_for_auc(1.2, 0.1, 0.1), "auc: expected between 0 and 1, found 1.2"),
        (lambda: size_for_auc(0.8, 0, 0.1), "prevalence: expected between 0 and 1, found 0"),
        (lambda: size_for_observed_expected(0.1, -1), "width: expected above 0, found -1"),
        (lambda: size_for_difference(0.8, 0.8, 0.1), "no difference"),
        (lambda: size_for_difference(0.8, 0.7, 0.1, 1.0), "correlation: expected between -1 and 1"),
        (lambda: size_for_auc(0.8, 1e-9, 0.0001), "a thousand million"),
        (lambda: size_for_net_benefit(0.5, 0.5, 0.1, 0.1, 0.0001), "width: expected at least"),
        (lambda: normal_logits(0, 0), "sd: expected above 0"),
    ],
)
def test_impossible_requests_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_the_means_of_the_classes_follow_bayes():
    logits, weights = logits_of(0.8, 0.1)
    assert (expit(logits) * weights).sum() / weights.sum() == pytest.approx(0.1, abs=1e-9)
    assert logits.mean() < logit(0.5)


def test_the_smallest_size_is_two_and_others_are_exact():
    assert [_least(lambda n, least=least: n >= least) for least in (2, 3, 4, 5, 17, 1000)] == [
        2,
        3,
        4,
        5,
        17,
        1000,
    ]

"""Shares of images by patient: Wilson's where each has one, as wide as whole patients make them where they have several."""

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from xray.stats.shares import paired_by_patient, share_by_patient, shares_at_threshold, shares_by_patient


def test_with_one_image_per_patient_the_interval_is_wilsons():
    hits = np.arange(40) < 11
    estimate = share_by_patient(np.ones(40, bool), hits, np.arange(40))
    effective = estimate.value * (1 - estimate.value) / estimate.se**2
    assert effective == pytest.approx(39)  # m / (m - 1) for the variance of a sample
    assert (estimate.lower, estimate.upper) == pytest.approx(
        proportion_confint(11 * 39 / 40, 39, method="wilson")
    )


def test_with_one_image_per_patient_a_paired_gain_is_the_t_test_of_a_mean():
    gain = np.random.default_rng(2).choice([-1, 0, 1], p=[0.1, 0.6, 0.3], size=60)
    calls = np.arange(60) >= 5
    paired = paired_by_patient(calls, gain, np.arange(60))
    mean = DescrStatsW(gain[calls])
    assert float(paired.p) == pytest.approx(mean.ttest_mean(0)[1], rel=1e-12)
    assert float(paired.z) == pytest.approx(norm.isf(mean.ttest_mean(0)[1] / 2), rel=1e-9)
    assert (float(paired.lower), float(paired.upper)) == pytest.approx(mean.tconfint_mean(0.05), rel=1e-12)
    assert (int(paired.n), int(paired.n_pos)) == (55, int((gain[calls] != 0).sum()))


def test_images_that_repeat_their_patient_count_once():
    hits = np.arange(40) < 11
    one = share_by_patient(np.ones(40, bool), hits, np.arange(40))
    five = share_by_patient(np.ones(200, bool), np.repeat(hits, 5), np.repeat(np.arange(40), 5))
    assert (five.lower, five.upper) == pytest.approx((float(one.lower), float(one.upper)))
    assert (int(five.n), int(five.n_pos)) == (200, 55)


def test_shares_of_none_all_and_no_images_have_bounds():
    calls = np.array([[True, True, False]] * 8)
    hits = np.array([[True, False, False]] * 8)
    estimate = share_by_patient(calls, hits, np.repeat(np.arange(4), 2))
    assert estimate.value[:2].tolist() == [1, 0]
    assert estimate.lower[0] == pytest.approx(proportion_confint(4, 4, method="wilson")[0]), (
        "four patients, not eight images"
    )
    assert (estimate.n[2], str(estimate.reason[2])) == (0, "no case to count")
    assert np.isnan(estimate.value[2])


def test_the_interval_covers_with_three_images_per_patient():
    random, covered = np.random.default_rng(1), []
    for _ in range(600):
        rate = random.beta(2, 3, size=50)
        hits = random.random((50, 3)) < rate[:, None]
        estimate = share_by_patient(np.ones(150, bool), hits.ravel(), np.repeat(np.arange(50), 3))
        covered.append(estimate.lower <= 0.4 <= estimate.upper)
    assert 0.93 <= np.mean(covered) <= 0.97


def test_shares_at_a_threshold_are_counted_by_hand_and_a_score_at_it_is_a_call():
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 0, 1, np.nan])
    scores = np.array([2.0, 1.0, 0.5, 1.0, 0.2, 0.1, 3.0, -1.0, np.nan, 5.0])
    patients = np.arange(10)
    shares = shares_at_threshold(labels, scores, 1.0, patients)
    counts = {name: (int(of.n_pos), int(of.n)) for name, of in shares.items()}
    assert counts == {
        "sensitivity": (2, 3),
        "specificity": (3, 5),
        "ppv": (2, 4),
        "npv": (3, 4),
        "accuracy": (5, 8),
        "positive rate": (4, 8),
    }
    for name, (x, n) in counts.items():
        assert shares[name].value == pytest.approx(x / n)
        hits = np.arange(n) < x
        alone = share_by_patient(np.ones(n, bool), hits, np.arange(n))
        assert (shares[name].lower, shares[name].upper) == pytest.approx(
            (float(alone.lower), float(alone.upper))
        )


def test_shares_at_thresholds_of_several_columns_are_those_of_each_and_nothing_counts_without_one():
    rng = np.random.default_rng(8)
    labels, scores = (rng.random((60, 3)) < 0.4).astype(float), rng.normal(size=(60, 3))
    patients, thresholds = np.repeat(np.arange(20), 3), np.array([0.1, -0.3, np.nan])
    every = shares_at_threshold(labels, scores, thresholds, patients)
    for column in (0, 1):
        own = shares_at_threshold(labels[:, column], scores[:, column], thresholds[column], patients)
        for name, of in own.items():
            assert (every[name].value[column], every[name].upper[column]) == (of.value, of.upper)
    assert all(of.n[2] == 0 and np.isnan(of.value[2]) for of in every.values())


def of_pair(first, second, rho):
    """Difference, bounds and error of two shares by their own, with a correlation (Zou 2008)."""
    p, q = float(first.value), float(second.value)
    down, up = (
        (p - float(first.lower), float(second.upper) - q),
        (float(first.upper) - p, q - float(second.lower)),
    )
    below, above = (np.sqrt(a**2 + b**2 - 2 * rho * a * b) for a, b in (down, up))
    se = np.sqrt(first.se**2 + second.se**2 - 2 * rho * first.se * second.se)
    return p - q, p - q - below, p - q + above, float(se)


def test_shares_of_other_patients_are_independent():
    rng = np.random.default_rng(3)
    hits, first = rng.random(90) < 0.4, np.arange(90) < 50
    (one, two), difference = shares_by_patient((first, ~first), hits, np.arange(90))
    assert float(one.value) == pytest.approx(hits[:50].mean())
    assert float(two.value) == pytest.approx(hits[50:].mean())
    values = [float(getattr(difference, name)) for name in ("difference", "lower", "upper", "se")]
    assert values == pytest.approx(of_pair(one, two, 0.0), abs=1e-12)
    assert (int(difference.n), int(difference.n_pos), str(difference.reason)) == (90, hits.sum(), "")
    assert np.isnan(difference.p)
    assert np.isnan(difference.z)


def test_shares_of_the_same_patients_are_correlated_as_their_images_are():
    """Each patient has an image in either subset; the two go together, so the difference is surer than of two samples."""
    rng = np.random.default_rng(4)
    first_hits = rng.random(60) < 0.5
    second_hits = np.where(rng.random(60) < 0.85, first_hits, ~first_hits)
    hits, patients, first = np.r_[first_hits, second_hits], np.tile(np.arange(60), 2), np.arange(120) < 60
    (one, two), difference = shares_by_patient((first, ~first), hits, patients)
    rho = np.corrcoef(first_hits, second_hits)[0, 1]
    assert rho > 0.5
    values = [float(getattr(difference, name)) for name in ("difference", "lower", "upper", "se")]
    assert values == pytest.approx(of_pair(one, two, rho), abs=1e-12)


@pytest.mark.parametrize("empty", [0, 1])
def test_a_subset_without_images_is_named(empty):
    subsets = [np.arange(20) < 12, np.zeros(20, bool)][:: 1 if empty else -1]
    (one, two), difference = shares_by_patient(subsets, np.arange(20) < 5, np.arange(20))
    assert str(difference.reason) == str((one, two)[empty].reason) == "no case to count"
    assert str((one, two)[1 - empty].reason) == ""
    assert np.isnan(difference.difference)


def test_a_paired_gain_of_ten_patients_holds_its_level():
    """The normal deviate of the same variance finds a gain in 11 % of samples without one."""
    rng, images = np.random.default_rng(7), np.repeat(np.arange(10), 2)
    gains = rng.choice([-1, 0, 1], p=[0.2, 0.6, 0.2], size=(1500, 10)).repeat(2, axis=1)
    p = np.array([float(paired_by_patient(np.ones(20, bool), gain, images).p) for gain in gains])
    assert 0.03 < np.mean(p < 0.05) < 0.07


def test_two_patients_have_the_variance_of_a_sample_of_two():
    """Three of four and one of four images: residues of 1 and −1, times m / (m − 1) = 2, over 8²."""
    hits = np.array([1, 1, 1, 0, 1, 0, 0, 0], bool)
    share = share_by_patient(np.ones(8, bool), hits, np.repeat([0, 1], 4))
    assert float(share.value) == 0.5
    assert float(share.se) ** 2 == pytest.approx(2 * (1 + 1) / 64)
    first = np.arange(8) % 4 == 0
    one_each = share_by_patient(first, hits & first, np.repeat([0, 1], 4))
    assert (int(one_each.n), float(one_each.value)) == (2, 1)

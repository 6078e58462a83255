"""Shares of images by patient: Wilson's where each has one, as wide as whole patients make them where they have several."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from xray.stats.shares import paired_by_patient, share_by_patient, shares_at_threshold


def test_one_image_each_is_wilsons_interval():
    hits = np.arange(40) < 11
    estimate = share_by_patient(np.ones(40, bool), hits, np.arange(40))
    effective = estimate.value * (1 - estimate.value) / estimate.se**2
    assert effective == pytest.approx(39)  # m / (m - 1) for the variance of a sample
    assert (estimate.lower, estimate.upper) == pytest.approx(
        proportion_confint(11 * 39 / 40, 39, method="wilson")
    )


def test_a_paired_gain_of_one_image_each_is_the_z_test_of_a_mean():
    gain = np.random.default_rng(2).choice([-1, 0, 1], p=[0.1, 0.6, 0.3], size=60)
    counted = np.arange(60) >= 5
    paired = paired_by_patient(counted, gain, np.arange(60))
    mean = DescrStatsW(gain[counted])
    assert (float(paired.z), float(paired.p)) == pytest.approx(mean.ztest_mean(0)[:2], rel=1e-12)
    assert (float(paired.lower), float(paired.upper)) == pytest.approx(mean.zconfint_mean(0.05), rel=1e-12)
    assert (int(paired.n), int(paired.n_pos)) == (55, int((gain[counted] != 0).sum()))


def test_images_that_repeat_their_patient_count_once():
    hits = np.arange(40) < 11
    one = share_by_patient(np.ones(40, bool), hits, np.arange(40))
    five = share_by_patient(np.ones(200, bool), np.repeat(hits, 5), np.repeat(np.arange(40), 5))
    assert (five.lower, five.upper) == pytest.approx((float(one.lower), float(one.upper)))
    assert (int(five.n), int(five.n_pos)) == (200, 55)


def test_ends_and_nothing_to_count():
    counted = np.array([[True, True, False]] * 8)
    hits = np.array([[True, False, False]] * 8)
    estimate = share_by_patient(counted, hits, np.repeat(np.arange(4), 2))
    assert estimate.value[:2].tolist() == [1, 0]
    assert estimate.lower[0] == pytest.approx(proportion_confint(4, 4, method="wilson")[0]), (
        "four patients, not eight images"
    )
    assert (estimate.n[2], str(estimate.reason[2])) == (0, "no case to count")
    assert np.isnan(estimate.value[2])


def test_coverage_with_three_images_of_each_patient():
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

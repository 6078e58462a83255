"""Shares of images by patient: Wilson's where each has one, as wide as whole patients make them where they have several."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from xray.stats.shares import paired_by_patient, share_by_patient


def test_with_one_image_per_patient_the_interval_is_wilsons():
    hits = np.arange(40) < 11
    estimate = share_by_patient(np.ones(40, bool), hits, np.arange(40))
    effective = estimate.value * (1 - estimate.value) / estimate.se**2
    assert effective == pytest.approx(39)  # m / (m - 1) for the variance of a sample
    assert (estimate.lower, estimate.upper) == pytest.approx(
        proportion_confint(11 * 39 / 40, 39, method="wilson")
    )


def test_with_one_image_per_patient_a_paired_gain_is_tested_by_z():
    gain = np.random.default_rng(2).choice([-1, 0, 1], p=[0.1, 0.6, 0.3], size=60)
    calls = np.arange(60) >= 5
    paired = paired_by_patient(calls, gain, np.arange(60))
    mean = DescrStatsW(gain[calls])
    assert (float(paired.z), float(paired.p)) == pytest.approx(mean.ztest_mean(0)[:2], rel=1e-12)
    assert (float(paired.lower), float(paired.upper)) == pytest.approx(mean.zconfint_mean(0.05), rel=1e-12)
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

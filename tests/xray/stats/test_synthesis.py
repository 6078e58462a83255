"""The mean over sites against metafor 3.8 (R), its interval and the next site's against simulation."""

import numpy as np
import pytest

from xray.analyses.synthesis import _share
from xray.stats.synthesis import TOO_FEW, _likelihood, between, synthesise

# dat.bcg of metafor: log relative risks and their variances of 13 trials
BCG = (
    [-0.8893113339, -1.585388657, -1.348073148, -1.44155119, -0.2175473222, -0.7861155858, -1.620898224,
     0.01195233352, -0.4694176487, -1.371344803, -0.3393588283, 0.4459134006, -0.01731394822],
    [0.325584765, 0.1945811214, 0.4153679654, 0.0200100319, 0.05121017217, 0.006905618456, 0.2230172476,
     0.003961579298, 0.05643421046, 0.07302479361, 0.01241221397, 0.5325058452, 0.07140465968],
)  # fmt: skip
FIVE = ([1.2, 1.5, 0.9, 2.1, 1.4], [0.02, 0.05, 0.01, 0.1, 0.03])


@pytest.mark.parametrize(
    ("sites", "expected"),
    [
        (BCG, (-0.7145323422, -1.1084437137, -0.3206209706, 0.3132432581, 0.922213845213)),
        (FIVE, (1.3538030606, 0.8365797760, 1.8710263452, 0.1225091827, 0.818444416287)),
    ],
)
def test_mean_interval_and_heterogeneity_equal_metafor(sites, expected):
    """rma(yi, vi, method = "REML", test = "knha")."""
    result = synthesise(np.array(sites[0]), np.sqrt(sites[1]))
    assert (result.mean, result.lower, result.upper, result.tau2, result.i2) == pytest.approx(
        expected, abs=1e-8
    )
    assert (result.n, result.reason) == (len(sites[0]), "")
    assert result.next_lower < result.lower < result.mean < result.upper < result.next_upper


def test_agreeing_sites_do_not_narrow_the_interval_below_their_errors():
    """Hartung and Knapp's factor is 0 where all sites say the same."""
    result = synthesise(np.full(6, 0.5), np.full(6, 0.2))
    assert result.tau2 == 0
    assert result.upper - result.mean == pytest.approx(2.570582 * 0.2 / np.sqrt(6), abs=1e-6)
    assert result.next_upper >= result.mean + 1.9 * 0.2 / np.sqrt(6)


def test_too_few_sites_have_a_mean_and_a_reason():
    result = synthesise(np.array([1.0, 2.0, np.nan]), np.array([0.1, 0.2, 0.1]))
    assert (result.n, result.reason) == (2, TOO_FEW)
    assert result.mean == pytest.approx((1.0 / 0.01 + 2.0 / 0.04) / (1 / 0.01 + 1 / 0.04))
    assert np.isnan([result.lower, result.next_lower, result.tau2]).all()
    assert np.isnan(synthesise(np.array([]), np.array([])).mean)


def test_sites_without_an_error_are_left_out():
    y, se = np.array([1.0, 2.0, 1.5, 9.0, 1.2]), np.array([0.1, 0.2, 0.1, 0.0, np.inf])
    assert synthesise(y, se) == synthesise(y[:3], se[:3])


def test_results_follow_a_change_of_scale_and_origin():
    y, se = np.array(FIVE[0]), np.sqrt(FIVE[1])
    one, other = synthesise(y, se), synthesise(7 - 3 * y, 3 * se)
    assert (other.lower, other.next_upper) == pytest.approx(
        (7 - 3 * one.upper, 7 - 3 * one.next_lower), rel=1e-6
    )
    assert other.tau2 == pytest.approx(9 * one.tau2, rel=1e-6)


def test_the_variance_between_sites_maximises_the_likelihood():
    y, v = np.array(BCG[0]), np.array(BCG[1])

    def likelihood(tau2: float) -> float:
        w = 1 / (v + tau2)
        mean = np.average(y, weights=w)
        return 0.5 * (np.log(w).sum() - np.log(w.sum()) - (w * (y - mean) ** 2).sum())

    best = between(y, v)
    assert likelihood(best) >= max(likelihood(value) for value in np.linspace(0, 2, 4001)) - 1e-12
    gains = [of(0.7, y, v) - of(0.1, y, v) for of in (_likelihood, lambda tau2, *_: 2 * likelihood(tau2))]
    assert gains[0] == pytest.approx(gains[1]), "of several maxima the likeliest is taken"


@pytest.mark.parametrize(("n_sites", "sd"), [(5, 0.3), (8, 0.1), (20, 0.1)])
def test_the_prediction_interval_covers_the_next_site_at_its_level(n_sites, sd):
    """Where sites differ little, the customary interval holds 83 to 90 %; benchmarks/next_site.py has the whole grid."""
    rng, inside = np.random.default_rng(n_sites), []
    for _ in range(300):
        se = rng.uniform(0.08, 0.4, n_sites)
        y = 1.5 + sd * rng.standard_normal(n_sites) + se * rng.standard_normal(n_sites)
        result = synthesise(y, se)
        inside.append(result.next_lower <= 1.5 + sd * rng.standard_normal() <= result.next_upper)
    assert 0.92 <= np.mean(inside) <= 0.99


def test_repeated_images_of_patients_do_not_narrow_the_interval():
    """Two images of a patient that mostly differ vary less together than apart."""
    patients = np.repeat(np.arange(40), 2)
    hits = np.tile([True, False], 40)
    hits[::16] = False
    value, se = _share(np.ones(80, dtype=bool), hits, patients)
    p = hits.mean()
    yes, no = 80 * p + 0.5, 80 * (1 - p) + 0.5
    assert (value, se) == pytest.approx((np.log(yes / no), np.sqrt(1 / yes + 1 / no)))

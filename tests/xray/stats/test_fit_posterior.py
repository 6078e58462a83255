"""Fitting the posterior of causes: which worlds a network sees, and how sure the mean of networks may be."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from benchmarks._simulated import Rows
from benchmarks.causes import calibration
from benchmarks.fit_posterior import DEVELOPMENT, NETWORKS, as_sure_as_right, development, folds
from xray.stats.posterior import Coefficients, outputs, probabilities


def test_development_worlds_are_seen_by_no_network():
    world = np.arange(200)
    kinds = np.array(["none", "noise", "noise + lost channels", "verification", "prevalence"])[world % 5]
    flags, numbers = np.zeros((200, 4), bool), np.zeros(200)
    rows = Rows(
        columns={},
        world=world,
        generator=np.full(200, "strangers"),
        families=kinds,
        counts=flags,
        drawn=flags,
        shares=np.zeros((200, 4)),
        drop=numbers,
        drop_seen=numbers,
        drop_se=numbers,
        fewest=world,
    )
    apart = development(rows)
    assert apart.sum() == 200 / DEVELOPMENT
    every = list(folds(rows))
    assert len(every) == NETWORKS
    for fold in every:
        assert not (fold.fitted & fold.left_out).any()
        assert ((fold.fitted | fold.left_out) == ~apart).all()


@pytest.fixture(scope="module")
def too_doubtful():
    """Three networks of one hidden unit, right on average, whose log odds are a third of what they should be."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(6000, 1))
    truth = rng.random((6000, 4)) < expit(3 * x - 1)
    second = np.zeros((3, 1, 20))
    second[:, :, :4] = 100
    c = Coefficients(
        ("drop",), np.zeros(1), np.ones(1), np.full((3, 1, 1), 0.01), np.zeros((3, 1)), second, np.zeros((3, 20)),
        np.ones((3, 4)), np.tile(np.array([[-0.3], [0.0], [0.3]]), 4), np.ones((5, 4)),
        np.ones((1, 1)), np.ones(1), 1.0, 1.0,
    )  # fmt: skip
    return c, x, truth


def test_a_mean_that_is_too_doubtful_learns_to_be_as_sure_as_it_is_right(too_doubtful):
    c, x, truth = too_doubtful
    half = len(x) // 2
    learned = as_sure_as_right(c, x[:half], truth[:half])
    for cause in range(4):
        before, after = (
            calibration(probabilities(of, outputs(of, x[half:]))[:, cause], truth[half:, cause])
            for of in (c, learned)
        )
        assert before["slope"] > 1.5
        assert before["ece"] > 0.1
        assert after["slope"] == pytest.approx(1, abs=0.15)
        assert after["ece"] < 0.03


def test_only_doubt_is_learned(too_doubtful):
    c, x, truth = too_doubtful
    learned = as_sure_as_right(c, x, truth)
    same = replace(learned, slope=c.slope, intercept=c.intercept)
    assert all(np.array_equal(getattr(same, name), getattr(c, name)) for name in ("first", "second", "widen"))
    ratio = learned.slope / c.slope
    np.testing.assert_allclose(ratio, ratio[:1].repeat(3, axis=0))

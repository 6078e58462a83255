"""Thresholds chosen for a goal: the right one, and bounds that know that it was chosen on the same images."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from xray.stats.chosen import GOALS, MEASURES, choose

SE, SP, PPV, NPV, RATE = range(5)


def world(n=400, seed=0, shift=1.2, prevalence=0.3):
    random = np.random.default_rng(seed)
    label = (random.random(n) < prevalence).astype(float)
    return label, np.round(random.normal(size=n) + shift * label, 1), np.arange(n)


def measures(label, score, threshold, prevalence=None):
    """By hand, from the four cells."""
    called, positive = score >= threshold, label == 1
    se, sp = called[positive].mean(), (~called[~positive]).mean()
    share = positive.mean() if prevalence is None else prevalence
    rate = share * se + (1 - share) * (1 - sp)
    npv = (1 - share) * sp / (1 - rate) if rate < 1 else np.nan
    return np.array([se, sp, share * se / rate, npv, rate])


@pytest.mark.parametrize("goal", GOALS)
def test_the_threshold_is_the_one_that_every_other_would_lose_to(goal):
    label, score, patients = world()
    wanted = {"sensitivity": 0.9, "specificity": 0.9, "ppv": 0.6, "positive rate": 0.25}.get(goal, 0)
    made = choose(label, score, patients, goal, wanted, replicates=50)
    every = {t: measures(label, score, t) for t in np.unique(score)}
    reach = {
        "sensitivity": lambda t: every[t][SE] >= 0.9,
        "specificity": lambda t: every[t][SP] >= 0.9,
        "ppv": lambda t: every[t][PPV] >= 0.6,
        "positive rate": lambda t: every[t][RATE] <= 0.25 + 1e-12,
    }
    if goal == "youden":
        _, _, cuts = roc_curve(label, score, drop_intermediate=False)
        best = max(cuts[1:], key=lambda t: (round(every[t][SE] + every[t][SP], 12), t))
    else:
        there = [t for t in every if reach[goal](t)]
        best = max(there) if goal == "sensitivity" else min(there)
    assert made.threshold == best
    np.testing.assert_allclose(made.apparent, every[best], rtol=0, atol=1e-12)
    assert (made.n, made.n_pos) == (400, int(label.sum()))


def test_prevalence_of_elsewhere_changes_predictive_values_only():
    label, score, patients = world()
    here = choose(label, score, patients, "sensitivity", 0.9, replicates=50)
    rare = choose(label, score, patients, "sensitivity", 0.9, 0.02, replicates=50)
    assert rare.threshold == here.threshold
    np.testing.assert_allclose(rare.apparent, measures(label, score, here.threshold, 0.02), atol=1e-12)
    assert rare.apparent[PPV] < here.apparent[PPV]


def test_choosing_flatters_and_the_flattery_is_taken_off():
    """Of scores that mean nothing Youden's point seems to have some worth; less its optimism it has about none."""
    random = np.random.default_rng(3)
    seems, does = [], []
    for number in range(20):
        label = (random.random(120) < 0.3).astype(float)
        made = choose(label, random.normal(size=120), np.arange(120), "youden", replicates=100, seed=number)
        seems.append(made.apparent[SE] + made.apparent[SP] - 1)
        does.append(made.value[SE] + made.value[SP] - 1)
    assert np.mean(seems) > 0.1
    assert abs(np.mean(does)) < 0.07


def test_repeated_images_are_not_more_patients():
    label, score, patients = world(150)
    once = choose(label, score, patients, "sensitivity", 0.9)
    again = choose(np.tile(label, 3), np.tile(score, 3), np.tile(patients, 3), "sensitivity", 0.9)
    width = once.value_upper - once.value_lower
    np.testing.assert_allclose(again.value_upper - again.value_lower, width, rtol=1e-9)


@pytest.mark.parametrize(
    ("label", "score", "goal", "wanted", "reason"),
    [
        ([1, 1, np.nan], [1, 2, 3], "youden", 0, "one class"),
        ([1, 0, 1, 0], [0, 1, 0, 1], "youden", 0, "out of reach on these images"),
        ([1, 0, 0, 0], [0, 1, 1, 1], "ppv", 0.9, "out of reach on these images"),
    ],
)
def test_what_can_not_be_reached_is_said(label, score, goal, wanted, reason):
    made = choose(np.array(label, float), np.array(score, float), np.arange(len(label)), goal, wanted)
    assert made.reason == reason
    assert np.isnan(made.threshold)
    assert len(made.value) == len(MEASURES)


def test_bounds_of_npv_are_those_of_the_sensitivity_that_decides_it() -> None:
    """With a given prevalence and very many negatives nothing else is uncertain."""
    random = np.random.default_rng(4)
    label = np.repeat([1.0, 0.0], [40, 20_000])
    made = choose(
        label,
        random.normal(size=len(label)) + 1.5 * label,
        np.arange(len(label)),
        "sensitivity",
        0.9,
        0.2,
        400,
    )
    specificity = made.value[MEASURES.index("specificity")]

    def npv(sensitivity: float) -> float:
        return float(0.8 * specificity / (0.8 * specificity + 0.2 * (1 - sensitivity)))

    place = MEASURES.index("npv")
    for name in ("value", "value_lower", "value_upper"):
        bounds = getattr(made, name)
        assert bounds[place] == pytest.approx(npv(bounds[0]), abs=2e-3), name

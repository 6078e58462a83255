"""Thresholds chosen for a goal: the right one, and bounds that know that it was chosen on the same images."""

import numpy as np
import pytest
from scipy.stats import beta, binom, norm
from scipy.stats import t as student
from sklearn.metrics import roc_curve
from statsmodels.stats.proportion import proportion_confint

from xray.stats.chosen import GOALS, MEASURES, choose
from xray.stats.chosen_bounds import effective, quantile_bounds, shares_at
from xray.stats.chosen_draws import resamples

SE, SP, PPV, NPV, RATE = range(5)


def world(n=400, seed=0, shift=1.2, prevalence=0.3):
    random = np.random.default_rng(seed)
    label = (random.random(n) < prevalence).astype(float)
    return label, np.round(random.normal(size=n) + shift * label, 1), np.arange(n)


def measures(label, score, threshold, prevalence=None):
    """By hand, from the four cells."""
    calls, positive = score >= threshold, label == 1
    se, sp = calls[positive].mean(), (~calls[~positive]).mean()
    share = positive.mean() if prevalence is None else prevalence
    rate = share * se + (1 - share) * (1 - sp)
    npv = (1 - share) * sp / (1 - rate) if rate < 1 else np.nan
    return np.array([se, sp, share * se / rate, npv, rate])


@pytest.mark.parametrize("goal", GOALS)
def test_no_other_threshold_beats_the_selected_one(goal):
    label, score, patients = world()
    goal_value = {"sensitivity": 0.9, "specificity": 0.9, "ppv": 0.6, "positive rate": 0.25}.get(goal, 0)
    choice = choose(label, score, patients, goal, goal_value, replicates=50)
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
        thresholds = [t for t in every if reach[goal](t)]
        best = max(thresholds) if goal == "sensitivity" else min(thresholds)
    assert choice.threshold == best
    np.testing.assert_allclose(choice.apparent, every[best], rtol=0, atol=1e-12)
    assert (choice.n, choice.n_pos) == (400, int(label.sum()))


def test_another_prevalence_changes_only_predictive_values():
    label, score, patients = world()
    own = choose(label, score, patients, "sensitivity", 0.9, replicates=50)
    rare = choose(label, score, patients, "sensitivity", 0.9, 0.02, replicates=50)
    assert rare.threshold == own.threshold
    np.testing.assert_allclose(rare.apparent, measures(label, score, own.threshold, 0.02), atol=1e-12)
    assert rare.apparent[PPV] < own.apparent[PPV]


def test_the_optimism_of_choosing_a_threshold_is_removed():
    """Of scores that mean nothing Youden's point seems to have some worth; less its optimism it has about none."""
    random = np.random.default_rng(3)
    seems, does = [], []
    for number in range(20):
        label = (random.random(120) < 0.3).astype(float)
        choice = choose(label, random.normal(size=120), np.arange(120), "youden", replicates=100, seed=number)
        seems.append(choice.apparent[SE] + choice.apparent[SP] - 1)
        does.append(choice.value[SE] + choice.value[SP] - 1)
    assert np.mean(seems) > 0.1
    assert abs(np.mean(does)) < 0.07


def test_repeated_images_do_not_count_as_more_patients():
    label, score, patients = world(150)
    once = choose(label, score, patients, "sensitivity", 0.9)
    again = choose(np.tile(label, 3), np.tile(score, 3), np.tile(patients, 3), "sensitivity", 0.9)
    width = once.value_upper - once.value_lower
    np.testing.assert_allclose(again.value_upper - again.value_lower, width, rtol=0.05)
    assert (again.value_upper - again.value_lower > width).all(), (
        "how alike they are is not known but estimated"
    )
    assert once.lower == pytest.approx(again.lower, abs=0.1)
    assert once.upper == pytest.approx(again.upper, abs=0.1)


@pytest.mark.parametrize(
    ("label", "score", "goal", "value", "reason"),
    [
        ([1, 1, np.nan], [1, 2, 3], "youden", 0, "one class"),
        ([1, 0, 1, 0], [0, 1, 0, 1], "youden", 0, "out of reach on these images"),
        ([1, 0, 0, 0], [0, 1, 1, 1], "ppv", 0.9, "out of reach on these images"),
    ],
)
def test_an_unreachable_goal_has_a_reason(label, score, goal, value, reason):
    choice = choose(np.array(label, float), np.array(score, float), np.arange(len(label)), goal, value)
    assert choice.reason == reason
    assert np.isnan(choice.threshold)
    assert len(choice.value) == len(MEASURES)


def test_bounds_of_npv_are_those_of_the_sensitivity_that_decides_it() -> None:
    """With a given prevalence and very many negatives nothing else is uncertain."""
    random = np.random.default_rng(4)
    label = np.repeat([1.0, 0.0], [40, 20_000])
    choice = choose(
        label,
        random.normal(size=len(label)) + 1.5 * label,
        np.arange(len(label)),
        "sensitivity",
        0.9,
        0.2,
        400,
    )
    specificity = choice.value[MEASURES.index("specificity")]

    def npv(sensitivity: float) -> float:
        return float(0.8 * specificity / (0.8 * specificity + 0.2 * (1 - sensitivity)))

    column = MEASURES.index("npv")
    for name in ("value", "value_lower", "value_upper"):
        bounds = getattr(choice, name)
        assert bounds[column] == pytest.approx(npv(bounds[0]), abs=2e-3), name


def test_bounds_of_a_share_are_binomial_wherever_the_threshold_lies():
    """Of the class that the goal is about as of an order statistic, of the other class as at a fixed threshold."""
    random = np.random.default_rng(8)
    label = np.repeat([1.0, 0.0], [30, 120])
    score, patients = random.normal(size=150) + 1.5 * label, np.arange(150)
    choice = choose(label, score, patients, "sensitivity", 0.9, replicates=50)
    assert choice.apparent[SE] == 27 / 30
    law = beta(27, 30 - 27 + 1)
    assert (choice.value_lower[SE], choice.value_upper[SE]) == pytest.approx(law.interval(0.95), abs=1e-9)
    at = np.sort(score[label == 0])[-12]  # as a specificity of 90 % chooses it
    _, lower, upper = shares_at(label == 1, score >= at, patients, -1)
    bounds = proportion_confint((score[label == 1] >= at).sum(), 30, method="jeffreys")
    assert (lower[SE], upper[SE]) == pytest.approx(bounds, abs=1e-9)
    assert (lower[SP], upper[SP]) == pytest.approx(beta(109, 12).interval(0.95), abs=1e-9)


def test_predictive_values_follow_from_both_classes_and_the_prevalence():
    """Against what a simulation of both classes' shares gives."""
    random = np.random.default_rng(9)
    label = np.repeat([True, False], [200, 600])
    calls = random.random(800) < np.where(label, 0.8, 0.1)
    value, lower, upper = shares_at(label, calls, np.arange(800), 0, prevalence=0.02)
    k, n = np.array([(label & calls).sum(), (~label & ~calls).sum()]), np.array([200, 600])
    se, sp = (random.beta(k[i] + 0.5, n[i] - k[i] + 0.5, size=200_000) for i in (0, 1))
    rate = 0.02 * se + 0.98 * (1 - sp)
    for index, drawn_values in ((PPV, 0.02 * se / rate), (NPV, 0.98 * sp / (1 - rate)), (RATE, rate)):
        assert (lower[index], upper[index]) == pytest.approx(
            np.quantile(drawn_values, [0.025, 0.975]), rel=0.02
        )
        assert lower[index] < value[index] < upper[index]


def test_intervals_of_a_quantile_have_binomial_coverage():
    """Ranks of whole numbers cover with the probability that binomial counts have."""
    n, level = 200, 0.3
    scores = np.arange(n, 0, -1.0)
    lower, upper = quantile_bounds(scores, level, n, (1.0, n))
    first, last = n + 1 - upper, n + 1 - lower  # ranks from the highest
    covers = binom.cdf(np.floor(last) - 1, n, level) - binom.cdf(np.ceil(first) - 1, n, level)
    assert covers <= 0.95 <= covers + binom.pmf(round(first), n, level) + binom.pmf(round(last), n, level)
    assert quantile_bounds(scores, 0.5, 4, (1.0, n)) > (1.0, n / 2)
    wide = quantile_bounds(np.array([3.0, 2.0]), 0.5, 2, (0.0, 9.0))
    assert wide == (0.0, 9.0) or (wide[0] < 2 and wide[1] > 3), "two images bound nothing between them"


def test_a_bootstrap_draw_chooses_its_threshold_by_its_patients():
    """Against the same stream of numbers and images that are repeated."""
    label, score, patients = world(60)
    order = np.argsort(-score, kind="stable")
    label, score, patients = label[order] == 1, score[order], order // 2
    last = np.append(score[1:] != score[:-1], True)
    positions, calls = resamples(
        label, last, patients, np.array([0, 4]), np.array([0.8, 0.0]), np.nan, 3, np.uint64(5)
    )
    state, mask, m = 5, 2**64 - 1, 30
    for draw in range(3):
        weights = np.zeros(m, dtype=int)
        for _ in range(m):
            state = (state + 0x9E3779B97F4A7C15) & mask
            mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
            mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
            weights[(((mixed ^ (mixed >> 31)) >> 32) * m) >> 32] += 1
        assert weights.sum() == m
        many = weights[patients]
        positive, values = np.repeat(label, many), np.repeat(score, many)
        reach = [t for t in np.unique(values) if (values[positive] >= t).mean() >= 0.8]
        assert score[positions[0, draw]] == max(reach)
        at = values >= score[positions[1, draw]]
        assert calls[1, draw].tolist() == [
            (at & positive).sum(), (at & ~positive).sum(), positive.sum(), (~positive).sum()
        ]  # fmt: skip


@pytest.mark.parametrize("images", [1, 3])
def test_intervals_hold_with_thirty_positives(images):
    """In 200 worlds of which the truth is known; benchmarks/thresholds.py has thousands."""
    from benchmarks.thresholds import coverage

    shares = np.array(
        [row for _, _, row in coverage("normal", 30 * images, images, 200, seed=1, replicates=100)]
    )
    assert shares.min() > 0.95 - 3.5 * np.sqrt(0.95 * 0.05 / 200)
    assert np.delete(shares, 0, axis=1).max() < 0.99


def test_an_effective_number_is_less_where_few_patients_decide_it():
    """Of a design effect that is the same for each patient as many degrees of freedom as patients less one are left."""
    patients = np.repeat(np.arange(40), 3)
    every = np.ones((120, 1), dtype=bool)
    alike = np.repeat(np.arange(40) < 34, 3)[:, None]
    k, n = effective(every, alike, patients)
    assert k / n == pytest.approx(0.85)
    assert n == pytest.approx(39 * (norm.ppf(0.975) / student.ppf(0.975, 39)) ** 2), (
        "of patients, less what t takes"
    )
    few = np.ones((120, 1), dtype=bool)  # one patient with three misses, and five with one
    few[-18:-15], few[-15::3] = False, False
    _, of_few = effective(every, few, patients)
    share = few.mean()
    residues = few[:, 0].reshape(40, 3).sum(axis=1) - 3 * share
    unadjusted = share * (1 - share) / (40 / 39 * (residues**2).sum() / 120**2)
    assert of_few[0] < 0.95 * unadjusted * (norm.ppf(0.975) / student.ppf(0.975, 39)) ** 2
    alone = effective(every, few, np.arange(120))
    assert (alone[0][0], alone[1][0]) == (pytest.approx(few.sum()), 120)


@pytest.mark.parametrize("goal", GOALS)
def test_bounds_for_discrete_scores_are_scores(goal):
    label, score, patients = world(200)
    score = np.round(score * 2) / 2
    goal_value = {"sensitivity": 0.9, "specificity": 0.9, "ppv": 0.6, "positive rate": 0.25}.get(goal, 0)
    choice = choose(label, score, patients, goal, goal_value, replicates=50)
    assert {choice.lower, choice.threshold, choice.upper} <= set(score)
    assert choice.lower <= choice.threshold <= choice.upper


def test_the_highest_score_may_be_the_threshold():
    """One of four positives is above all others: a sensitivity of a quarter is reached there."""
    label = np.repeat([1.0, 0.0], [4, 16])
    score = np.r_[9.0, 2.0, 1.0, 0.5, np.linspace(-2, 3, 16)]
    choice = choose(label, score, np.arange(20), "sensitivity", 0.25, replicates=20)
    assert (choice.threshold, choice.reason) == (9.0, "")
    assert choice.apparent[SE] == 0.25

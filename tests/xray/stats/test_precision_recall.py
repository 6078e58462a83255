import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.metrics import average_precision_score
from statsmodels.stats.proportion import proportion_confint

from xray.stats.precision_recall import _bounds, average_precision_interval, influence


def draw(rng, n_pos, n_neg, gap, digits=1):
    labels = np.repeat([1.0, 0.0], [n_pos, n_neg])
    return labels, np.round(rng.normal(size=labels.size) + gap * labels, digits)


def derivatives(labels, scores, step=1e-5):
    """Of scikit-learn's weighted average precision by the weight of each image."""
    weights = 1 + step * np.eye(labels.size)
    up = [average_precision_score(labels, scores, sample_weight=w) for w in weights]
    down = [average_precision_score(labels, scores, sample_weight=2 - w) for w in weights]
    return (np.array(up) - np.array(down)) / (2 * step)


def test_influence_is_the_derivative_by_an_images_weight():
    labels, scores = draw(np.random.default_rng(0), 12, 40, 1.0)
    assert np.unique(scores).size < scores.size
    np.testing.assert_allclose(influence(labels, scores), derivatives(labels, scores), atol=1e-8)


def test_the_value_equals_scikit_learn_and_the_interval_uses_the_influences():
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 2)) < [0.2, 0.4]).astype(float)
    labels[:20, 1] = np.nan
    scores = np.round(labels.copy() * 1.2 + rng.normal(size=labels.shape), 1)
    scores[np.isnan(scores)] = 0
    estimate = average_precision_interval(labels, scores)
    for column in range(2):
        usable = ~np.isnan(labels[:, column])
        pair = labels[usable, column], scores[usable, column]
        value, se = average_precision_score(*pair), np.sqrt((derivatives(*pair) ** 2).sum())
        bounds = expit(logit(value) + norm.ppf([0.025, 0.975]) * se / (value * (1 - value)))
        assert estimate.value[column] == pytest.approx(value, abs=1e-12)
        assert estimate.se[column] == pytest.approx(se, rel=1e-6)
        assert [estimate.lower[column], estimate.upper[column]] == pytest.approx(bounds, abs=1e-7)
        assert estimate.n_pos[column] == pair[0].sum()


@pytest.mark.parametrize("misplaced", [0, 1])
def test_near_one_the_interval_equals_wilsons(misplaced):
    labels = np.repeat([1.0, 0.0], [50, 100])
    scores = labels.copy()
    scores[:misplaced] = -1
    estimate = average_precision_interval(labels, scores)
    value = average_precision_score(labels, scores)
    lower, upper = proportion_confint(value * 50, 50, method="wilson")
    assert (estimate.lower, estimate.upper) == (pytest.approx(lower), pytest.approx(upper))
    assert estimate.lower > 0.8
    assert not estimate.reason


def test_images_of_one_patient_count_as_one_draw():
    labels, scores = draw(np.random.default_rng(1), 40, 80, 1.0)
    once = average_precision_interval(labels, scores)
    alone = average_precision_interval(labels, scores, np.arange(labels.size))
    assert (once.lower, once.upper) == (alone.lower, alone.upper)
    thrice = average_precision_interval(
        np.tile(labels, 3), np.tile(scores, 3), np.tile(np.arange(labels.size), 3)
    )
    assert (thrice.lower, thrice.upper) == (pytest.approx(once.lower), pytest.approx(once.upper))
    assert thrice.n_pos == 120


def test_a_missing_interval_has_a_reason():
    labels = np.array([[1, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]], dtype=float)
    scores = np.array([[3, 1, 3, 1], [2, 2, 2, 2], [1, 3, 1, 3]], dtype=float)
    estimate = average_precision_interval(labels, scores, np.array([0, 0, 1]))
    assert estimate.reason.tolist() == [
        "fewer than two positives", "one class", "fewer than two patients of a class", "one class",
    ]  # fmt: skip
    assert np.isnan(estimate.lower).all()
    np.testing.assert_array_equal(np.isnan(estimate.value), [False, True, False, True])


@pytest.mark.parametrize(("value", "is_wilson"), [(0.5, True), (0.499, False)])
def test_few_images_take_wilsons_bounds_from_one_half_on(value, is_wilson):
    lower, upper = _bounds(np.array([value]), np.array([1e-9]), np.array([8]), 0.95)
    half = norm.ppf(0.975) / np.sqrt(8 * value * (1 - value))
    by_logit = [
        1 / (1 + np.exp(half - np.log(value / (1 - value)))),
        1 / (1 + np.exp(-half - np.log(value / (1 - value)))),
    ]
    expected = proportion_confint(8 * value, 8, method="wilson") if is_wilson else by_logit
    assert (lower[0], upper[0]) == pytest.approx(tuple(expected), abs=1e-6)

"""Newcombe's paired interval: against its formula number by number, on tables at the edge, and by its coverage."""

import math

import numpy as np
import pytest
from statsmodels.api import OLS
from statsmodels.stats.proportion import proportion_confint

from xray.stats.paired import paired_difference, paired_inflation


def by_hand(a: int, b: int, c: int, d: int) -> tuple[float, float, float]:
    """Method 10 as Newcombe 1998 writes it, of p1 − p2 = (b − c)/n, with statsmodels' Wilson intervals."""
    n = a + b + c + d
    p1, p2 = (a + b) / n, (a + c) / n
    l1, u1 = proportion_confint(a + b, n, method="wilson")
    l2, u2 = proportion_confint(a + c, n, method="wilson")
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    lead = a * d - b * c
    lead = max(lead - n / 2, 0) if lead > 0 else lead
    phi = lead / math.sqrt(margins) if margins else 0.0
    low = math.sqrt((p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2)
    high = math.sqrt((p2 - l2) ** 2 - 2 * phi * (p2 - l2) * (u1 - p1) + (u1 - p1) ** 2)
    return p1 - p2, p1 - p2 - low, p1 - p2 + high


@pytest.mark.parametrize(
    "table",
    [
        (36, 12, 2, 0),
        (20, 12, 2, 16),
        (1, 97, 1, 1),
        (0, 29, 1, 0),
        (98, 2, 0, 0),
        (30, 0, 0, 0),
        (5, 4, 9, 80),
    ],
)
def test_differences_and_intervals_equal_the_formula(table):
    a, b, c, d = table
    difference = paired_difference(a, c, b, d)  # second minus first: p1 is our second
    assert (difference.value, difference.lower, difference.upper) == pytest.approx(
        by_hand(a, b, c, d), abs=1e-12
    )
    turned = paired_difference(a, b, c, d)
    assert (-turned.value, -turned.upper, -turned.lower) == pytest.approx(by_hand(a, b, c, d), abs=1e-12)
    assert difference.n == sum(table)
    assert difference.se == pytest.approx(math.sqrt(b + c - (b - c) ** 2 / sum(table)) / sum(table))
    assert difference.n_pos == a + b


def test_the_interval_covers_at_its_level():
    rng = np.random.default_rng(3)
    p = np.array([0.55, 0.08, 0.17, 0.2])
    counts = rng.multinomial(80, p, size=40_000)
    difference = paired_difference(*counts.T)
    inside = (difference.lower <= p[2] - p[1]) & (p[2] - p[1] <= difference.upper)
    assert 0.94 < inside.mean() < 0.965


def test_no_cases_and_no_difference_have_their_values():
    difference = paired_difference([0, 10], [0, 0], [0, 0], [0, 10])
    assert np.isnan(difference.value[0])
    assert np.isnan(difference.lower[0])
    assert difference.reason.tolist() == ["no case to count", ""]
    assert (difference.value[1], difference.se[1]) == (0, 0)
    assert difference.lower[1] < 0 < difference.upper[1]


def test_one_case_that_changed_has_no_error_of_its_own():
    one = paired_difference(0, 1, 0, 0)
    assert (float(one.value), float(one.se), int(one.n)) == (-1, 0, 1)


def of_patients(seed, patients=80, images=4):
    """Successes of two rules on images of patients that are alike, and the patients."""
    rng = np.random.default_rng(seed)
    unit = np.repeat(rng.permutation(patients), images)
    of_patient, own = rng.random((2, patients))[:, unit], rng.random((2, unit.size))
    same = rng.random((2, patients))[:, unit] < 0.8
    values = np.where(same, of_patient, own)
    return (values[0] < 0.8).astype(float), ((values[0] < 0.8) & (values[1] < 0.85)).astype(float), unit


def test_variances_are_inflated_as_those_of_patients_means():
    first, second, unit = of_patients(1)
    first[::11] = np.nan
    own = ~np.isnan(first)
    gain = (second - first)[own]
    model, groups = OLS(gain, np.ones(gain.size)), {"groups": unit[own], "use_correction": False}
    errors = [model.fit(cov_type=kind, cov_kwds=of).bse[0] for kind, of in (("cluster", groups), ("HC0", {}))]
    ratio = (errors[0] / errors[1]) ** 2 * 80 / 79 * (gain.size - 1) / gain.size
    assert ratio > 1.5
    assert float(paired_inflation(first, second, unit)) == pytest.approx(ratio)
    columns = paired_inflation(np.column_stack([first, second]), np.column_stack([second] * 2), unit)
    np.testing.assert_allclose(columns, [ratio, 4])  # without a difference, images for each patient
    assert float(paired_inflation(first, second, np.arange(first.size))) == 1
    assert float(paired_inflation(first, second, np.zeros(first.size))) == own.sum(), "of one patient"


@pytest.mark.parametrize("shape", [(0,), (0, 3), (5, 0)])
def test_without_images_or_columns_nothing_is_inflated(shape):
    none = np.zeros(shape)
    np.testing.assert_array_equal(
        paired_inflation(none, none, np.zeros(shape[0], dtype=int)), np.ones(shape[1:])
    )


@pytest.mark.parametrize("times", [2, 5])
def test_cases_that_are_repeated_say_no_more(times):
    once = paired_difference(30, 6, 2, 12)
    again = paired_difference(*(times * np.array([30, 6, 2, 12])), inflation=times)
    for name in ("value", "lower", "upper", "se"):
        assert float(getattr(again, name)) == pytest.approx(float(getattr(once, name))), name
    assert (int(again.n), int(again.n_pos)) == (50 * times, 32 * times)


def test_the_interval_holds_where_patients_have_several_images():
    covered = np.zeros(2)
    for seed in range(400):
        first, second, unit = of_patients(seed)
        cells = [
            int((one & two).sum()) for one in (first == 1, first == 0) for two in (second == 1, second == 0)
        ]
        for k, inflation in enumerate((1.0, paired_inflation(first, second, unit))):
            difference = paired_difference(*cells, inflation=inflation)
            covered[k] += float(difference.lower) <= -0.8 * 0.15 <= float(difference.upper)
    assert covered[0] / 400 < 0.85, "by images"
    assert covered[1] / 400 == pytest.approx(0.95, abs=0.03)

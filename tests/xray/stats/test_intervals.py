import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from xray.stats.estimates import NO_CASES
from xray.stats.intervals import proportion, wilson

COUNTS, TOTALS = (
    array.ravel() for array in np.meshgrid(np.arange(0, 13, 3), np.array([12, 13, 100, 10_000]))
)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_intervals_equal_statsmodels(level):
    lower, upper = wilson(COUNTS, TOTALS, level)
    for i, (x, n) in enumerate(zip(COUNTS, TOTALS, strict=True)):
        expected = proportion_confint(x, n, 1 - level, "wilson")
        assert (lower[i], upper[i]) == pytest.approx(expected, abs=1e-12)
        assert 0 <= lower[i] <= x / n <= upper[i] <= 1


def test_bounds_at_the_ends_are_exact():
    assert float(wilson(0, 7)[0]) == 0
    assert float(wilson(7, 7)[1]) == 1


def test_without_cases_the_interval_is_undefined():
    estimate = proportion([0, 3], [0, 4])
    assert estimate.reason.tolist() == [NO_CASES, ""]
    assert np.isnan([estimate.value[0], estimate.lower[0], estimate.upper[0], estimate.se[0]]).all()
    assert np.isnan(wilson(0, 0)).all()
    assert estimate.value[1] == 0.75


@pytest.mark.parametrize("counts", [(5, 3), (-1, 3)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson(*counts)


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (1, 2), (2, 2)])
def test_one_or_two_images_have_wilsons_bounds(successes, n):
    lower, upper = wilson(np.array(successes), np.array(n))
    assert (float(lower), float(upper)) == pytest.approx(
        proportion_confint(successes, n, method="wilson"), abs=1e-12
    )

import numpy as np
import pytest
from scipy.stats import chi2_contingency
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from xray.stats.estimates import NO_CASES, NO_VARIANCE
from xray.stats.intervals import clopper_pearson, compare_proportions, proportion, wilson

COUNTS, TOTALS = (
    array.ravel() for array in np.meshgrid(np.arange(0, 13, 3), np.array([12, 13, 100, 10_000]))
)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("ours", "method"), [(wilson, "wilson"), (clopper_pearson, "beta")])
def test_intervals_equal_statsmodels(level, ours, method):
    lower, upper = ours(COUNTS, TOTALS, level)
    for i, (x, n) in enumerate(zip(COUNTS, TOTALS, strict=True)):
        expected = proportion_confint(x, n, 1 - level, method)
        assert (lower[i], upper[i]) == pytest.approx(expected, abs=1e-12)
        assert 0 <= lower[i] <= x / n <= upper[i] <= 1


def test_bounds_at_the_ends_are_exact():
    assert float(wilson(0, 7)[0]) == 0
    assert float(wilson(7, 7)[1]) == 1
    assert float(clopper_pearson(0, 7)[0]) == 0
    assert float(clopper_pearson(7, 7)[1]) == 1


def test_no_case_is_undefined():
    found = proportion([0, 3], [0, 4])
    assert found.reason.tolist() == [NO_CASES, ""]
    assert np.isnan([found.value[0], found.lower[0], found.upper[0], found.se[0]]).all()
    assert np.isnan(clopper_pearson(0, 0)).all()
    assert found.value[1] == 0.75


@pytest.mark.parametrize("counts", [(5, 3), (-1, 3)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson(*counts)


@pytest.mark.parametrize("counts", [(56, 70, 48, 80), (9, 10, 3, 10), (5, 56, 0, 29), (0, 10, 10, 10)])
def test_difference_equals_statsmodels(counts):
    found = compare_proportions(*counts)
    expected = confint_proportions_2indep(*counts, method="newcomb", compare="diff")
    assert (float(found.lower), float(found.upper)) == pytest.approx(expected, abs=1e-12)
    x1, n1, x2, n2 = counts
    chi = chi2_contingency([[x1, n1 - x1], [x2, n2 - x2]], correction=False)
    assert float(found.z) ** 2 == pytest.approx(chi.statistic)
    assert float(found.p) == pytest.approx(chi.pvalue)


def test_newcombes_published_example():
    # Newcombe 1998, table II, example (a), method 10: 56/70 − 48/80 is 0.0524 to 0.3339
    found = compare_proportions(56, 70, 48, 80)
    assert (round(float(found.lower), 4), round(float(found.upper), 4)) == (0.0524, 0.3339)


def test_difference_without_variance_or_cases():
    found = compare_proportions([0, 0, 1], [10, 0, 5], [0, 1, 0], [10, 5, 0])
    assert found.reason.tolist() == [NO_VARIANCE, NO_CASES, NO_CASES]
    assert np.isnan(found.p).all()
    assert found.difference[0] == 0
    assert found.lower[0] < 0 < found.upper[0]

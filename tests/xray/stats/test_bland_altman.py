import numpy as np
import pytest
from scipy.stats import t
from statsmodels.api import OLS

from xray.stats.bland_altman import bland_altman
from xray.stats.estimates import FEW_IMAGES, FEW_UNITS

# Peak expiratory flow by two meters, l/min: Bland and Altman, Lancet 1986, table 1, first readings
WRIGHT = np.array([494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427.0])
MINI = np.array([512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451.0])


def test_limits_equal_the_published_example():
    """The paper: bias −2.1 (−22.0 to 17.8), sd 38.8, limits −79.7 to 75.5 with 2 sd in place of 1.96."""
    limits = bland_altman(WRIGHT, MINI)
    np.testing.assert_allclose(limits.bias, [-2.1, -22.0, 17.8], atol=0.06)
    assert float(limits.sd) == pytest.approx(38.8, abs=0.05)
    np.testing.assert_allclose(limits.lower_limit[0], -2.1 - 1.96 * 38.8, atol=0.1)
    np.testing.assert_allclose(limits.upper_limit[0], -2.1 + 1.96 * 38.8, atol=0.1)
    # its bounds of the limits take se² = 3 sd²/n, an approximation of ours: −114.3 to −45.1 around −79.7
    np.testing.assert_allclose(limits.lower_limit[1:] - limits.lower_limit[0], [-34.6, 34.6], atol=0.6)


def test_limits_equal_the_formulas_by_column_with_gaps():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 60, 2)) + 100
    first[:20, 1] = np.nan
    limits = bland_altman(first, second, level=0.9)
    d = (first - second)[20:, 1]
    assert limits.n.tolist() == [60, 40]
    assert limits.sd[1] == pytest.approx(d.std(ddof=1))
    half = t.ppf(0.95, 39) * d.std(ddof=1) * np.sqrt(1 / 40 + 1.6448536269514722**2 / 78)
    limit = d.mean() + 1.6448536269514722 * d.std(ddof=1)
    np.testing.assert_allclose(limits.upper_limit[:, 1], [limit, limit - half, limit + half])


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_images_have_a_reason(n):
    limits = bland_altman(np.zeros(n), np.zeros(n))
    assert str(limits.reason) == FEW_IMAGES
    assert np.isnan([*limits.bias, *limits.lower_limit, limits.sd]).all()


def test_equal_scores_have_no_bias():
    limits = bland_altman(WRIGHT, WRIGHT)
    assert limits.upper_limit.tolist() == [0, 0, 0]


def test_two_images_have_a_mean_and_limits():
    result = bland_altman(np.array([1.0, 4.0]), np.array([0.0, 1.0]))
    assert float(result.bias[0]) == 2
    assert float(result.sd) == pytest.approx(np.sqrt(2))


def test_bounds_of_patients_images_follow_from_what_each_patient_changes():
    """Bias: least squares with errors by patient (statsmodels). Limits: by a little more weight on each image."""
    rng = np.random.default_rng(2)
    patients = np.repeat(rng.permutation(40) + 7, rng.integers(1, 5, 40))
    d = rng.normal(size=50)[patients] + 0.5 * rng.gamma(1, size=patients.size)
    limits = bland_altman(np.column_stack([d, d]), np.column_stack([0 * d, 0 * d]), patients=patients)
    plain = bland_altman(d, 0 * d)
    groups = {"groups": patients, "use_correction": False}
    error = OLS(d, np.ones(d.size)).fit(cov_type="cluster", cov_kwds=groups).bse[0] * np.sqrt(40 / 39)
    half = t.ppf(0.975, 39) * error
    np.testing.assert_allclose(limits.bias[:, 1], [d.mean(), d.mean() - half, d.mean() + half])

    def upper(weight):
        mean = np.average(d, weights=weight)
        return mean + 1.959964 * np.sqrt(weight @ (d - mean) ** 2 / (weight.sum() - 1))

    influence = np.array([(upper(1 + 1e-5 * at) - upper(np.ones(d.size))) / 1e-5 for at in np.eye(d.size)])
    sums = [influence[patients == patient].sum() for patient in np.unique(patients)]
    half = t.ppf(0.975, 39) * np.sqrt(40 / 39 * np.square(sums).sum())
    assert limits.upper_limit[2, 0] - limits.upper_limit[0, 0] == pytest.approx(half, rel=0.02)
    np.testing.assert_allclose(limits.upper_limit[0, 0], plain.upper_limit[0])
    assert half > 1.3 * (plain.upper_limit[2] - plain.upper_limit[0])


def test_one_patient_has_limits_without_bounds():
    limits = bland_altman(np.array([1.0, 2.0, 4.0]), np.zeros(3), patients=np.array(["one"] * 3))
    assert str(limits.reason) == FEW_UNITS
    assert limits.bias[0] == pytest.approx(7 / 3)
    assert np.isnan([*limits.bias[1:], *limits.upper_limit[1:]]).all()


def test_images_of_one_score_are_nobodys():
    first = np.array([1.0, 2.0, np.nan, 4.0])
    limits = bland_altman(first, np.zeros(4), patients=np.array([0, 1, 2, 1]))
    at = [0, 1, 3]
    expected = bland_altman(first[at], np.zeros(3), patients=np.array([0, 1, 1]))
    np.testing.assert_allclose(limits.lower_limit, expected.lower_limit)


@pytest.mark.parametrize("shape", [(0,), (0, 2), (5, 0)])
def test_without_images_or_columns_there_are_no_limits(shape):
    limits = bland_altman(np.zeros(shape), np.zeros(shape), patients=np.zeros(shape[0], dtype=int))
    assert limits.bias.shape == (3, *shape[1:])
    assert np.isnan(limits.upper_limit).all()

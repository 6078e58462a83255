import numpy as np
import pytest
from statsmodels.api import Logit

from xray.stats.estimates import NO_DATA, ONE_CLASS
from xray.stats.logistic import COLLINEAR, SEPARATED, fit_logistic


@pytest.mark.parametrize("scale", [1, 1e-6, 1e6])
@pytest.mark.parametrize("prevalence", [-4.0, 0.0])
def test_logistic_regression_equals_statsmodels(scale, prevalence):
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(800), rng.normal(size=(800, 2)), rng.random(800) < 0.5])
    y = (rng.random(800) < 1 / (1 + np.exp(-(x @ [prevalence, 1, -0.5, 0.7])))).astype(float)
    scaled = x * [1, scale, 1, 1]
    fitted_line = fit_logistic(scaled, y)
    expected = Logit(y, x).fit(disp=0, tol=1e-12)
    stretch = np.array([1, scale, 1, 1])
    np.testing.assert_allclose(fitted_line.coefficients * stretch, expected.params, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(np.sqrt(fitted_line.covariance.diagonal()) * stretch, expected.bse, rtol=1e-6)
    assert fitted_line.log_likelihood == pytest.approx(expected.llf, abs=1e-9)
    assert (fitted_line.n, fitted_line.n_pos, fitted_line.reason) == (800, y.sum(), "")


def test_a_likelihood_without_a_maximum_has_a_reason():
    ones, x = np.ones(20), np.arange(20.0)
    y = (x > 9).astype(float)
    assert fit_logistic(np.column_stack([ones, x]), y).reason == SEPARATED
    y[9] = 1
    y[[9, 10]] = 1, 0
    assert fit_logistic(np.column_stack([ones, x]), y).reason == ""
    for design in (np.column_stack([ones, x, 2 * x]), np.column_stack([ones, 0 * x])):
        fitted_line = fit_logistic(design, y)
        assert fitted_line.reason == COLLINEAR
        assert np.isnan(fitted_line.coefficients).all()
        assert np.isnan(fitted_line.log_likelihood)
    assert fit_logistic(ones[:, None], ones).reason == ONE_CLASS
    assert fit_logistic(np.empty((0, 1)), np.empty(0)).reason == NO_DATA


def test_quasi_separation_is_detected():
    """One level of a factor has positives only: its coefficient has no finite estimate."""
    group = np.repeat([0.0, 1.0], 30)
    y = np.concatenate([np.arange(30) % 2, np.ones(30)])
    assert fit_logistic(np.column_stack([np.ones(60), group]), y).reason == SEPARATED


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="finite design"):
        fit_logistic(np.array([[1.0], [np.nan]]), np.array([0, 1]))
    with pytest.raises(ValueError, match="finite design"):
        fit_logistic(np.ones((2, 1)), np.array([0, 2]))

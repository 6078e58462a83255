import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from xray.stats.estimates import CONSTANT_SCORES, FEW_IMAGES
from xray.stats.kendall import kendall_tau


@pytest.mark.parametrize("decimals", [8, 1, 0])
@pytest.mark.parametrize("n", [2, 3, 17, 1000, 4097])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tau_equals_scipy(decimals, n, dtype):
    rng = np.random.default_rng(n)
    first = np.round(rng.normal(size=n), decimals).astype(dtype)
    second = np.round(first + rng.normal(size=n), decimals).astype(dtype)
    first[:2], second[:2] = (0, 1), (1, 0)
    expected = kendalltau(first, second).statistic
    assert float(kendall_tau(first, second).value) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=25))
def test_tau_equals_its_definition(rows):
    x, y = np.array(rows, dtype=np.float64).reshape(-1, 2).T
    signs_x, signs_y = np.sign(np.subtract.outer(x, x)), np.sign(np.subtract.outer(y, y))
    scale = np.sqrt((signs_x**2).sum() * (signs_y**2).sum())
    tau = kendall_tau(x, y)
    if scale:
        assert float(tau.value) == pytest.approx((signs_x * signs_y).sum() / scale, abs=1e-12)
    else:
        assert np.isnan(tau.value)
        assert str(tau.reason) == (FEW_IMAGES if x.size < 2 else CONSTANT_SCORES)


def test_columns_are_computed_separately_without_missing_values():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 200, 3))
    second[:50, 1], first[150:, 1], first[:, 2] = np.nan, np.nan, np.nan
    tau = kendall_tau(first, second)
    assert tau.n.tolist() == [200, 100, 0]
    assert tau.value[1] == kendall_tau(first[50:150, 1], second[50:150, 1]).value
    assert tau.reason.tolist() == ["", "", FEW_IMAGES]


def test_tau_reaches_its_bounds_and_signed_zeros_are_equal():
    x = np.arange(10.0)
    assert float(kendall_tau(x, x**3).value) == 1
    assert float(kendall_tau(x, -x).value) == -1
    assert str(kendall_tau(x, np.where(x > 4, 0.0, -0.0)).reason) == CONSTANT_SCORES
    with pytest.raises(ValueError, match="one shape"):
        kendall_tau(x, x[:3])

import gc

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from xray.stats.multiplicity import benjamini_hochberg, holm


@pytest.mark.parametrize(("adjust", "method"), [(holm, "holm"), (benjamini_hochberg, "fdr_bh")])
@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_adjusted_p_values_equal_statsmodels(adjust, method, n, monkeypatch):
    monkeypatch.setattr(
        gc, "collect", lambda: 0
    )  # of the whole process, at each call: three seconds of many tests
    rng = np.random.default_rng(n)
    for p in (rng.random(n), rng.random(n) ** 4, np.round(rng.random(n), 1), np.zeros(n), np.ones(n)):
        np.testing.assert_allclose(adjust(p), multipletests(p, method=method)[1], atol=1e-12)


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_undefined_tests_do_not_count(adjust):
    p = np.array([[0.01, np.nan, 0.04], [0.03, np.nan, 0.5]])
    adjusted = adjust(p)
    assert adjusted.shape == p.shape
    np.testing.assert_array_equal(np.isnan(adjusted), np.isnan(p))
    np.testing.assert_array_equal(adjusted[~np.isnan(p)], adjust([0.01, 0.04, 0.03, 0.5]))
    assert adjust([]).shape == (0,)
    assert np.isnan(adjust([np.nan])).all()
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        adjust([0.1, 1.1])


def test_adjusted_p_values_equal_a_worked_example():
    np.testing.assert_allclose(holm([0.01, 0.02, 0.03, 0.04]), [0.04, 0.06, 0.06, 0.06])
    np.testing.assert_allclose(benjamini_hochberg([0.01, 0.02, 0.03, 0.5]), [0.04, 0.04, 0.04, 0.5])

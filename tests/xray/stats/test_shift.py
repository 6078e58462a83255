import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import chi2, ks_2samp
from statsmodels.api import Logit

from xray.stats.estimates import CONSTANT_SCORES, FEW_IMAGES, FEW_POSITIVES, ONE_CLASS
from xray.stats.shift import concept_shift, label_shift, platt, prevalence_shift, score_shift


def site(seed, n=600, prevalence=0.2, slope=1.5, offset=0.0, k=None):
    """Labels and logits of a site where score | label is normal: a larger `slope` is a better model."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < prevalence).astype(float)
    scores = rng.normal(size=(n, k or 1)) + slope * labels[:, None] + offset
    return labels, scores if k else scores[:, 0]


@pytest.mark.parametrize("k", [None, 2])
def test_concept_shift_equals_statsmodels(k):
    (y_a, s_a), (y_b, s_b) = site(1, k=k), site(2, n=400, prevalence=0.4, slope=0.8, k=k)
    y_a[:20], s_b[:30] = np.nan, np.nan
    found = concept_shift(y_a, s_a, y_b, s_b)
    y, s = np.concatenate([y_a[20:], y_b[30:]]), np.concatenate([s_a[20:], s_b[30:]]).reshape(950, -1)
    at_b = np.repeat([0.0, 1.0], [580, 370])
    null_design = np.column_stack([np.ones(950), at_b, s])
    null = Logit(y, null_design).fit(disp=0)
    full = Logit(y, np.column_stack([null_design, at_b[:, None] * s])).fit(disp=0)
    statistic = 2 * (full.llf - null.llf)
    assert found.statistic == pytest.approx(statistic, abs=1e-7)
    assert found.p == pytest.approx(chi2.sf(statistic, k or 1))
    assert found.df == (k or 1)
    np.testing.assert_allclose(found.interaction, full.params[-(k or 1) :], rtol=1e-6)
    np.testing.assert_allclose(found.se, full.bse[-(k or 1) :], rtol=1e-6)
    assert found.site == pytest.approx(null.params[1], rel=1e-6)
    assert (found.n, found.n_pos) == (950, y.sum())


def test_concept_shift_is_blind_to_prevalence_and_sees_relabelling():
    same = [concept_shift(*site(2 * i), *site(2 * i + 1, prevalence=0.5)).p for i in range(300)]
    assert 0.02 < np.mean(np.array(same) < 0.05) < 0.09
    labels, scores = site(1000)
    noisy = np.where(np.random.default_rng(0).random(labels.size) < 0.25, 1 - labels, labels)
    assert concept_shift(*site(1001), noisy, scores).p < 1e-3


def test_concept_shift_without_an_answer():
    (y_a, s_a), (y_b, s_b) = site(3), site(4)
    found = concept_shift(0 * y_a, s_a, 0 * y_b, s_b)
    assert found.reason == ONE_CLASS
    assert np.isnan([found.statistic, found.p, found.site, *found.interaction]).all()
    empty = concept_shift(y_a, s_a, y_b[:0], s_b[:0])
    assert empty.reason
    assert np.isnan(empty.p)
    with pytest.raises(ValueError, match="scores per image"):
        concept_shift(y_a, s_a, y_b, np.stack([s_b, s_b], axis=1))


def test_prevalence_shift_counts_labels():
    a, b = np.array([[1, 0, 0, 0, np.nan], [1, 1, 0, 0, 0.0]]).T, np.array([[1, 1, 1, 0.0], [0, 0, 0, 1]]).T
    found = prevalence_shift(a, b)
    np.testing.assert_allclose(found.difference, [0.75 - 0.25, 0.25 - 0.4])
    assert found.n.tolist() == [8, 9]
    assert found.n_pos.tolist() == [4, 3]
    with pytest.raises(ValueError, match="1, 0 or NaN"):
        prevalence_shift(a * 2, b)


def test_score_shift_ignores_offset_and_sees_spread():
    _, a = site(5)
    found = score_shift(a, a + 3)
    assert found.log_variance_ratio == pytest.approx(0, abs=1e-12)
    assert found.ks == pytest.approx(0, abs=0.01)
    wide = score_shift(a, 1.5 * a)
    assert wide.log_variance_ratio == pytest.approx(2 * np.log(1.5))
    assert wide.z > 4
    assert wide.ks_p < 0.05


def test_kolmogorov_smirnov_equals_scipy():
    (_, a), (_, b) = site(6), site(7, n=350, slope=3)
    found = score_shift(np.append(a, np.nan), np.round(b, 1))
    expected = ks_2samp(a - np.median(a), np.round(b, 1) - np.median(np.round(b, 1)), method="asymp")
    assert found.ks == pytest.approx(expected.statistic, abs=1e-12)
    assert found.ks_p == pytest.approx(expected.pvalue, rel=0.2)
    assert (found.n_a, found.n_b) == (600, 350)


@pytest.mark.parametrize("tails", ["normal", "heavy"])
def test_spread_test_holds_its_level(tails):
    rng = np.random.default_rng(8)
    draw = rng.standard_normal if tails == "normal" else lambda n: rng.standard_t(6, n)
    p = np.array([score_shift(draw(400), draw(300)).p for _ in range(1500)])
    assert 0.035 < np.mean(p < 0.05) < 0.085


def test_score_shift_without_an_answer():
    few, flat = score_shift(np.arange(3.0), np.arange(9.0)), score_shift(np.zeros(9), np.arange(9.0))
    assert (few.reason, flat.reason) == (FEW_IMAGES, CONSTANT_SCORES)
    assert np.isnan([few.z, few.ks, flat.z, flat.ks]).all()


def test_label_shift_with_hard_calls_is_the_confusion_matrix():
    (y_a, s_a), (_, s_b) = site(9, n=5000), site(10, n=4000, prevalence=0.5)
    calls_a, calls_b = (s_a > 0.7) * 1.0, (s_b > 0.7) * 1.0
    confusion = np.array([[np.mean((calls_a == i) & (y_a == j)) for j in (0, 1)] for i in (0, 1)])
    weights = np.linalg.solve(confusion, [1 - calls_b.mean(), calls_b.mean()])
    found = label_shift(y_a, calls_a, calls_b)
    np.testing.assert_allclose(found.weights, weights, rtol=1e-10)
    assert float(found.prevalence.value) == pytest.approx(weights[1] * y_a.mean())
    assert np.isnan(found.observed.z)


def test_label_shift_finds_planted_prevalence_at_its_level():
    covered, z_observed, z_unchanged = [], [], []
    for seed in range(400):
        (y_a, s_a), (y_b, s_b) = site(2 * seed + 5000), site(2 * seed + 5001, n=500, prevalence=0.35)
        found = label_shift(y_a, expit(s_a - 1.5), expit(s_b - 1.5), y_b)
        covered.append(found.prevalence.lower <= 0.35 <= found.prevalence.upper)
        z_observed.append(float(found.observed.z))
        z_unchanged.append(float(found.unchanged.z))
    assert 0.92 < np.mean(covered) < 0.98
    assert np.std(z_observed) == pytest.approx(1, abs=0.12)
    assert abs(np.mean(z_observed)) < 0.15
    assert np.mean(z_unchanged) > 2


def test_label_shift_sees_a_changed_threshold_of_labelling():
    """B's labeller calls half of what A's would: the scores still say A's prevalence."""
    (y_a, s_a), (y_b, s_b) = site(11, n=4000, slope=2.5), site(12, n=4000, slope=2.5)
    y_b[np.random.default_rng(0).random(y_b.size) < 0.5] = 0
    found = label_shift(y_a, expit(s_a), expit(s_b), y_b)
    assert abs(found.observed.z) > 4
    assert abs(found.unchanged.z) < 3


def test_label_shift_without_an_answer():
    found = label_shift(np.array([0, 0, 1]), np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.2]))
    assert str(found.prevalence.reason) == FEW_POSITIVES
    assert np.isnan([found.prevalence.value, found.unchanged.z, *found.weights]).all()


def test_platt_equals_statsmodels():
    y, s = site(13)
    expected = Logit(y, np.column_stack([np.ones(y.size), s])).fit(disp=0).params
    np.testing.assert_allclose(platt(y, s).coefficients, expected, rtol=1e-6)

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import chi2
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.inter_rater import cohens_kappa as statsmodels_kappa
from statsmodels.stats.proportion import proportion_confint

from xray.stats.agreement import (
    CrossTable,
    cohen_kappa,
    cross_table,
    cross_tables,
    kappa,
    kappa_inflation,
    kappa_matrix,
    mcnemar,
    mcnemar_by_patient,
    negative_agreement,
    pabak,
    positive_agreement,
)
from xray.stats.estimates import CONSTANT_CALLS, NO_CASES, NO_DATA
from xray.stats.intervals import wilson
from xray.stats.kappa_bounds import ADDED, kappa_bounds


def table(a, b, c, d):
    return CrossTable(*(np.array(cell) for cell in (a, b, c, d)))


cells = st.integers(0, 40)


@settings(deadline=None, max_examples=300)
@given(cells, cells, cells, cells, st.sampled_from([0.9, 0.95]))
def test_kappa_equals_statsmodels(a, b, c, d, level):
    agreement = kappa(table(a, b, c, d), level)
    n = a + b + c + d
    assert int(agreement.n) == n
    assert int(agreement.n_pos) == a + b + c
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        expected = statsmodels_kappa(np.array([[a, b], [c, d]]), wt=None) if n else None
    if expected is None or (a == n) or (d == n):
        assert np.isnan([agreement.value, agreement.lower, agreement.upper, agreement.se]).all()
        assert str(agreement.reason) == (CONSTANT_CALLS if n else NO_DATA)
        return
    assert float(agreement.value) == pytest.approx(expected.kappa, abs=1e-12)
    # statsmodels takes the root of a variance that rounding can make negative where the true one is 0
    assert float(agreement.se) ** 2 == pytest.approx(np.nan_to_num(expected.var_kappa), abs=1e-12)
    constant = 0 in (a + b, c + d, a + c, b + d)
    perfect = b + c == 0 or (a + d == 0 and b == c)
    if constant or perfect:
        assert float(agreement.se) == 0
    assert str(agreement.reason) == ""
    assert -1 <= agreement.lower <= agreement.value <= agreement.upper <= 1
    assert agreement.upper - agreement.lower > 0.01


@pytest.mark.parametrize(
    "counts", [(30, 10, 8, 150), (4, 1, 2, 193), (60, 5, 30, 40), (3, 0, 0, 197), (0, 4, 5, 91)]
)
def test_bounds_are_where_the_profile_likelihood_falls_by_the_quantile(counts):
    """The best margins at a bound, by scipy's optimiser over the margins' logits."""
    added = np.array(counts) + ADDED
    highest = added @ np.log(added / added.sum())

    def lost(bound):
        def negative(margins):
            p, q = expit(margins)
            both = bound * (p + q) / 2 + (1 - bound) * p * q
            shares = np.array([both, p - both, q - both, 1 - p - q + both])
            return -(added @ np.log(shares)) if (shares > 0).all() else 1e9

        shares = added / added.sum()
        starts = [(shares[0] + shares[1], shares[0] + shares[2])]
        starts += [(m, m) for m in (np.mean(starts), 0.02, 0.1, 0.3, 0.5)]
        options = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 4000}
        return 2 * (
            highest
            + min(minimize(negative, logit(s), method="Nelder-Mead", options=options).fun for s in starts)
        )

    for bound in kappa_bounds(np.array([counts], dtype=float)):
        assert lost(float(bound[0])) == pytest.approx(chi2.ppf(0.95, 1), abs=2e-3)


def test_kappa_bounds_hold_where_positives_are_few():
    """κ .02, .6 and .95 at a prevalence of 2 to 10 %: the large-sample interval holds 14 to 84 %."""
    rng = np.random.default_rng(0)
    for value, share, n in (
        (0.02, 0.02, 200),
        (0.6, 0.02, 200),
        (0.95, 0.02, 200),
        (0.95, 0.1, 200),
        (0.6, 0.1, 50),
    ):
        both = value * share + (1 - value) * share**2
        counts = rng.multinomial(n, [both, share - both, share - both, 1 - 2 * share + both], 1500)
        agreement = kappa(CrossTable(*counts.T))
        covered = ((agreement.lower <= value) & (agreement.upper >= value))[np.isfinite(agreement.value)]
        assert covered.mean() >= 0.925, (value, share, n)


def test_images_of_a_patient_are_one_unit_of_kappa():
    rng = np.random.default_rng(1)
    calls = (rng.random((2, 300)) < 0.3).astype(float)
    calls[1] = np.where(rng.random(300) < 0.7, calls[0], calls[1])
    four, patients = np.tile(calls, 4), np.tile(np.arange(300), 4)
    assert float(kappa_inflation(*calls, np.arange(300))) == 1
    assert float(kappa_inflation(*four, patients)) == pytest.approx(4 * (300 / 299) * (1199 / 1200))
    assert float(kappa_inflation(*four, np.zeros(1200))) == 1200, "of one patient"
    assert float(kappa_inflation(*np.tile([[1.0, 0.0] * 150] * 2, 4), patients)) == pytest.approx(4)
    table = cross_table(*four)
    clustered, once = kappa(table, inflation=4.0), kappa(cross_table(*calls))
    assert [float(clustered.lower), float(clustered.upper)] == pytest.approx(
        [float(once.lower), float(once.upper)]
    )


@pytest.mark.parametrize("n_images", [1, 63, 64, 65, 1000])
@pytest.mark.parametrize("missing", [0, 0.15])
def test_matrix_equals_scikit_learn_pair_by_pair(n_images, missing):
    rng = np.random.default_rng(n_images)
    base = rng.random(n_images)
    calls = (0.7 * base + 0.3 * rng.random((6, n_images)) < 0.4).astype(np.float64)
    calls[5] = 1
    calls[rng.random(calls.shape) < missing] = np.nan
    kappas = kappa_matrix(calls)
    for a in range(6):
        for b in range(6):
            usable = ~np.isnan(calls[a]) & ~np.isnan(calls[b])
            assert kappas.n[a, b] == usable.sum()
            one, two = calls[a, usable], calls[b, usable]
            if usable.any() and np.unique(np.concatenate([one, two])).size == 2:
                expected = cohen_kappa_score(one, two)
                assert kappas.value[a, b] == pytest.approx(expected, abs=1e-12)
            else:
                assert np.isnan(kappas.value[a, b])
                assert kappas.reason[a, b] == (CONSTANT_CALLS if usable.any() else NO_DATA)


@pytest.mark.parametrize("missing", [0, 0.2])
def test_packed_counts_equal_plain_ones(missing):
    rng = np.random.default_rng(1)
    calls = np.where(rng.random((4, 333)) < 0.3, 1.0, 0.0)
    calls[rng.random(calls.shape) < missing] = np.nan
    tables = cross_tables(calls)
    for a in range(4):
        for b in range(4):
            plain = cross_table(calls[a], calls[b])
            for packed, cell in zip(tables.cells, plain.cells, strict=True):
                assert packed[a, b] == cell


def test_calls_may_have_any_type_and_several_columns():
    rng = np.random.default_rng(2)
    calls = rng.random((2, 50, 3)) < 0.5
    agreement = cohen_kappa(calls[0], calls[1])
    for dtype in (np.int8, np.float32, np.float64):
        np.testing.assert_array_equal(cohen_kappa(*calls.astype(dtype)).value, agreement.value)
    assert agreement.value[1] == cohen_kappa(calls[0, :, 1], calls[1, :, 1]).value
    np.testing.assert_array_equal(
        kappa_matrix(calls[:, :, 0]).value, kappa_matrix(calls[:, :, 0] * 1.0).value
    )


def test_values_that_are_not_calls_are_refused():
    with pytest.raises(ValueError, match="1, 0 or NaN"):
        cohen_kappa(np.array([0.2, 1]), np.array([0, 1]))
    with pytest.raises(ValueError, match="calls are"):
        cohen_kappa(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="n_raters"):
        kappa_matrix(np.zeros(3))


def test_without_images_kappa_has_a_reason():
    kappas = kappa_matrix(np.empty((3, 0)))
    assert (kappas.reason == NO_DATA).all()
    assert kappa_matrix(np.empty((0, 5))).value.shape == (0, 0)


def test_pabak_and_specific_agreement_equal_a_published_table():
    # Feinstein and Cicchetti 1990, the first paradox: 85 % observed agreement, kappa 0.70 or 0.32
    balanced, skewed = table(40, 9, 6, 45), table(80, 10, 5, 5)
    assert float(kappa(balanced).value) == pytest.approx(0.70, abs=0.005)
    assert float(kappa(skewed).value) == pytest.approx(0.32, abs=0.005)
    for one in (balanced, skewed):
        assert float(pabak(one).value) == pytest.approx(0.70)
    assert float(positive_agreement(balanced).value) == pytest.approx(80 / 95)
    assert float(negative_agreement(skewed).value) == pytest.approx(10 / 25)
    assert float(pabak(skewed).lower) == pytest.approx(2 * float(wilson(85, 100)[0]) - 1)


@settings(deadline=None)
@given(cells, cells, cells, cells)
def test_specific_agreement_has_graham_and_bulls_error(a, b, c, d):
    agreement = positive_agreement(table(a, b, c, d))
    if a + b + c == 0:
        assert str(agreement.reason) == NO_CASES
        assert np.isnan(agreement.value)
        return
    variance = 4 * a * (b + c) * (a + b + c) / (2 * a + b + c) ** 4
    assert float(agreement.se) ** 2 == pytest.approx(variance, abs=1e-14)
    assert float(agreement.value) == pytest.approx(2 * a / (2 * a + b + c))
    assert 0 <= agreement.lower <= agreement.value <= agreement.upper <= 1
    mirrored = negative_agreement(table(d, b, c, a))
    assert (float(mirrored.value), float(mirrored.lower)) == (float(agreement.value), float(agreement.lower))


@pytest.mark.parametrize(("b", "c"), [(10, 3), (0, 4), (7, 7), (121, 59), (0, 0)])
def test_mcnemar_equals_statsmodels(b, c):
    outcome = mcnemar(table(5, b, c, 8))
    counts = np.array([[5, b], [c, 8]])
    assert float(outcome.p_exact) == pytest.approx(statsmodels_mcnemar(counts, exact=True).pvalue)
    if b + c:
        expected = statsmodels_mcnemar(counts, exact=False, correction=False)
        assert float(outcome.statistic) == pytest.approx(expected.statistic)
        assert float(outcome.p) == pytest.approx(expected.pvalue)
    else:
        assert np.isnan([outcome.statistic, outcome.p]).all()
    assert int(outcome.n_discordant) == b + c


def test_pabak_is_twice_the_observed_agreement_minus_one():
    first, second = np.array([1.0, 1, 0, 0, 1, 0, 1, 1]), np.array([1.0, 0, 0, 0, 1, 1, 1, 1])
    estimate = pabak(cross_table(first, second))
    lower, upper = proportion_confint(6, 8, method="wilson")
    assert (estimate.value, estimate.lower, estimate.upper) == pytest.approx(
        (0.5, 2 * lower - 1, 2 * upper - 1)
    )
    assert float(estimate.se) == pytest.approx(2 * np.sqrt(0.75 * 0.25 / 8))


def test_the_inflation_of_kappa_is_the_ratio_of_sums_of_squares_of_its_derivatives():
    """The derivatives of kappa by the weight of each image are taken by differences."""
    draw = np.random.default_rng(3)
    patients = np.repeat(np.arange(60), draw.integers(1, 5, 60))
    first = (draw.random(patients.size) < 0.3).astype(float)
    second = np.where(draw.random(patients.size) < 0.25, 1 - first, first)

    def weighted(weights):
        p, q = np.average(first, weights=weights), np.average(second, weights=weights)
        agreed = np.average(first == second, weights=weights)
        chance = p * q + (1 - p) * (1 - q)
        return (agreed - chance) / (1 - chance)

    ones, step = np.ones(patients.size), 1e-5
    by_image = np.array(
        [(weighted(ones + step * e) - weighted(ones - step * e)) for e in np.eye(patients.size)]
    )
    by_patient = np.bincount(patients, by_image)
    n = patients.size
    expected = max(1.0, (by_patient @ by_patient) / (by_image @ by_image) * 60 / 59 * (n - 1) / n)
    assert expected > 1
    assert float(kappa_inflation(first, second, patients)) == pytest.approx(expected, rel=1e-6)
    assert float(kappa_inflation(first, second, np.arange(patients.size))) == 1


@pytest.mark.parametrize("shape", [(0,), (0, 3), (5, 0)])
def test_without_images_or_columns_there_is_nothing_to_inflate_or_to_test(shape):
    none = np.zeros(shape)
    patients = np.zeros(shape[0], dtype=int)
    np.testing.assert_array_equal(kappa_inflation(none, none, patients), np.ones(shape[1:]))
    p, differ = mcnemar_by_patient(none, none, patients)
    np.testing.assert_array_equal(p, np.ones(shape[1:]))
    np.testing.assert_array_equal(differ, np.zeros(shape[1:]))


def test_calls_that_are_none_and_other_shapes_are_refused():
    ones, patients = np.ones(4), np.arange(4)
    for wrong in (2.0, -1.0, 0.5):
        for calls in ((ones, np.array([1, 0, wrong, 1])), (np.array([1, 0, wrong, 1]), ones)):
            with pytest.raises(ValueError, match="calls must be"):
                kappa_inflation(*calls, patients)
    with pytest.raises(ValueError, match="expected one shape"):
        kappa_inflation(ones, np.ones((4, 2)), patients)
    with pytest.raises(ValueError, match="expected one shape"):
        mcnemar_by_patient(ones, ones, patients[:3])


def test_mcnemars_test_counts_patients():
    """Each says which rater calls more of its images positive; who calls equally many says nothing."""
    first = np.array([1, 1, 0, 1, 0, 0, 1, np.nan, 1.0])
    second = np.array([0, 0, 0, 0, 1, 1, 0, 0, 0.0])
    patients = np.array(["a", "a", "a", "b", "b", "c", "d", "d", "e"])
    p, differ = mcnemar_by_patient(first, second, patients)
    assert (float(p), int(differ)) == (pytest.approx(0.625), 4)  # a, d and e against c
    rng = np.random.default_rng(4)
    one, two = (rng.random((2, 200, 3)) < 0.3).astype(float)
    exact = mcnemar(cross_table(one, two))
    for times in (1, 3):
        repeated = [np.repeat(of, times, axis=0) for of in (one, two)]
        p, differ = mcnemar_by_patient(*repeated, np.repeat(np.arange(200), times))
        np.testing.assert_allclose(p, exact.p_exact)
        np.testing.assert_array_equal(differ, exact.n_discordant)

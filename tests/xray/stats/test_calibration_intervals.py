"""Calibration with intervals and its flexible curve: as statsmodels has them, and holding what was planted."""

import numpy as np
import pytest
from patsy import dmatrix
from scipy.special import expit, stdtrit
from sklearn.metrics import brier_score_loss
from statsmodels.api import GLM, Logit, families

from xray.stats.calibration_intervals import (
    MEASURES,
    brier_difference,
    calibration_measures,
)
from xray.stats.estimates import NO_DATA, ONE_CLASS
from xray.stats.flexible_calibration import KNOTS, TOO_FEW, flexible_curve, restricted_cubic
from xray.stats.logistic import SEPARATED, covariance_of, fit_logistic, quantile_of
from xray.stats.recalibration import cross_fitted, recalibrate


def world(n=1000, seed=0, intercept=-0.5, slope=0.7, images=1):
    """Labels, logits and patients; the truth of logit x is intercept + slope · x."""
    random = np.random.default_rng(seed)
    x = random.normal(-1, 1.5, n)
    return (random.random(n) < expit(intercept + slope * x)).astype(float), x, np.arange(n) // images


def bounds(measures, *names):
    return np.array([[measures[n].value, measures[n].lower, measures[n].upper] for n in names])


def test_line_and_intercept_equal_statsmodels_where_patients_have_one_image():
    label, x, patients = world()
    measures = calibration_measures(label, x, patients).measures
    line = Logit(label, np.column_stack([np.ones(len(x)), x])).fit(disp=0, tol=1e-12)
    expected = np.column_stack([line.params, line.conf_int()])
    np.testing.assert_allclose(bounds(measures, "intercept", "slope"), expected, atol=1e-6)
    large = GLM(label, np.ones((len(x), 1)), family=families.Binomial(), offset=x).fit(tol=1e-12)
    expected = np.column_stack([large.params, large.conf_int()])
    np.testing.assert_allclose(bounds(measures, "in the large"), expected, atol=1e-6)
    assert measures["brier"].value == pytest.approx(brier_score_loss(label, expit(x)))


def test_intervals_are_clustered_by_patient():
    label, x, patients = world(images=4)
    measures = calibration_measures(label, x, patients).measures
    design = np.column_stack([np.ones(len(x)), x])
    peer = GLM(label, design, family=families.Binomial()).fit(
        tol=1e-12,
        cov_type="cluster",
        cov_kwds={"groups": patients, "use_correction": True, "df_correction": False},
    )
    n, p = design.shape
    width = np.sqrt((n - p) / (n - 1))  # statsmodels also divides by n − p
    half = stdtrit(n / 4 - 1, 0.975) * peer.bse * width
    expected = np.column_stack([peer.params, peer.params - half, peer.params + half])
    np.testing.assert_allclose(bounds(measures, "intercept", "slope"), expected, rtol=1e-5)
    twice = [np.concatenate([part, part]) for part in (label, x, patients)]
    doubled, once = (calibration_measures(*arguments).measures for arguments in (twice, (label, x, patients)))
    np.testing.assert_allclose(bounds(doubled, "slope", "brier"), bounds(once, "slope", "brier"), rtol=1e-9)


def test_error_beyond_chance_is_planted_or_zero():
    honest = calibration_measures(*world(n=4000, intercept=0, slope=1)).measures["ece"]
    assert honest.lower == 0
    assert honest.upper < 0.03
    label, x, patients = world(n=20_000)
    truth = np.abs(expit(-0.5 + 0.7 * x) - expit(x)).mean()
    measures = calibration_measures(label, x, patients).measures["ece"]
    assert measures.lower < truth < measures.upper
    assert measures.upper - measures.lower < 0.03


@pytest.mark.parametrize("images", [1, 3])
def test_intervals_cover_what_was_planted(images):
    truth = {"slope": 0.7, "intercept": -0.5}
    covered = [
        [measures[name].lower <= value <= measures[name].upper for name, value in truth.items()]
        for seed in range(200)
        for measures in [calibration_measures(*world(n=300, seed=seed, images=images)).measures]
    ]
    shares = np.mean(covered, axis=0)
    assert ((shares > 0.9) & (shares < 0.99)).all()


def test_bounds_after_recalibration_cover_the_maps_performance_on_new_images():
    """Its slope on further images is the true one over its own; cross-fitted, the slope is near 1 whatever that is."""
    random, covered = np.random.default_rng(3), []
    further = world(n=20_000, seed=99)[1]
    for seed in range(200):
        label, x, patients = world(n=int(random.integers(200, 300)), seed=seed)
        calibration = recalibrate(label, x, "logistic")
        after, _ = cross_fitted(label, x, patients, "logistic")
        measures = calibration_measures(label, after, patients, fitted_here=True).measures
        assert measures["slope"].lower * measures["slope"].upper == pytest.approx(
            measures["slope"].value ** 2
        )
        error = np.abs(expit(-0.5 + 0.7 * further) - expit(calibration.apply(further))).mean()
        covers = [measures["slope"].lower <= 0.7 / calibration.slope <= measures["slope"].upper]
        covered.append([*covers, measures["ece"].lower <= error <= measures["ece"].upper])
    slope, ece = np.mean(covered, axis=0)
    assert 0.91 < slope < 0.985
    assert ece > 0.95


def test_difference_of_brier_is_paired():
    label, x, patients = world(images=2)
    same = brier_difference(label, x, x, patients)
    assert (same.value, same.lower, same.upper) == (0, 0, 0)
    better = brier_difference(label, x, -0.5 + 0.7 * x, patients)
    scores = [brier_score_loss(label, expit(logits)) for logits in (x, -0.5 + 0.7 * x)]
    assert better.value == pytest.approx(scores[1] - scores[0])
    assert better.upper < 0


@pytest.mark.parametrize(
    ("label", "x", "reason", "defined"),
    [
        ([np.nan], [0.0], NO_DATA, set()),
        ([1, 1, 1], [0, 1, 2], ONE_CLASS, {"brier", "ece"}),
        ([0, 0, 1, 1], [0, 1, 2, 3], SEPARATED, {"brier", "ece", "in the large"}),
    ],
)
def test_undefined_values_have_a_reason(label, x, reason, defined):
    measures = calibration_measures(
        np.array(label, dtype=float), np.array(x, dtype=float), np.arange(len(label))
    )
    assert measures.reason == reason
    assert {name for name in MEASURES if not np.isnan(measures.measures[name].value)} == defined


def test_the_spline_equals_a_natural_cubic_spline_of_patsy():
    _, x, _ = world()
    knots = np.quantile(x, KNOTS[0])
    basis = np.asarray(
        dmatrix("cr(x, knots=inner) - 1", {"x": np.clip(x, knots[0], knots[-1]), "inner": knots[1:-1]})
    )
    inside = (x >= knots[0]) & (x <= knots[-1])
    own = np.column_stack([np.ones(len(x)), restricted_cubic(x, knots)])[inside]
    fitted, *_ = np.linalg.lstsq(own, basis[inside], rcond=None)
    np.testing.assert_allclose(own @ fitted, basis[inside], atol=1e-9)  # one space of functions
    beyond = restricted_cubic(np.array([knots[-1] + d for d in (0.0, 1.0, 2.0)]), knots)
    np.testing.assert_allclose(beyond[2] - beyond[1], beyond[1] - beyond[0], atol=1e-9)


def test_the_curve_and_its_band_equal_statsmodels():
    label, x, patients = world()
    curve = flexible_curve(label, x, patients)
    assert curve.n_knots == 5
    at = np.log(curve.predicted / (1 - curve.predicted))
    knots = np.quantile(x, KNOTS[0])
    fit = GLM(
        label, np.column_stack([np.ones(len(x)), restricted_cubic(x, knots)]), family=families.Binomial()
    ).fit(tol=1e-13)
    frame = fit.get_prediction(np.column_stack([np.ones(len(at)), restricted_cubic(at, knots)]))
    np.testing.assert_allclose(curve.observed, frame.predicted, atol=1e-6)
    band = frame.conf_int()
    np.testing.assert_allclose(np.stack([curve.lower, curve.upper], axis=1), band, atol=1e-5)


def test_the_curve_holds_a_planted_bend_and_few_images_make_it_simpler():
    random = np.random.default_rng(1)
    x = random.normal(0, 1.5, 20_000)
    truth = 0.5 - 0.25 * np.minimum(x, 0) ** 2 + 0.8 * x
    label = (random.random(x.size) < expit(truth)).astype(float)
    curve = flexible_curve(label, x, np.arange(x.size))
    at = np.log(curve.predicted / (1 - curve.predicted))
    np.testing.assert_allclose(
        curve.observed, np.interp(at, np.sort(x), expit(truth[np.argsort(x)])), atol=0.03
    )
    assert ((curve.lower < curve.observed) & (curve.observed < curve.upper)).all()
    few = slice(0, 60)
    assert flexible_curve(label[few], x[few], np.arange(60)).n_knots == 3
    assert flexible_curve(label[few], np.sign(x[few]), np.arange(60)).n_knots == 0
    assert flexible_curve(label[:15], x[:15], np.arange(15)).reason == TOO_FEW


def test_one_image_has_a_brier_score():
    measures = calibration_measures(np.array([1.0]), np.array([0.0]), np.array([0])).measures
    assert measures["brier"].value == 0.25


def of_ill_patients(n_patients, images, seed):
    """Labels, logits and patients, some of whom are called ill more often than their logits say."""
    draw = np.random.default_rng(seed)
    unit = np.repeat(np.arange(n_patients), images)
    x = draw.normal(size=n_patients)[unit] + 0.5 * draw.normal(size=unit.size)
    labels = draw.random(unit.size) < expit(1.2 * x - 0.5 + draw.normal(size=n_patients)[unit])
    return labels.astype(float), 1.3 * x - 0.4, unit


def test_bounds_hold_where_patients_are_few():
    """Normal ones hold 89 %; where each patient has one image they are normal still."""
    slope = calibration_measures(*of_ill_patients(200_000, 1, 0)).measures["slope"].value
    covered = []
    for seed in range(600):
        labels, logits, unit = of_ill_patients(8, 6, seed)
        if 0 < labels.sum() < labels.size:
            measure = calibration_measures(labels, logits, unit).measures["slope"]
            covered.append(measure.lower <= slope <= measure.upper)
    assert len(covered) > 580
    assert 0.92 < np.mean(covered) < 0.97
    assert quantile_of(unit) == pytest.approx(stdtrit(7, 0.975))
    assert quantile_of(np.arange(9)) == pytest.approx(1.959964, abs=1e-6)
    assert quantile_of(np.arange(9), 0.9) == pytest.approx(1.644854, abs=1e-6)
    assert quantile_of(3 * unit[::2], 0.9) == pytest.approx(stdtrit(7, 0.95)), "codes may have gaps"
    assert quantile_of(np.array([0, 0, 1, 1])) == pytest.approx(stdtrit(1, 0.975))
    assert quantile_of(np.zeros(4, int)) == pytest.approx(stdtrit(1, 0.975)), (
        "with a variance that is not defined"
    )
    unequal = np.r_[np.zeros(6, int), 1, 2, 3]  # (6 + 3)² / (36 + 3) patients
    assert quantile_of(unequal) == pytest.approx(stdtrit(81 / 39 - 1, 0.975))


def test_the_band_of_the_curve_is_students_where_patients_have_several_images():
    labels, logits, patients = world(n=240, seed=2, images=24)
    two_values = np.where(logits > 0, 1.0, -1.0)  # a line goes through them
    band = flexible_curve(labels, two_values, patients)
    assert band.n_knots == 0
    design, at = (
        np.column_stack([np.ones(len(x)), x])
        for x in (two_values, np.log(band.predicted / (1 - band.predicted)))
    )
    fit = fit_logistic(design, labels)
    covariance = covariance_of(design, labels, expit(design @ fit.coefficients), patients)
    half = stdtrit(9, 0.975) * np.sqrt(np.einsum("ij,jk,ik->i", at, covariance, at))
    middle = at @ fit.coefficients
    np.testing.assert_allclose(band.lower, expit(middle - half))
    np.testing.assert_allclose(band.upper, expit(middle + half))


def test_the_error_of_calibration_lies_between_its_bounds():
    draw = np.random.default_rng(1)
    logits = draw.normal(size=1500)
    labels = (draw.random(1500) < 1 / (1 + np.exp(-2.5 * logits))).astype(float)
    ece = calibration_measures(labels, logits, np.arange(1500)).measures["ece"]
    assert 0 < ece.lower < ece.value < ece.upper


@pytest.mark.parametrize("n_patients", [6, 40])
def test_bounds_of_the_error_are_those_computed_by_hand(n_patients):
    """Gaps of ten bins, their covariance by patients, and the sizes at which one as large as that seen is so likely."""
    labels, logits, patients = world(n=240, seed=4, intercept=-0.6, slope=2.0, images=240 // n_patients)
    order = np.argsort(logits)
    p, y, unit = expit(logits[order]), labels[order], patients[order]
    bins = np.repeat(np.arange(10), 24)
    gaps = np.array([(y - p)[bins == b].sum() / 240 for b in range(10)])
    means = np.array([(y - p)[bins == b].mean() for b in range(10)])
    covariance = np.zeros((10, 10))
    for patient in range(n_patients):
        own = np.array([((y - p)[(bins == b) & (unit == patient)] - means[b]).sum() for b in range(10)])
        covariance += np.outer(own, own) * n_patients / (n_patients - 1) / 240**2
    for b in range(10):
        covariance[b, b] = max(covariance[b, b], (p * (1 - p))[bins == b].sum() / 240**2)
    values, vectors = np.linalg.eigh(covariance)
    normal = np.random.default_rng(0).normal(size=(2000, 10))
    noise = normal * np.sqrt(np.maximum(values, 0)) @ vectors.T
    ece = calibration_measures(labels, logits, patients).measures["ece"]
    total = np.abs(gaps).sum()
    for size, tail in ((ece.value, 0.5), (ece.lower, 0.025), (ece.upper, 0.975)):
        chance = [
            (np.abs(of * gaps / total + noise).sum(axis=1) >= total).mean()
            for of in (size - 1e-4, size + 1e-4)
        ]
        assert chance[0] - 0.002 <= tail <= chance[1] + 0.002 or (size == 0 and chance[1] > tail)

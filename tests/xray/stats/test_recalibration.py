"""Maps of logits equal scikit-learn's, recover what was planted, and never see the patient that they are judged by."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from statsmodels.api import GLM, families

from xray.stats.estimates import NO_DATA, ONE_CLASS
from xray.stats.logistic import SEPARATED
from xray.stats.recalibration import (
    BOUND,
    FEW_PATIENTS,
    METHODS,
    REVERSED,
    cross_fitted,
    folds,
    recalibrate,
)


def world(n=2000, seed=0, intercept=-1.0, slope=0.6, decimals=8):
    """Logits x of images whose truth is intercept + slope · x."""
    random = np.random.default_rng(seed)
    x = np.round(random.normal(0, 2, n), decimals)
    return (random.random(n) < expit(intercept + slope * x)).astype(float), x


def test_logistic_equals_scikit_learn_without_penalty():
    label, x = world()
    calibration = recalibrate(label, x, "logistic")
    peer = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x[:, None], label)
    assert (calibration.intercept, calibration.slope) == pytest.approx(
        (peer.intercept_[0], peer.coef_[0, 0]), abs=1e-6
    )
    np.testing.assert_allclose(expit(calibration.apply(x)), peer.predict_proba(x[:, None])[:, 1], atol=1e-7)


@pytest.mark.parametrize(("seed", "intercept"), [(0, -1.0), (1, 8.0), (2, -9.0)])
def test_intercept_equals_a_regression_with_offset(seed, intercept):
    label, x = world(seed=seed, intercept=intercept, slope=1.0, n=20_000)
    calibration = recalibrate(label, x, "intercept")
    peer = GLM(label, np.ones((len(x), 1)), family=families.Binomial(), offset=x).fit(tol=1e-12)
    assert calibration.intercept == pytest.approx(peer.params[0], abs=1e-8)
    assert calibration.slope == 1
    assert expit(calibration.apply(x)).sum() == pytest.approx(label.sum(), rel=1e-9)


@pytest.mark.parametrize("decimals", [8, 1, 0])
def test_isotonic_equals_scikit_learn_within_its_ends(decimals):
    label, x = world(n=500, decimals=decimals)
    calibration = recalibrate(label, x, "isotonic")
    peer = IsotonicRegression(out_of_bounds="clip").fit(x, label)
    new = np.linspace(-9, 9, 1001)
    expected, probability = peer.predict(new), expit(calibration.apply(new))
    inside = (expected >= peer.y_thresholds_[peer.y_thresholds_ > 0][0]) & (
        expected <= peer.y_thresholds_[peer.y_thresholds_ < 1][-1]
    )
    assert inside.sum() > 250
    np.testing.assert_allclose(probability[inside], expected[inside], atol=1e-12)
    assert (np.diff(probability) >= -1e-15).all()
    assert 0 < probability.min() < 0.1
    assert 0.5 < probability.max() < 1


def test_a_small_pure_block_does_not_exceed_the_next_one():
    label, x = np.array([0.0, *[0] * 30, 1, 1, 1]), np.array([-3.0, *[-2] * 31, 5, 6])
    calibration = recalibrate(label, x, "isotonic")
    assert (np.diff(calibration.probabilities) >= 0).all()
    assert calibration.probabilities[0] == pytest.approx(1 / 31 / 2)  # less than 0.5 / 2 of a pool of one
    assert calibration.probabilities[-1] == pytest.approx(1 - 0.5 / 3)


@pytest.mark.parametrize("method", METHODS)
def test_planted_miscalibration_is_recovered(method):
    label, x = world(n=200_000, slope=1.0 if method == "intercept" else 0.6)
    calibration = recalibrate(label, x, method)
    new = np.linspace(-4, 4, 9)
    truth = expit(-1 + (1.0 if method == "intercept" else 0.6) * new)
    np.testing.assert_allclose(
        expit(calibration.apply(new)), truth, atol=0.03 if method == "isotonic" else 0.005
    )


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_of_just_0_and_1_stay_finite_and_gaps_are_gaps(method):
    label, x = world(n=300)
    x[:4], label[4] = [-746, 37.5, np.nan, np.nan], np.nan
    calibration = recalibrate(label, x, method)
    assert calibration.n == 297
    calibrated = calibration.apply(x)
    assert np.isnan(calibrated).tolist() == np.isnan(x).tolist()
    assert np.isfinite(calibrated[~np.isnan(x)]).all()
    assert calibrated[0] == calibration.apply(np.array([-BOUND]))[0]


@pytest.mark.parametrize(
    ("label", "x", "method", "reason"),
    [
        ([1, 1], [0, 1], "isotonic", ONE_CLASS),
        ([0, 0], [0, 1], "intercept", ONE_CLASS),
        ([np.nan], [0], "logistic", NO_DATA),
        ([0, 0, 1, 1], [0, 1, 2, 3], "logistic", SEPARATED),
        ([1, 0, 1, 0, 0], [0, 1, 0.5, 0.2, 3], "logistic", REVERSED),
    ],
)
def test_an_impossible_fit_has_a_reason(label, x, method, reason):
    calibration = recalibrate(np.array(label, dtype=float), np.array(x, dtype=float), method)
    assert calibration.reason == reason
    assert np.isnan(calibration.apply(np.array([0.0]))).all()


@pytest.mark.parametrize("method", METHODS)
def test_no_image_is_calibrated_by_a_map_that_saw_its_patient(method):
    label, x = world(n=600, seed=3)
    patients = np.random.default_rng(4).integers(0, 150, 600)
    calibrated, reason = cross_fitted(label, x, patients, method)
    assert reason == ""
    both = [p for p in range(150) if {0.0, 1.0} <= set(label[patients == p])]
    of_patient, turned = patients == both[0], label.copy()
    turned[np.flatnonzero(of_patient & (label == 0))[0]] = 1  # a patient with a positive still: folds stay
    again, _ = cross_fitted(turned, x, patients, method)
    np.testing.assert_array_equal(again[of_patient], calibrated[of_patient])
    assert (again[~of_patient] != calibrated[~of_patient]).any()
    part = folds(label, patients, 5)
    for number in range(5):
        others = recalibrate(label[part != number], x[part != number], method)
        np.testing.assert_array_equal(others.apply(x[part == number]), calibrated[part == number])


def test_folds_keep_patients_whole_and_share_positives():
    random = np.random.default_rng(0)
    patients = random.integers(0, 300, 1000)
    label = (random.random(1000) < 0.05).astype(float)
    part = folds(label, patients, 5)
    assert all(np.unique(part[patients == p]).size == 1 for p in np.unique(patients))
    of_positives = [np.unique(patients[(part == number) & (label == 1)]).size for number in range(5)]
    of_all = [np.unique(patients[part == number]).size for number in range(5)]
    assert max(of_positives) - min(of_positives) <= 1
    assert max(of_all) - min(of_all) <= 1
    assert (folds(label, patients, 5, seed=1) != part).any()


@pytest.mark.parametrize("few", [0, 1])
def test_cross_fitting_needs_as_many_patients_of_each_class_as_folds(few):
    label, x = world(n=100)
    patients = np.where(label == few, np.arange(100) % 4, 1000 + np.arange(100))
    calibrated, reason = cross_fitted(label, x, patients, "logistic")
    assert reason == FEW_PATIENTS
    assert np.isnan(calibrated).all()

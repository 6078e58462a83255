import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from statsmodels.api import Logit

from xray.stats.calibration import (
    binned,
    brier_of,
    calibration_line,
    curve_error,
    curve_of,
    reliability_curve,
)
from xray.stats.estimates import NO_DATA
from xray.stats.intervals import wilson
from xray.stats.shares import share_by_patient


def sample(seed, n=1000, decimals=8):
    rng = np.random.default_rng(seed)
    p = np.round(rng.beta(1, 4, n), decimals)
    return (rng.random(n) < p).astype(float), p


def test_curve_equals_scikit_learn_where_nothing_is_tied():
    labels, p = sample(1)
    curve = reliability_curve(labels, p)
    observed, predicted = calibration_curve(labels, p, n_bins=10, strategy="quantile")
    np.testing.assert_allclose(curve.observed.value, observed)
    np.testing.assert_allclose(curve.predicted, predicted)
    assert curve.observed.n.tolist() == [100] * 10
    lower, upper = wilson(curve.observed.n_pos, curve.observed.n)
    np.testing.assert_array_equal([curve.observed.lower, curve.observed.upper], [lower, upper])


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(0, 2), st.integers(1, 12), st.integers(1, 60))
def test_bins_keep_ties_together_and_lose_no_image(seed, decimals, n_bins, n):
    labels, p = sample(seed, n, decimals)
    curve = reliability_curve(labels, p, n_bins)
    assert curve.observed.n.sum() == n
    assert curve.observed.n_pos.sum() == labels.sum()
    filled = curve.predicted[curve.observed.n > 0]
    assert (np.diff(filled) > 0).all()
    assert np.isnan(curve.predicted[curve.observed.n == 0]).all()
    parts = brier_of(binned(labels, p, n_bins))
    assert float(parts.score) == pytest.approx(
        brier_score_loss(labels, p) if 0 < labels.sum() < n else np.mean((labels - p) ** 2)
    )
    together = parts.reliability - parts.resolution + parts.uncertainty
    assert float(together) == pytest.approx(float(parts.score), abs=1e-12)


def test_the_parts_of_the_brier_score_equal_murphys_for_few_forecasts():
    rng = np.random.default_rng(2)
    p = np.repeat([0.1, 0.3, 0.6, 0.9], 200)
    labels = (rng.random(800) < p * 0.8).astype(float)
    brier = brier_of(binned(labels, p, n_bins=4))
    groups = [labels[p == value].mean() for value in (0.1, 0.3, 0.6, 0.9)]
    assert float(brier.resolution) == pytest.approx(np.mean([(g - labels.mean()) ** 2 for g in groups]))
    assert float(brier.reliability) == pytest.approx(
        np.mean([(g - f) ** 2 for g, f in zip(groups, (0.1, 0.3, 0.6, 0.9), strict=True)])
    )


def test_the_calibration_error_finds_planted_miscalibration():
    rng = np.random.default_rng(3)
    p = rng.random(200_000) * 0.5
    honest = (rng.random(p.size) < p).astype(float)
    shifted = (rng.random(p.size) < p + 0.2).astype(float)
    assert float(curve_error(reliability_curve(honest, p)).value) < 0.006
    assert float(curve_error(reliability_curve(shifted, p)).value) == pytest.approx(0.2, abs=0.006)


def test_columns_are_computed_separately_without_missing_values():
    labels, p = (np.stack(parts, axis=1) for parts in zip(sample(4), sample(5), sample(6), strict=True))
    labels[:100, 1], p[100:150, 1], labels[:, 2] = np.nan, np.nan, np.nan
    alone = slice(150, None), 1
    brier = brier_of(binned(labels, p))
    assert brier.n.tolist() == [1000, 850, 0]
    assert brier.score[1] == brier_of(binned(labels[alone], p[alone])).score
    assert brier.reason.tolist() == ["", "", NO_DATA]
    assert np.isnan(brier.score).tolist() == [False, False, True]
    errors = curve_error(reliability_curve(labels, p))
    assert errors.value[1] == curve_error(reliability_curve(labels[alone], p[alone])).value
    assert errors.reason.tolist() == ["", "", NO_DATA]
    assert np.isnan(errors.value[2])
    assert reliability_curve(labels, p).predicted.shape == (10, 3)


def test_calibration_line_equals_statsmodels():
    labels, p = sample(7)
    p = np.clip(p, 1e-6, 1 - 1e-6)
    design = np.column_stack([np.ones(p.size), np.log(p / (1 - p))])
    expected = Logit(labels, design).fit(disp=0).params
    np.testing.assert_allclose(calibration_line(labels, p).coefficients, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="no logit"):
        calibration_line(np.array([0, 1]), np.array([0.0, 1]))


def test_logits_are_refused():
    with pytest.raises(ValueError, match="sigmoid"):
        brier_of(binned(np.array([0, 1]), np.array([-1.0, 3])))


def test_ties_go_to_the_bin_of_their_middle():
    p = np.repeat([0.1, 0.2], [40, 60])
    assert reliability_curve(np.zeros(100), p, n_bins=2).observed.n.tolist() == [40, 60]


def test_the_default_is_ten_bins():
    draw = np.random.default_rng(0)
    probabilities = draw.random(500)
    bins = binned((draw.random(500) < probabilities).astype(float), probabilities)
    assert bins.n.shape[0] == 10
    assert (bins.n == 50).all()


@pytest.mark.parametrize("wrong", [-0.1, 1.1])
def test_one_probability_outside_of_its_range_is_refused(wrong):
    with pytest.raises(ValueError, match="must lie in"):
        binned(np.array([0.0, 1.0, 1.0]), np.array([0.2, wrong, 0.7]))


def test_one_label_that_is_none_is_refused():
    with pytest.raises(ValueError, match="labels must be 1, 0 or NaN"):
        binned(np.array([0.0, 2.0, 1.0]), np.array([0.2, 0.3, 0.7]))


def of_patients(seed, patients=120, images=4):
    """Logits, labels and patients, whose images are alike; the line is (0, 1)."""
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(patients), images)
    logits = rng.normal(size=patients)[unit] + 0.2 * rng.normal(size=unit.size)
    threshold = rng.random(patients)[unit]  # one for all images of a patient
    return logits, (threshold < 1 / (1 + np.exp(-logits))).astype(float), unit


def test_the_lines_covariance_is_that_of_patients_sums():
    logits, labels, unit = of_patients(1)
    labels[::9] = np.nan
    own = ~np.isnan(labels)
    line = calibration_line(labels, 1 / (1 + np.exp(-logits)), 3 * unit + 5)
    groups = {"groups": unit[own], "use_correction": False}
    expected = Logit(labels[own], np.column_stack([np.ones(own.sum()), logits[own]])).fit(
        disp=0, cov_type="cluster", cov_kwds=groups
    )
    np.testing.assert_allclose(line.coefficients, expected.params, rtol=1e-6)
    np.testing.assert_allclose(line.covariance, expected.cov_params() * 120 / 119, rtol=1e-4)


def test_the_slopes_interval_holds_where_patients_have_several_images():
    covered = np.zeros(2)
    for seed in range(300):
        logits, labels, unit = of_patients(seed)
        for k, patients in enumerate((None, unit)):
            line = calibration_line(labels, 1 / (1 + np.exp(-logits)), patients)
            covered[k] += abs(line.coefficients[1] - 1) < 1.96 * np.sqrt(line.covariance[1, 1])
    assert covered[0] / 300 < 0.75, "by images"
    assert covered[1] / 300 == pytest.approx(0.95, abs=0.035)


def test_bins_of_patients_images_have_the_shares_of_patients():
    logits, labels, unit = of_patients(2)
    labels[::7] = np.nan
    p = np.column_stack([1 / (1 + np.exp(-logits))] * 2)
    plain, curve = (curve_of(binned(labels, p, patients=of)) for of in (None, 10 + unit))
    np.testing.assert_array_equal(curve.predicted, plain.predicted)
    scored = np.flatnonzero(~np.isnan(labels))
    order = scored[np.argsort(p[scored, 0])]
    start = 0
    for k, n in enumerate(curve.observed.n[:, 1]):
        at = np.isin(np.arange(labels.size), order[start : start + n])
        share = share_by_patient(at, at & (labels == 1), unit)
        for name in ("value", "lower", "upper", "se", "n", "n_pos"):
            assert getattr(curve.observed, name)[k, 1] == pytest.approx(float(getattr(share, name))), name
        start += n
    wider = (curve.observed.upper - curve.observed.lower) / (plain.observed.upper - plain.observed.lower)
    assert np.median(wider) > 1.3


def test_the_slope_of_one_patients_images_has_no_interval_and_a_flat_likelihood_no_negative_variance():
    logits, labels, unit = of_patients(3, patients=30, images=2)
    one = calibration_line(labels, 1 / (1 + np.exp(-logits)), np.zeros(60, dtype=int))
    assert np.isfinite(one.coefficients).all()
    assert np.isnan(one.covariance).all()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        logits = np.repeat(rng.normal(size=30), 2) + 0.01 * rng.normal(size=60)
        labels = (logits > np.median(logits) + 0.02 * rng.normal(size=60)).astype(float)
        line = calibration_line(labels, 1 / (1 + np.exp(-logits)), unit)
        assert not (np.diag(line.covariance) < 0).any()


@pytest.mark.parametrize(("n", "x"), [(5, 1), (10, 1), (7, 3)])
def test_one_patients_bin_is_one_image(n, x):
    labels = np.zeros(n)
    labels[:x] = 1
    observed = curve_of(binned(labels, np.full(n, 0.3), patients=np.zeros(n, dtype=int))).observed
    share = share_by_patient(np.ones(n, dtype=bool), labels == 1, np.zeros(n, dtype=int))
    at = np.flatnonzero(observed.n)
    lower, upper = wilson(x / n, 1)
    assert [float(observed.lower[at[0]]), float(observed.upper[at[0]])] == pytest.approx(
        [float(lower), float(upper)]
    )
    assert [float(share.lower), float(share.upper)] == pytest.approx([float(lower), float(upper)])

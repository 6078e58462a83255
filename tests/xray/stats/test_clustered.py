import numpy as np
import pytest

from xray.stats.bootstrap import bootstrap_auc
from xray.stats.clustered import clustered_auc_interval, clustered_covariance
from xray.stats.delong import auc_interval, delong_covariance
from xray.stats.estimates import FEW_PATIENTS, FEW_POSITIVES, ONE_CLASS


def sample(seed, n=500, n_patients=120, k=2):
    rng = np.random.default_rng(seed)
    patients = rng.integers(0, n_patients, n)
    labels = (rng.random(n) < rng.random(n_patients)[patients] * 0.6).astype(float)
    scores = np.round(rng.normal(size=n_patients)[patients] + labels + rng.normal(size=(k, n)), 1)
    return labels, scores, patients


def obuchowski(labels, scores, patients):
    """The paper's estimator, patient by patient, from all pairs of images."""
    positives, negatives = scores[labels == 1], scores[labels == 0]
    psi = (positives[:, None] > negatives[None, :]) + 0.5 * (positives[:, None] == negatives[None, :])
    auc, (m, n) = psi.mean(), psi.shape
    s10 = s01 = s11 = 0.0
    who_pos, who_neg = patients[labels == 1], patients[labels == 0]
    everyone = set(patients[~np.isnan(labels)].tolist())
    for patient in everyone:
        a = sum(row.mean() - auc for row in psi[who_pos == patient])
        b = sum(column.mean() - auc for column in psi[:, who_neg == patient].T)
        s10, s01, s11 = s10 + a * a, s01 + b * b, s11 + a * b
    i10, i01, i = len(set(who_pos)), len(set(who_neg)), len(everyone)
    s10, s01, s11 = s10 * i10 / (i10 - 1) / m, s01 * i01 / (i01 - 1) / n, s11 * i / (i - 1)
    return auc, s10 / m + s01 / n + 2 * s11 / (m * n)


def test_equals_the_papers_estimator():
    labels, scores, patients = sample(1)
    labels[:40] = np.nan
    found = clustered_auc_interval(labels, scores.T, patients)
    joint = clustered_covariance(labels, scores, patients)
    for model in range(2):
        auc, variance = obuchowski(labels, scores[model], patients)
        assert found.value[model] == pytest.approx(auc, abs=1e-13)
        assert found.se[model] ** 2 == pytest.approx(variance, rel=1e-10)
        assert joint.covariance[model, model] == pytest.approx(variance, rel=1e-10)
    assert joint.covariance[0, 1] == joint.covariance[1, 0]


def test_covariance_is_that_of_the_sum():
    """Bilinear: what the covariance says of a contrast equals a bootstrap over patients."""
    labels, scores, patients = sample(2)
    joint = clustered_covariance(labels, scores, patients)
    replicates = bootstrap_auc(labels, scores, patients, 4000).replicates
    for contrast in ([1, 0], [1, -1], [1, 1]):
        by_formula = np.sqrt(contrast @ joint.covariance @ contrast)
        assert (replicates @ contrast).std() == pytest.approx(by_formula, rel=0.08)


def test_one_image_per_patient_is_delong():
    labels, scores, _ = sample(3)
    alone = np.arange(labels.size)
    found = clustered_covariance(labels, scores, alone)
    np.testing.assert_allclose(found.covariance, delong_covariance(labels, scores).covariance, rtol=1e-10)
    ours, theirs = clustered_auc_interval(labels, scores.T, alone), auc_interval(labels, scores.T)
    np.testing.assert_allclose(ours.lower, theirs.lower)


def test_undefined():
    scores = np.array([0.1, 0.4, 0.3, 0.2])
    found = clustered_auc_interval(np.array([1, 1, 0, 0]), scores, np.array([0, 0, 1, 2]))
    assert str(found.reason) == FEW_PATIENTS
    assert np.isfinite(found.value)
    assert np.isnan([found.lower, found.se]).all()
    few = clustered_auc_interval(np.array([1, 0, 0, 0]), scores, np.arange(4))
    assert str(few.reason) == FEW_POSITIVES
    one = clustered_covariance(np.ones(4), scores, np.arange(4))
    assert one.reason == ONE_CLASS
    with pytest.raises(ValueError, match="patients"):
        clustered_auc_interval(np.ones(4), scores, np.arange(3))

import numpy as np
import pytest
from scipy.special import ndtri
from sklearn.metrics import roc_auc_score

from xray.stats.bootstrap import bootstrap_auc
from xray.stats.clustered import clustered_auc_interval, clustered_covariance, degrees_of_patients
from xray.stats.comparisons import compare_paired
from xray.stats.delong import auc_interval, delong_covariance
from xray.stats.estimates import FEW_PATIENTS, FEW_POSITIVES, ONE_CLASS


def sample(seed, n=500, n_patients=120, k=2):
    rng = np.random.default_rng(seed)
    patients = rng.integers(0, n_patients, n)
    labels = (rng.random(n) < rng.random(n_patients)[patients] * 0.6).astype(float)
    scores = np.round(rng.normal(size=n_patients)[patients] + labels + rng.normal(size=(k, n)), 1)
    return labels, scores, patients


def jackknife(labels, scores, patients):
    """Each patient's positives, and each one's negatives, left out in turn; AUC by scikit-learn."""
    labelled = ~np.isnan(labels)
    labels, scores, patients = labels[labelled], scores[labelled], patients[labelled]
    auc, names = roc_auc_score(labels, scores), np.unique(patients)
    a, b = np.zeros((2, names.size))
    for row, name in enumerate(names):
        for change, value in ((a, 1), (b, 0)):
            usable = ~((patients == name) & (labels == value))
            change[row] = auc - roc_auc_score(labels[usable], scores[usable])
    ill, well = (np.isin(names, patients[labels == value]).sum() for value in (1, 0))
    shrink = [(n - 1) / n for n in (ill, well, names.size)]
    return auc, shrink[0] * (a @ a) + shrink[1] * (b @ b) + 2 * shrink[2] * (a @ b)


def test_equals_the_jackknife_over_patients():
    labels, scores, patients = sample(1)
    labels[:40] = np.nan
    estimate = clustered_auc_interval(labels, scores.T, patients)
    joint = clustered_covariance(labels, scores, patients)
    for model in range(2):
        auc, variance = jackknife(labels, scores[model], patients)
        assert estimate.value[model] == pytest.approx(auc, abs=1e-13)
        assert estimate.se[model] ** 2 == pytest.approx(variance, rel=1e-10)
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
    covariance = clustered_covariance(labels, scores, alone)
    np.testing.assert_allclose(
        covariance.covariance, delong_covariance(labels, scores).covariance, rtol=1e-10
    )
    own, expected = clustered_auc_interval(labels, scores.T, alone), auc_interval(labels, scores.T)
    np.testing.assert_allclose(own.lower, expected.lower)


def test_too_few_patients_have_a_value_but_no_interval():
    scores = np.array([0.1, 0.4, 0.3, 0.2])
    estimate = clustered_auc_interval(np.array([1, 1, 0, 0]), scores, np.array([0, 0, 1, 2]))
    assert str(estimate.reason) == FEW_PATIENTS
    assert np.isfinite(estimate.value)
    assert np.isnan([estimate.lower, estimate.se]).all()
    few = clustered_auc_interval(np.array([1, 0, 0, 0]), scores, np.arange(4))
    assert str(few.reason) == FEW_POSITIVES
    one = clustered_covariance(np.ones(4), scores, np.arange(4))
    assert one.reason == ONE_CLASS
    with pytest.raises(ValueError, match="patients"):
        clustered_auc_interval(np.ones(4), scores, np.arange(3))


def test_intervals_hold_where_some_patients_have_far_more_images_than_others():
    """30 patients with positives, numbers of images with a heavy tail: Obuchowski's hold 83 to 90 %."""
    rng = np.random.default_rng(4)
    covered = []
    for _ in range(250):
        images = np.minimum(np.ceil(rng.pareto(1.3, 230)), 100).astype(int)
        patients = np.repeat(np.arange(230), images)
        labels = (patients < 30).astype(float)
        noise = np.sqrt(0.7) * rng.normal(size=230)[patients] + np.sqrt(0.3) * rng.normal(size=patients.size)
        estimate = clustered_auc_interval(labels, noise + np.sqrt(2) * ndtri(0.8) * labels, patients)
        covered.append(estimate.lower <= 0.8 <= estimate.upper)
    assert np.mean(covered) >= 0.925


def test_paired_comparisons_have_the_variance_of_the_contrast():
    labels, scores, patients = sample(6)
    covariance = clustered_covariance(labels, scores, patients).covariance
    comparison = compare_paired(labels, *scores, patients=patients)
    assert float(comparison.se) == pytest.approx(np.sqrt([1, -1] @ covariance @ [1, -1]), rel=1e-10)
    alone = compare_paired(labels, *scores, patients=np.arange(labels.size))
    assert float(alone.p) == float(compare_paired(labels, *scores).p)


def test_equal_numbers_of_images_are_obuchowskis_and_unequal_ones_have_fewer_degrees_of_freedom():
    def degrees(images, patients, squares):
        return degrees_of_patients(*([np.array(n) for n in part] for part in (images, patients, squares)))

    assert np.isinf(degrees((12, 40), (4, 10), (36, 160)))
    assert degrees((12, 40), (4, 10), (84, 160)) == 1
    assert degrees((30, 40), (20, 10), (60, 160)) == 14

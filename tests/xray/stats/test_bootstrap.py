import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from xray.stats import bootstrap
from xray.stats.bootstrap import Draws, bootstrap_auc, patient_weights
from xray.stats.comparisons import compare_paired
from xray.stats.delong import auc_interval
from xray.stats.estimates import FEW_PATIENTS, INFINITE_SCORE, NO_DATA, ONE_CLASS


def sample(seed, n=400, n_patients=150, k=2, decimals=8):
    rng = np.random.default_rng(seed)
    patients = rng.integers(0, n_patients, n)
    labels = (rng.random(n) < 0.3).astype(float)
    effect = rng.normal(size=n_patients)[patients]
    scores = np.round(effect + labels + rng.normal(size=(k, n)), decimals)
    return labels, scores, patients


@pytest.mark.parametrize("decimals", [8, 1, 0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_replicate_equals_scikit_learn_with_weights(decimals, dtype):
    labels, scores, patients = sample(1, decimals=decimals)
    labels[:30], scores[1, 30:50] = np.nan, np.nan
    scores = scores.astype(dtype)
    bootstrapped = bootstrap_auc(labels, scores, patients, n_replicates=37, seed=5)
    names, index = np.unique(patients[50:], return_inverse=True)
    assert bootstrapped.n_patients == names.size
    weights = patient_weights(names.size, 37, seed=5)
    for replicate in range(37):
        for model in range(2):
            expected = roc_auc_score(labels[50:], scores[model, 50:], sample_weight=weights[replicate, index])
            assert bootstrapped.replicates[replicate, model] == pytest.approx(expected, abs=1e-12)
    np.testing.assert_array_equal(
        bootstrapped.estimates.value, auc_interval(labels[50:], scores[:, 50:].T).value
    )


def test_a_replicate_equals_the_resampled_data():
    labels, scores, patients = sample(2, k=1)
    bootstrapped = bootstrap_auc(labels, scores[0], patients, n_replicates=3, seed=1)
    names, index = np.unique(patients, return_inverse=True)
    for replicate, weights in enumerate(patient_weights(names.size, 3, seed=1)):
        rows = np.concatenate(
            [np.flatnonzero(index == patient) for patient in np.repeat(np.arange(names.size), weights)]
        )
        expected = roc_auc_score(labels[rows], scores[0, rows])
        assert bootstrapped.replicates[replicate, 0] == pytest.approx(expected, abs=1e-12)


def test_interval_and_error_are_those_of_the_replicates():
    labels, scores, patients = sample(3)
    bootstrapped = bootstrap_auc(labels, scores, patients, n_replicates=500, level=0.8)
    np.testing.assert_allclose(
        bootstrapped.estimates.lower, np.quantile(bootstrapped.replicates, 0.1, axis=0)
    )
    np.testing.assert_allclose(
        bootstrapped.estimates.upper, np.quantile(bootstrapped.replicates, 0.9, axis=0)
    )
    np.testing.assert_allclose(bootstrapped.estimates.se, bootstrapped.replicates.std(axis=0, ddof=1))


def test_near_perfect_separation_the_interval_counts_patients():
    """Perfect scores vary in no replicate; ten images of a patient are no ten patients."""
    labels = np.repeat([1.0, 0.0], [12, 60])
    few = bootstrap_auc(labels, labels, np.arange(72), n_replicates=50).estimates
    np.testing.assert_allclose(few.lower, auc_interval(labels, labels).lower)
    ten = np.repeat(np.arange(72), 10)
    many = bootstrap_auc(labels[ten], labels[ten], ten, n_replicates=50).estimates
    np.testing.assert_allclose(many.lower, few.lower)


def test_with_one_image_per_patient_it_agrees_with_delong():
    labels, scores, _ = sample(4, n=600)
    bootstrapped = bootstrap_auc(labels, scores, np.arange(600), n_replicates=4000)
    delong = auc_interval(labels, scores.T)
    np.testing.assert_allclose(bootstrapped.estimates.se, delong.se, rtol=0.06)
    paired = bootstrapped.replicates[:, 0] - bootstrapped.replicates[:, 1]
    assert float(paired.std(ddof=1)) == pytest.approx(float(compare_paired(labels, *scores).se), rel=0.06)


def test_images_of_a_patient_are_not_independent():
    labels, scores, _ = sample(5, n=200)
    twice = np.tile(np.arange(200), 4)
    clustered = bootstrap_auc(labels[twice], scores[:, twice], twice, n_replicates=2000)
    ignoring = bootstrap_auc(labels[twice], scores[:, twice], np.arange(800), n_replicates=2000)
    np.testing.assert_allclose(clustered.estimates.se / ignoring.estimates.se, 2, rtol=0.1)


def test_the_bootstrap_depends_only_on_the_seed():
    labels, scores, patients = sample(6)
    one, same, other = (bootstrap_auc(labels, scores, patients, 50, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.replicates, same.replicates)
    assert not np.isclose(one.replicates, other.replicates).all()
    longer = bootstrap_auc(labels, scores, patients, 77, 1)
    np.testing.assert_array_equal(longer.replicates[:50], one.replicates)
    names = np.array([f"patient {p:04d}" for p in patients])
    np.testing.assert_array_equal(bootstrap_auc(labels, scores, names, 50, 1).replicates, one.replicates)


@pytest.mark.parametrize("n_patients", [1, 2, 7, 1000])
def test_weights_are_multinomial(n_patients):
    weights = patient_weights(n_patients, 3001, seed=0)
    assert weights.shape == (3001, n_patients)
    assert (weights.sum(axis=1, dtype=int) == n_patients).all()
    if n_patients > 1:
        assert weights.mean(axis=0).std() < 3 / np.sqrt(3001)
        counts = np.bincount(weights.ravel(), minlength=3)[:3] / weights.size
        p = 1 / n_patients
        expected = [(1 - p) ** n_patients, (1 - p) ** (n_patients - 1)]  # n p = 1
        np.testing.assert_allclose(counts[:2], expected, atol=0.02)
        neighbours = np.corrcoef(weights[:-1, 0], weights[1:, 0])[0, 1]
        assert abs(neighbours) < 0.08


@pytest.mark.parametrize(
    ("labels", "patients", "reason"),
    [
        ([1, 1, 1, 1], [0, 1, 2, 3], ONE_CLASS),
        ([1, 1, 0, 0], [0, 0, 1, 2], FEW_PATIENTS),
        ([np.nan] * 4, [0, 1, 2, 3], NO_DATA),
    ],
)
def test_too_few_patients_to_resample_have_a_reason(labels, patients, reason):
    bootstrapped = bootstrap_auc(np.array(labels, dtype=float), np.arange(4.0), np.array(patients), 20)
    assert bootstrapped.estimates.reason.tolist() == [reason]
    assert np.isnan(
        [bootstrapped.estimates.lower, bootstrapped.estimates.upper, bootstrapped.estimates.se]
    ).all()
    assert np.isnan(bootstrapped.replicates).all()


def test_replicates_of_one_class_are_left_out():
    bootstrapped = bootstrap_auc(np.array([1, 1, 0, 0]), np.array([2.0, 4, 1, 3]), np.arange(4), 400)
    undefined = np.isnan(bootstrapped.replicates).mean()
    assert 0.05 < undefined < 0.2  # 2 · 2⁻⁴
    assert np.isfinite([bootstrapped.estimates.lower, bootstrapped.estimates.upper]).all()


def test_wrong_input_is_refused():
    labels, scores, patients = sample(8)
    with pytest.raises(ValueError, match="patients"):
        bootstrap_auc(labels, scores, patients[1:])
    with pytest.raises(ValueError, match="1, 0 or NaN"):
        bootstrap_auc(labels * 2, scores, patients)
    scores[0, 0] = np.inf
    assert (bootstrap_auc(labels, scores, patients, 20).estimates.reason == INFINITE_SCORE).all()


def test_replicates_of_two_tasks_drawn_from_all_patients_use_the_same_draws():
    rng = np.random.default_rng(8)
    labels = (rng.random((80, 2)) < 0.4).astype(np.float32)
    labels[rng.random((80, 2)) < 0.3] = np.nan
    scores = rng.normal(size=80)
    patients = rng.integers(0, 50, 80)
    names, index = np.unique(patients, return_inverse=True)
    weights = patient_weights(names.size, 20, 5)[:, index]
    for column in labels.T:
        bootstrapped = bootstrap_auc(column, scores, patients, draws=Draws(patients, 20, 5))
        usable = ~np.isnan(column)
        expected = [roc_auc_score(column[usable], scores[usable], sample_weight=w[usable]) for w in weights]
        np.testing.assert_allclose(bootstrapped.replicates[:, 0], expected, atol=1e-12)
        assert bootstrapped.n_patients == names.size


def test_random_bits_equal_splitmix64():
    """The first outputs of the reference implementation (Vigna 2015) for the seed 1234567."""
    step, published = 0x9E3779B97F4A7C15, (6457827717110365317, 3203168211198807973, 9817491932198370423)
    states = [np.uint64((1234567 + k * step) % 2**64) for k in (1, 2, 3)]
    assert tuple(int(bootstrap._mix(state)) for state in states) == published

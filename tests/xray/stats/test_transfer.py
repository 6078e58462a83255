"""The parts of a drop against scikit-learn, the bootstrap over patients, and sites that are alike."""

import numpy as np
import pytest
from scipy.stats import t
from sklearn.metrics import roc_auc_score

from xray.stats.bootstrap import bootstrap_auc
from xray.stats.clustered import clustered_covariance
from xray.stats.transfer import Part, SiteScores, _beyond, _interval, decompose, medians_of_others


def site(rng, n=400, skill=(1.0, 1.0), tasks=4, images=1, first=0) -> SiteScores:
    """Scores of two models of given skill on patients with `images` images each."""
    patients = np.repeat(np.arange(n // images), images) + first
    labels = (rng.random((n // images, tasks)) < 0.3)[patients - first].astype(float)
    own = rng.normal(size=(n // images, tasks))[patients - first]
    a, b = (s * labels + 0.8 * own + 0.6 * rng.normal(size=labels.shape) for s in skill)
    return SiteScores(labels, a, b, patients)


@pytest.fixture
def pair() -> tuple[SiteScores, SiteScores]:
    rng = np.random.default_rng(1)
    return site(rng, skill=(1.5, 0.8), images=2), site(rng, skill=(0.7, 1.6), images=2, first=1000)


def test_parts_equal_scikit_learn_and_add_up(pair):
    a, b = pair
    parts = decompose(a, b)
    for task in range(4):
        area = {
            (model, index): roc_auc_score(part.labels[:, task], scores[:, task])
            for index, part in enumerate(pair)
            for model, scores in enumerate((part.of_a, part.of_b))
        }
        assert parts.auc[task].ravel() == pytest.approx([area[m, s] for m in (0, 1) for s in (0, 1)])
        assert parts.drop.value[task] == pytest.approx(area[0, 0] - area[0, 1])
        home = (area[0, 0] - area[0, 1] + area[1, 1] - area[1, 0]) / 2
        assert parts.transfer.value[task] == pytest.approx(home)
    assert parts.drop.value == pytest.approx(parts.intrinsic.value + parts.transfer.value)
    others = [np.median(np.delete(parts.transfer.value, task)) for task in range(4)]
    assert parts.beyond_transfer.excess.value == pytest.approx(parts.transfer.value - others)


def test_standard_errors_equal_obuchowskis(pair):
    a, b = pair
    parts = decompose(a, b)
    contrast = np.array([0.5, -0.5])
    for task in range(4):
        variance = 0.0
        for index, part in enumerate(pair):
            scores = np.stack([part.of_a[:, task], part.of_b[:, task]])
            covariance = clustered_covariance(part.labels[:, task], scores, part.patients).covariance
            assert parts.auc_se[task, :, index] == pytest.approx(np.sqrt(covariance.diagonal()), rel=0.01)
            variance += contrast @ covariance @ contrast
        assert parts.transfer.se[task] == pytest.approx(np.sqrt(variance), rel=0.01)


def test_standard_errors_equal_the_bootstrap_over_patients(pair):
    replicates = []
    for seed, part in enumerate(pair):
        scores = np.stack([part.of_a[:, 0], part.of_b[:, 0]])
        replicates.append(bootstrap_auc(part.labels[:, 0], scores, part.patients, 3000, seed).replicates)
    home, away = replicates
    transfer = ((home[:, 0] - away[:, 0]) + (away[:, 1] - home[:, 1])) / 2
    assert decompose(*pair).transfer.se[0] == pytest.approx(transfer.std(), rel=0.06)


def test_different_skill_of_the_models_is_no_shift():
    """A model of few images is worse at both sites alike: neither part may see it."""
    rng = np.random.default_rng(2)
    parts = decompose(site(rng, 20_000, (2.0, 0.3)), site(rng, 20_000, (2.0, 0.3), first=90_000))
    for part in (parts.drop, parts.intrinsic, parts.transfer, parts.beyond_transfer.excess):
        assert np.abs(part.value).max() < 0.02
        assert np.abs(part.value / part.se).max() < 3.5
    assert (parts.auc[:, 0, 0] - parts.auc[:, 1, 1]).min() > 0.2


def test_a_patient_shared_by_both_sites_is_one_unit(pair):
    a, _ = pair
    same = decompose(a, a)
    assert np.abs(same.drop.value).max() == 0
    least = decompose(a, SiteScores(a.labels, a.of_a, a.of_b, a.patients + 5000))
    assert (same.drop.se < least.drop.se / 5).all()


def test_an_undefined_value_has_a_reason(pair):
    a, b = pair
    labels = a.labels.copy()
    labels[:, 0], labels[:, 1] = np.nan, 0
    parts = decompose(SiteScores(labels, a.of_a, a.of_b, a.patients), b)
    assert parts.reason.tolist() == ["no image with label and score", "one class", "", ""]
    assert np.isnan(parts.transfer.value[:2]).all()
    assert np.isfinite(parts.transfer.value[2:]).all()
    assert np.isnan(parts.beyond_transfer.excess.value).all()  # two findings: one other each


def test_perfect_scores_have_an_interval():
    rng = np.random.default_rng(3)
    labels = np.tile(np.repeat([1.0, 0.0], [12, 60])[:, None], 3)
    perfect = SiteScores(labels, labels + 0.1 * rng.random(labels.shape), labels, np.arange(72))
    parts = decompose(perfect, SiteScores(labels, perfect.of_a, labels, np.arange(72) + 100))
    assert (parts.drop.upper > 0.01).all()
    assert (parts.drop.value == 0).all()


@pytest.mark.parametrize("m", [2, 3, 6, 7])
def test_the_median_of_the_others_leaves_out_the_entry_itself(m):
    values = np.random.default_rng(m).normal(size=(50, m)).round(1)  # with ties
    medians = medians_of_others(values)
    for k in range(m):
        np.testing.assert_array_equal(medians[:, k], np.median(np.delete(values, k, axis=1), axis=1))


def test_bounds_of_a_difference_stay_between_minus_one_and_one():
    values, se, degrees = np.array([0.9, -0.9, 0.1]), np.array([0.5, 0.5, 0.02]), np.array([9, 9, 9])
    part = _interval(values, se, degrees, 0.95)
    half = t.ppf(0.975, 9) * 0.02
    assert np.allclose(part.lower[1:], [-1, 0.1 - half])
    assert np.allclose(part.upper[[0, 2]], [1, 0.1 + half])
    assert np.allclose(part.p, 2 * t.sf(np.abs(values / se), 9))


def test_the_spread_of_the_others_excludes_sampling_error():
    values, se = np.array([0.0, 0.05, 0.2, -0.1, 0.4]), np.array([0.01, 0.02, 0.03, 0.02, 0.05])
    part = Part(values, values - 1, values + 1, se, np.ones(5))
    beyond = _beyond(part, np.diag(se), np.ones(5, dtype=bool), np.full(5, 50), 0.95)
    for task in range(5):
        others = np.delete(values, task)
        far = 1.4826 * np.median(np.abs(others - np.median(others)))
        expected = np.sqrt(max(far**2 - np.median(np.delete(se, task) ** 2), 0))
        assert expected > 0
        assert beyond.spread[task] == pytest.approx(expected)

"""Mixtures of A's classes: what a prevalence and wrong labels leave, and what pictures do not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import chdtri
from scipy.stats import chi2, norm

from xray.stats.evidence import Site, gather
from xray.stats.mixtures import BINS, CUTS, Mixture, _histogram, fit


def pair(seed, n=8000, prevalence=(0.3, 0.3), **of_b):
    rng = np.random.default_rng(seed)
    sites = []
    for at, share in enumerate(prevalence):
        labels = (rng.random((n, 2)) < share).astype(float)
        scores = 1.5 * labels + rng.normal(size=labels.shape)
        sites.append(Site(labels, scores, np.arange(n) + n * at))
    b = sites[1]
    if "flip" in of_b:
        wrong = rng.random(b.labels.shape) < np.where(b.labels == 1, *of_b["flip"])
        b = replace(b, labels=np.where(wrong, 1 - b.labels, b.labels))
    return sites[0], replace(b, scores=b.scores * of_b.get("spread", 1))


def columns(*args, **of_b):
    evidence = gather(*pair(*args, **of_b)).columns
    return {name: of[0] for name, of in evidence.items()}


def test_false_positives_add_the_negatives_of_a_to_the_positives_by_their_share():
    mixture = columns(0, flip=(0.0, 0.1))  # a tenth of the negatives is called positive
    wrong = 0.7 * 0.1 / (0.7 * 0.1 + 0.3)
    assert mixture["positives mixed"] == pytest.approx(wrong, abs=0.04)
    assert mixture["positives mixed z"] > np.arcsinh(4)
    assert abs(mixture["negatives mixed"]) < 0.03
    assert mixture["positives misfit"] < np.arcsinh(3)


def test_false_negatives_add_the_positives_of_a_to_the_negatives_by_their_share():
    mixture = columns(1, flip=(0.4, 0.0))  # four of ten positives are called negative
    wrong = 0.3 * 0.4 / (0.3 * 0.4 + 0.7)
    assert mixture["negatives mixed"] == pytest.approx(wrong, abs=0.03)
    assert mixture["negatives mixed z"] > np.arcsinh(4)
    assert abs(mixture["positives mixed"]) < 0.04
    assert mixture["negatives misfit"] < np.arcsinh(3)


def test_changed_pictures_are_not_explained_by_a_mixture():
    mixture = columns(2, spread=1.6)
    assert mixture["positives misfit"] > np.arcsinh(5)
    assert mixture["negatives misfit"] > np.arcsinh(5)
    assert mixture["images z"] > np.arcsinh(5)


def test_the_prevalence_implied_by_scores_is_given_beside_that_of_labels():
    mixture = columns(3, prevalence=(0.2, 0.4))
    assert mixture["implied / a"] == pytest.approx(np.log(2), abs=0.12)
    assert mixture["implied / observed"] == pytest.approx(0, abs=0.12)
    mixture = columns(4, prevalence=(0.4, 0.4), flip=(0.5, 0.0))
    assert mixture["implied / a"] == pytest.approx(0, abs=0.12)
    assert mixture["implied / observed"] == pytest.approx(np.log(2), abs=0.12)


def test_half_a_percent_is_added_before_taking_logarithms_of_shares():
    a, b = pair(5, prevalence=(0.3, 0.002))
    evidence = gather(a, b)
    implied = np.clip(evidence.implied, 0, 1)
    np.testing.assert_allclose(
        evidence.columns["implied / a"], np.log((implied + 0.005) / (a.labels.mean(axis=0) + 0.005))
    )
    np.testing.assert_allclose(
        evidence.columns["implied / observed"], np.log((implied + 0.005) / (b.labels.mean(axis=0) + 0.005))
    )


@pytest.mark.parametrize("copies", [1, 2])
def test_differences_of_implied_prevalences_are_in_units_of_both_errors(copies):
    a, b = (
        Site(*(np.repeat(of, copies, axis=0) for of in (site.labels, site.scores, site.patients)))
        for site in pair(8, n=700, prevalence=(0.3, 0.4))
    )
    evidence = gather(a, b)
    for name, of in (("a", a), ("observed", b)):
        share = of.labels.mean(axis=0)
        error = np.sqrt(evidence.implied_se**2 + copies * share * (1 - share) / len(of.labels))
        z = (evidence.implied - share) / error
        np.testing.assert_allclose(np.sinh(evidence.columns[f"implied - {name} z"]), z)


def test_scores_are_binned_by_deciles_of_the_scores_at_a():
    np.testing.assert_allclose(norm.cdf(CUTS), np.arange(1, 10) / 10)


def test_a_witness_gives_only_mixtures_of_all_scores_as_evidence():
    a, b = (replace(of, witness=of.scores) for of in pair(9, n=500))
    names = {name for name in gather(a, b).columns if name.startswith("witness i")}
    assert names == {
        "witness images z", "witness implied - observed z", "witness implied - a z", "witness intrinsic",
        "witness intrinsic z",
    }  # fmt: skip


def test_weights_stay_between_minus_one_and_two():
    rng = np.random.default_rng(6)
    sites = []
    for at in (0, 1):
        labels = (rng.random((4000, 2)) < 0.4).astype(float)
        sites.append(
            Site(labels, 0.3 * labels + rng.normal(size=labels.shape) + 9 * at, np.arange(4000) + 4000 * at)
        )
    evidence = gather(*sites).columns
    assert evidence["positives mixed"].tolist() == [-1, -1]
    assert evidence["negatives mixed"].tolist() == [2, 2]


def test_a_fit_is_generalised_least_squares():
    rng = np.random.default_rng(7)
    bins = [rng.choice(BINS, n, p=rng.dirichlet(np.full(BINS, 20.0))) for n in (400, 300, 500)]
    histograms = [_histogram(of, effect) for of, effect in zip(bins, (1.0, 1.5, 2.0), strict=True)]
    for of, one, effect in zip(bins, histograms, (1.0, 1.5, 2.0), strict=True):
        share = np.array([(of == k).sum() + 0.5 for k in range(BINS - 1)]) / (of.size + 5)
        np.testing.assert_allclose(
            one.covariance, effect * (np.diag(share) - np.outer(share, share)) / of.size
        )
    mixture = fit(*histograms, 0.3)
    weight = 0.3
    for _ in range(2):
        v = np.linalg.inv(
            (1 - weight) ** 2 * histograms[0].covariance
            + weight**2 * histograms[1].covariance
            + histograms[2].covariance
        )
        x, y = histograms[1].share - histograms[0].share, histograms[2].share - histograms[0].share
        implied = (x @ v @ y) / (x @ v @ x)
        weight = np.clip(implied, 0, 1)
    assert mixture.weight == pytest.approx(implied)
    assert mixture.se == pytest.approx((x @ v @ x) ** -0.5)
    assert mixture.misfit == pytest.approx((y - implied * x) @ v @ (y - implied * x))


@pytest.mark.parametrize("p", [0.3, 0.05, 0.001])
def test_a_misfit_is_as_unlikely_as_its_normal_deviate(p):
    assert chi2.sf(chdtri(BINS - 2, p), BINS - 2) == pytest.approx(p)
    z = np.sinh(Mixture(0.5, 0.1, float(chdtri(BINS - 2, p))).misfit_z)
    assert norm.sf(z) == pytest.approx(p, rel=0.12)


@pytest.mark.parametrize(("prevalence", "shift"), [(0.97, 0.8), (0.03, -0.8)])
def test_scores_beyond_those_of_either_class_imply_a_share_of_one_or_nought(prevalence, shift):
    a, b = pair(6, prevalence=(0.3, prevalence))
    evidence = gather(a, replace(b, scores=b.scores + shift))
    implied = 1.0 if shift > 0 else 0.0
    assert (evidence.implied > 1.02).all() if shift > 0 else (evidence.implied < -0.02).all()
    for name, of in (("a", a), ("observed", b)):
        np.testing.assert_allclose(
            evidence.columns[f"implied / {name}"],
            np.log((implied + 0.005) / (of.labels.mean(axis=0) + 0.005)),
        )


def test_bins_are_tenths_of_a_standard_normal():
    np.testing.assert_allclose(norm.cdf(CUTS), np.arange(1, 10) / 10)


def test_the_p_of_the_misfit_has_two_degrees_of_freedom_fewer_than_bins():
    """One is lost as shares sum to one, one to the weight. The misfit comes back from its normal deviate."""
    evidence = gather(*pair(7, n=600, spread=1.1))
    z = np.sinh(evidence.columns["images z"])
    misfit = 8 * (1 - 2 / 72 + z * np.sqrt(2 / 72)) ** 3
    np.testing.assert_allclose(evidence.images_p, chi2.sf(misfit, 8), rtol=1e-6)


def test_two_classes_that_look_the_same_tell_nothing_of_a_share():
    same = _histogram(np.repeat(np.arange(BINS), 20), 1.0)
    assert fit(same, same, same, 0.5).se == pytest.approx(1e9**0.5)

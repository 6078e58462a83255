"""The evidence on two sites: blind to scales, its tests at their levels, patients as units, and what is missing as NaN."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from xray.stats.evidence import BESIDE, SIZED, Site, _beside, gather


def site(rng, n=600, prevalence=(0.3, 0.2, 0.25), shift=0.0, spread=1.0, copies=1, at=0):
    """Independent findings with scores 1.5 apart; `copies` images of each patient that differ little."""
    labels = np.repeat(rng.random((n // copies, 3)) < prevalence, copies, axis=0).astype(float)
    noise = np.repeat(rng.normal(size=(n // copies, 3)), copies, axis=0)
    if copies > 1:
        noise = 0.95 * noise + 0.3 * rng.normal(size=noise.shape)
    scores = 1.5 * labels + noise
    witness = scores + 0.5 * rng.normal(size=scores.shape)
    patients = np.repeat(np.arange(n // copies), copies) + 10_000 * at
    return Site(labels, spread * scores + shift, patients, witness, rng.normal(size=(len(labels), 2)))


def pair(seed, **of_b):
    rng = np.random.default_rng(seed)
    return site(rng), site(rng, **of_b, at=1)


def test_nothing_depends_on_the_scale_of_scores():
    a, b = pair(0, shift=0.4)
    scaled = [replace(of, scores=np.exp(of.scores / 3), witness=of.witness * 7 - 2) for of in (a, b)]
    one, two = gather(a, b), gather(*scaled)
    apart = {"witness meaning"}
    for name, of in one.columns.items():
        if not any(name.endswith(other) for other in apart):
            np.testing.assert_allclose(two.columns[name], of, rtol=1e-9, atol=1e-9, err_msg=name)


def test_a_witness_and_covariates_add_evidence_without_changing_the_rest():
    a, b = pair(1)
    whole = gather(a, b)
    bare = gather(*(replace(of, witness=None, covariates=None) for of in (a, b)))
    assert (whole.witness, whole.covariates, bare.witness, bare.covariates) == (True, True, False, False)
    added = set(whole.columns) - set(bare.columns)
    assert all("witness" in name or "case mix" in name or "covariates" in name for name in added)
    assert set(bare.columns) < set(whole.columns)
    for name, of in bare.columns.items():
        np.testing.assert_allclose(whole.columns[name], of, rtol=1e-9, err_msg=name)


def test_evidence_beside_a_finding_comes_from_the_other_findings():
    columns = gather(*pair(2)).columns
    for name in BESIDE:
        for k in range(3):
            others = np.delete(columns[name], k)
            assert columns[f"others' {name}"][k] == pytest.approx(np.median(others))
            assert columns[f"others' size of {name}"][k] == pytest.approx(np.sqrt(np.mean(others**2)))


def test_a_finding_that_ranks_without_a_fault_keeps_the_evidence_of_the_others():
    """Its loss at equal case mix is an infinity of its standard error; infinity times nothing is not a number."""
    a, b = (
        replace(of, scores=np.where([True, False, False], 100 * of.labels + of.scores, of.scores))
        for of in pair(2)
    )
    columns = gather(a, b).columns
    assert np.isinf(columns["co-labels a z"]).tolist() == [True, False, False]
    others = columns["co-labels a z"][1:]
    assert columns["others' co-labels a z"][0] == pytest.approx(others.mean())
    assert columns["others' size of co-labels a z"][0] == pytest.approx(np.sqrt(np.mean(others**2)))


def test_between_two_opposite_infinities_there_is_no_median():
    columns = _beside({"drop z": np.array([np.inf, -np.inf, 1.0])}, 3)
    np.testing.assert_array_equal(columns["others' drop z"], [-np.inf, np.inf, np.nan])
    assert np.isinf(columns["others' size of drop z"]).all()


def test_one_finding_alone_has_no_controls():
    a, b = pair(3)
    alone = gather(
        *(replace(of, labels=of.labels[:, :1], scores=of.scores[:, :1], witness=None) for of in (a, b))
    )
    assert np.isnan(alone.columns["others' drop"]).all()
    assert np.isnan(alone.companions_p).all()
    assert not [name for name in alone.columns if name.startswith("co-labels")]
    assert np.isfinite(alone.columns["drop z"]).all()


def test_a_finding_of_one_class_is_left_out():
    a, b = pair(4)
    b.labels[:, 1] = 0
    assert gather(a, b).tasks.tolist() == [0, 2]


def test_the_fewest_are_counted_by_patients():
    a, b = pair(5, copies=6, n=1200)
    evidence = gather(a, b)
    units = {k: np.unique(b.patients[b.labels[:, k] == 1]).size for k in range(3)}
    assert evidence.fewest.tolist() == [min(units[k], int((a.labels[:, k] == 1).sum())) for k in range(3)]


@pytest.mark.parametrize("copies", [1, 3])
def test_tests_hold_their_level_where_nothing_changed(copies):
    p = {"images_p": [], "prevalence_p": [], "companions_p": []}
    every = []
    for seed in range(60):
        rng = np.random.default_rng([copies, seed])
        a, b = (replace(site(rng, copies=copies, at=at), witness=None, covariates=None) for at in (0, 1))
        evidence = gather(a, b)
        every.append(evidence.images_all_p)
        for name, of in p.items():
            of.extend(getattr(evidence, name))
    for name, of in p.items():
        assert np.mean(np.array(of) < 0.05) < 0.1, name
    assert np.mean(np.array(every) < 0.05) < 0.12


def test_another_prevalence_is_no_change_of_images_and_scores_imply_it():
    evidence = gather(*pair(6, n=3000, prevalence=(0.6, 0.2, 0.25)))
    assert evidence.images_p.min() > 0.001
    assert evidence.prevalence_p[0] < 1e-10
    assert evidence.implied[0] == pytest.approx(0.6, abs=3 * evidence.implied_se[0])
    assert evidence.columns["implied - a z"][0] > np.arcsinh(4)
    assert abs(evidence.columns["implied - observed z"][0]) < np.arcsinh(3)


def test_shifted_and_spread_scores_are_a_change_of_images():
    assert gather(*pair(7, spread=1.6)).images_all_p < 1e-6
    moved = gather(*pair(8, shift=0.8)).columns
    assert (moved["negatives mean"] > 0.4).all()
    assert (moved["negatives mean z"] > np.arcsinh(5)).all()
    assert (gather(*pair(9, spread=0.5)).columns["negatives spread"] < -0.2).all()


def test_normal_scores_are_quantiles_of_the_ranks_at_home():
    a, b = pair(10)
    columns = gather(a, b).columns
    for k in range(3):
        ranks = norm.ppf(
            (np.searchsorted(np.sort(a.scores[:, k]), b.scores[:, k]) + 0.5) / (len(a.scores) + 1)
        )
        home = norm.ppf((np.argsort(np.argsort(a.scores[:, k])) + 1.0) / (len(a.scores) + 1))
        moved = ranks[b.labels[:, k] == 1].mean() - home[a.labels[:, k] == 1].mean()
        assert columns["positives mean"][k] == pytest.approx(moved, abs=0.02)


def test_labels_of_another_meaning_change_companions_and_scores_of_other_findings():
    a, b = pair(11)
    b.labels[:, 0] = b.labels[:, 1]
    evidence = gather(a, b)
    assert evidence.companions_p[0] < 1e-6
    assert evidence.columns["other scores"][0] > np.arcsinh(8)
    assert evidence.columns["other scores"][2] < np.arcsinh(4)


def test_verification_bias_shows_in_missing_labels():
    a, b = pair(12)
    low = b.scores[:, 0] < np.median(b.scores[:, 0])
    b.labels[low, 0] = np.nan
    columns = gather(a, b).columns
    assert columns["labelled a"].tolist() == [1, 1, 1]
    assert columns["labelled b"][0] == pytest.approx(0.5, abs=0.01)
    assert columns["verified b"][0] > np.arcsinh(8)
    assert columns["verified b"][1] == 0


@pytest.mark.parametrize("missing", [0, 100])
def test_scores_beyond_all_scores_at_home_give_finite_evidence(missing):
    a, b = pair(12, shift=100.0)
    b.labels[:missing, 0] = np.nan
    evidence = gather(a, b)  # any warning is an error here
    assert evidence.tasks.tolist() == [0, 1, 2]
    assert evidence.parts.auc[:, 0, 1].min() > 0.7
    assert evidence.columns["positives mean"].min() > 1
    assert evidence.columns["verified b"][1:].tolist() == [0, 0]


def test_a_drop_by_case_mix_vanishes_at_equal_case_mix():
    rng = np.random.default_rng(13)
    sites = []
    for at, old in ((0, 0.2), (1, 0.8)):
        age = (rng.random(4000) < old).astype(float)
        labels = (rng.random((4000, 2)) < 0.3).astype(float)
        scores = labels * np.where(age, 0.3, 2.5)[:, None] + rng.normal(size=labels.shape)
        sites.append(Site(labels, scores, np.arange(4000) + 4000 * at, None, age[:, None]))
    columns = gather(*sites).columns
    for k in range(2):
        assert columns["drop"][k] > 0.12
        assert columns["case mix a"][k] == pytest.approx(columns["drop"][k], abs=0.04)
        assert columns["case mix b"][k] == pytest.approx(columns["drop"][k], abs=0.04)
        assert abs(columns["co-labels a"][k]) < 0.02
        assert 0.2 < columns["case mix overlap a"][k] < 0.7
    assert (columns["covariates apart"] > np.log(1)).all()


def test_less_agreement_with_a_witness_shows_in_their_correlation():
    a, b = pair(14)
    noisy = replace(b, witness=np.random.default_rng(0).normal(size=b.scores.shape))
    columns = gather(a, noisy).columns
    assert (columns["witness together"] < -0.5).all()
    assert (columns["witness together z"] < -np.arcsinh(5)).all()
    parts = gather(a, noisy).parts
    np.testing.assert_allclose(columns["witness intrinsic"] + columns["witness transfer"], parts.drop.value)


def test_directed_evidence_has_a_size():
    columns = gather(*pair(15)).columns
    assert set(SIZED) <= set(columns)
    for name in SIZED:
        np.testing.assert_array_equal(columns[f"size of {name}"], np.abs(columns[name]))

"""Each rule of the verdict on models trained here, at its limit and just beyond it: what is said on either side."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from xray.stats.transfer import SiteScores
from xray.stats.verdict import Evidence, gather, judge, prevalence_z

QUIET = Evidence(
    drop=0.05, drop_limit=0.09, transfer=0.0, transfer_p=0.5, intrinsic=0.0, intrinsic_p=0.5, others_transfer=0.0,
    others_transfer_p=0.5, others_intrinsic=0.0, others_intrinsic_p=0.5, excess_transfer=0.0, excess_transfer_se=0.01,
    excess_transfer_z=0.0, excess_intrinsic=0.0, excess_intrinsic_z=0.0, auc_away=0.8, auc_away_se=0.02, meaning_p=0.5,
    companions_p=0.5, z_prevalence=0.0, prevalence_p=0.5, images_p=0.5, images_all_p=0.5, implied_a=0.0,
    implied_observed=0.0, p_changed=0.001, fewest=100,
)  # fmt: skip
"""Something changed, and no evidence says what."""
UNSHOWN = {"p_changed": 0.9}
LOST = {"transfer": 0.05, "transfer_p": 0.001}
PICTURES = {"images_p": 0.001}
HIT = {"others_intrinsic": 0.05, "others_intrinsic_p": 0.0001}
LESS_COMMON = {"prevalence_p": 0.001, "implied_a": 4.0}
BY_RULES = {"prevalence_p": 0.001, "implied_observed": 4.0}
FAR = {"excess_transfer": 0.09, "excess_transfer_se": 0.02}
ALIKE = "loses as the others do"
MORE = "whether more than that"
UNHIT = "but the other findings do not lose"
ALONE = "this finding alone loses, and the images"
MUCH = "this finding alone loses, and much"
HARMLESS = "the images changed, but a drop"
UNCLEAR = "something changed, but no cause"
MEANING = "mean something else"


def verdict_of(**parts):
    (verdict,) = judge([replace(QUIET, **parts)])
    return f"{verdict.code}: {verdict.basis}"


RULES = [
    # both labelled the same images; too few; whether anything changed; what is excluded
    (LOST, "kappa_upper", 0.8, 0.799, MEANING, "label: both labelled"),
    (LOST, "kappa_lower", 0.8, 0.801, "label: ", "cannot tell: it looks like labels"),
    (LOST, "fewest", 10, 9, "label: ", "cannot tell: a site has only 9"),
    ({}, "p_changed", 0.05, 0.0499, "no change is shown", UNCLEAR),
    (UNSHOWN, "drop_limit", 0.1, 0.0999, "cannot tell: no change", "none: no change"),
    (PICTURES, "drop_limit", 0.1, 0.0999, "cannot tell: the images changed", "none: the images changed"),
    ({}, "images_p", 0.005, 0.00499, UNCLEAR, HARMLESS),
    ({}, "images_all_p", 0.005, 0.00499, UNCLEAR, HARMLESS),
    # the images changed: do the other findings lose
    (PICTURES | LOST | {"others_transfer": 0.03}, "others_transfer_p", 0.005, 0.00499, UNHIT, ALIKE),
    (PICTURES | LOST | {"others_transfer_p": 0.001}, "others_transfer", 0.01, 0.0101, UNHIT, ALIKE),
    (PICTURES | LOST | {"others_intrinsic": 0.03}, "others_intrinsic_p", 0.005, 0.00499, UNHIT, ALIKE),
    (PICTURES | LOST | {"others_intrinsic_p": 0.001}, "others_intrinsic", 0.02, 0.0201, UNHIT, ALIKE),
    # does this one
    (PICTURES | HIT | {"intrinsic": 0.05}, "intrinsic_p", 0.01, 0.00999, HARMLESS, ALIKE),
    (PICTURES | HIT | {"intrinsic_p": 0.001}, "intrinsic", 0.0, 0.0001, HARMLESS, ALIKE),
    # far more than the others
    (PICTURES | LOST | {"excess_transfer": 3 / 32}, "excess_transfer_se", 1 / 32, 0.031, UNHIT, ALONE),
    (PICTURES | LOST, "excess_transfer", 0.05, 0.0501, UNHIT, ALONE),
    (PICTURES | LOST | {"excess_transfer_se": 1 / 16}, "excess_transfer", 2.2 / 16, 0.1376, UNHIT, ALONE),
    (PICTURES | LOST | {"excess_transfer_se": 0.04}, "excess_transfer", 0.1, 0.1001, UNHIT, ALONE),
    (PICTURES | LOST | FAR, "companions_p", 0.002, 0.00199, ALONE, MUCH),
    (PICTURES | LOST | {"excess_transfer": 1 / 8}, "excess_transfer_se", 1 / 32, 0.031, ALONE, MUCH),
    (PICTURES | LOST, "excess_transfer", 0.1, 0.1001, ALONE, MUCH),
    # a shift that takes others .05 may take this one .03 more or less, one standard deviation
    (PICTURES | LOST | {"excess_transfer_se": 0.04, "others_transfer": 0.05}, "excess_transfer", 0.2, 0.201, ALONE, MUCH),
    (PICTURES | LOST | {"auc_away_se": 0.1}, "auc_away", 0.24, 0.2399, UNHIT, MUCH),
    # as the others, or more
    (PICTURES | LOST | HIT | {"excess_transfer_se": 1 / 32}, "excess_transfer", 1.5 / 32, 1.49 / 32, MORE, ALIKE),
    (PICTURES | LOST | HIT, "excess_intrinsic_z", 2.5, 2.501, ALIKE, MORE),
    (PICTURES | LOST | HIT, "prevalence_p", 0.003, 0.00299, "image: ", "image + prevalence: "),
    # the images changed without harm
    (PICTURES | LESS_COMMON, "prevalence_p", 0.02, 0.0199, HARMLESS, "prevalence: the images changed"),
    (PICTURES, "prevalence_p", 0.003, 0.00299, HARMLESS, "the label is more or less common"),
    # the images did not change: do all findings lose
    (LOST | {"others_transfer": 0.05}, "others_transfer_p", 0.001, 0.00099, MEANING, "all findings lose"),
    (LOST | {"others_transfer_p": 0.0001}, "others_transfer", 0.02, 0.0201, MEANING, "all findings lose"),
    (LOST | {"others_intrinsic": 0.05}, "others_intrinsic_p", 0.001, 0.00099, MEANING, "all findings lose"),
    (LOST | {"others_intrinsic_p": 0.0001}, "others_intrinsic", 0.03, 0.0301, MEANING, "all findings lose"),
    (LOST | HIT, "excess_transfer_z", 3.0, 2.99, MEANING, "all findings lose"),
    (LOST | HIT, "excess_intrinsic_z", 3.0, 2.99, MEANING, "all findings lose"),
    # is it harder here
    ({"intrinsic": 0.05, "excess_intrinsic_z": 4.0}, "intrinsic_p", 0.005, 0.00499, UNCLEAR, MEANING),
    ({"intrinsic_p": 0.001, "excess_intrinsic_z": 4.0}, "intrinsic", 0.03, 0.0301, UNCLEAR, MEANING),
    ({"intrinsic_p": 0.001, "intrinsic": 0.05}, "excess_intrinsic_z", 2.5, 2.501, UNCLEAR, MEANING),
    # do the scores imply another prevalence too
    (LOST, "implied_a", 3.0, 3.001, "label: ", "prevalence + label: "),
    (LOST, "implied_a", -3.0, -3.001, "label: ", "prevalence + label: "),
    (LOST | {"z_prevalence": 1.0}, "implied_a", 2.6, 2.601, "label: ", "prevalence + label: "),
    (LOST | {"implied_a": 2.8}, "z_prevalence", 0.0, 0.01, "label: ", "prevalence + label: "),
    (LOST | {"implied_a": -2.8}, "z_prevalence", 0.0, -0.01, "label: ", "prevalence + label: "),
    # a prevalence, or other rules
    (LESS_COMMON, "prevalence_p", 0.02, 0.0199, UNCLEAR, "prevalence: "),
    (BY_RULES, "prevalence_p", 0.02, 0.0199, UNCLEAR, "label: B's scores imply about A's"),
    (LESS_COMMON | {"implied_observed": 1.5}, "implied_a", 2.5, 2.501, UNCLEAR, "prevalence: "),
    (LESS_COMMON, "implied_observed", 2.5, 2.499, UNCLEAR, "prevalence: "),
    (LESS_COMMON | {"implied_observed": 3.0}, "implied_a", 6.0, 6.001, UNCLEAR, "prevalence: "),
    # is it ranked worse, or do scores mean something else, and does it matter
    ({"transfer_p": 0.001}, "transfer", 0.0099, 0.01, UNCLEAR, MEANING),
    ({"meaning_p": 0.0001}, "intrinsic", 0.0099, 0.01, UNCLEAR, MEANING),
    ({"meaning_p": 0.0001}, "intrinsic", -0.0099, -0.01, UNCLEAR, MEANING),
    ({"transfer": 0.05}, "transfer_p", 0.01, 0.00999, UNCLEAR, MEANING),
    ({"transfer_p": 0.001, "intrinsic": -0.05}, "transfer", 0.0, 0.001, UNCLEAR, MEANING),
    ({"transfer": 0.05}, "meaning_p", 0.001, 0.00099, UNCLEAR, MEANING),
    ({"intrinsic": 0.02, "intrinsic_p": 0.04}, "meaning_p", 0.01, 0.00999, UNCLEAR, MEANING),
    ({"intrinsic": 0.02, "meaning_p": 0.005}, "intrinsic_p", 0.05, 0.0499, UNCLEAR, MEANING),
    ({"transfer": 0.05, "meaning_p": 0.005, "intrinsic_p": 0.04}, "intrinsic", 0.0, 0.001, UNCLEAR, MEANING),
]  # fmt: skip
"""Situation, what varies, its limit, just beyond, and what is said at each."""


@pytest.mark.parametrize(("situation", "name", "limit", "beyond", "before", "after"), RULES)
def test_the_verdict_changes_exactly_at_the_limit(situation, name, limit, beyond, before, after):
    assert before in verdict_of(**situation | {name: limit})
    assert after in verdict_of(**situation | {name: beyond})
    assert after not in verdict_of(**situation | {name: limit})


def test_the_user_sets_the_excluded_drop_and_the_share_of_false_claims():
    cell = replace(QUIET, p_changed=0.2, drop_limit=0.04)
    assert judge([cell], margin=0.04)[0].code == "cannot tell"
    assert judge([cell], margin=0.041)[0].code == "none"
    assert "no change" in judge([cell], q=0.2)[0].basis
    assert "no change" not in judge([cell], q=0.201)[0].basis


@pytest.mark.parametrize(
    ("situation", "words"),
    [
        (PICTURES | HIT | FAR | LOST, "image + label: all findings lose, and this one far more"),
        (PICTURES | HIT | LOST | {"auc_away": 0.2}, "image + label: "),
        (LESS_COMMON | {"intrinsic_p": 0.001, "intrinsic": 0.05, "excess_intrinsic_z": 4.0}, "prevalence: "),
        (LESS_COMMON | {"kappa_lower": 0.9}, "prevalence: "),
        ({"kappa_lower": 0.9}, "cannot tell: something changed"),
        (PICTURES | LOST | {"others_transfer": np.nan}, "too few other findings"),
        (PICTURES | LOST | FAR | {"others_transfer": np.nan, "auc_away": 0.2}, "too few other findings"),
    ],
)
def test_causes_that_occur_together_are_named_together(situation, words):
    assert words in verdict_of(**situation)


def sites(n=300, copies=1, share=(0.3, 0.4)):
    rng = np.random.default_rng(0)
    parts = []
    for at, positive in enumerate(share):
        labels = np.repeat((rng.random((n, 3)) < positive).astype(float), copies, axis=0)
        scores = labels + rng.normal(size=labels.shape)
        labels[:7, 0] = np.nan
        patients = np.repeat(np.arange(n), copies) + n * at
        parts.append(SiteScores(labels, scores, scores + rng.normal(size=labels.shape), patients))
    return parts


@pytest.mark.parametrize("copies", [1, 3])
def test_a_prevalence_is_compared_by_the_patients_of_both_sites(copies):
    a, b = sites(copies=copies)
    z = prevalence_z(a, b, np.array([0, 2]))
    assert np.isnan(z).tolist() == [False, True, False]
    for task in (0, 2):
        means, variances = [], []
        for site in (a, b):
            labelled = ~np.isnan(site.labels[:, task])
            y, units = site.labels[labelled, task], np.unique(site.patients[labelled], return_inverse=True)[1]
            means.append(y.mean())
            variances.append((np.bincount(units, y - y.mean()) ** 2).sum() / y.size**2)
        assert z[task] == pytest.approx((means[1] - means[0]) / np.sqrt(sum(variances)))


def test_evidence_follows_from_its_parts():
    a, b = sites()
    parts, tilting, evidence = gather(a, b)
    z = prevalence_z(a, b, np.arange(3))
    for task, of in evidence.items():
        assert of.prevalence_p == pytest.approx(2 * norm.sf(abs(z[task])))
        assert of.implied_observed == pytest.approx(
            tilting.observed_gap[task] / tilting.observed_gap_se[task]
        )
        p_observed = 2 * norm.sf(abs(of.implied_observed))
        every = [of.transfer_p, of.intrinsic_p, of.meaning_p, of.companions_p, of.prevalence_p, p_observed]
        assert of.p_changed == pytest.approx(min(1, 6 * min(every)))
        assert (of.auc_away, of.auc_away_se) == (parts.auc[task, 0, 1], parts.auc_se[task, 0, 1])
        for name, beyond in (("transfer", parts.beyond_transfer), ("intrinsic", parts.beyond_intrinsic)):
            error = np.sqrt(beyond.excess.se[task] ** 2 + beyond.spread[task] ** 2)
            assert getattr(of, f"excess_{name}_z") == pytest.approx(beyond.excess.value[task] / error)


def test_labels_contradicted_by_scores_are_judged_by_the_implied_prevalence():
    a, b = sites(n=600, share=(0.4, 0.4))
    negative = np.flatnonzero(b.labels[:, 1] == 0)
    b.labels[negative[::4], 1] = 1
    negative = np.flatnonzero(a.labels[:, 1] == 0)
    a.labels[negative[::4], 1] = 1  # as often at A, so that only B's scores and labels are at odds
    b.of_a[:, 1] -= 1.0
    b.of_b[:, 1] -= 1.0
    of = gather(a, b)[2][1]
    p_observed = 2 * norm.sf(abs(of.implied_observed))
    others = [of.transfer_p, of.intrinsic_p, of.meaning_p, of.companions_p, of.prevalence_p]
    assert p_observed < min(others)
    assert of.p_changed == pytest.approx(6 * p_observed)


def test_without_a_significant_test_nothing_changed():
    a, _ = sites()
    same = SiteScores(a.labels, a.of_a, a.of_b, a.patients + 5000)
    assert {of.p_changed for of in gather(a, same)[2].values()} == {1.0}


def test_missing_tests_do_not_count():
    a, b = (SiteScores(of.labels[:, 1:2], of.of_a[:, 1:2], of.of_b[:, 1:2], of.patients) for of in sites())
    _, tilting, evidence = gather(a, b)
    assert tilting is not None
    of = evidence[0]
    p_observed = 2 * norm.sf(abs(of.implied_observed))
    assert np.isnan(of.companions_p)
    every = [of.transfer_p, of.intrinsic_p, of.meaning_p, of.prevalence_p, p_observed]
    assert of.p_changed == pytest.approx(min(1, 5 * min(every)))


def test_without_both_classes_there_is_no_evidence():
    a, b = sites()
    b.labels[:] = 0
    parts, tilting, evidence = gather(a, b)
    assert (tilting, evidence) == (None, {})
    assert set(parts.reason) != {""}

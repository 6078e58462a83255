"""Verdicts in simulated worlds whose cause was planted, and what a verdict says. Development seeds only (below 1,000)."""

from dataclasses import astuple, replace
from functools import cache

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from benchmarks._worlds import KINDS, draw_world
from xray.stats.concept import companions_changed, meaning_changed
from xray.stats.transfer import SiteScores
from xray.stats.verdict import gather, gather_both, judge

CLEAR = {
    "none": 1,
    "image, invertible": 0,
    "image, destroys": 0,
    "prevalence": 1,
    "label redefined": 0,
    "label noise": 0,
    "image + prevalence": 13,
    "image + redefined": 0,
}
"""Kind → a development seed in which the cause is plain."""


world_of = cache(draw_world)


@cache
def gathered(kind, seed):
    world = world_of(kind, seed)
    return gather(world.a, world.b)[2]


def verdicts(kind, seed):
    world, evidence = world_of(kind, seed), gathered(kind, seed)
    return world, dict(zip(evidence, judge(list(evidence.values())), strict=True))


@pytest.mark.parametrize("kind", CLEAR)
def test_a_clear_cause_is_named(kind):
    world, result = verdicts(kind, CLEAR[kind])
    assert result[world.task].causes == KINDS[kind], result[world.task]
    if KINDS[kind]:
        assert result[world.task].assumption


def test_the_cause_of_one_finding_is_not_that_of_the_others():
    world, result = verdicts("label redefined", 0)
    assert {result[task].code for task in result if task != world.task} <= {"none", "cannot tell"}


def test_an_undecided_verdict_says_what_would_resolve_it():
    few = world_of("none", 1)
    usable = slice(0, 150)
    a, b = (
        SiteScores(s.labels[usable], s.of_a[usable], s.of_b[usable], s.patients[usable])
        for s in (few.a, few.b)
    )
    _, _, evidence = gather(a, b)
    verdict = [item for item in judge(list(evidence.values())) if item.causes is None]
    assert verdict
    assert all(item.resolve for item in verdict)


def test_disagreement_of_labels_on_the_same_images_is_direct_evidence():
    world, evidence = world_of("label redefined", 0), gathered("label redefined", 0)
    own = evidence[world.task]
    (verdict,) = judge([replace(own, kappa_lower=0.1, kappa_upper=0.4)])
    assert verdict.code == "label"
    assert "same images" in verdict.basis
    (verdict,) = judge([replace(own, kappa_lower=0.9, kappa_upper=0.99)])
    assert verdict.code == "cannot tell"


def test_a_single_finding_is_not_blamed_on_labels_when_images_changed():
    """A shortcut that points the other way at B turns scores upside down as well as other labels do."""
    world, evidence = world_of("image + redefined", 0), gathered("image + redefined", 0)
    own = replace(evidence[world.task], auc_away=0.3, auc_away_se=0.01)
    assert "label" in judge([own])[0].code
    others = [
        "others_transfer",
        "others_intrinsic",
        "excess_transfer",
        "excess_transfer_se",
        "excess_intrinsic",
    ]
    names = [*others, "others_transfer_p", "others_intrinsic_p", "excess_transfer_z", "excess_intrinsic_z"]
    (verdict,) = judge([replace(own, companions_p=np.nan, **dict.fromkeys(names, np.nan))])
    assert verdict.code == "cannot tell"
    assert "too few other findings" in verdict.basis
    assert verdict.resolve


def harmlessly_exposed(world, tasks):
    """The world with B's pictures darker: the scores of some findings are moved and spread, and rank as before."""
    of_a, of_b = world.b.of_a.copy(), world.b.of_b.copy()
    for scores in (of_a, of_b):
        scores[:, tasks] = 1.4 * scores[:, tasks] + 0.8
    return gather(world.a, SiteScores(world.b.labels, of_a, of_b, world.b.patients))[2]


def test_changed_images_without_loss_are_called_harmless():
    world = world_of("none", 2)
    evidence = harmlessly_exposed(world, slice(None))
    verdict = judge(list(evidence.values()))
    assert all(item.images_all_p < 1e-6 for item in evidence.values())
    assert all(item.p_adjusted < 0.05 for item in verdict), "the shift is seen in every finding"
    assert {item.code for item in verdict} == {"none"}, verdict
    assert all("images changed" in item.basis for item in verdict)
    (unsure,) = judge([replace(evidence[world.task], drop_limit=0.12)])
    assert unsure.code == "cannot tell"
    assert unsure.resolve


def test_a_prevalence_is_named_beside_harmless_changed_images():
    world = world_of("prevalence", 10)
    others = [task for task in range(world.a.labels.shape[1]) if task != world.task]
    own = harmlessly_exposed(world, others)[world.task]
    (verdict,) = judge([own])
    assert own.images_all_p < 1e-6
    assert verdict.code == "prevalence"
    assert "images changed" in verdict.basis
    assert verdict.assumption
    (unsure,) = judge([replace(own, implied_a=0.0, implied_observed=-own.implied_a)])
    assert unsure.code == "cannot tell", "the label is more common, the scores say nothing of it"
    assert unsure.resolve


def test_scores_decide_between_another_prevalence_and_another_threshold():
    """A finding without loss, labelled more often: z of the prevalence that the scores imply, from A's and from B's."""
    own = gathered("prevalence", 10)[world_of("prevalence", 10).task]
    by_key = {
        (to_a, to_b): judge([replace(own, implied_a=to_a, implied_observed=to_b)])[0].code
        for to_a, to_b in (
            (2.3, 0.5),
            (0.5, -2.3),
            (1.9, -0.5),
            (2.9, -2.2),
            (6.0, 3.1),
            (6.0, 2.9),
            (0.0, 0.0),
        )
    }
    assert by_key == {
        (2.3, 0.5): "prevalence",
        (0.5, -2.3): "label",
        (1.9, -0.5): "cannot tell",  # a likelihood ratio of e^1.7 only
        (2.9, -2.2): "cannot tell",
        (6.0, 3.1): "cannot tell",  # far from both
        (6.0, 2.9): "prevalence",
        (0.0, 0.0): "cannot tell",
    }


def test_a_handful_of_one_class_names_no_cause():
    world, evidence = world_of("label redefined", 0), gathered("label redefined", 0)
    own = evidence[world.task]
    labels = [site.labels[:, world.task] for site in (world.a, world.b)]
    assert own.fewest == min(int((item == value).sum()) for item in labels for value in (0, 1))
    assert judge([replace(own, fewest=10)])[0].code == "label"
    (verdict,) = judge([replace(own, fewest=9)])
    assert verdict.code == "cannot tell"
    assert "9 of one class" in verdict.basis
    assert verdict.resolve


def test_false_discoveries_are_controlled_over_the_whole_family():
    cells = list(gathered("label noise", 0).values())
    alone = [judge([cell])[0].p_adjusted for cell in cells]
    together = [item.p_adjusted for item in judge(cells)]
    assert alone == pytest.approx([cell.p_changed for cell in cells])
    assert together == pytest.approx(false_discovery_control(alone))
    assert max(np.subtract(together, alone)) > 0.01
    changed = replace(max(cells, key=lambda cell: cell.transfer), p_changed=0.04)
    quiet = replace(changed, p_changed=0.9)
    assert not judge([changed])[0].basis.startswith("no change")
    assert judge([changed, *[quiet] * 19])[0].basis.startswith("no change")


def two_sites(rng, n=1500, slope=1.0, shift=0.0):
    """One finding and a companion; B's labels follow the same score with another slope or intercept."""
    sites = []
    for at, (k, c) in enumerate(((1.0, 0.0), (slope, shift))):
        scores = rng.normal(size=(n, 2)) * 1.5
        own = scores.mean(axis=1)
        labels = (rng.random(n) < 1 / (1 + np.exp(-(2 * k * own - 1 + c)))).astype(float)
        companion = (rng.random(n) < 0.2 + 0.3 * labels).astype(float)
        two = np.column_stack([labels, companion])
        sites.append(SiteScores(two, scores[:, :1] * [1, 1], scores[:, 1:] * [1, 1], np.arange(n) + at * n))
    return sites


def meaning(sites):
    return meaning_changed(*sites, np.array([0]))[0]


def test_the_test_of_meaning_ignores_prevalence_and_detects_another_slope():
    rng = np.random.default_rng(4)
    null = [meaning(two_sites(rng, 600, shift=-0.8)) for _ in range(100)]
    assert np.mean(np.array(null) < 0.05) < 0.12
    assert meaning(two_sites(rng, slope=0.2)) < 1e-6
    assert meaning(two_sites(rng, slope=-1)) < 1e-12


def test_the_test_of_meaning_finds_no_change_when_scores_separate_the_classes():
    rng = np.random.default_rng(5)
    for _ in range(10):
        sites = []
        for at in range(2):
            labels = (rng.random((400, 1)) < 0.3).astype(float)
            scores = 12 * labels + rng.normal(size=labels.shape)
            sites.append(SiteScores(labels, scores, scores + 0.1, np.arange(400) + 400 * at))
        assert meaning(sites) > 0.05


def test_the_test_of_companions_depends_on_labels_only():
    rng = np.random.default_rng(6)
    a, b = two_sites(rng)
    same = companions_changed(a, b, np.arange(2))[0]
    blind = SiteScores(b.labels, 0 * b.of_a, 0 * b.of_b, b.patients)
    assert companions_changed(a, blind, np.arange(2))[0] == same
    shuffled = b.labels.copy()
    shuffled[:, 0] = rng.permutation(shuffled[:, 0])
    assert companions_changed(a, SiteScores(shuffled, b.of_a, b.of_b, b.patients), np.arange(2))[0] < 1e-4


def test_both_directions_together_equal_each_direction_alone():
    world = world_of("prevalence + redefined", 0)
    a, b = world.a, world.b
    forward, back = gather_both(a, b)
    turned = [SiteScores(site.labels, site.of_b, site.of_a, site.patients) for site in (b, a)]
    for result, alone in ((forward, gather(a, b)), (back, gather(*turned))):
        assert result[2].keys() == alone[2].keys()
        for task, evidence in alone[2].items():
            assert astuple(result[2][task]) == pytest.approx(
                astuple(evidence), rel=1e-9, abs=1e-12, nan_ok=True
            )
        np.testing.assert_allclose(result[0].drop.lower, alone[0].drop.lower, rtol=1e-12)
    assert back[2][world.task].drop != pytest.approx(forward[2][world.task].drop)

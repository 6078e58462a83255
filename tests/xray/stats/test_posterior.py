"""From evidence to probabilities and shares: the shipped coefficients, and a network small enough to compute by hand."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from benchmarks._strangers import draw_world
from benchmarks._truth import AS_ARCHIVES
from xray.stats.boosted import LEAF, Trees
from xray.stats.evidence import gather
from xray.stats.posterior import (
    BY_PATIENTS,
    GROUPS,
    OUTPUTS,
    Coefficients,
    Seen,
    causes,
    causes_by,
    coefficients,
    ordered,
    outputs,
    parse,
    probabilities,
    shares,
    standardised,
    unlikeness,
    written,
)
from xray.stats.shipped import VARIANTS, fingerprint


@pytest.fixture(scope="module")
def evidence():
    world = draw_world(11, ("noise, lost channels",))
    return gather(world.a, world.b)


def stumps(rng):
    """A tree for each cause: one limit of the first input."""
    column, value = np.tile([0, LEAF, LEAF], 4), rng.normal(size=12)
    right, missing = (
        np.repeat(np.arange(0, 12, 3), 3) + np.tile([2, 0, 0], 4),
        np.tile([True, False, False], 4),
    )
    return Trees(column, value, right, missing, np.arange(0, 12, 3), np.arange(4), rng.normal(size=4))


def small(rng, networks=2, p=3, hidden=2):
    return Coefficients(
        ("drop", "others' drop", "images z"), rng.normal(size=p), rng.uniform(0.5, 2, p), stumps(rng),
        rng.normal(size=(networks, p, hidden)), rng.normal(size=(networks, hidden)),
        rng.normal(size=(networks, hidden, 16)), rng.normal(size=(networks, 16)), rng.uniform(1, 2, (5, 4)),
        np.eye(p)[:, :2], np.array([2.0, 0.5]), 1.5, 3.0,
    )  # fmt: skip


def softplus(x):
    return np.log1p(np.exp(x))


def by_hand(c, x, drop, se):
    """Middles and sides of shares, of each network and cause."""
    middle, low, high = (np.zeros((2, 4)) for _ in range(3))
    for k in range(2):
        hidden = [
            np.tanh(sum(x[i] * c.first[k, i, h] for i in range(3)) + c.first_bias[k, h]) for h in range(2)
        ]
        out = [sum(hidden[h] * c.second[k, h, o] for h in range(2)) + c.second_bias[k, o] for o in range(16)]
        unit = abs(drop) + 2 * se
        for cause in range(4):
            middle[k, cause] = out[cause] * drop + 0.1 * unit * out[4 + cause]
            low[k, cause] = unit * softplus(out[8 + cause] - 2)
            high[k, cause] = unit * softplus(out[12 + cause] - 2)
    return middle.mean(0), low.mean(0), high.mean(0)


@pytest.mark.parametrize(
    ("fewest", "column"), [(1, 0), (19, 0), (20, 1), (39, 1), (40, 2), (80, 3), (159, 3), (160, 4)]
)
def test_answers_equal_a_hand_computation(fewest, column):
    rng = np.random.default_rng(0)
    c = small(rng)
    x, drop, se = rng.normal(size=3), -0.07, 0.02
    middle, low, high = by_hand(c, x, drop, se)
    out = outputs(c, x[None])
    share, lower, upper = shares(c, out, Seen(np.array([drop]), np.array([se]), np.array([fewest])))
    np.testing.assert_allclose(share[0], middle)
    np.testing.assert_allclose(lower[0], middle - c.widen[column] * low)
    np.testing.assert_allclose(upper[0], middle + c.widen[column] * high)


def test_probabilities_are_by_evidence_as_it_is():
    c = small(np.random.default_rng(7))
    value = c.trees.value.reshape(4, 3)
    raw = np.array([[value[0, 0] - 0.1, 9, 9], [value[0, 0] + 0.1, 9, 9], [np.nan, 9, 9]])
    leaf = [1, 2, 1]
    for x, at in zip(raw, leaf, strict=True):
        expected = 1 / (1 + np.exp(-(c.trees.start[0] + value[0, at])))
        assert probabilities(c, x[None])[0, 0] == pytest.approx(expected)


def test_shares_and_bounds_stay_within_the_possible_loss_of_auc():
    rng = np.random.default_rng(5)
    c = small(rng)
    c = replace(c, second=c.second * 50)
    observed = Seen(np.full(200, 0.9), np.full(200, 0.4), np.full(200, 50))
    share, lower, upper = shares(c, outputs(c, rng.normal(size=(200, 3))), observed)
    assert lower.min() == -1
    assert upper.max() == 1
    assert (lower <= share).all()
    assert (share <= upper).all()


def test_a_larger_drop_or_a_larger_error_makes_wider_intervals():
    rng = np.random.default_rng(6)
    c = small(rng)
    out, at = outputs(c, rng.normal(size=(1, 3))), np.array([50])
    one, larger, less_sure = (
        np.subtract(*shares(c, out / 20, Seen(np.array([drop]), np.array([se]), at))[:0:-1])
        for drop, se in ((0.05, 0.01), (0.10, 0.01), (0.05, 0.02))
    )
    np.testing.assert_allclose(larger / one, 0.12 / 0.07)
    np.testing.assert_allclose(less_sure / one, 0.09 / 0.07)


def test_distance_is_along_axes_and_off_them():
    c = small(np.random.default_rng(1))
    distance = unlikeness(c, np.array([[1.0, 2.0, 3.0]]))
    assert distance[0] == pytest.approx(np.sqrt(1 / 2 + 4 / 0.5 + 9 / 1.5))


def test_evidence_is_standardised_clipped_and_zero_when_missing():
    c = small(np.random.default_rng(2))
    raw = ordered(c, {"drop": np.array([c.centre[0] + 0.5 * c.scale[0], np.inf, 1e9])})
    np.testing.assert_array_equal(np.isnan(raw), [[False, True, True], [True] * 3, [False, True, True]])
    x = standardised(c, raw)
    np.testing.assert_allclose(x, [[0.5, 0, 0], [0, 0, 0], [5, 0, 0]])


def test_coefficients_are_read_back_unchanged():
    c = small(np.random.default_rng(3))
    again = parse(written(c))
    for name in Coefficients.__dataclass_fields__:
        if name == "names":
            assert again.names == c.names
        elif name == "trees":
            for part in Trees.__dataclass_fields__:
                np.testing.assert_allclose(getattr(again.trees, part), getattr(c.trees, part), rtol=1e-3)
        else:
            np.testing.assert_allclose(getattr(again, name), getattr(c, name), rtol=1e-3)


@pytest.mark.parametrize("variant", VARIANTS.values())
def test_shipped_coefficients_are_complete(variant):
    c = coefficients(variant)
    assert len(c.names) == len(set(c.names)) == len(c.centre) == c.first.shape[1] == len(c.axes)
    assert c.second.shape[2] == OUTPUTS
    assert c.widen.shape == (len(BY_PATIENTS) + 1, 4)
    assert (c.scale > 0).all()
    assert (c.widen > 0).all()
    assert set(c.trees.answers) == set(range(4))
    assert c.trees.column.max() < len(c.names)
    assert np.isfinite(c.trees.value[c.trees.column == LEAF]).all()
    assert not np.isnan(c.trees.value).any()  # up to infinity: whether a number is missing
    assert len(fingerprint(variant)) == 64
    assert ("witness" in variant) == any("witness" in name for name in c.names)
    assert ("covariates" in variant) == any("covariates" in name for name in c.names)


def test_every_gathered_column_is_used(evidence):
    assert set(coefficients("witness_covariates").names) == set(evidence.columns)


def test_shares_are_of_the_drop_and_lie_within_their_intervals(evidence):
    answers = causes(evidence)
    drop = evidence.parts.drop
    left = drop.value[evidence.tasks] - answers.share.sum(axis=1)
    assert (np.abs(left) < 3 * drop.se[evidence.tasks] + 0.5 * np.abs(drop.value[evidence.tasks])).all()
    assert (answers.lower < answers.share).all()
    assert (answers.share < answers.upper).all()
    assert (answers.upper - answers.lower).max() < 1
    assert ((answers.probability > 0) & (answers.probability < 1)).all()
    c = coefficients("witness_covariates")
    observed = Seen(drop.value[evidence.tasks], drop.se[evidence.tasks], evidence.fewest)
    again = shares(c, outputs(c, standardised(c, ordered(c, evidence.columns))), observed)
    for of, same in zip((answers.share, answers.lower, answers.upper), again, strict=True):
        np.testing.assert_array_equal(of, same)


@pytest.mark.parametrize("seed", [320_178, 320_192])
def test_sites_as_large_as_archives_are_like_the_simulated_ones(seed):
    """Of each of these, with up to 40,000 images, no finding was while the fit knew small sites only."""
    world = draw_world(seed, images=AS_ARCHIVES)
    assert causes(gather(world.a, world.b)).alike.all()


def test_extreme_evidence_is_unlike_the_simulated_cases(evidence):
    assert causes(evidence).alike.mean() > 0.5
    rng = np.random.default_rng(4)
    columns = {name: rng.choice([-1e3, 1e3], of.shape) for name, of in evidence.columns.items()}
    nowhere = causes(replace(evidence, columns=columns))
    assert not nowhere.alike.any()
    assert (nowhere.distance > 1).all()


@pytest.mark.parametrize(
    ("strange", "variant"),
    [
        (("witness",), "scores_covariates"),
        (("covariates", "case mix"), "witness"),
        (("witness", "covariates", "case mix"), "scores"),
        (("drop", "witness"), "witness_covariates"),  # it is like them by no evidence
    ],
)
def test_evidence_with_which_a_case_is_unlike_the_simulated_ones_is_left_out(evidence, strange, variant):
    """Of the one finding that is strange; the others keep all of it."""
    whole = causes(evidence)
    at = int(np.argmax(whole.alike))
    columns = {name: of.copy() for name, of in evidence.columns.items()}
    rng = np.random.default_rng(0)
    for name, of in columns.items():
        if any(word in name for word in strange):
            of[at] = rng.choice([-1e3, 1e3])
    answers = causes(replace(evidence, columns=columns))
    others = np.arange(whole.alike.size) != at
    assert set(answers.variants[others & whole.alike]) <= {"witness_covariates"}
    np.testing.assert_array_equal(answers.probability[others], whole.probability[others])
    assert answers.variants[at] == variant
    alone = causes_by(replace(evidence, columns=columns), variant)
    for name in ("probability", "share", "lower", "upper", "alike", "distance"):
        np.testing.assert_array_equal(getattr(answers, name)[at], getattr(alone, name)[at], err_msg=name)
    assert answers.alike[at] == ("drop" not in strange)
    for words, of in answers.contributions.items():
        expected = alone.contributions[words][at] if words in alone.contributions else np.zeros(4)
        np.testing.assert_array_equal(of[at], expected, err_msg=words)


def test_covariates_are_left_out_before_the_witness(evidence):
    """Of a finding that is unlike by all its evidence, and like the simulated ones without either."""
    c, at = coefficients("witness_covariates"), int(np.argmin(causes(evidence).distance))
    signs = np.random.default_rng(1).choice([-1, 1], len(c.names))
    for times in np.arange(0, 5, 0.05):
        columns = {name: of.copy() for name, of in evidence.columns.items()}
        for name, centre, scale, sign in zip(c.names, c.centre, c.scale, signs, strict=True):
            if any(word in name for word in ("witness", "covariates", "case mix")):
                columns[name][at] = centre + sign * times * scale
        of = replace(evidence, columns=columns)
        alike = {name: bool(causes_by(of, name).alike[at]) for name in VARIANTS.values()}
        if not alike["witness_covariates"]:
            break
    assert alike == {
        "scores": True,
        "scores_covariates": True,
        "witness": True,
        "witness_covariates": False,
    }
    assert causes(of).variants[at] == "witness"


def test_a_witness_or_covariates_that_are_not_there_are_not_used(evidence):
    for witness, covariates in itertools.product((True, False), repeat=2):
        of = replace(evidence, witness=witness, covariates=covariates)
        assert VARIANTS[witness, covariates] in causes(of).variants
        assert all(
            has[0] <= witness and has[1] <= covariates
            for has, name in VARIANTS.items()
            if name in causes(of).variants
        )


def test_a_contribution_is_the_loss_without_a_group_of_evidence(evidence):
    answers = causes(evidence)
    c = coefficients("witness_covariates")
    assert set(answers.contributions) == set(GROUPS)
    raw = ordered(c, evidence.columns)
    own = [name.removeprefix("others' ").removeprefix("size of ").startswith("witness") for name in c.names]
    without = probabilities(c, np.where(own, c.centre, raw))
    np.testing.assert_allclose(
        answers.contributions["the network of the other site"], answers.probability - without
    )


def test_less_evidence_uses_the_coefficients_for_it(evidence):
    bare = {
        n: of
        for n, of in evidence.columns.items()
        if "witness" not in n and "case mix" not in n and "covariates" not in n
    }
    answers = causes(replace(evidence, columns=bare, witness=False, covariates=False))
    same = causes_by(replace(evidence, columns=bare), "scores")
    np.testing.assert_allclose(answers.probability, same.probability)


@pytest.mark.parametrize(("times", "alike"), [(0.99, True), (1.01, False), (1.9, False)])
def test_a_case_is_alike_up_to_the_limit_of_its_distance(evidence, times, alike):
    c = coefficients("witness_covariates")
    far = unlikeness(c, standardised(c, ordered(c, evidence.columns)))
    answers = causes_by(evidence, "witness_covariates", replace(c, limit=float(far[0] / times)))
    assert answers.distance[0] == pytest.approx(times)
    assert answers.alike[0] == alike

"""From evidence to probabilities and shares: the shipped coefficients, and a network small enough to compute by hand."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks._strangers import draw_world
from xray.stats.evidence import gather
from xray.stats.posterior import (
    GROUPS,
    WIDEST,
    Coefficients,
    answered,
    causes,
    coefficients,
    parse,
    standardised,
    unlikeness,
    written,
)
from xray.stats.shipped import VARIANTS, fingerprint


@pytest.fixture(scope="module")
def evidence():
    world = draw_world(11, ("noise, lost channels",))
    return gather(world.a, world.b)


def small(rng, networks=2, p=3, hidden=2):
    return Coefficients(
        ("drop", "others' drop", "images z"), rng.normal(size=p), rng.uniform(0.5, 2, p),
        rng.normal(size=(networks, p, hidden)), rng.normal(size=(networks, hidden)),
        rng.normal(size=(networks, hidden, 12)), rng.normal(size=(networks, 12)),
        rng.uniform(0.5, 1, (networks, 4)), rng.normal(size=(networks, 4)), rng.uniform(1, 2, 4),
        np.eye(p)[:, :2], np.array([2.0, 0.5]), 1.5, 3.0,
    )  # fmt: skip


def test_answers_are_those_computed_by_hand():
    rng = np.random.default_rng(0)
    c = small(rng)
    x, drop = rng.normal(size=(1, 3)), np.array([0.07])
    p, means, variances = np.zeros((2, 4)), np.zeros((2, 4)), np.zeros((2, 4))
    for k in range(2):
        hidden = [
            np.tanh(sum(x[0, i] * c.first[k, i, h] for i in range(3)) + c.first_bias[k, h]) for h in range(2)
        ]
        out = [sum(hidden[h] * c.second[k, h, o] for h in range(2)) + c.second_bias[k, o] for o in range(12)]
        for cause in range(4):
            p[k, cause] = 1 / (1 + np.exp(-(c.slope[k, cause] * out[cause] + c.intercept[k, cause])))
            means[k, cause] = out[4 + cause]
            variances[k, cause] = np.exp(min(max(out[8 + cause], -9), 1)) ** 2
    probability, share, spread = answered(c, x, drop)
    np.testing.assert_allclose(probability[0], p.mean(axis=0))
    variance = variances.mean(axis=0) + means.var(axis=0)
    np.testing.assert_allclose(spread[0], np.sqrt(variance))
    left = 0.07 - means.mean(axis=0).sum()
    np.testing.assert_allclose(share[0], means.mean(axis=0) + left * variance / variance.sum())


def test_distance_is_along_axes_and_off_them():
    c = small(np.random.default_rng(1))
    found = unlikeness(c, np.array([[1.0, 2.0, 3.0]]))
    assert found[0] == pytest.approx(np.sqrt(1 / 2 + 4 / 0.5 + 9 / 1.5))


def test_evidence_is_standardised_cut_and_zero_where_missing():
    c = small(np.random.default_rng(2))
    x = standardised(c, {"drop": np.array([c.centre[0] + 0.5 * c.scale[0], np.nan, 1e9])})
    np.testing.assert_allclose(x, [[0.5, 0, 0], [0, 0, 0], [WIDEST, 0, 0]])


def test_coefficients_survive_being_written():
    c = small(np.random.default_rng(3))
    again = parse(written(c))
    for name in Coefficients.__dataclass_fields__:
        if name == "names":
            assert again.names == c.names
        else:
            np.testing.assert_allclose(getattr(again, name), getattr(c, name), rtol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS.values())
def test_shipped_coefficients_are_whole(variant):
    c = coefficients(variant)
    assert len(c.names) == len(set(c.names)) == len(c.centre) == c.first.shape[1] == len(c.axes)
    assert c.second.shape[2] == 12
    assert (c.scale > 0).all()
    assert (c.widen > 0).all()
    assert (c.slope > 0).all()
    assert len(fingerprint(variant)) == 64
    assert ("witness" in variant) == any("witness" in name for name in c.names)
    assert ("covariates" in variant) == any("covariates" in name for name in c.names)


def test_every_column_that_is_gathered_is_used(evidence):
    assert set(coefficients("witness_covariates").names) == set(evidence.columns)


def test_shares_sum_to_the_drop_and_lie_within_their_intervals(evidence):
    found = causes(evidence)
    drop = evidence.parts.drop.value[evidence.tasks]
    np.testing.assert_allclose(found.share.sum(axis=1), drop)
    assert (found.lower < found.share).all()
    assert (found.share < found.upper).all()
    assert ((found.probability > 0) & (found.probability < 1)).all()
    half = (found.upper - found.lower) / 2
    c = coefficients("witness_covariates")
    np.testing.assert_allclose(half, c.widen * answered(c, standardised(c, evidence.columns), drop)[2])


def test_evidence_of_nowhere_is_unlike_the_simulated_cases(evidence):
    assert causes(evidence).alike.mean() > 0.5
    rng = np.random.default_rng(4)
    columns = {name: rng.choice([-1e3, 1e3], of.shape) for name, of in evidence.columns.items()}
    nowhere = causes(replace(evidence, columns=columns))
    assert not nowhere.alike.any()
    assert (nowhere.distance > 1).all()


def test_a_contribution_is_what_is_lost_without_a_group_of_evidence(evidence):
    found = causes(evidence)
    c = coefficients("witness_covariates")
    assert set(found.contributions) == set(GROUPS)
    x = standardised(c, evidence.columns)
    own = [name.removeprefix("others' ").removeprefix("size of ").startswith("witness") for name in c.names]
    without = answered(c, np.where(own, 0, x), evidence.parts.drop.value[evidence.tasks])[0]
    np.testing.assert_allclose(
        found.contributions["the network of the other site"], found.probability - without
    )


def test_fewer_evidence_takes_the_coefficients_of_that(evidence):
    bare = {
        n: of
        for n, of in evidence.columns.items()
        if "witness" not in n and "case mix" not in n and "covariates" not in n
    }
    found = causes(replace(evidence, columns=bare, witness=False, covariates=False))
    same = causes(replace(evidence, columns=bare), coefficients("scores"))
    np.testing.assert_allclose(found.probability, same.probability)

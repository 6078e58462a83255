"""Simulated pairs of sites: truth by swapping, shares that sum, and mechanisms that do only what they are for."""

from functools import partial
from itertools import product

import numpy as np
import pytest

from benchmarks._simulated import rows
from benchmarks._strangers import FAMILIES, draw_world
from benchmarks._truth import CAUSES, truth
from benchmarks._worlds import mixed_world
from benchmarks.causes import Answers, calibration, one_each, outcomes, rates


def swapped(effects, joint=0.0):
    """AUC of two tasks in all mixtures: .9 minus what each part takes, and what image and label take together."""
    return {
        at: np.array(
            [0.9 - sum(e * on for e, on in zip(effects, at, strict=True)) - joint * at[0] * at[3], 0.8]
        )
        for at in product((0, 1), repeat=4)
    }


SAME = (np.array([0.2, 0.1]),) * 3
NOTHING = {"image": False, "population": False, "label": np.zeros(2, dtype=bool)}


def test_shares_are_shapley_values_and_sum_to_the_drop():
    shares = truth(swapped((0.1, 0.02, 0.0, 0.04), joint=0.06), SAME, NOTHING)
    np.testing.assert_allclose(shares.shares, [[0.13, 0.02, 0, 0.07], [0, 0, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(shares.shares.sum(axis=1), shares.drop, atol=1e-12)
    assert shares.counts.tolist() == [[True, False, False, True], [False] * 4]


def test_a_cause_counts_from_its_limit():
    assert truth(swapped((0.031, 0.031, 0.031, 0.031)), SAME, NOTHING).counts[0].tolist() == [
        True,
        True,
        False,
        True,
    ]
    assert not truth(swapped((0.029, 0.029, 0.029, 0.029)), SAME, NOTHING).counts.any()


@pytest.mark.parametrize(
    ("factor", "counts", "planted"), [(1.1, False, False), (1.3, False, True), (1.6, True, True)]
)
def test_prevalence_and_label_changes_count_by_their_factor(factor, counts, planted):
    common = np.array([0.2, 0.2])
    more = truth(swapped((0, 0, 0, 0)), (common, common * factor, common * factor), NOTHING)
    assert (more.counts[0, 2], more.drawn[0, 2], more.counts[0, 3]) == (counts, planted, False)
    relabelled = truth(swapped((0, 0, 0, 0)), (common, common, common / factor), NOTHING)
    assert (relabelled.counts[0, 2], relabelled.counts[0, 3]) == (False, counts)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mechanism_contributes_only_to_its_own_cause(family):
    cause = CAUSES.index(FAMILIES[family][0])
    world = draw_world(5, (family,))
    shares = np.abs(np.nan_to_num(world.shares)).max(axis=0)
    others = [k for k in range(4) if k not in (cause, 2)]
    assert shares[others].max() < 1e-9
    assert world.drawn[:, cause].any()
    np.testing.assert_allclose(world.shares.sum(axis=1), world.drop, atol=1e-9)


@pytest.mark.parametrize(
    ("draw", "error_of_truth"), [(draw_world, 0.0), (partial(mixed_world, "image, destroys"), 0.04)]
)
def test_the_same_hospitals_can_be_tested_on_as_many_images_as_archives_have(draw, error_of_truth):
    ordinary, large = draw(seed=11), draw(seed=11, images=(9000, 9500))
    np.testing.assert_allclose(ordinary.shares, large.shares, atol=error_of_truth)
    assert max(len(ordinary.a.labels), len(ordinary.b.labels)) <= 5000
    for site in (large.a, large.b):
        assert 9000 <= len(site.labels) <= 9500
    assert not np.intersect1d(large.a.patients, large.b.patients).size


def test_the_same_seed_is_the_same_world():
    one, two = draw_world(7), draw_world(7)
    assert one.families == two.families
    np.testing.assert_array_equal(one.a.scores, two.a.scores)
    np.testing.assert_array_equal(one.shares, two.shares)


def test_worlds_of_the_first_generator_have_the_truth_of_all_findings():
    world = mixed_world("label redefined", 0)
    assert world.counts.any(axis=0).tolist() == [False, False, False, True]
    assert world.counts[:, 3].sum() == 1
    image = mixed_world("image, destroys", 0)
    assert image.counts[:, 0].sum() >= 2
    np.testing.assert_allclose(image.shares[:, 1:], 0, atol=1e-9)


@pytest.fixture(scope="module")
def some():
    return rows([draw_world(8, ("noise",)), draw_world(9, ("mixed channels",))])


def answers_of(some, probability):
    n = len(some)
    nothing = np.zeros((n, 4))
    return Answers(np.tile(np.array(probability), (n, 1)), nothing, nothing, nothing, np.ones(n, dtype=bool))


def test_verdicts_are_graded_by_outcome(some):
    one = some.take(np.arange(1))
    for planted, counts, probability, outcome in [
        ("", "", (0, 0, 0, 0), "exact"),
        ("", "", (0.95, 0, 0, 0), "false"),
        ("i", "", (0.95, 0, 0, 0), "exact"),
        ("i", "i", (0, 0, 0, 0), "missed"),
        ("i", "i", (0.5, 0, 0, 0), "cannot tell"),
        ("il", "il", (0.95, 0, 0, 0), "part"),
        ("il", "il", (0.95, 0, 0.95, 0), "false"),
        ("l", "l", (0.95, 0, 0, 0), "misdirected"),
    ]:
        for name, letters in (("drawn", planted), ("counts", counts)):
            getattr(one, name)[0] = [letter in letters for letter in "iopl"]
        one.fewest[:] = 50
        assert outcomes(one, answers_of(one, probability))[0] == outcome
    one.fewest[:] = 9
    assert outcomes(one, answers_of(one, (0.95, 0, 0, 0)))[0] == "cannot tell"


def test_every_world_has_one_finding_with_a_cause_that_counts(some):
    some.fewest[:] = 50
    selection = one_each(some)
    assert some.world[selection].tolist() == [0, 1]
    for row in selection:
        assert some.counts[row].any() == some.counts[some.world == some.world[row]].any()
    some.fewest[some.world == 1] = 29
    assert some.world[one_each(some)].tolist() == [0]


def test_rates_and_calibration_equal_a_hand_computation():
    table = rates(["exact", "exact", "false", "misdirected"])
    assert (table["exact"], table["false"], table["misdirected"]) == (0.5, 0.5, 0.25)
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    right = calibration(p, rng.random(20_000) < p)
    assert right["slope"] == pytest.approx(1, abs=0.05)
    assert right["ece"] < 0.02
    sure = 1 / (1 + (1 / p - 1) ** 2)
    assert calibration(sure, rng.random(20_000) < p)["slope"] == pytest.approx(0.5, abs=0.05)

"""Numbers that networks of reads and of pipeline scores are given, one by one; and what the networks make of numbers."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import norm

from benchmarks._strangers import draw_world
from xray.stats import pipeline_update, reread_update
from xray.stats.evidence import gather
from xray.stats.pipeline_update import ALONE, BOTH, PIPED, through
from xray.stats.reread_update import INPUTS, Before, inputs, known_before, planned
from xray.stats.small_networks import Networks

BEFORE = Before(
    np.array([[0.2, 0.7, 0.00001, 0.99999]]),
    np.array([0.09]),
    np.array([0.02]),
    np.array([-0.3]),
    np.array([0.12]),
)
READ = np.array([[0.05, 0.016, 0.5, 0.2, 0.25]])
"""Difference, se, ratio, its se, lost."""
LEFT = np.array([[0.1, 0.00001, 0.6, 0.99999]])
RATIO = np.log(1.5)


def odds(*several):
    """Log odds of probabilities, which are at least one in ten thousand."""
    return logit(np.clip(several, 1e-4, 1 - 1e-4)).clip(-6, 6)


def check(names, values, by_hand):
    assert tuple(by_hand) == tuple(names)
    for name, value, expected in zip(names, values, by_hand.values(), strict=True):
        assert value == pytest.approx(expected), name


def of_reads():
    label, ratio = (0.05 - 0.03) / 0.016, (0.5 - RATIO) / 0.2
    either = 1 - norm.sf(label) * norm.sf(ratio)
    names = ("odds image", "odds population", "odds prevalence", "odds label")
    return dict(zip(names, odds(0.2, 0.7, 0.00001, 0.99999), strict=True)) | {
        "label": label,
        "ratio": ratio,
        "label or ratio": logit(either),
        "prevalence": (0.2 - RATIO) / np.sqrt(0.12**2 + 0.2**2),
        "rest": (0.04 - 0.03) / np.sqrt(0.02**2 + 0.016**2),
        "difference": 0.05,
        "rest of drop": 0.04,
        "prevalence ratio": 0.2,
        "ratio of calls": 0.5,
        "lost": 0.25,
        "gained": np.exp(0.5) - 0.75,
        "se": np.log(0.016),
        "ratio se": np.log(0.2),
        "drop": 0.09,
        "labels": 0.3,
        "labels z": (0.3 - RATIO) / 0.12,
    }


def of_pictures(cost, se, labels, labels_se):
    rest = 0.09 - cost - labels
    return {
        "image": (cost - 0.03) / se,
        "cost": cost,
        "cost se": np.log(se),
        "rest without image": rest,
        "z rest without image": (rest - 0.03) / np.sqrt(0.02**2 + se**2 + labels_se**2),
    } | dict(zip(PIPED[5:], odds(*LEFT[0]), strict=True))


def test_inputs_from_reads_equal_a_hand_computation() -> None:
    check(INPUTS, inputs(BEFORE, READ)[0], of_reads())
    sure = inputs(BEFORE, np.array([[0.5, 0.01, 3.0, 0.2, 0.1]]))[0]
    never = inputs(BEFORE, np.array([[-0.5, 0.01, 0.0, 0.05, 0.1]]))[0]
    for name, most in (("label", 6), ("ratio", 6), ("label or ratio", logit(0.999)), ("rest", -6)):
        assert sure[INPUTS.index(name)] == pytest.approx(most), name
    assert never[INPUTS.index("label or ratio")] == pytest.approx(logit(0.001))
    assert never[INPUTS.index("ratio")] == -6


def test_inputs_from_pictures_equal_a_hand_computation_with_and_without_reads() -> None:
    piped = np.array([[0.04, 0.012]])
    own = {name: value for name, value in of_reads().items() if name.startswith("odds")}
    own |= {"drop": 0.09, "prevalence": 0.3, "z prevalence": (0.3 - RATIO) / 0.12}
    check(ALONE, pipeline_update.alone(BEFORE, piped, LEFT)[0], own | of_pictures(0.04, 0.012, 0, 0))
    both = of_reads() | of_pictures(0.04, 0.012, 0.05, 0.016)
    check(BOTH, pipeline_update.both(BEFORE, piped, LEFT, READ)[0], both)


@pytest.mark.parametrize("alike", [True, False])
def test_inputs_of_plans_equal_a_hand_computation(alike: bool) -> None:
    of = odds(0.2, 0.7, 0.00001, 0.99999)
    one, ratio = np.array([alike]), np.array([3.0])
    reads = planned(BEFORE, one, np.array([0.02]), ratio)[0]
    doubt = np.log(3) - abs(of[3])
    assert reads == pytest.approx([*of, doubt, float(not alike), np.log(0.02), 0.09, -0.3, np.log(3)])
    for se, least in ((0.02, 0.02), (0.0004, 0.001)):
        pictures = pipeline_update.planned(BEFORE, one, np.array([se]), np.array([250.0]), ratio)[0]
        doubts = np.log(3) - np.abs(of)
        expected = [*of, *doubts, float(not alike), np.log(least), np.log(250), 0.09, 0.02, -0.3, np.log(3)]
        assert pictures == pytest.approx(expected)


def test_prior_odds_depend_on_the_counts() -> None:
    world = draw_world(300_102, ("prevalence",))
    evidence = gather(world.a, world.b)
    before = known_before(evidence, 1, np.full(4, 0.5))
    task = evidence.tasks[1]
    counts = [[(of.labels[:, task] == value).sum() for value in (1, 0)] for of in (world.a, world.b)]
    rates = [yes / (yes + no) for yes, no in counts]
    assert before.prevalence[0] == pytest.approx(np.log(rates[1] / rates[0]))
    variance = sum((1 - rate) / yes for rate, (yes, _) in zip(rates, counts, strict=True))
    assert before.prevalence_se[0] == pytest.approx(np.sqrt(variance))
    assert (before.drop[0], before.drop_se[0]) == (
        evidence.parts.drop.value[task],
        evidence.parts.drop.se[task],
    )


def test_the_chance_of_reads_is_for_the_label_cause() -> None:
    values = planned(BEFORE, np.array([True]), np.array([0.02]), np.array([2.0]))
    answers = reread_update.networks("reread_chances").answers(values)
    assert reread_update.chance(BEFORE, True, 0.02, 2.0) == answers[0, 0]


@pytest.mark.parametrize(("value", "limited"), [(8.9, 3.95), (9.1, 4.0), (90.0, 4.0), (-90.0, -4.0)])
def test_numbers_further_than_four_deviations_count_as_four(value: float, limited: float) -> None:
    of = Networks(
        ("x",), np.array([1.0]), np.array([2.0]), np.array([[[0.1]]]), np.zeros((1, 1)),
        np.array([[[1.0, -2.0]]]), np.array([[0.5, 0.1]]),
    )  # fmt: skip
    hidden = np.tanh(0.1 * limited)
    expected = [1 / (1 + np.exp(-(hidden + 0.5))), 1 / (1 + np.exp(-(-2 * hidden + 0.1)))]
    assert of.answers(np.array([[value]]))[0] == pytest.approx(expected)


def test_only_piped_images_and_their_covariates_enter_the_remaining_evidence() -> None:
    world = draw_world(300_103, ("noise, lost channels",))
    piped = world.piped.copy()
    piped[::3] = np.nan
    piped[1::3, 0] = np.nan
    of = through(world.a, world.b, piped)
    piped_rows = np.isfinite(piped).any(axis=1)
    again = through(
        replace(
            world.a,
            labels=world.a.labels[piped_rows],
            scores=world.a.scores[piped_rows],
            patients=world.a.patients[piped_rows],
            witness=None,
            covariates=None if world.a.covariates is None else world.a.covariates[piped_rows],
        ),
        world.b,
        piped[piped_rows],
    )
    assert of.keys() <= again.keys()
    assert of
    for task in of:
        assert of[task].piped == again[task].piped
        np.testing.assert_array_equal(of[task].left, again[task].left)
    bare = through(replace(world.a, covariates=None), world.b, piped)
    assert any(not np.array_equal(bare[task].left, of[task].left) for task in of)

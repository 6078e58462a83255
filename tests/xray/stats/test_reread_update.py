"""What reads change in a verdict: coefficients that come along, and verdicts before and after."""

import numpy as np
import pytest

from benchmarks._strangers import draw_world
from xray.stats.causes import verdicts
from xray.stats.evidence import gather
from xray.stats.measures import Again
from xray.stats.posterior import CAUSES
from xray.stats.reread_design import draw, plan
from xray.stats.reread_update import INPUTS, PLANNED, Before, chance, inputs, known_before, planned, updated
from xray.stats.rereads import Measured, measure
from xray.stats.small_networks import Networks, as_text, networks, parse

LABEL = CAUSES.index("label")


def before(label: float, drop: float = 0.08) -> Before:
    return Before(
        np.array([[0.1, 0.1, 0.1, label]]),
        np.array([drop]),
        np.array([0.02]),
        np.array([0.0]),
        np.array([0.1]),
    )


def reads(difference: float, se: float = 0.015, ratio: float = 0.0, lost: float = 0.15) -> Measured:
    return Measured(difference, se, difference - 2 * se, difference + 2 * se, ratio, 0.1, lost, 200)


@pytest.mark.parametrize(("name", "names"), [("reread_updates", INPUTS), ("reread_chances", PLANNED)])
def test_coefficients_match_the_inputs_that_the_code_makes(name: str, names: tuple[str, ...]) -> None:
    assert networks(name).names == names


def test_coefficients_are_read_back_from_text() -> None:
    shipped = networks("reread_updates")
    back = parse(as_text(shipped))
    for field in Networks.__dataclass_fields__:
        assert np.array_equal(getattr(back, field), getattr(shipped, field))


def test_the_answer_is_the_mean_over_the_networks() -> None:
    """One input and hidden unit each: by hand."""
    of = Networks(
        ("x",), np.array([1.0]), np.array([2.0]), np.array([[[1.0]], [[-1.0]]]), np.zeros((2, 1)),
        np.array([[[2.0]], [[2.0]]]), np.array([[0.5], [0.5]]),
    )  # fmt: skip
    hidden = np.tanh(1.0)
    expected = np.mean([1 / (1 + np.exp(-(sign * 2 * hidden + 0.5))) for sign in (1, -1)])
    assert of.answers(np.array([[3.0]])) == pytest.approx(expected)
    assert of.answers(np.array([[np.nan]])) == pytest.approx(1 / (1 + np.exp(-0.5)))


def test_a_loss_with_contradicted_labels_makes_label_likelier_than_image() -> None:
    doubt = before(0.5)
    high, none = (updated(doubt, reads(difference)) for difference in (0.09, 0.0))
    assert high[LABEL] > 0.8
    assert none[LABEL] < 0.25
    assert high[0] < none[0]


def test_labels_that_call_twice_as_many_are_a_cause_without_a_loss() -> None:
    assert updated(before(0.3, drop=0.0), reads(0.0, ratio=float(np.log(2.5))))[LABEL] > 0.8


def test_odds_before_the_reads_still_count() -> None:
    probabilities = [
        updated(before(label), reads(0.03, se=0.06, lost=0.3))[LABEL] for label in (0.05, 0.5, 0.95)
    ]
    assert probabilities == sorted(probabilities)
    assert probabilities[-1] > probabilities[0] + 0.2


def test_inputs_are_finite_and_in_units_of_their_error() -> None:
    values = inputs(before(0.5), np.array([[0.06, 0.015, 0.0, 0.1, 0.2]]))[0]
    assert np.isfinite(values).all()
    assert values[INPUTS.index("label")] == pytest.approx(2)
    assert values[INPUTS.index("rest of drop")] == pytest.approx(0.02)
    assert values[INPUTS.index("rest")] == pytest.approx(-0.01 / np.hypot(0.02, 0.015))
    assert values[INPUTS.index("gained")] == pytest.approx(0.2)
    far = inputs(before(1 - 1e-6), np.array([[0.9, 0.01, 0.0, 0.1, 0.2]]))[0]
    assert far[INPUTS.index("label")] == far[INPUTS.index("odds label")] == 6


def test_more_precise_reads_raise_the_chance() -> None:
    chances = [chance(before(0.5), True, se, 2.0) for se in (0.08, 0.03, 0.012)]
    assert chances == sorted(chances)
    assert chances[-1] > chances[0] + 0.1
    assert chance(before(0.5), True, 0.03, 9.0) < chance(before(0.5), True, 0.03, 1.0)


def test_a_plan_that_expects_no_error_has_a_chance() -> None:
    """Every image is read again."""
    assert chance(before(0.5), True, 0.0, 2.0) == chance(before(0.5), True, 0.001, 2.0)
    (values,) = planned(before(0.5), np.array([True]), np.zeros(1), np.array([2.0]))
    assert values[PLANNED.index("se")] == pytest.approx(np.log(0.001))


def test_a_verdict_gives_the_measurement_and_the_earlier_odds() -> None:
    """A world where the label means another finding: read again by A's rules, label is named."""
    world = draw_world(300_101, ("redefined",))
    task = int(np.argmax(world.shares[:, LABEL]))
    assert world.shares[task, LABEL] > 0.06
    scores, labels = world.b.scores[:, task], world.b.labels[:, task]
    design = plan(scores, labels, 200)
    assert design is not None
    read = draw(design, np.random.default_rng(0))
    measured = measure(scores, labels, world.b.patients, design, read, world.by_a[read, task])
    assert measured.lower <= world.relabelled[task] <= measured.upper
    evidence = gather(world.a, world.b)
    first, then = verdicts(evidence)[task], verdicts(evidence, again={task: Again(measured, 2)})[task]
    assert first.before is None
    assert then.before == first.probability[LABEL]
    assert then.probability[LABEL] > max(0.9, float(first.probability[LABEL]) - 0.05)
    assert then.causes is not None
    assert "label" in then.causes
    assert f"by {measured.reads} images read again (2 readers)" in then.basis
    assert (then.share[LABEL], then.lower[LABEL]) == (measured.difference, measured.lower)
    others = [other for other in verdicts(evidence, again={task: Again(measured, 2)}) if other != task]
    assert all(
        verdicts(evidence)[o].probability[LABEL]
        == verdicts(evidence, again={task: Again(measured, 2)})[o].probability[LABEL]
        for o in others
    )


def test_odds_before_reads_follow_the_counts() -> None:
    world = draw_world(300_102, ("prevalence",))
    evidence = gather(world.a, world.b)
    task = int(evidence.tasks[0])
    odds_before = known_before(evidence, 0, np.full(4, 0.5))
    shares = [np.nanmean(of.labels[:, task]) for of in (world.a, world.b)]
    assert odds_before.prevalence[0] == pytest.approx(np.log(shares[1] / shares[0]))
    assert odds_before.odds == pytest.approx(np.zeros((1, 4)))

"""What A's pictures through B's pipeline change in a verdict: coefficients, and verdicts before and after."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from benchmarks._strangers import draw_world
from benchmarks._truth import World
from xray.stats.causes import COMPARABLE, HOLDS, PIPELINE, Reread, Verdict, verdicts
from xray.stats.evidence import gather
from xray.stats.measures import Again
from xray.stats.pipeline_update import (
    ALONE,
    BOTH,
    PIPED,
    PLANNED,
    SETTLED,
    Through,
    chances,
    piped_inputs,
    through,
    updated,
)
from xray.stats.pipelines import Piped, measure
from xray.stats.posterior import causes
from xray.stats.reread_update import Before
from xray.stats.rereads import Measured
from xray.stats.small_networks import networks

IMAGE, POPULATION, _, LABEL = range(4)
QUIET = np.array([0.02, 0.1, 0.05, 0.05])
READS = Measured(0.0, 0.015, -0.03, 0.03, 0.0, 0.1, 0.15, 200)


def before(image: float = 0.4, population: float = 0.4, drop: float = 0.1) -> Before:
    return Before(
        np.array([[image, population, 0.05, 0.1]]),
        np.array([drop]),
        np.array([0.02]),
        np.zeros(1),
        np.array([0.1]),
    )


def piped(cost: float, se: float = 0.008, left: np.ndarray = QUIET) -> Through:
    return Through(Piped(cost, se, cost - 2 * se, cost + 2 * se, 1000), left)


@pytest.mark.parametrize(
    ("name", "names"),
    [("pipeline_alone", ALONE), ("pipeline_reads", BOTH), ("pipeline_chances", PLANNED)],
)
def test_coefficients_match_the_inputs_that_the_code_makes(name: str, names: tuple[str, ...]) -> None:
    assert networks(name).names == names
    assert networks(name).second.shape[-1] == len(SETTLED) == 4


@pytest.mark.parametrize("measured", [None, READS])
def test_a_loss_by_the_pipeline_makes_image_likely_and_none_makes_it_unlikely(
    measured: Measured | None,
) -> None:
    high, none = (updated(before(), piped(cost), measured) for cost in (0.1, 0.0))
    assert high[IMAGE] > 0.9
    assert none[IMAGE] < 0.25 < none[POPULATION] == none.max()
    assert high[POPULATION] < none[POPULATION]


@pytest.mark.parametrize(("cause", "cost"), [(POPULATION, 0.04), (LABEL, 0.0)])
def test_remaining_differences_after_the_pipeline_favour_their_cause(cause: int, cost: float) -> None:
    odds = []
    for probability in (0.02, 0.3, 0.95):
        left = QUIET.copy()
        left[cause] = probability
        odds.append(updated(before(population=0.2), piped(cost, left=left), None)[cause])
    assert odds == sorted(odds)
    assert odds[-1] > odds[0] + 0.15


def test_inputs_are_in_units_of_their_error() -> None:
    of = before(drop=0.1)
    (row,) = piped_inputs(of, np.array([[0.05, 0.01]]), QUIET[None], np.array([[0.02, 0.015]]))
    assert row[PIPED.index("image")] == pytest.approx(2)
    assert row[PIPED.index("rest without image")] == pytest.approx(0.03)
    (other,) = piped_inputs(of, np.array([[0.01, 0.01]]), QUIET[None], np.zeros((1, 2)))
    assert other[PIPED.index("z rest without image")] == pytest.approx(0.06 / np.hypot(0.02, 0.01))
    assert other[PIPED.index("kept population")] == pytest.approx(np.log(0.1 / 0.9))


def test_more_images_and_a_milder_loss_ratio_raise_the_chance() -> None:
    for image in (0.1, 0.4, 0.7):
        several = [chances(before(image), True, 0.03, n, 2.0) for n in (25, 50, 200, 3000)]
        assert all(set(of) == set(SETTLED) for of in several)
        for fewer, more in itertools.pairwise(several):
            assert all(more[name] >= fewer[name] for name in SETTLED)
    strict = chances(before(), True, 0.03, 1000, 9.0)
    assert strict["whole"] < chances(before(), True, 0.03, 1000, 1.0)["whole"]


@pytest.fixture(scope="module")
def noisy() -> tuple[World, int]:
    world = draw_world(300_103, ("noise, lost channels",))
    return world, int(np.argmax(world.shares[:, IMAGE]))


def verdict_of(world: World, task: int, piped: np.ndarray | None, **parts: object) -> Verdict:
    evidence = gather(world.a, world.b)
    of = {} if piped is None else through(world.a, world.b, piped)
    return verdicts(evidence, through=of, **parts)[task]  # type: ignore[arg-type]


def test_a_verdict_gives_the_image_loss_and_its_basis(noisy: tuple[World, int]) -> None:
    world, task = noisy
    assert world.shares[task, IMAGE] > 0.05
    own = measure(world.a.labels[:, task], world.a.scores[:, task], world.piped[:, task], world.a.patients)
    verdict = verdict_of(world, task, world.piped)
    assert (verdict.share[IMAGE], verdict.lower[IMAGE], verdict.upper[IMAGE]) == (
        own.cost,
        own.lower,
        own.upper,
    )
    assert verdict.causes is not None
    assert "image" in verdict.causes
    words = f"image: {own.cost:.2f} of AUC ({own.lower:.2f} to {own.upper:.2f}) by {own.images:,} pictures"
    assert f"{words} of the reference site through the pipeline of this site" in verdict.basis
    assert HOLDS in verdict.assumption
    assert PIPELINE not in verdict.resolve
    assert verdict_of(world, task, None).through is None


def test_reads_and_pictures_are_weighed_together(noisy: tuple[World, int]) -> None:
    world, task = noisy
    verdict = verdict_of(world, task, world.piped, again={task: Again(READS, 1)})
    assert verdict.share[LABEL] == READS.difference
    assert verdict.through is not None
    assert verdict.share[IMAGE] == verdict.through.piped.cost
    assert verdict.causes is not None
    assert "label" not in verdict.causes
    alone = verdict_of(world, task, world.piped)
    assert not np.array_equal(alone.probability, verdict.probability)


def test_remaining_evidence_compares_piped_pictures_with_the_other_site(noisy: tuple[World, int]) -> None:
    world, task = noisy
    evidence = gather(replace(world.a, scores=world.piped, witness=None), replace(world.b, witness=None))
    (row,) = np.flatnonzero(evidence.tasks == task)
    left = through(world.a, world.b, world.piped)[task].left
    assert np.array_equal(left, causes(evidence).probability[row])


def test_verdicts_without_pipeline_scores_are_unchanged(noisy: tuple[World, int]) -> None:
    world, task = noisy
    nothing = np.full_like(world.piped, np.nan)
    assert through(world.a, world.b, nothing) == {}
    assert np.array_equal(
        verdict_of(world, task, nothing).probability, verdict_of(world, task, None).probability
    )


def test_images_completely_labelled_by_both_sites_exclude_image_loss(noisy: tuple[World, int]) -> None:
    world, task = noisy
    verdict = verdict_of(world, task, world.piped, rereads={task: Reread(0.1, 0.01, 100, True)})
    assert verdict.through is None
    assert verdict.share[IMAGE] == 0


def test_unlike_cases_report_only_the_measurement(noisy: tuple[World, int]) -> None:
    """Positives that are all of the highest or the lowest scores are like nothing that was simulated."""
    world, task = noisy
    highest = np.random.default_rng(0).random(world.b.labels.shape) < 0.5
    odd = replace(world.b, scores=np.where(highest, 20, -20) * world.b.labels)
    verdict = verdict_of(replace(world, b=odd), task, world.piped)
    assert not verdict.alike
    assert verdict.causes == frozenset({"image"})
    assert "whether others too is open" in verdict.basis
    assert PIPELINE not in verdict.resolve
    silent = verdict_of(replace(world, b=odd), task, world.a.scores + 1e-9 * world.piped)
    assert silent.causes is None
    assert silent.probability[IMAGE] < 0.05


def test_an_open_population_cause_asks_for_comparable_patients() -> None:
    """With pictures measured, another pipeline run is no advice."""
    world = draw_world(300_105, ("spectrum",))
    evidence, piped = gather(world.a, world.b), through(world.a, world.b, world.piped)
    before, then = (verdicts(evidence, 5000.0, through=of).values() for of in ({}, piped))
    assert any(PIPELINE in of.resolve for of in before)
    assert not any(PIPELINE in of.resolve for of in then)
    assert any(COMPARABLE in of.resolve for of in then)

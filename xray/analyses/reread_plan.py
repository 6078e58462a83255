"""What would settle it: which images of which site to have read again, by whose rules, and with what chance it will do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection

from xray.analyses.asked import questions_of
from xray.analyses.causes import Pair, judged, pairs
from xray.analyses.stored import OF_IMAGES, StoredStudy, TestSet, load_study, load_tests
from xray.data.rereads import ReadSample
from xray.errors import AnalysisError
from xray.names import unknown
from xray.stats import reread_design
from xray.stats.causes import FEWEST, Verdict
from xray.stats.estimates import FloatArray
from xray.stats.pipeline_update import chances
from xray.stats.posterior import CAUSES
from xray.stats.reread_update import chance, known_before
from xray.stats.rereads import expected_se

PIECES: Final = 4
"""A budget is split over findings in quarters."""
SMALLEST: Final = 20
"""Reads of a finding that are worth planning."""
LABEL: Final = CAUSES.index("label")


@dataclass(frozen=True)
class Offer:
    """A finding of a model and a pair of test sets whose labels are in doubt. chances: by number of pieces, from 0."""

    pair: Pair
    task: int
    probability: float
    chances: FloatArray


@dataclass(frozen=True)
class Share:
    """What a plan gives to one finding. chance: that label is settled; whole, piped: that all causes are, by reads, or by
    A's pictures through B's pipeline instead.
    """

    trained_on: str
    task: str
    read: str
    rules_of: str
    reads: int
    drop: float
    probability: float
    chance: float
    whole: float
    piped: float


def plan(
    connection: Connection,
    study: str,
    budget: int,
    seed: int,
    model: str | None = None,
    task: str | None = None,
) -> tuple[StoredStudy, list[Share], list[ReadSample]]:
    """The study, what the budget is spent on, and what is drawn for each; nothing is stored.

    model, task: only of these, whether in doubt or not. Raises `AnalysisError` where nothing can be planned.
    """
    loaded = load_study(connection, study)
    for kind, name, names in (("model", model, loaded.foreign), ("finding", task, loaded.findings)):
        if name is not None and name not in names:
            raise AnalysisError(unknown(kind, name, list(names), "none of this study is from elsewhere"))
    tests = load_tests(connection, loaded, OF_IMAGES)
    ask = questions_of(connection, loaded)
    step = max(SMALLEST, budget // PIECES)
    offers = [
        offer
        for of in pairs(loaded, tests, ask)
        if model in (None, of[1])
        for pair in judged(*of)
        for offer in _offers(loaded, pair, ask.loss_ratio, step, budget, task)
    ]
    if not offers:
        raise AnalysisError(_nothing(study, model, task))
    shares, samples = [], []
    for number, (offer, reads) in enumerate(_split(_one_each(offers), step, budget)):
        share, of = _sample(loaded, offer, reads, ask.loss_ratio, np.random.default_rng([seed, 3, number]))
        shares.append(share)
        samples.append(of)
    return loaded, shares, samples


def _nothing(study: str, model: str | None, task: str | None) -> str:
    of = " and ".join(name for name in (model, task) if name)
    return (
        f"study {study!r}: reads would settle nothing{f' of {of}' if of else ''}: they help where a model from elsewhere "
        f"was scored at two sites that label a finding, {FEWEST} patients of each class at both, and whether labels are a "
        f"cause is in doubt; xray analyse causes --study {study} says what is"
    )


def _offers(
    study: StoredStudy, pair: Pair, loss_ratio: float, step: int, budget: int, task: str | None
) -> Iterator[Offer]:
    for position, number in enumerate(pair.evidence.tasks.tolist()):
        verdict = pair.verdicts[number]
        included = study.findings[number] == task if task else in_doubt(verdict, LABEL, loss_ratio)
        if not included or pair.evidence.fewest[position] < FEWEST:
            continue
        scores, labels = columns(pair.b, pair.model, number)
        usable = int(np.isfinite(scores * labels).sum())
        chances = [0.0]
        for pieces in range(1, max(budget // step, 1) + 1):
            design = reread_design.plan(scores, labels, min(pieces * step, usable, budget))
            chances.append(_chance(pair, position, scores, labels, design, loss_ratio) if design else 0.0)
        if max(chances) > 0:
            yield Offer(pair, number, float(verdict.probability[LABEL]), np.array(chances))


def in_doubt(verdict: Verdict, cause: int, loss_ratio: float) -> bool:
    """Whether a cause is neither named nor ruled out, or the case is unlike the simulated ones."""
    named_from = loss_ratio / (1 + loss_ratio)
    return not verdict.alike or bool(1 - named_from < verdict.probability[cause] < named_from)


def columns(test: TestSet, model: str, task: int) -> tuple[FloatArray, FloatArray]:
    """Scores and labels of a finding in a test set, (n_images,) each."""
    return test.ensemble(model)[:, task].astype(np.float64), test.cohort.labels[:, task].astype(np.float64)


def _chance(
    pair: Pair,
    position: int,
    scores: FloatArray,
    labels: FloatArray,
    design: reread_design.Design,
    loss_ratio: float,
) -> float:
    verdict = pair.verdicts[int(pair.evidence.tasks[position])]
    before = known_before(pair.evidence, position, verdict.probability)
    return chance(before, verdict.alike, expected_se(scores, labels, design), loss_ratio)


def _whole(pair: Pair, position: int, se: float, loss_ratio: float) -> tuple[float, float]:
    """Chances that all causes of a finding are settled: by the reads, and by all of A's images through B's pipeline."""
    task = int(pair.evidence.tasks[position])
    verdict = pair.verdicts[task]
    before = known_before(pair.evidence, position, verdict.probability)
    images = int(np.isfinite(columns(pair.a, pair.model, task)).all(axis=0).sum())
    of = chances(before, verdict.alike, se, images, loss_ratio)
    return of["whole by reads"], of["whole"]


def _one_each(offers: Sequence[Offer]) -> list[Offer]:
    """Reads serve all models: of those in doubt on one finding and pair, the one that they settle likeliest."""
    best: dict[Any, Offer] = {}
    for offer in offers:
        key = (offer.pair.a.cohort.id, offer.pair.b.cohort.id, offer.task)
        if key not in best or offer.chances.max() > best[key].chances.max():
            best[key] = offer
    return list(best.values())


def _split(offers: Sequence[Offer], step: int, budget: int) -> list[tuple[Offer, int]]:
    """The split of the budget, in pieces, that settles most findings in the mean (a knapsack, solved exactly)."""
    pieces = max(budget // step, 1)
    best = np.zeros(pieces + 1)
    choices = []
    for offer in offers:
        values = np.full(pieces + 1, -np.inf)
        choice = np.zeros(pieces + 1, dtype=np.int64)
        for spent in range(pieces + 1):
            gains = best[spent::-1] + offer.chances[: spent + 1]
            choice[spent] = int(np.argmax(gains))
            values[spent] = gains[choice[spent]]
        best = values
        choices.append(choice)
    left, shares = pieces, []
    for offer, choice in reversed(list(zip(offers, choices, strict=True))):
        if choice[left]:
            shares.append((offer, int(choice[left])))
            left -= int(choice[left])
    reads = [(offer, count * step) for offer, count in reversed(shares)]
    spare = budget - sum(count for _, count in reads)
    return [
        (offer, min(count, budget) + (max(spare, 0) if at == 0 else 0))
        for at, (offer, count) in enumerate(reads)
    ]


def _sample(
    study: StoredStudy, offer: Offer, reads: int, loss_ratio: float, rng: np.random.Generator
) -> tuple[Share, ReadSample]:
    pair, task = offer.pair, offer.task
    scores, labels = columns(pair.b, pair.model, task)
    design = reread_design.plan(scores, labels, reads)
    assert design is not None  # an offer has a chance only where it can be planned
    position = int(np.flatnonzero(pair.evidence.tasks == task)[0])
    foretold = _chance(pair, position, scores, labels, design, loss_ratio)
    images = reread_design.draw(design, rng)
    name, drop = study.findings[task], float(pair.evidence.parts.drop.value[task])
    whole, piped = _whole(pair, position, expected_se(scores, labels, design), loss_ratio)
    share = Share(
        pair.model,
        name,
        pair.b.dataset,
        pair.a.dataset,
        int(images.size),
        drop,
        offer.probability,
        foretold,
        whole,
        piped,
    )
    ids = pair.b.cohort.images.astype(np.int64)
    sample = ReadSample(
        pair.model, name, pair.b.cohort.id, pair.a.cohort.id, design.stratum, design.sizes, design.reads, images, ids,
        foretold,
    )  # fmt: skip
    return share, sample

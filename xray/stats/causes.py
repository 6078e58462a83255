"""Why does a model do worse at B than at A: image, population, prevalence or label? Or "cannot tell".

Evidence (`xray.stats.evidence`) gives each cause a probability and a share of the drop (`xray.stats.posterior`). A cause is
named where its probability passes what a false claim is worth: with a loss ratio r (a false claim costs r times a missed
cause) from r / (1 + r) on; it is ruled out below 1 / (1 + r). "none" rules out all four. Images that both sites labelled
say more of the labels than anything else: there the loss to labels is measured, on the same pictures and patients.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from xray.stats import measures
from xray.stats.delong import place_jointly
from xray.stats.estimates import DEFINED, FloatArray
from xray.stats.evidence import Evidence, Site, gather
from xray.stats.measures import COUNTS_FROM, Again
from xray.stats.multiplicity import benjamini_hochberg
from xray.stats.pipeline_update import Through
from xray.stats.posterior import CAUSES, Causes, causes

LOSS_RATIO: Final = 2.0
"""A false claim costs as much as two missed causes: a cause is named from a probability of 2/3 on, ruled out below 1/3.

The least whole number at which fewer than 3 % of worlds that no network saw had a false claim (decision 43)."""
FEWEST: Final = 10
"""Patients of either class that each site must have before anything is said: the worlds had hardly fewer."""
OVERLAP: Final = 0.05
"""Share of effective images, at equal case mix, below which the sites are said to have too little in common."""
SAME_IMAGES: Final = 30
"""Patients of the rarer class on images that both labelled, from which on these measure what labels cost."""

NONE: Final = "none"
CANNOT_TELL: Final = "cannot tell"
IMAGE, POPULATION, PREVALENCE, LABEL = CAUSES

MORE: Final = "test more patients of the rarer class"
PLAN: Final = "xray reread plan"
RELABEL: Final = f"have about 200 images of this site read again by the rules of the reference site ({PLAN})"
READ_MORE: Final = f"have more images of this site read again ({PLAN})"
PIPE: Final = "xray reread pipeline"
PIPELINE: Final = f"score pictures of the reference site through the pipeline of this site ({PIPE})"
MORE_PIPELINE: Final = f"score more pictures of the reference site through the pipeline of this site ({PIPE})"
HOLDS: Final = "the pipeline holds all that differs between the two acquisitions"
COVARIATES: Final = "give age, sex and view of both sites"
WITNESS: Final = "train a network at this site"
COMPARABLE: Final = "compare a subset of patients that both sites have"
RESTS_ON: Final = {
    IMAGE: "what moves scores of all classes and findings alike is the picture",
    POPULATION: "labels and pictures mean the same in all patients, so who comes explains the rest",
    PREVALENCE: "positives and negatives look the same at both sites",
    LABEL: "pictures that hurt one finding only, and nothing else of the scores, are rare",
}
"""Cause → the assumption without which it can't be told from others."""


@dataclass(frozen=True)
class Verdict:
    """causes: what is named, empty for "none"; None for "cannot tell". Arrays (4,) by `CAUSES`.

    alike: whether the case is like the simulated ones. basis: why. assumption: what it rests on. resolve: what would settle
    it, "" where nothing is open. again: what was read again, and before: the probability of label without it; through: what
    A's pictures through B's pipeline say; None without. variant: of which evidence the probabilities are.
    """

    causes: frozenset[str] | None
    probability: FloatArray
    share: FloatArray
    lower: FloatArray
    upper: FloatArray
    alike: bool
    basis: str
    assumption: str
    resolve: str
    again: "Again | None" = None
    before: float | None = None
    through: Through | None = None
    variant: str = ""

    @property
    def code(self) -> str:
        """`none`, `cannot tell`, or the causes in a fixed order joined by " + "."""
        if self.causes is None:
            return CANNOT_TELL
        return " + ".join(cause for cause in CAUSES if cause in self.causes) or NONE


Parts = tuple[FloatArray, FloatArray, FloatArray, FloatArray, bool]
"""Of a verdict: probability, share, lower, upper, alike."""


@dataclass(frozen=True)
class Reread:
    """What other labels of the same images cost: AUC by A's labels minus by B's, with standard error; patients of the rarer
    class; whether that is all images of both sites.
    """

    loss: float
    se: float
    fewest: int
    whole: bool


def judge(a: Site, b: Site, loss_ratio: float = LOSS_RATIO) -> tuple[Evidence, dict[int, Verdict]]:
    """The evidence on a pair of sites, and a verdict per task."""
    evidence = gather(a, b)
    return evidence, verdicts(evidence, loss_ratio)


def verdicts(
    evidence: Evidence,
    loss_ratio: float = LOSS_RATIO,
    rereads: dict[int, Reread] | None = None,
    again: dict[int, Again] | None = None,
    through: dict[int, Through] | None = None,
) -> dict[int, Verdict]:
    """A verdict per task. By task, rereads: what images that both sites labelled say; again: what planned reads say;
    through: what A's pictures through B's pipeline say.
    """
    return decide(evidence, causes(evidence), loss_ratio, rereads, again, through)


def decide(
    evidence: Evidence,
    found: Causes,
    loss_ratio: float = LOSS_RATIO,
    rereads: dict[int, Reread] | None = None,
    again: dict[int, Again] | None = None,
    through: dict[int, Through] | None = None,
) -> dict[int, Verdict]:
    """As `verdicts`, from probabilities and shares that are there. Raises ValueError unless the loss ratio is positive."""
    if not loss_ratio > 0:
        raise ValueError(f"a false claim costs a positive number of missed causes; got {loss_ratio}")
    made = {}
    for place, task in enumerate(evidence.tasks.tolist()):
        shared, planned = (rereads or {}).get(task), (again or {}).get(task)
        piped = (through or {}).get(task)
        if shared is not None and shared.whole:
            planned, piped = None, None
        made[task] = _verdict(evidence, found, place, loss_ratio, shared, planned, piped)
    return made


def _verdict(
    evidence: Evidence,
    found: Causes,
    place: int,
    loss_ratio: float,
    reread: Reread | None,
    again: Again | None,
    through: Through | None,
) -> Verdict:
    probability, share = found.probability[place].copy(), found.share[place].copy()
    lower, upper = found.lower[place].copy(), found.upper[place].copy()
    measured = reread is not None and reread.fewest >= SAME_IMAGES
    alike = bool(found.alike[place])
    read: dict[str, Any] = {"variant": str(found.variants[place])}
    if again is not None and again.measured.reason == DEFINED:
        read |= {"again": again, "before": float(probability[CAUSES.index(LABEL)])}
    if through is not None:
        read |= {"through": through}
    measures.put(evidence, place, alike, read, (probability, share, lower, upper))
    if reread is not None and measured:
        _measured(reread, probability, share, lower, upper)
        alike = alike or reread.whole
    parts: Parts = (probability, share, lower, upper, alike)
    if evidence.fewest[place] < FEWEST:
        few = f"a site has only {evidence.fewest[place]} patients of one class"
        return Verdict(None, *parts, few, "", MORE, **read)
    if not alike:
        return _unlike(parts, loss_ratio, read)
    named = frozenset(
        c for c, p in zip(CAUSES, probability, strict=True) if p >= loss_ratio / (1 + loss_ratio)
    )
    doubtful = [
        c for c, p in zip(CAUSES, probability, strict=True) if c not in named and p > 1 / (1 + loss_ratio)
    ]
    said = named if named or not doubtful else None
    return Verdict(
        said,
        *parts,
        _basis(found, place, named, doubtful, reread if measured else None, read),
        "; ".join(_assumptions(named, read)),
        _resolve(evidence, place, doubtful, read),
        **read,
    )


def _assumptions(named: frozenset[str], read: dict[str, Any]) -> Iterator[str]:
    """Of what is named and was not measured; of a pipeline, that it holds what differs."""
    for cause in CAUSES:
        if cause in named and not (cause == LABEL and "again" in read):
            yield HOLDS if cause == IMAGE and "through" in read else RESTS_ON[cause]


def _unlike(parts: Parts, loss_ratio: float, read: dict[str, Any]) -> Verdict:
    """A case unlike those that were simulated: nothing is said but what reads have measured of the labels, and A's pictures
    through B's pipeline of the images.
    """
    unlike = "the case is unlike those that were simulated"
    telling = {
        cause: words
        for cause, words in measures.words(read).items()
        if parts[0][CAUSES.index(cause)] >= loss_ratio / (1 + loss_ratio)
    }
    steps = ([] if "again" in read else [RELABEL]) + ([] if "through" in read else [PIPELINE])
    if telling:
        said = "; ".join(f"{cause}: {words}" for cause, words in telling.items())
        said = f"{said}; {unlike}, so whether others too is open"
        assumed = HOLDS if IMAGE in telling else ""
        return Verdict(frozenset(telling), *parts, said, assumed, ", or ".join(steps), **read)
    return Verdict(None, *parts, unlike, "", ", or ".join(steps), **read)


def _measured(
    reread: Reread, probability: FloatArray, share: FloatArray, lower: FloatArray, upper: FloatArray
) -> None:
    """Put what the same images under both labellers say in place of what was inferred of the labels."""
    at = CAUSES.index(LABEL)
    probability[at] = ndtr((reread.loss - COUNTS_FROM) / reread.se)
    half = float(stdtrit(reread.fewest - 1, 0.975)) * reread.se
    share[at], lower[at], upper[at] = reread.loss, reread.loss - half, reread.loss + half
    if reread.whole:
        rest = np.arange(len(CAUSES)) != at
        probability[rest] = 0
        share[rest] = lower[rest] = upper[rest] = 0


def _basis(
    found: Causes,
    place: int,
    named: frozenset[str],
    doubtful: list[str],
    reread: Reread | None,
    read: dict[str, Any],
) -> str:
    telling = measures.words(read)
    if reread is not None:
        telling[LABEL] = f"measured on the same images, {reread.loss:.2f} of AUC"
    shown = [cause for cause in CAUSES if cause in named] or doubtful
    sentences = []
    if not shown:
        sentences = ["no cause is likely to take .03 of AUC, or to change how common the finding is by half"]
        shown = [cause for cause in CAUSES if cause in measures.words(read)]
    for cause in shown:
        if cause in telling:
            sentences.append(f"{cause}: {telling[cause]}")
            continue
        at = CAUSES.index(cause)
        speaking = sorted(found.contributions, key=lambda words: -found.contributions[words][place, at])
        weighty = [words for words in speaking[:2] if found.contributions[words][place, at] >= 0.05]
        sentences.append(f"{cause}: {' and '.join(weighty) or 'no single evidence, all together'}")
    also = f"; whether {' or '.join(doubtful)} too is open" if named and doubtful else ""
    return "; ".join(sentences) + also


def _resolve(evidence: Evidence, place: int, doubtful: list[str], read: dict[str, Any]) -> str:
    if not doubtful:
        return ""
    steps = []
    if LABEL in doubtful:
        steps.append(READ_MORE if "again" in read else RELABEL)
    if IMAGE in doubtful:
        pictures = MORE_PIPELINE if "through" in read else PIPELINE
        steps.append(pictures if evidence.witness else f"{WITNESS}, or {pictures}")
    if POPULATION in doubtful:
        steps.append(
            COVARIATES
            if not evidence.covariates
            else COMPARABLE
            if _overlap(evidence, place) < OVERLAP or "through" in read
            else PIPELINE
            if "again" in read
            else RELABEL
        )
    if PREVALENCE in doubtful:
        steps.append(MORE)
    return ", or ".join(dict.fromkeys(steps))


def _overlap(evidence: Evidence, place: int) -> float:
    """Share of effective images at equal case mix, of the site that has less."""
    return float(min(evidence.columns[f"case mix overlap {site}"][place] for site in "ab"))


def reread(
    scores: FloatArray, by_a: FloatArray, by_b: FloatArray, patients: NDArray[np.generic], whole: bool
) -> Reread | None:
    """What B's labels cost on images that both labelled; arrays (n_images,). None without both classes by both.

    Standard error by each patient's influence on the difference of the two AUCs.
    """
    kept = ~np.isnan(by_a) & ~np.isnan(by_b) & np.isfinite(scores)
    unit = np.unique(patients[kept], return_inverse=True)[1]
    influence, value, fewest = np.zeros(unit.size), 0.0, unit.size
    for labels, sign in ((by_a[kept], 1.0), (by_b[kept], -1.0)):
        placed = place_jointly(labels, scores[kept][None])
        if placed.reason != DEFINED:
            return None
        value += sign * float(placed.value[0])
        pairs = 2.0 * placed.n_pos * placed.n_neg
        for counted, where, of in (
            (placed.of_positives[0], placed.positives, 1.0),
            (placed.of_negatives[0], placed.negatives, -1.0),
        ):
            rest = sign * of * (counted - counted.mean()) / pairs
            influence += np.bincount(unit[where], rest, minlength=influence.size)
            fewest = min(fewest, int(np.unique(unit[where]).size))
    least = 0.25 / (fewest + 1)
    same = bool((by_a[kept] == by_b[kept]).all())
    return Reread(value, least if same else max(float(np.sqrt(influence @ influence)), 1e-6), fewest, whole)


def changed(evidence: Evidence) -> FloatArray:
    """p that nothing changed, per task of the evidence: the smallest p of its tests times how many there are."""
    t = evidence.tasks
    tests = [evidence.parts.drop.p[t], evidence.prevalence_p, evidence.images_p, evidence.companions_p]
    if evidence.witness:
        tests += [evidence.parts.transfer.p[t], evidence.parts.intrinsic.p[t], evidence.meaning_p]
    p = np.stack(tests)
    return np.asarray(np.minimum(1, np.nanmin(p, axis=0) * (~np.isnan(p)).sum(axis=0)))


def adjusted(p: list[float]) -> FloatArray:
    """Adjusted over a family of cells: all of a study (Benjamini and Hochberg)."""
    return benjamini_hochberg(p)

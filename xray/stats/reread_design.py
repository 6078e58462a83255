"""Which images of a site to have read again, so that few reads say how far other labels would move the AUC.

A read that contradicts the label moves the AUC by the image's influence: with V0 the share of negatives below its score,
V1 the share of positives above, P positives and Q negatives, turning a negative into a positive adds
    g = (V0 − AUC) / P − (V1 − AUC) / Q,
and turning a positive into a negative takes it away. Images are sorted by score within each class and cut into strata of
equal Σ √(chance of a contradiction) · √(g² + (RATIO_WEIGHT / P)²): the second term is what a read says of how many are
called positive. Reads are allotted in proportion to that sum (Neyman 1934), a fifth of them by size, and drawn in each
stratum without replacement. Each image's chance of being read is known, and that is all that inference needs.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xray.stats.estimates import FloatArray, IntArray

FLIPPED: Final = 0.2
"""Contradictions that are expected, as a share of positives, in either class: half of them anywhere in the class, half
where the other class lies. A wrong guess costs reads, not validity."""
RATIO_WEIGHT: Final = 0.075
"""What a unit of the log ratio of prevalences weighs beside one of AUC: .03 of AUC counts as a factor of 1.5 does."""
BY_SIZE: Final = 0.2
"""Share of the reads that is allotted by size of stratum alone."""
READS_PER_STRATUM: Final = 12
LEAST: Final = 2
"""Reads of a stratum, where it has as many images."""
FEWEST: Final = 10
"""Images of a class below which nothing is planned."""


@dataclass(frozen=True)
class Placed:
    """Where each image's score lies, (n_images,): share of negatives below and of positives above, ties half."""

    below: FloatArray
    above: FloatArray
    auc: float
    positives: float
    negatives: float

    @property
    def influence(self) -> FloatArray:
        """What the AUC gains where a negative of this score becomes a positive."""
        return (self.below - self.auc) / self.positives - (self.above - self.auc) / self.negatives


@dataclass(frozen=True)
class Design:
    """stratum: (n_images,), −1 for images without label or score. sizes, reads: (n_strata,), images and reads of each."""

    stratum: IntArray
    sizes: IntArray
    reads: IntArray


def placed(scores: FloatArray, positive: FloatArray, negative: FloatArray) -> Placed:
    """Where scores lie among positives and negatives, which may be weights that sum up to the numbers of each; no NaN."""
    order = np.argsort(scores, kind="stable")
    _, start, of = np.unique(scores[order], return_index=True, return_inverse=True)
    sums = [np.add.reduceat(weight[order], start) for weight in (positive, negative)]
    (p, p_total), (q, q_total) = ((of_value, float(of_value.sum())) for of_value in sums)
    below, above = np.empty(scores.size), np.empty(scores.size)
    below[order] = (np.cumsum(q) - 0.5 * q)[of] / q_total
    above[order] = (p_total - np.cumsum(p) + 0.5 * p)[of] / p_total
    return Placed(below, above, float((positive @ below) / p_total), p_total, q_total)


def guesses(labels: FloatArray, at: Placed) -> FloatArray:
    """The chance of a contradiction that is expected of each image, (n_images,)."""
    share = at.positives / at.negatives
    likely = np.where(labels == 0, _among(at.below, labels == 0), _among(at.above, labels == 1))
    rate = np.where(labels == 0, share, 1.0)
    return np.clip(FLIPPED * rate * (0.5 + 0.5 * likely), 0, 0.5)


def _among(place: FloatArray, own: NDArray[np.bool_]) -> FloatArray:
    """How much likelier the other class is at a place than on average of the own class: place cubed, with mean 1."""
    cubed = place**3
    return np.asarray(cubed / max(float(cubed[own].mean()), 1e-9))


def importance(at: Placed, guess: FloatArray) -> FloatArray:
    """What a read of each image is worth, (n_images,): reads are allotted in proportion to its sum."""
    return np.sqrt(guess * (at.influence**2 + (RATIO_WEIGHT / at.positives) ** 2))


def plan(scores: FloatArray, labels: FloatArray, budget: int) -> Design | None:
    """Strata and reads for a budget; None where a class has fewer than FEWEST images. scores, labels: (n_images,)."""
    usable = np.flatnonzero(np.isfinite(scores) & np.isfinite(labels))
    y, x = labels[usable], scores[usable]
    if min(int(y.sum()), int((1 - y).sum())) < FEWEST:
        return None
    budget = min(budget, usable.size)
    at = placed(x, y, 1 - y)
    guess = guesses(y, at)
    weight = importance(at, guess)
    total = max(4, min(16, budget // READS_PER_STRATUM))
    of_positives = float(weight[y == 1].sum() / weight.sum())
    bins = int(np.clip(round(total * of_positives), 2, total - 2))
    own, first = np.empty(usable.size, dtype=np.int64), 0
    for value, count in ((1, bins), (0, total - bins)):
        chosen = np.flatnonzero(y == value)
        own[chosen], added = _cut(x[chosen], weight[chosen], count)
        own[chosen] += first
        first += added
    sizes = np.bincount(own, minlength=first)
    allotted = (1 - BY_SIZE) * np.bincount(
        own, weight, minlength=first
    ) / weight.sum() + BY_SIZE * sizes / usable.size
    stratum = np.full(scores.size, -1, dtype=np.int64)
    stratum[usable] = own
    return Design(stratum, sizes, _allot(allotted, sizes, budget))


def _cut(scores: FloatArray, weight: FloatArray, count: int) -> tuple[IntArray, int]:
    """Strata of about equal weight in order of score, and how many there are; all but the first have LEAST images."""
    order = np.argsort(scores, kind="stable")
    share = (np.cumsum(weight[order]) - 0.5 * weight[order]) / weight.sum()
    cut = np.minimum((share * count).astype(np.int64), count - 1)
    kept, of = np.unique(cut, return_counts=True)
    target, last = np.zeros(count, dtype=np.int64), -1
    for at, size in zip(kept, of, strict=True):
        last += int(size >= LEAST or last < 0)
        target[at] = last
    made = np.empty(scores.size, dtype=np.int64)
    made[order] = target[cut]
    return made, last + 1


def _allot(share: FloatArray, sizes: IntArray, budget: int) -> IntArray:
    """Reads of each stratum, about in proportion to share, LEAST to all of its images; they sum up to the budget."""
    reads = np.minimum(LEAST, sizes).astype(np.float64)
    for _ in sizes:  # each time a stratum is filled, or the budget is used
        room = np.where(reads < sizes, share, 0)
        if room.any():
            reads = np.minimum(reads + max(budget - reads.sum(), 0) * room / room.sum(), sizes)
    whole = np.floor(reads + 1e-9).astype(np.int64)
    by_rest = np.argsort(-(reads - whole), kind="stable")
    whole[by_rest[: max(int(budget - whole.sum()), 0)]] += 1
    return whole


def draw(design: Design, rng: np.random.Generator) -> IntArray:
    """The images to be read, in an order by chance: a simple random sample of each stratum."""
    chosen = [
        rng.choice(np.flatnonzero(design.stratum == h), int(n), replace=False)
        for h, n in enumerate(design.reads)
    ]
    return np.asarray(rng.permutation(np.concatenate(chosen)))

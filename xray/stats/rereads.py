"""What a site's labels cost: AUC by other rules' labels less AUC by its own, from a sample of images that was read again.

Own labels Y are known of all images, the others, Z, of a sample with known chances (`xray.stats.reread_design`). Y stands
for Z everywhere, and what was read corrects it (the difference estimator; Särndal, Swensson and Wretman 1992, ch. 6;
prediction-powered inference, Angelopoulos et al. 2023). With D = Z − Y, k(i, j) = 1 where image i scores above image j, ½
where they tie, the sum over pairs of Z_i (1 − Z_j) k(i, j) is

    U(Y) + Σ D_i Σ_j k(i, j) (1 − Y_j) − Σ D_j Σ_i k(i, j) Y_i − ΣΣ D_i D_j k(i, j),

of which sums over images are estimated with the inverse chance of an image, the last with that of a pair (Horvitz and
Thompson 1952). So it is unbiased, as is the number of pairs, which is the same with k = 1; the AUC is the ratio of both.

The variance is that of a two-phase sample: patients of the site, then images of a stratum. In a stratum where few
contradict, what was seen is shrunk to what the class as a whole shows; so it is not 0 where none does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from xray.stats.estimates import DEFINED, NO_DATA, FloatArray, IntArray
from xray.stats.reread_design import Design, Placed, guesses, placed

SHRUNK: Final = 2.0
"""Reads that the class as a whole counts for in a stratum's variance."""
NO_POSITIVES: Final = "no positive is left by the other rules"
FEW_READS: Final = "fewer than two reads of a stratum"


@dataclass(frozen=True)
class Measured:
    """difference: AUC by the others' labels less AUC by the site's, with standard error and 95 % interval. ratio: the log of
    positives by the others per positive by the site, with standard error. lost: share of the site's positives that the
    others call negative. reads: that were used. reason: "" or why not.
    """

    difference: float
    se: float
    lower: float
    upper: float
    ratio: float
    ratio_se: float
    lost: float
    reads: int
    reason: str = DEFINED


def measure(
    scores: FloatArray,
    labels: FloatArray,
    patients: NDArray[np.generic],
    design: Design,
    read: IntArray,
    again: FloatArray,
) -> Measured:
    """scores, labels, patients: (n_images,). read: images that were read, as drawn by the design; again: what was said of
    them, 1, 0, or NaN: not read, or no call, missing at random within a stratum.
    """
    usable = (design.stratum >= 0) & np.isfinite(scores) & np.isfinite(labels)
    called = ~np.isnan(again) & usable[read]
    read, again = read[called], again[called]
    x, y, stratum = scores[usable], labels[usable], design.stratum[usable]
    sizes = np.bincount(stratum, minlength=design.sizes.size)
    at = (np.cumsum(usable) - 1)[read]
    n = np.bincount(stratum[at], minlength=sizes.size)
    if read.size == 0 or (n < np.minimum(2, sizes)).any():
        return _undefined(read.size, NO_DATA if read.size == 0 else FEW_READS)
    other = again - y[at]
    own = placed(x, y, 1 - y)
    auc, positives = _auc(x, y, at, other, stratum, sizes, n)
    if not np.isfinite(auc):
        return _undefined(read.size, NO_POSITIVES)
    weight = (sizes / np.maximum(n, 1))[stratum[at]]
    moved = np.bincount(at, weight * other, minlength=x.size)
    there = _among(x, y + moved, 1 - y - moved, auc, positives)
    rates = _rates(y, stratum, sizes, guesses(y, own), at, other, n)
    value = auc - own.auc
    variance, degrees = _variance(own, there, y, stratum, sizes, n, at, other, rates, patients[usable])
    se = float(np.sqrt(variance))
    half = float(stdtrit(degrees, 0.975)) * se
    spread = np.bincount(stratum, rates * (1 - rates), minlength=sizes.size) / np.maximum(sizes, 1)
    ratio_se = float(np.sqrt((sizes**2 / np.maximum(n, 1)) @ spread)) / positives
    lost = float(-(weight * np.minimum(other, 0)).sum()) / own.positives
    ratio = float(np.log(positives / own.positives))
    return Measured(value, se, value - half, value + half, ratio, ratio_se, lost, int(read.size))


def _undefined(reads: int, reason: str) -> Measured:
    return Measured(*(float("nan"),) * 7, reads, reason)


def totals(
    x: FloatArray,
    y: FloatArray,
    at: IntArray,
    other: FloatArray,
    stratum: IntArray,
    sizes: IntArray,
    n: IntArray,
) -> tuple[float, float, float]:
    """Unbiased: pairs of a positive above a negative, pairs of both, and positives, by the labels of who read again.

    x, y, stratum: (n_images,); at: images that were read; other: the new label less the old; sizes, n: (n_strata,).
    """
    changed = np.flatnonzero(other)
    i, d = at[changed], other[changed]
    h = stratum[i]
    weight = (sizes / np.maximum(n, 1))[h]
    own = placed(x, y, 1 - y)
    p, q = own.positives, own.negatives
    beats = own.below[i] * q - 0.5 * (1 - y[i])
    beaten = own.above[i] * p - 0.5 * y[i]
    pairs = np.outer(weight, weight)
    within = (sizes * (sizes - 1) / np.maximum(n * (n - 1), 1))[h]
    pairs = np.where(h[:, None] == h[None], within[:, None], pairs)
    np.fill_diagonal(pairs, 0)
    k = (x[i][:, None] > x[i][None]) + 0.5 * (x[i][:, None] == x[i][None])
    both = np.outer(d, d) * pairs
    u = own.auc * p * q + (weight * d) @ (beats - beaten) - float((both * k).sum())
    every = p * q + (weight * d) @ (q - (1 - y[i]) - p + y[i]) - float(both.sum())
    return float(u), float(every), float(p + weight @ d)


def _auc(
    x: FloatArray,
    y: FloatArray,
    at: IntArray,
    other: FloatArray,
    stratum: IntArray,
    sizes: IntArray,
    n: IntArray,
) -> tuple[float, float]:
    """AUC by the others' labels, and positives; NaN where hardly a positive is left."""
    u, pairs, positives = totals(x, y, at, other, stratum, sizes, n)
    if positives < 1 or positives > x.size - 1 or pairs <= 0:
        return np.nan, positives
    return float(np.clip(u / pairs, 0, 1)), positives


def _among(x: FloatArray, positive: FloatArray, negative: FloatArray, auc: float, positives: float) -> Placed:
    """Where scores lie among estimated positives and negatives, whose weights may be below 0: shares are kept in [0, 1]."""
    at = placed(x, positive, negative)
    return Placed(np.clip(at.below, 0, 1), np.clip(at.above, 0, 1), auc, positives, x.size - positives)


def _rates(
    y: FloatArray,
    stratum: IntArray,
    sizes: IntArray,
    guess: FloatArray,
    at: IntArray,
    other: FloatArray,
    n: IntArray,
) -> FloatArray:
    """The chance of a contradiction of each image (n_images,): its stratum's, shrunk to the guess as its class bears out."""
    changed, own = np.abs(other), guess.copy()
    for value in (0, 1):
        chosen = y == value
        of_reads = y[at] == value
        expected = float(guess[at[of_reads]].sum())
        own[chosen] *= (float(changed[of_reads].sum()) + 0.5) / (expected + 0.5)
    own = np.clip(own, 0, 0.5)
    mean = np.bincount(stratum, own) / sizes
    seen = np.bincount(stratum[at], changed, minlength=sizes.size)
    rate = (seen + SHRUNK * mean) / (n + SHRUNK)
    return np.asarray(rate[stratum])


def _variance(
    own: Placed, there: Placed, y: FloatArray, stratum: IntArray, sizes: IntArray, n: IntArray, at: IntArray,
    other: FloatArray, rates: FloatArray, patients: NDArray[np.generic],
) -> tuple[float, float]:  # fmt: skip
    """Of the difference, and degrees of freedom (Satterthwaite): patients of the site, and reads within strata."""
    g = there.influence
    drift = np.bincount(stratum[at], other * g[at], minlength=sizes.size) / np.maximum(n, 1)
    base = _influence(there, y) - _influence(own, y) + drift[stratum]
    unit = np.unique(patients, return_inverse=True)[1]
    by_patient = np.bincount(unit, base - base.mean())
    of_patients = float(by_patient @ by_patient)
    images = np.bincount(unit).astype(np.float64)
    clustered = float((images @ images) / images.sum())
    spread = np.bincount(stratum, g**2 * rates) / sizes - (np.bincount(stratum, g * rates) / sizes) ** 2
    fraction = n / sizes
    of_strata = (sizes**2 * (1 - fraction) / np.maximum(n, 1) + sizes * clustered) * spread
    total = of_patients + float(of_strata.sum())
    slack = float((of_strata**2 / (n - 1 + SHRUNK)).sum()) + of_patients**2 / max(images.size - 1, 1)
    return max(total, 1e-12), total**2 / max(slack, 1e-300)


def _influence(at: Placed, y: FloatArray) -> FloatArray:
    """Of each image on the AUC, (n_images,)."""
    return np.where(y == 1, (at.below - at.auc) / at.positives, (at.above - at.auc) / at.negatives)


def pooled(several: Sequence[Measured]) -> Measured:
    """Independent samples of one site together, each weighted by its precision; the first of those that have no value."""
    usable = [of for of in several if of.reason == DEFINED]
    if len(usable) < 2:
        return usable[0] if usable else several[0]
    weight = np.array([[of.se, of.ratio_se] for of in usable]) ** -2.0
    value = np.array([[of.difference, of.ratio] for of in usable])
    difference, ratio = (weight * value).sum(axis=0) / weight.sum(axis=0)
    se, ratio_se = weight.sum(axis=0) ** -0.5
    half = sum(((of.upper - of.lower) / 2) ** -2.0 for of in usable) ** -0.5
    reads = np.array([of.reads for of in usable])
    lost = float(reads @ [of.lost for of in usable] / reads.sum())
    bounds = float(difference - half), float(difference + half)
    return Measured(
        float(difference), float(se), *bounds, float(ratio), float(ratio_se), lost, int(reads.sum())
    )


def expected_se(scores: FloatArray, labels: FloatArray, design: Design) -> float:
    """The standard error of the difference that a design expects, where contradictions are as it guesses them."""
    usable = design.stratum >= 0
    y, stratum = labels[usable], design.stratum[usable]
    own = placed(scores[usable], y, 1 - y)
    spread = np.bincount(stratum, own.influence**2 * guesses(y, own)) / design.sizes
    return float(np.sqrt((design.sizes**2 / np.maximum(design.reads, 1)) @ spread))

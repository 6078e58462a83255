"""Calibration of a model's logits with 95 % intervals, the patient as the unit: in the large, Cox's line, Brier, ECE."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, stdtrit

from xray.stats.calibration import bins_of_ascending
from xray.stats.estimates import DEFINED, NO_DATA, ONE_CLASS, FloatArray
from xray.stats.logistic import covariance_of, fit_logistic, quantile_of
from xray.stats.recalibration import BOUND, in_the_large

MEASURES: Final = ("in the large", "intercept", "slope", "brier", "ece")
PERFECT: Final = {"in the large": 0.0, "intercept": 0.0, "slope": 1.0, "brier": 0.0, "ece": 0.0}
_DRAWS: Final = 2000


@dataclass(frozen=True)
class Measure:
    """An estimate with its 95 % interval, NaN where it is not defined."""

    value: float
    lower: float
    upper: float


UNDEFINED: Final = Measure(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Calibrated:
    """`MEASURES` of one model and finding. n, n_pos: images with label and score, positives among them.

    reason: why the first three, or the second and third, are NaN.
    """

    measures: dict[str, Measure]
    n: int
    n_pos: int
    reason: str


def calibration_measures(
    labels: NDArray[np.floating],
    logits: NDArray[np.floating],
    patients: NDArray[np.integer],
    fitted_here: bool = False,
    n_bins: int = 10,
    seed: int = 0,
) -> Calibrated:
    """How well the probabilities of logits fit the labels. labels 1/0/NaN, logits, patients (codes): (n_images,).

    in the large: a of logit P(y) = a + logit. intercept, slope: Cox's line. Normal intervals by the likelihood's curvature
    where each patient has one image, else by the sums of its derivatives over patients (Huber 1967; Liang and Zeger 1986).
    brier: the mean over images. ece: Σ n_b/n |observed − predicted| over bins of equal mass, which chance alone makes
    positive; value and bounds are the errors at which one as large as that seen, or larger, has a chance of ½, .025 and
    .975, were the bins' gaps in proportion as seen, with normal noise. So it is 0 where chance explains what is seen.

    fitted_here: whether logits are calibrated by maps of these very images, of other folds. The map of all images is off by
    a factor of its slope, so that bounds of the slope are symmetric in its logarithm. Errors of the maps cancel over the
    folds, in ece too, and the map of all images still has them: the upper bound of ece is the .975 quantile of the sum
    with the noise of the gaps added once more.
    """
    scored = ~np.isnan(labels) & ~np.isnan(logits)
    label = np.asarray(labels[scored], dtype=np.float64)
    score = np.clip(np.asarray(logits[scored], dtype=np.float64), -BOUND, BOUND)
    _, unit = np.unique(patients[scored], return_inverse=True)
    n, n_pos = label.size, int(label.sum())
    measures = dict.fromkeys(MEASURES, UNDEFINED)
    if n == 0:
        return Calibrated(measures, 0, 0, NO_DATA)
    squares = (expit(score) - label) ** 2
    measures["brier"] = mean_by_patient(squares, unit)
    measures["ece"] = _ece(label, score, unit, n_bins, seed, fitted_here)
    if n_pos in (0, n):
        return Calibrated(measures, n, n_pos, ONE_CLASS)
    ones = np.ones((n, 1))
    measures["in the large"] = _wald(ones, label, score, np.array([in_the_large(label, score)]), unit)[0]
    line = fit_logistic(np.stack([ones[:, 0], score], axis=1), label, start=(0.0, 1.0))
    if not line.reason:
        design = np.stack([ones[:, 0], score], axis=1)
        pair = _wald(design, label, np.zeros(n), line.coefficients, unit)
        measures["intercept"], measures["slope"] = pair
        if fitted_here:
            measures["slope"] = _by_factor(measures["slope"])
    return Calibrated(measures, n, n_pos, line.reason or DEFINED)


def brier_difference(
    labels: NDArray[np.floating],
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    patients: NDArray[np.integer],
) -> Measure:
    """Brier's score after less before on the same images: below 0, the second fits better. Arguments as above."""
    scored = ~np.isnan(labels) & ~np.isnan(before) & ~np.isnan(after)
    first, second = ((expit(score[scored]) - labels[scored]) ** 2 for score in (before, after))
    _, unit = np.unique(patients[scored], return_inverse=True)
    return mean_by_patient(second - first, unit) if scored.any() else UNDEFINED


def mean_by_patient(values: FloatArray, unit: NDArray[np.integer]) -> Measure:
    """The mean over images with Student's interval, its variance from sums over patients. unit: (n,) codes from 0."""
    mean = values.mean()
    of, count = np.bincount(unit, weights=values), np.bincount(unit)
    m = count.size
    if m < 2:
        return Measure(float(mean), np.nan, np.nan)
    variance = m / (m - 1) * ((of - mean * count) ** 2).sum() / len(values) ** 2
    half = stdtrit(m - 1, 0.975) * np.sqrt(variance)
    return Measure(float(mean), float(mean - half), float(mean + half))


def _wald(
    design: FloatArray,
    label: FloatArray,
    offset: FloatArray,
    coefficients: FloatArray,
    unit: NDArray[np.integer],
) -> list[Measure]:
    probability = expit(design @ coefficients + offset)
    spread = np.sqrt(np.diag(covariance_of(design, label, probability, unit)))
    half_width = quantile_of(unit) * spread
    return [
        Measure(float(value), float(value - h), float(value + h))
        for value, h in zip(coefficients, half_width, strict=True)
    ]


def _by_factor(measure: Measure) -> Measure:
    """The same with bounds that are as far in the logarithm; as it is where the value is not above 0."""
    if not measure.value > 0:
        return measure
    factor = np.exp((measure.upper - measure.value) / measure.value)
    return Measure(measure.value, float(measure.value / factor), float(measure.value * factor))


def _ece(
    label: FloatArray, score: FloatArray, unit: NDArray[np.integer], n_bins: int, seed: int, fitted_here: bool
) -> Measure:
    order = np.argsort(score)
    probability = expit(score[order])
    bins = bins_of_ascending(probability, n_bins)
    gap, unit_in_order = label[order] - probability, unit[order]
    m, n = int(unit.max()) + 1, len(label)
    total = np.bincount(bins, weights=gap, minlength=n_bins) / n
    plain = float(np.abs(total).sum())
    if m < 2:
        return Measure(plain, np.nan, np.nan)
    cells = np.bincount(unit_in_order * n_bins + bins, weights=gap, minlength=m * n_bins).reshape(m, n_bins)
    sizes = np.bincount(unit_in_order * n_bins + bins, minlength=m * n_bins).reshape(m, n_bins)
    mean = np.divide(total * n, sizes.sum(axis=0), out=np.zeros(n_bins), where=sizes.sum(axis=0) > 0)
    residue = cells - mean * sizes
    covariance = m / (m - 1) * residue.T @ residue / n**2
    variance_of_bins = np.bincount(bins, weights=probability * (1 - probability), minlength=n_bins) / n**2
    covariance += np.diag(
        np.maximum(variance_of_bins - np.diag(covariance), 0)
    )  # a bin of one class seems to have no noise
    values, vectors = np.linalg.eigh(covariance)
    noise = np.random.default_rng(seed).normal(size=(_DRAWS, n_bins)) * np.sqrt(np.maximum(values, 0))
    noise = noise @ vectors.T
    value, lower, upper = (_size(total, noise, tail) for tail in (0.5, 0.025, 0.975))
    if fitted_here:
        upper = float(np.quantile(np.abs(total + noise).sum(axis=1), 0.975))
    return Measure(value, lower, upper)


def _size(gaps: FloatArray, noise: FloatArray, tail: float) -> float:
    """The sum of absolute gaps at which one as large as that seen, or larger, has this chance; 0 where it has more at 0.

    gaps (n_bins,), noise (n_draws, n_bins): of gaps of these proportions.
    """
    total = np.abs(gaps).sum()
    if total == 0:
        return 0.0
    lower, upper = 0.0, 1.0
    if _chance(gaps, noise, 0.0, total) > tail:
        return 0.0
    while _chance(gaps, noise, upper, total) < tail:
        upper *= 2
    for _ in range(30):
        middle = (lower + upper) / 2
        lower, upper = (middle, upper) if _chance(gaps, noise, middle, total) < tail else (lower, middle)
    return float(upper * total)


def _chance(gaps: FloatArray, noise: FloatArray, scale: float, total: float) -> float:
    return float((np.abs(scale * gaps + noise).sum(axis=1) >= total).mean())

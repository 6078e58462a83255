"""Recalibration: maps from a model's logits to logits whose probabilities fit a hospital.

| method | calibrated logit of logit x | keeps |
|---|---|---|
| intercept | a + x | differences of logits, AUC |
| logistic | a + b x (Platt 1999; Cox 1958), b > 0 | the order, AUC |
| isotonic | logit of the non-decreasing probabilities of least squares (Zadrozny and Elkan 2002) | the order, with ties |
"""

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.special import logit as logit_of

from xray.stats.estimates import DEFINED, NO_DATA, ONE_CLASS, FloatArray
from xray.stats.logistic import fit_logistic

Method = Literal["intercept", "logistic", "isotonic"]
METHODS: Final[tuple[Method, ...]] = ("intercept", "logistic", "isotonic")
BOUND: Final = 34.5
"""Logits beyond ± this count as this: a probability of just 0 or 1 has a logit that means nothing."""
REVERSED: Final = "higher scores are not more often positive"
FEW_PATIENTS: Final = "fewer patients of a class than folds"


@dataclass(frozen=True)
class Recalibration:
    """A map of logits; NaN and no knots where `reason` says why there is none.

    intercept, slope: a and b. knots, probabilities: of isotonic, both ascending; between knots the probability is linear in
    the logit, beyond the ends it is that of the end.
    """

    method: Method
    intercept: float
    slope: float
    knots: FloatArray
    probabilities: FloatArray
    n: int
    n_pos: int
    reason: str = DEFINED

    def apply(self, logits: NDArray[np.floating]) -> FloatArray:
        """Calibrated logits (n_images,) of logits (n_images,); NaN stays."""
        inside = np.clip(np.asarray(logits, dtype=np.float64), -BOUND, BOUND)
        if self.method == "isotonic" and not self.reason:
            calibrated: FloatArray = logit_of(np.interp(inside, self.knots, self.probabilities))
            return np.where(np.isnan(inside), np.nan, calibrated)
        return np.asarray(self.intercept + self.slope * inside)


def recalibrate(labels: NDArray[np.floating], logits: NDArray[np.floating], method: Method) -> Recalibration:
    """Fit a map on images. labels 1/0/NaN, logits, NaN where there is none: (n_images,).

    Undefined with one class, where the classes are perfectly separated, and where a line would reverse the order.
    """
    scored = ~np.isnan(labels) & ~np.isnan(logits)
    label = np.asarray(labels[scored], dtype=np.float64)
    score = np.clip(np.asarray(logits[scored], dtype=np.float64), -BOUND, BOUND)
    n, n_pos = label.size, int(label.sum())
    undefined = Recalibration(method, np.nan, np.nan, np.empty(0), np.empty(0), n, n_pos)
    if n_pos in (0, n):
        return replace(undefined, reason=ONE_CLASS if n else NO_DATA)
    if method == "isotonic":
        knots, probabilities = _isotonic(label, score)
        return replace(undefined, knots=knots, probabilities=probabilities)
    if method == "intercept":
        return replace(undefined, intercept=in_the_large(label, score), slope=1.0)
    line = fit_logistic(np.stack([np.ones(n), score], axis=1), label, start=(0.0, 1.0))
    if line.reason:
        return replace(undefined, reason=line.reason)
    intercept, slope = map(float, line.coefficients)
    if slope <= 0:
        return replace(undefined, reason=REVERSED)
    return replace(undefined, intercept=intercept, slope=slope)


def in_the_large(label: FloatArray, score: FloatArray) -> float:
    """Calibration in the large: a of logit P(y) = a + logit, 0 where perfect, above 0 where there are more positives than
    predicted.

    label 1 and 0, both there, score finite: (n_images,). At the maximum of the likelihood the sum of probabilities, which
    grows with a, is that of the labels: Newton's steps, bisection where they leave the bounds.
    """
    lower, upper = -score.max() - 60.0, -score.min() + 60.0
    n_positive, at = label.sum(), 0.0
    for _ in range(200):
        probability = 1 / (1 + np.exp(-np.clip(at + score, -700, 700)))
        gap = n_positive - probability.sum()
        lower, upper = (at, upper) if gap > 0 else (lower, at)
        information = (probability * (1 - probability)).sum()
        step = gap / information if information > 0 else np.inf
        following = at + step if lower < at + step < upper else (lower + upper) / 2
        if abs(following - at) < 1e-12 * (1 + abs(at)):
            break
        at = following
    return float(at)


def _isotonic(label: FloatArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Knots: either end of each pool of equal probability. Equal scores are one observation of their mean.

    A pool of m images without a positive would say 0, and one of positives only 1: they say ½ / (m + 1) of a positive, or of
    a negative, but at most half of what lies between 0, or 1, and the next pool.
    """
    scores, index, count = np.unique(score, return_inverse=True, return_counts=True)
    positives = np.bincount(index, weights=label)
    pools = isotonic_regression(positives / count, weights=count.astype(np.float64))
    starts = pools.blocks[:-1]
    value, size = pools.x[starts].copy(), np.add.reduceat(count, starts).astype(np.float64)
    value[0], value[-1] = _drawn_in(value, size)
    ends = pools.blocks[1:] - 1
    knots = np.stack([scores[starts], scores[ends]], axis=1).ravel()
    probabilities = np.repeat(value, 2)
    distinct = np.append(True, knots[1:] > knots[:-1])
    return knots[distinct], probabilities[distinct]


def _drawn_in(value: FloatArray, size: FloatArray) -> tuple[float, float]:
    """Values of the first and the last pool, within (0, 1)."""
    first, last = value[0], value[-1]
    if first <= 0:
        first = min(0.5 / (size[0] + 1), value[1] / 2) if value.size > 1 else 0.5 / (size[0] + 1)
    if last >= 1:
        last = max(1 - 0.5 / (size[-1] + 1), (1 + value[-2]) / 2) if value.size > 1 else last
    return float(first), float(last)


def cross_fitted(
    labels: NDArray[np.floating],
    logits: NDArray[np.floating],
    patients: NDArray[np.integer],
    method: Method,
    n_folds: int = 5,
    seed: int = 0,
) -> tuple[FloatArray, str]:
    """Calibrated logits (n_images,), each by a map that saw no image of its patient, and "" or why there are none.

    patients: (n_images,) codes. Images without a label are calibrated too. Each fold is calibrated by the map of the others.
    """
    scored = ~np.isnan(labels) & ~np.isnan(logits)
    fold = folds(np.where(scored, labels, np.nan), patients, n_folds, seed)
    undefined = np.full(len(labels), np.nan)
    for value in (0, 1):
        if np.unique(patients[scored & (labels == value)]).size < n_folds:
            return undefined, FEW_PATIENTS
    calibrated = undefined.copy()
    for number in range(n_folds):
        in_fold = fold == number
        calibration = recalibrate(np.where(in_fold, np.nan, labels), logits, method)
        if calibration.reason:
            return undefined, calibration.reason
        calibrated[in_fold] = calibration.apply(logits[in_fold])
    return calibrated, DEFINED


def folds(
    labels: NDArray[np.floating], patients: NDArray[np.integer], n_folds: int, seed: int = 0
) -> NDArray[np.int64]:
    """The fold of each image (n_images,), from 0: whole patients, dealt in random order, those with a positive image first,
    so that folds have as many of either to within one.
    """
    _, code = np.unique(patients, return_inverse=True)
    n = int(code.max(initial=-1)) + 1
    positive = np.bincount(code, weights=labels == 1, minlength=n) > 0
    order = np.random.default_rng(seed).permutation(n)
    dealt = np.concatenate([order[positive[order]], order[~positive[order]]])
    fold = np.empty(n, dtype=np.int64)
    fold[dealt] = np.arange(n) % n_folds
    return fold[code]

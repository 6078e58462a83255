"""Do probabilities mean what they say? Reliability in bins of equal mass, ECE, Brier's score and its
parts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from xray.stats.estimates import (
    DEFINED,
    NO_DATA,
    Estimates,
    FloatArray,
    IntArray,
    Numbers,
    TextArray,
    Values,
    reasons,
    reshaped,
    undefined,
)
from xray.stats.intervals import proportion
from xray.stats.logistic import LogisticFit, fit_logistic
from xray.stats.placements import as_columns, as_table


@dataclass(frozen=True)
class Reliability:
    """A reliability curve. Arrays (n_bins, ...), bins from low to high; a bin that ties left empty is NaN
    with n = 0.

    predicted: mean probability in the bin. observed: share of positives with Wilson's interval; its n and
    n_pos count.
    """

    predicted: FloatArray
    observed: Estimates


@dataclass(frozen=True)
class Brier:
    """Brier's score and its parts: score = reliability − resolution + uncertainty. All arrays have one shape.

    score: mean squared difference of probability and label, 0 best. reliability: miscalibration, 0 best.
    resolution: what the model tells apart. uncertainty: prevalence · (1 − prevalence), the score of always
    saying the prevalence.
    """

    score: FloatArray
    reliability: FloatArray
    resolution: FloatArray
    uncertainty: FloatArray
    n: IntArray
    n_pos: IntArray
    reason: TextArray


def reliability_curve(
    labels: Numbers, probabilities: Numbers, n_bins: int = 10, level: float = 0.95
) -> Reliability:
    """Observed against predicted share of positives, in bins of equally many images (equal probabilities
    share a bin).

    labels: (n_images,) or (n_images, n_columns), 1/0/NaN. probabilities: of that shape, in [0, 1] or NaN.
    """
    label, probability, shape = _columns(labels, probabilities)
    predicted = undefined((n_bins, probability.shape[1]))
    n, n_pos = np.zeros((2, *predicted.shape), dtype=np.int64)
    for column in range(probability.shape[1]):
        y, p, bins = _binned(label[:, column], probability[:, column], n_bins)
        n[:, column] = np.bincount(bins, minlength=n_bins)
        n_pos[:, column] = np.bincount(bins[y == 1], minlength=n_bins)
        total = np.bincount(bins, p, minlength=n_bins)
        np.divide(total, n[:, column], out=predicted[:, column], where=n[:, column] > 0)
    observed = proportion(n_pos, n, level)
    return Reliability(predicted.reshape(n_bins, *shape), reshaped(observed, (n_bins, *shape)))


def calibration_error(labels: Numbers, probabilities: Numbers, n_bins: int = 10) -> Values:
    """Expected calibration error Σ_b n_b/n |observed_b − predicted_b| over bins of equal mass (Nguyen and
    O'Connor 2015).

    Arguments as in `reliability_curve`. In [0, 1], 0 best; biased upwards in small samples.
    """
    return curve_error(reliability_curve(labels, probabilities, n_bins))


def curve_error(curve: Reliability) -> Values:
    """As `calibration_error`, of a reliability curve that is there already."""
    n = np.asarray(curve.observed.n.sum(axis=0))
    gap = np.abs(curve.observed.value - curve.predicted) * curve.observed.n
    value = np.divide(np.nansum(gap, axis=0), n, out=undefined(n.shape), where=n > 0)
    reason = np.where(n > 0, DEFINED, NO_DATA).astype(reasons(()).dtype)
    return Values(value, n, np.asarray(curve.observed.n_pos.sum(axis=0)), reason)


def brier(labels: Numbers, probabilities: Numbers, n_bins: int = 10) -> Brier:
    """Brier's score with Murphy's parts (1973) over bins of equal mass, generalised so that they add up
    exactly.

    resolution includes what binning leaves within the bins: minus the variance of probabilities there plus
    twice their covariance with the labels (Stephenson, Coelho and Jolliffe 2008). Arguments as in
    `reliability_curve`. AUC cannot see a shift of prevalence; this can.
    """
    label, probability, shape = _columns(labels, probabilities)
    score, reliability, resolution, uncertainty = undefined((4, probability.shape[1]))
    n, n_pos = np.zeros((2, probability.shape[1]), dtype=np.int64)
    reason = reasons((probability.shape[1],))
    for column in range(probability.shape[1]):
        y, p, bins = _binned(label[:, column], probability[:, column], n_bins)
        n[column], n_pos[column] = y.size, int(y.sum())
        if y.size == 0:
            reason[column] = NO_DATA
            continue
        sizes = np.maximum(np.bincount(bins, minlength=n_bins), 1)
        observed = (np.bincount(bins, y, minlength=n_bins) / sizes)[bins]
        predicted = (np.bincount(bins, p, minlength=n_bins) / sizes)[bins]
        within = np.mean((p - predicted) ** 2 - 2 * (y - observed) * (p - predicted))
        score[column] = np.mean((p - y) ** 2)
        reliability[column] = np.mean((predicted - observed) ** 2)
        resolution[column] = np.mean((observed - y.mean()) ** 2) - within
        uncertainty[column] = y.mean() * (1 - y.mean())
    return reshaped(Brier(score, reliability, resolution, uncertainty, n, n_pos, reason), shape)


def calibration_line(labels: Numbers, probabilities: Numbers) -> LogisticFit:
    """Cox's calibration line: logit P(y) = intercept + slope · logit(probability) (Cox 1958). Perfect is (0,
    1).

    A slope below 1: probabilities too extreme. labels, probabilities: (n_images,); probabilities strictly
    within (0, 1).
    coefficients of the result: (intercept, slope).
    """
    label, probability, shape = _columns(labels, probabilities)
    if shape:
        raise ValueError(f"probabilities have rows of shape {shape}; expected one vector (n_images,)")
    kept = ~np.isnan(label[:, 0]) & ~np.isnan(probability[:, 0])
    linear = logit(probability[kept, 0])
    if np.isinf(linear).any():
        raise ValueError("probabilities of exactly 0 or 1 have no logit")
    return fit_logistic(np.stack([np.ones_like(linear), linear], axis=1), label[kept, 0])


def _columns(labels: Numbers, probabilities: Numbers) -> tuple[FloatArray, FloatArray, tuple[int, ...]]:
    label, probability = as_columns(labels, np.asarray(probabilities, dtype=np.float64))
    if ((probability < 0) | (probability > 1)).any():
        raise ValueError("probabilities must lie in [0, 1]; logits go through the sigmoid first")
    if not ((label == 1) | (label == 0) | np.isnan(label)).all():
        raise ValueError("labels must be 1, 0 or NaN")
    table = as_table(probability).astype(np.float64)
    return np.broadcast_to(as_table(label), table.shape).astype(np.float64), table, probability.shape[1:]


def _binned(
    label: FloatArray, probability: FloatArray, n_bins: int
) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """Complete labels and probabilities, and each image's bin: that of the middle rank of its ties."""
    kept = ~np.isnan(label) & ~np.isnan(probability)
    y, p = label[kept], probability[kept]
    _, group, sizes = np.unique(p, return_inverse=True, return_counts=True)
    first = np.cumsum(sizes) - sizes
    middle = (2 * first + sizes - 1)[group]  # twice the middle rank
    return y, p, np.asarray(middle * n_bins // max(2 * y.size, 1), dtype=np.int64)

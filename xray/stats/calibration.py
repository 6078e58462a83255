"""Do probabilities mean what they say? Reliability in bins of equal mass, ECE, Brier's score and its
parts.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from xray.compiled import compiled
from xray.stats.estimates import (
    DEFINED,
    NO_DATA,
    Estimates,
    FloatArray,
    IntArray,
    Numbers,
    TextArray,
    Values,
    codes_of,
    column_sums,
    reasons,
    reshaped,
    stacked,
    undefined,
)
from xray.stats.intervals import proportion
from xray.stats.logistic import LogisticFit, covariance_of, fit_logistic
from xray.stats.placements import as_columns, as_table
from xray.stats.shares import share_of


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
    return curve_of(binned(labels, probabilities, n_bins), level)


def curve_of(bins: "Bins", level: float = 0.95) -> Reliability:
    """As `reliability_curve`, of images that are binned already; patients are the units where bins know them."""
    observed = proportion(bins.n_pos, bins.n, level) if bins.observed is None else bins.observed
    return Reliability(bins.mean(bins.total), observed)


def curve_error(curve: Reliability) -> Values:
    """Expected calibration error Σ_b n_b/n |observed_b − predicted_b| over bins of equal mass (Nguyen and O'Connor 2015).

    In [0, 1], 0 best; biased upwards in small samples.
    """
    n = np.asarray(curve.observed.n.sum(axis=0))
    gap = np.abs(curve.observed.value - curve.predicted) * curve.observed.n
    value = np.divide(column_sums(np.nan_to_num(gap)), n, out=undefined(n.shape), where=n > 0)
    reason = np.where(n > 0, DEFINED, NO_DATA).astype(reasons(()).dtype)
    return Values(value, n, np.asarray(curve.observed.n_pos.sum(axis=0)), reason)


def brier_of(bins: "Bins") -> Brier:
    """Brier's score with Murphy's parts (1973) over bins of equal mass, generalised so that they add up exactly.

    resolution includes what binning leaves within the bins: minus the variance of probabilities there plus twice their
    covariance with the labels (Stephenson, Coelho and Jolliffe 2008). AUC cannot see a shift of prevalence; this can.
    """
    n, n_pos = bins.n.sum(axis=0), bins.n_pos.sum(axis=0)
    safe = np.maximum(n, 1)
    share = n_pos / safe
    observed, predicted = (np.nan_to_num(bins.mean(part)) for part in (bins.n_pos, bins.total))
    squares = bins.squares - column_sums(bins.n * predicted**2)
    products = bins.positives_total - column_sums(bins.n * observed * predicted)
    within_bins = (squares - 2 * products) / safe
    parts = (
        (bins.squares - 2 * bins.positives_total + n_pos) / safe,
        column_sums(bins.n * (predicted - observed) ** 2) / safe,
        column_sums(bins.n * (observed - share) ** 2) / safe - within_bins,
        share * (1 - share),
    )
    score, reliability, resolution, uncertainty = (np.where(n > 0, part, np.nan) for part in parts)
    reason = np.where(n > 0, DEFINED, NO_DATA).astype(reasons(()).dtype)
    return Brier(score, reliability, resolution, uncertainty, n, n_pos, reason)


def calibration_line(
    labels: Numbers, probabilities: Numbers, patients: NDArray[np.generic] | None = None
) -> LogisticFit:
    """Cox's calibration line: logit P(y) = intercept + slope · logit(probability) (Cox 1958). Perfect is (0,
    1).

    A slope below 1: probabilities too extreme. labels, probabilities: (n_images,); probabilities strictly
    within (0, 1). patients: (n_images,), whose the images are, where some have several: the covariance is then that of
    patients' sums (`covariance_of`).
    coefficients of the result: (intercept, slope).
    """
    label, probability, shape = _columns(labels, probabilities)
    if shape:
        raise ValueError(f"probabilities have rows of shape {shape}; expected one vector (n_images,)")
    scored = ~np.isnan(label[:, 0]) & ~np.isnan(probability[:, 0])
    linear = logit(probability[scored, 0])
    if np.isinf(linear).any():
        raise ValueError("probabilities of exactly 0 or 1 have no logit")
    design, y = np.stack([np.ones_like(linear), linear], axis=1), label[scored, 0]
    line = fit_logistic(design, y, start=(0.0, 1.0))
    if patients is None or line.reason:
        return line
    unit = codes_of(patients[scored])
    return replace(line, covariance=covariance_of(design, y, expit(design @ line.coefficients), unit))


def _columns(labels: Numbers, probabilities: Numbers) -> tuple[FloatArray, FloatArray, tuple[int, ...]]:
    label, probability = as_columns(labels, np.asarray(probabilities, dtype=np.float64))
    if ((probability < 0) | (probability > 1)).any():
        raise ValueError("probabilities must lie in [0, 1]; logits go through the sigmoid first")
    if not ((label == 1) | (label == 0) | np.isnan(label)).all():
        raise ValueError("labels must be 1, 0 or NaN")
    table = as_table(probability).astype(np.float64)
    return np.broadcast_to(as_table(label), table.shape).astype(np.float64), table, probability.shape[1:]


@dataclass(frozen=True)
class Bins:
    """Sums over images in bins of equal mass, enough for the curve, ECE and Brier's score with its parts.

    n, n_pos, total: (n_bins, ...) images, positives, sum of probabilities. squares, positives_total: (...) sum of squared
    probabilities, and of those of positives, over all bins. observed: share of positives (n_bins, ...) with patients as
    units, by `share_by_patient`; None where each image counts for itself.
    """

    n: IntArray
    n_pos: IntArray
    total: FloatArray
    squares: FloatArray
    positives_total: FloatArray
    observed: Estimates | None = None

    def mean(self, sums: FloatArray | IntArray) -> FloatArray:
        """Sums per image of the bin, NaN in empty ones."""
        return np.divide(sums, self.n, out=undefined(self.n.shape), where=self.n > 0)


def binned(
    labels: Numbers,
    probabilities: Numbers,
    n_bins: int = 10,
    patients: NDArray[np.generic] | None = None,
    level: float = 0.95,
) -> Bins:
    """Each image's bin is that of the middle rank of its ties. Arguments as in `reliability_curve`.

    patients: (n_images,), whose the images are, where some have several.
    """
    label, probability, shape = _columns(labels, probabilities)
    n_columns = probability.shape[1]
    n, n_pos = np.zeros((2, n_bins, n_columns), dtype=np.int64)
    total = np.zeros((n_bins, n_columns))
    squares, positives_total = np.zeros((2, n_columns))
    code = None if patients is None else codes_of(patients)
    observed: list[Estimates] = []
    for column in range(n_columns):
        scored = ~np.isnan(label[:, column]) & ~np.isnan(probability[:, column])
        p, y = probability[scored, column], label[scored, column] == 1
        order = np.argsort(p)
        p, y = p[order], y[order]
        bins = bins_of_ascending(p, n_bins)
        n[:, column] = np.bincount(bins, minlength=n_bins)
        n_pos[:, column] = np.bincount(bins[y], minlength=n_bins)
        total[:, column] = np.bincount(bins, p, minlength=n_bins)
        squares[column], positives_total[column] = p @ p, p[y].sum()
        if code is not None:
            units, squares_of = _of_patients(code[scored][order], bins, y, n[:, column], n_pos[:, column])
            observed.append(share_of(n[:, column], n_pos[:, column], units, squares_of, level))
    by_bin = (n_bins, *shape)
    return Bins(
        n.reshape(by_bin),
        n_pos.reshape(by_bin),
        total.reshape(by_bin),
        squares.reshape(shape),
        positives_total.reshape(shape),
        reshaped(stacked(observed), by_bin) if observed else None,
    )


@compiled
def _of_patients(
    code: IntArray, bins: IntArray, positive: NDArray[np.bool_], n: IntArray, n_pos: IntArray
) -> tuple[IntArray, FloatArray]:
    """Of each bin, its patients, and the sum over these of (positives − share of the bin · images)²; (n_bins,) each."""
    n_bins, n_codes = n.size, code.max() + 1 if code.size else 0
    images, hits = np.zeros((n_bins, n_codes), dtype=np.int64), np.zeros((n_bins, n_codes), dtype=np.int64)
    for i in range(code.size):
        images[bins[i], code[i]] += 1
        hits[bins[i], code[i]] += positive[i]
    units, squares = np.zeros(n_bins, dtype=np.int64), np.zeros(n_bins)
    for k in range(n_bins):
        for unit in range(n_codes):
            if images[k, unit] > 0:
                apart = (hits[k, unit] * n[k] - n_pos[k] * images[k, unit]) / n[k]
                units[k] += 1
                squares[k] += apart * apart
    return units, squares


def bins_of_ascending(p: FloatArray, n_bins: int) -> IntArray:
    """The bin of each of some ascending probabilities (n,): that of the middle rank of its ties."""
    starts = np.flatnonzero(np.append(True, p[1:] != p[:-1])[: p.size])
    sizes = np.diff(np.append(starts, p.size))
    middle = 2 * starts + sizes - 1  # twice the middle rank
    return np.asarray(np.repeat(middle * n_bins // max(2 * p.size, 1), sizes), dtype=np.int64)

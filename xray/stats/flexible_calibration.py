"""The flexible calibration curve: observed share of positives against probability, without a straight line, with a band."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from xray.stats.estimates import DEFINED, FloatArray
from xray.stats.logistic import SEPARATED, covariance_of, fit_logistic, quantile_of
from xray.stats.recalibration import BOUND

KNOTS: Final[tuple[Sequence[float], ...]] = ((0.05, 0.275, 0.5, 0.725, 0.95), (0.1, 0.5, 0.9))
"""Quantiles of the logits at which the spline's knots lie (Harrell 2015, 2.4.6): of many positives, of few."""
FEW: Final = 50
"""With fewer of either class the spline has the fewer knots."""
FEWEST: Final = 10
POINTS: Final = 50
TOO_FEW: Final = f"fewer than {FEWEST} of a class"


@dataclass(frozen=True)
class FlexibleCurve:
    """Observed share of positives at probabilities, with pointwise 95 % bounds; all arrays (n_points,), empty where `reason`
    says why. n_knots: of the spline; 0 a line.
    """

    predicted: FloatArray
    observed: FloatArray
    lower: FloatArray
    upper: FloatArray
    n_knots: int
    reason: str


def flexible_curve(
    labels: NDArray[np.floating], logits: NDArray[np.floating], patients: NDArray[np.integer]
) -> FlexibleCurve:
    """logit P(y) as a restricted cubic spline of the logit, by maximum likelihood (Van Calster et al. 2016).

    labels 1/0/NaN, logits, patients (codes): (n_images,). Drawn from the 1st to the 99th percentile of the logits, evenly in
    the probability. Bounds by the patients' sums where any has several images. Where the spline has no maximum, or logits
    take too few values, it is a line.
    """
    scored = ~np.isnan(labels) & ~np.isnan(logits)
    label = np.asarray(labels[scored], dtype=np.float64)
    score = np.clip(np.asarray(logits[scored], dtype=np.float64), -BOUND, BOUND)
    _, unit = np.unique(patients[scored], return_inverse=True)
    fewest = min(int(label.sum()), int(len(label) - label.sum()))
    if fewest < FEWEST:
        return _no_curve(TOO_FEW)
    first, last = np.quantile(score, [0.01, 0.99])
    predicted = np.linspace(expit(first), expit(last), POINTS)
    at = np.log(predicted) - np.log1p(-predicted)
    for quantiles in (*KNOTS[fewest < FEW :], ()):
        knots = np.unique(np.quantile(score, quantiles)) if quantiles else np.empty(0)
        if knots.size < len(quantiles):
            continue
        design = _design(score, knots)
        fit = fit_logistic(design, label)
        if fit.reason:
            continue
        covariance = covariance_of(design, label, expit(design @ fit.coefficients), unit)
        points = _design(at, knots)
        middle = points @ fit.coefficients
        half = quantile_of(unit) * np.sqrt(np.einsum("ij,jk,ik->i", points, covariance, points))
        bounds = (expit(middle), expit(middle - half), expit(middle + half))
        return FlexibleCurve(predicted, *bounds, knots.size, DEFINED)
    return _no_curve(SEPARATED)


def restricted_cubic(x: FloatArray, knots: FloatArray) -> FloatArray:
    """Harrell's basis of a cubic spline that is a line beyond its k knots: (n, k − 1), x itself first.

    (x−t_j)³₊ − (x−t_{k−1})³₊ (t_k−t_j)/(t_k−t_{k−1}) + (x−t_k)³₊ (t_{k−1}−t_j)/(t_k−t_{k−1}), over (t_k − t_1)².
    """
    cubes = np.maximum(x[:, None] - knots, 0) ** 3
    last, before = knots[-1], knots[-2]
    inner = (
        cubes[:, :-2]
        - cubes[:, -2:-1] * (last - knots[:-2]) / (last - before)
        + cubes[:, -1:] * (before - knots[:-2]) / (last - before)
    )
    return np.column_stack([x, inner / (last - knots[0]) ** 2])


def _design(x: FloatArray, knots: FloatArray) -> FloatArray:
    columns = restricted_cubic(x, knots) if knots.size else x[:, None]
    return np.column_stack([np.ones(len(x)), columns])


def _no_curve(reason: str) -> FlexibleCurve:
    empty = np.empty(0)
    return FlexibleCurve(empty, empty, empty, empty, 0, reason)

"""Intervals and tests of differences of AUCs that hold with few positives and near AUC = 1 (benchmarks/levels.py).

Independent samples: each AUC has its own bounds, and their distances from it are added in squares ("square and add",
Newcombe 1998; Zou and Donner 2008). The bounds of one AUC are those of `xray.stats.delong.auc_interval`, with
Student's quantile in place of the normal one where DeLong's variance is used. p is the level whose interval ends at 0.

The same sample: the difference ± Student's quantile · √(variance + floor²), since the few images on which the models
differ may not have been drawn; the floor is that of `least_variance`.

Degrees of freedom are Welch's and Satterthwaite's: of independent variances v_i with f_i degrees, (Σ v_i)² / Σ v_i² / f_i.
"""

from math import erfc, exp, expm1, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from xray.compiled import compiled
from xray.stats.estimates import FloatArray, check_level

FURTHEST = 37.0
"""Standard normal deviate from which on p is 0 in double precision."""


def degrees_of_freedom(variances: ArrayLike, degrees: ArrayLike) -> FloatArray:
    """Satterthwaite's degrees of freedom of a sum of independent variance estimates, along the last axis.

    At least the smallest of `degrees`, and at least one; that smallest where all variances are 0.
    """
    v, f = np.broadcast_arrays(np.asarray(variances, np.float64), np.asarray(degrees, np.float64))
    least = np.maximum(f.min(axis=-1), 1)
    total, spread = v.sum(axis=-1) ** 2, (v**2 / np.maximum(f, 1)).sum(axis=-1)
    degrees_of_sum = np.divide(total, spread, out=np.array(least, dtype=np.float64), where=spread > 0)
    return np.asarray(np.maximum(degrees_of_sum, least))


def least_variance(n_pos: ArrayLike, n_neg: ArrayLike) -> FloatArray:
    """A floor for the variance of a difference of AUCs: a quarter of one unit of either class, (¼ / (n + 1))² each.

    n_pos, n_neg: independent units. Near AUC = 1, and between models that nearly agree, placements vary too little to tell.
    """
    floor = sum((0.25 / (np.asarray(n, np.float64) + 1)) ** 2 for n in (n_pos, n_neg))
    return np.asarray(floor, dtype=np.float64)


def student(
    difference: FloatArray, variance: FloatArray, degrees: ArrayLike, level: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(lower, upper, p) of differences by Student's t; bounds within [−1, 1], NaN where the variance is NaN or 0."""
    check_level(level)
    se = np.sqrt(np.where(variance > 0, variance, np.nan))
    half = stdtrit(degrees, 0.5 + level / 2) * se
    p = 2 * stdtr(degrees, -np.abs(difference / se))
    return np.maximum(difference - half, -1), np.minimum(difference + half, 1), p


def between_samples(
    values: FloatArray,
    variances: FloatArray,
    n_pos: NDArray[np.integer],
    n_neg: NDArray[np.integer],
    covariance: ArrayLike = 0.0,
    level: float = 0.95,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(lower, upper, p) of values[0] − values[1], AUCs (or means of AUCs) of two samples: (n_cells,) each.

    values, variances, n_pos, n_neg: (2, n_cells); the last two count independent units. covariance: of the two, where the
    samples share patients. Undefined (NaN) where a variance is NaN. With variance 0 in both the score bounds alone decide.
    """
    check_level(level)
    fewest = np.minimum(n_pos, n_neg)
    degrees = degrees_of_freedom(np.moveaxis(variances, 0, -1), np.moveaxis(fewest - 1, 0, -1))
    spread = np.sqrt(np.prod(variances, axis=0))
    covariances = np.broadcast_to(np.asarray(covariance, np.float64), spread.shape)
    correlation = np.clip(np.divide(covariances, spread, out=np.zeros_like(spread), where=spread > 0), -1, 1)
    cells = np.stack([values, variances, n_pos, n_neg, np.broadcast_to(degrees, values.shape)], axis=-1)
    bounds = np.full((3, values.shape[1]), np.nan)
    z = float(ndtri(0.5 + level / 2))
    _compare(np.ascontiguousarray(cells, dtype=np.float64), correlation, z, bounds)
    return bounds[0], bounds[1], bounds[2]


def deviate(difference: FloatArray, p: FloatArray) -> FloatArray:
    """The standard normal deviate that has this two-sided p, with the sign of the difference."""
    return np.asarray(np.sign(difference) * -ndtri(np.maximum(p, 2 * ndtr(-FURTHEST)) / 2))


@compiled
def _compare(cells: FloatArray, correlation: FloatArray, z: float, bounds: FloatArray) -> None:
    for k in range(cells.shape[1]):
        one, two = cells[0, k], cells[1, k]
        if np.isnan(one[1]) or np.isnan(two[1]):
            continue
        difference, rho = one[0] - two[0], correlation[k]
        bounds[0, k] = max(difference - _reach(one, two, rho, z), -1.0)
        bounds[1, k] = min(difference + _reach(two, one, rho, z), 1.0)
        if difference < 0:
            one, two = two, one
        near, far = 0.0, FURTHEST
        for _ in range(48):
            middle = (near + far) / 2
            if _reach(one, two, rho, middle) < abs(difference):
                near = middle
            else:
                far = middle
        bounds[2, k] = erfc(near / sqrt(2.0))


@compiled
def _reach(upper: FloatArray, lower: FloatArray, rho: float, z: float) -> float:
    """How far the difference, the one minus the other, reaches down: the one's lower and the other's upper bound."""
    down, up = _distance(upper, z, -1.0), _distance(lower, z, 1.0)
    return sqrt(max(down * down + up * up - 2 * rho * down * up, 0.0))


@compiled
def _distance(cell: FloatArray, z: float, side: float) -> float:
    """From an AUC to its bound on that side (−1: lower): by DeLong's variance, by Newcombe's too where next to nothing is
    misplaced, whichever is further.
    """
    value, variance, n_pos, n_neg, degrees = cell[0], cell[1], cell[2], cell[3], cell[4]
    distance = 0.0
    if variance > 0 and 0 < value < 1:
        half = _student_quantile(z, degrees) * sqrt(variance) / (value * (1 - value))
        grown = exp(min(half, 700.0))
        odds = value / (1 - value) * (grown if side > 0 else 1 / grown)
        distance = abs(odds / (1 + odds) - value)
    if variance == 0 or min(value, 1 - value) * min(n_pos, n_neg) < 5:
        distance = max(distance, _score_distance(value, n_pos, n_neg, z, side))
    return distance


@compiled
def _student_quantile(z: float, degrees: float) -> float:
    """Student's quantile for a normal one: Wallace's approximation (1959), too wide below three degrees of freedom."""
    scaled = z * (8 * degrees + 3) / (8 * degrees + 1)
    return sqrt(degrees * expm1(min(scaled * scaled / degrees, 700.0)))


@compiled
def _score_distance(value: float, n_pos: float, n_neg: float, z: float, side: float) -> float:
    """To the bound of `xray.stats.delong.newcombe_interval`."""
    extra, pairs = (n_pos + n_neg) / 2 - 1, n_pos * n_neg
    inside, outside = value, 1.0 if side > 0 else 0.0
    if inside == outside:
        return 0.0
    for _ in range(40):
        theta = (inside + outside) / 2
        spread = theta * (1 - theta) * (1 + extra * ((1 - theta) / (2 - theta) + theta / (1 + theta))) / pairs
        if (theta - value) * (theta - value) > z * z * spread:
            outside = theta
        else:
            inside = theta
    return abs((inside + outside) / 2 - value)

"""Logistic regression by maximum likelihood, for tests: a handful of coefficients, with their likelihood and
covariance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from xray.compiled import compiled
from xray.stats.estimates import DEFINED, NO_DATA, ONE_CLASS, FloatArray, Numbers, undefined

SEPARATED: Final = "perfectly separated: no maximum"
COLLINEAR: Final = "a column follows from the others"


@dataclass(frozen=True)
class LogisticFit:
    """A fitted model: coefficients (p,), covariance (p, p), the maximal log-likelihood; NaN where `reason`
    says why.
    """

    coefficients: FloatArray
    covariance: FloatArray
    log_likelihood: float
    n: int
    n_pos: int
    reason: str


def fit_logistic(
    design: Numbers, labels: Numbers, n_iterations: int = 100, start: Sequence[float] | None = None
) -> LogisticFit:
    """Maximise Σ y η − log(1 + e^η), η = design · β, by Newton's method with step halving.

    design: (n, p) with its own column of ones, finite. labels: (n,) of 1 and 0. Columns are scaled inside, so
    their units don't matter. Separation (some coefficient would be infinite) and collinear columns give NaN
    and a reason. start: coefficients to begin with, zeros if left out; the maximum is the same.
    """
    x, y = np.asarray(design, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if x.ndim != 2 or y.shape != x.shape[:1] or not np.isfinite(x).all() or not np.isin(y, (0, 1)).all():
        raise ValueError(
            f"expected a finite design (n, p) and labels (n,) of 1 and 0; got {x.shape} and {y.shape}"
        )
    n, n_pos, p = len(y), int(y.sum()), x.shape[1]

    def failed(reason: str) -> LogisticFit:
        return LogisticFit(undefined((p,)), undefined((p, p)), np.nan, n, n_pos, reason)

    if n_pos in (0, n):
        return failed(ONE_CLASS if n else NO_DATA)
    scale = np.sqrt((x**2).mean(axis=0))
    if (scale == 0).any() or np.linalg.matrix_rank(x / scale) < p:
        return failed(COLLINEAR)
    x = x / scale
    beta = np.zeros(p) if start is None else np.asarray(start) * scale
    likelihood, score, information = _derivatives(x, y, beta)
    for _ in range(n_iterations):
        if np.linalg.cond(information) > 1e13:
            return failed(SEPARATED)
        step, information_used = np.linalg.solve(information, score), information
        following, score, information = _derivatives(x, y, beta + step)
        while following < likelihood - 1e-9 * abs(likelihood):
            step = step / 2
            following, score, information = _derivatives(x, y, beta + step)
        beta, likelihood = beta + step, following
        if np.abs(step).max() < 1e-10 * (1 + np.abs(beta).max()):
            covariance = np.linalg.inv(information_used) / np.outer(scale, scale)
            return LogisticFit(beta / scale, covariance, likelihood, n, n_pos, DEFINED)
    return failed(SEPARATED)


def covariance_of(
    design: FloatArray,
    label: FloatArray,
    probability: FloatArray,
    unit: NDArray[np.integer],
) -> FloatArray:
    """Covariance (p, p) of coefficients at the maximum: H⁻¹; where patients have several images H⁻¹ (m/(m−1) Σ s s') H⁻¹.

    design: (n, p). unit: (n,) codes, as of `codes_of`. s: a patient's sum of derivatives, of m patients. NaN where H has no
    inverse, and where all images are one patient's.
    """
    weight = probability * (1 - probability)
    information = design.T @ (design * weight[:, None])
    if not np.isfinite(information).all() or np.linalg.cond(information) > 1e13:
        return np.full(information.shape, np.nan)
    inverse = np.linalg.inv(information)
    m = np.count_nonzero(np.bincount(unit))
    if m == len(label):
        return np.asarray(inverse)
    if m < 2:
        return np.full(information.shape, np.nan)
    residual = label - probability
    sums = np.stack([np.bincount(unit, weights=column * residual) for column in design.T], axis=1)
    half = inverse @ sums.T  # of which the product has no negative variance, however flat the likelihood
    return np.asarray(m / (m - 1) * half @ half.T)


def quantile_of(unit: NDArray[np.integer], level: float = 0.95) -> float:
    """By how many of its standard errors a bound lies off: normal, or Student's where some patients have several images.

    unit: (n,) codes, as of `codes_of`. Degrees of freedom: one less than patients, effectively (images² / Σ a patient's
    images²; Kish 1965), at least one.
    """
    images = np.bincount(unit)
    effective = unit.size**2 / np.sum(images**2) if unit.size else 0.0
    if effective == unit.size:
        return float(ndtri(0.5 + level / 2))
    return float(stdtrit(max(effective - 1, 1), 0.5 + level / 2))


@compiled
def _derivatives(x: FloatArray, y: FloatArray, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Log-likelihood, its gradient (p,) and minus its second derivative (p, p), in one pass over the images."""
    p = beta.size
    likelihood, score, information = 0.0, np.zeros(p), np.zeros((p, p))
    product = 1.0
    for i in range(y.size):
        linear = 0.0
        for j in range(p):
            linear += x[i, j] * beta[j]
        small = np.exp(-abs(linear))
        likelihood += y[i] * linear - max(linear, 0.0)
        product *= 1.0 + small  # each factor in [1, 2]: one logarithm for many
        if product > 1e300:
            likelihood -= np.log(product)
            product = 1.0
        mean = (1.0 if linear >= 0 else small) / (1 + small)
        residual, weight = y[i] - mean, mean * (1 - mean)
        for j in range(p):
            score[j] += residual * x[i, j]
            for k in range(j + 1):
                information[j, k] += weight * x[i, j] * x[i, k]
    likelihood -= np.log(product)
    for j in range(p):
        for k in range(j):
            information[k, j] = information[j, k]
    return likelihood, score, information

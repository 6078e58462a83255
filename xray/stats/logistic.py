"""Logistic regression by maximum likelihood, for tests: a handful of coefficients, with their likelihood and
covariance.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit

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


def fit_logistic(design: Numbers, labels: Numbers, n_iterations: int = 100) -> LogisticFit:
    """Maximise Σ y η − log(1 + e^η), η = design · β, by Newton's method with step halving.

    design: (n, p) with its own column of ones, finite. labels: (n,) of 1 and 0. Columns are scaled inside, so
    their units don't matter. Separation (some coefficient would be infinite) and collinear columns give NaN
    and a reason.
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
    beta = np.zeros(p)
    likelihood = _log_likelihood(x, y, beta)
    for _ in range(n_iterations):
        mean = expit(x @ beta)
        information = (x * (mean * (1 - mean))[:, None]).T @ x
        if np.linalg.cond(information) > 1e13:
            return failed(SEPARATED)
        step = np.linalg.solve(information, x.T @ (y - mean))
        while _log_likelihood(x, y, beta + step) < likelihood - 1e-9 * abs(likelihood):
            step = step / 2
        beta = beta + step
        likelihood = _log_likelihood(x, y, beta)
        if np.abs(step).max() < 1e-10 * (1 + np.abs(beta).max()):
            covariance = np.linalg.inv(information) / np.outer(scale, scale)
            return LogisticFit(beta / scale, covariance, likelihood, n, n_pos, DEFINED)
    return failed(SEPARATED)


def _log_likelihood(x: FloatArray, y: FloatArray, beta: FloatArray) -> float:
    linear = x @ beta
    return float((y * linear - np.logaddexp(0, linear)).sum())

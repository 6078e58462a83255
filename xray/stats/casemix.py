"""Two sites at equal case mix: one site's patients weighted to resemble the other's, and the AUC then.

Odds that an image is of the other site, by ridge-penalised logistic regression on its columns, are the weights
(importance weighting; Shimodaira 2000). Within each class of a finding they are scaled to sum to one, so how common the
finding is plays no part. AUC of weighted images is the weighted share of pairs in order. With few images that look like the
other site's patients few carry the weight: the effective number (Kish 1965), (sum w)² / sum w², says how many.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit

from xray.compiled import compiled
from xray.stats.estimates import FloatArray

RIDGE: Final = 4.0
"""Penalty on standardised coefficients: where a column all but names the site, weights stay finite."""
STEPS: Final = 50
"""Newton's steps from zero, more than any fit takes."""
LIMIT: Final = 30.0
"""No image weighs more than this many times the mean."""


@dataclass(frozen=True)
class Weighted:
    """AUC of weighted images, its loss against the unweighted one, and the smaller class's share of effective images."""

    auc: float
    effective: float


def odds_of_site(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weights that make A's images look like B's (n_a,), and B's like A's (n_b,). Columns (n, k), NaN = the mean.

    Means of 1 over each site.
    """
    x = np.vstack([a, b])
    present = ~np.isnan(x)
    centre = np.where(present, x, 0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    x = np.where(present, x - centre, 0)
    spread = x.std(axis=0)
    x = np.column_stack([np.ones(len(x)), x / np.where(spread > 0, spread, 1)])
    y = np.repeat([0.0, 1.0], [len(a), len(b)])
    odds = np.exp(np.clip(_linear(x, y), -12, 12))
    return _scaled(odds[: len(a)]), _scaled(1 / odds[len(a) :])


def _linear(x: FloatArray, y: FloatArray) -> FloatArray:
    """Log odds (n,) of y at the maximum of the likelihood, coefficients but the first penalised. x: (n, p)."""
    penalty = np.array([0.0, *[RIDGE] * (x.shape[1] - 1)])
    beta, linear = np.zeros(x.shape[1]), np.zeros(len(x))

    def value(beta: FloatArray, linear: FloatArray) -> float:
        return float(y @ linear - np.logaddexp(0, linear).sum() - 0.5 * (penalty @ beta**2))

    reached = value(beta, linear)
    for _ in range(STEPS):
        mean = expit(linear)
        information = (x * (mean * (1 - mean))[:, None]).T @ x + np.diag(penalty)
        step = np.linalg.solve(information, x.T @ (y - mean) - penalty * beta)
        along = x @ step
        # a whole step may lead past the maximum, and further at each step
        while (following := value(beta + step, linear + along)) < reached - 1e-9 * abs(reached):
            step, along = step / 2, along / 2
        beta, linear, reached = beta + step, linear + along, following
        if np.abs(along).max() < 1e-7:
            break
    return linear


def _scaled(weights: FloatArray) -> FloatArray:
    return np.minimum(weights / weights.mean(), LIMIT)


def weighted_auc(scores: FloatArray, labels: FloatArray, weights: FloatArray) -> Weighted:
    """scores, labels (1/0), weights: (n,), complete. NaN without both classes."""
    order = np.argsort(scores, kind="stable")
    return weighted_auc_in_order(scores[order], labels[order], weights[order])


def weighted_auc_in_order(scores: FloatArray, labels: FloatArray, weights: FloatArray) -> Weighted:
    """As `weighted_auc`, of scores that ascend."""
    positive = labels == 1
    if positive.all() or not positive.any():
        return Weighted(np.nan, np.nan)
    value = _in_order(scores, positive.astype(np.float64), weights)
    shares = [float(w.sum() ** 2 / (w @ w) / w.size) for w in (weights[positive], weights[~positive])]
    return Weighted(value, min(shares))


@compiled
def _in_order(scores: FloatArray, positive: FloatArray, weights: FloatArray) -> float:
    """Weighted share of pairs in which the positive's score is higher, ties by half; scores ascending."""
    below = 0.0
    pairs = 0.0
    total_positive = 0.0
    first = 0
    n = scores.size
    while first < n:
        last = first
        tied_negative = 0.0
        tied_positive = 0.0
        while last < n and scores[last] == scores[first]:
            if positive[last] == 1.0:
                tied_positive += weights[last]
            else:
                tied_negative += weights[last]
            last += 1
        pairs += tied_positive * (below + 0.5 * tied_negative)
        below += tied_negative
        total_positive += tied_positive
        first = last
    return pairs / (total_positive * below)

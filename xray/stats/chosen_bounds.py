"""What a chosen threshold will do on further images, and where it would lie with very many; patients are the units.

Less what it is in the hospital, a share of the images at a chosen threshold varies to the first order as at a fixed one,
wherever the choice has put it (the empirical process is equicontinuous; van der Vaart, Asymptotic Statistics, 1998, 19.24).
So its interval is binomial: Jeffreys' Beta(k + ½, n − k + ½), at the effective number of images where patients have several
(Korn and Graubard, Survey Methodology 24, 1998). Of second order are two things. The threshold is the score of one of the
images: the k-th highest of n leaves a share above it that is Beta(k, n − k + 1), whatever the scores (Wilks 1941). And a
threshold at which something is highest flatters, which a bootstrap measures (Efron 1983).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc, betaincinv, expit, logit, ndtri, stdtrit

from xray.stats.estimates import FloatArray
from xray.stats.shares import share_by_patient

MEASURES: Final = ("sensitivity", "specificity", "ppv", "npv", "positive rate")
_HALF: Final = (0.5, 0.5)
_ADDED: Final = {
    0: (_HALF, _HALF, _HALF, _HALF, _HALF),
    1: ((0.0, 1.0), _HALF, (-0.5, 0.5), _HALF, (0.0, 1.0)),
    -1: (_HALF, (1.0, 0.0), (0.5, -0.5), _HALF, (0.0, 1.0)),
}
"""Added to the k and n − k of each measure, where the threshold is the score of one positive (1) or negative (−1) image."""


def shares_at(
    label: NDArray[np.bool_],
    calls: NDArray[np.bool_],
    patients: NDArray[np.integer],
    edge: int,
    optimism: FloatArray | None = None,
    prevalence: float | None = None,
) -> FloatArray:
    """`MEASURES` on further images, (3, n_measures): value, lower and upper bound.

    label, called, patients (codes): (n_images,). edge: 1 or −1 where the threshold is the score of one positive or negative
    image, or of one patient's; 0 where several patients share it. optimism: of each measure, (n_measures,), to be taken
    off; then `edge` has no say. prevalence: of where the threshold is used, if not that of the images.
    """
    every = np.ones(len(label), dtype=np.bool_)
    denominators = np.stack([label, ~label, calls, ~calls, every], axis=1)
    hits = np.stack([label & calls, ~label & ~calls, label & calls, ~label & ~calls, calls], axis=1)
    k, n = effective(denominators, hits, patients)
    if optimism is None:
        pseudo_counts = np.array(_ADDED[edge])
    else:
        k, pseudo_counts = np.clip(k - n * optimism, 0, n), np.array(_ADDED[0])
    a = np.maximum(k + pseudo_counts[:, 0], k / 2)  # also of an image that is one of several of its patient
    b = np.maximum(n - k + pseudo_counts[:, 1], (n - k) / 2)
    bounds = np.stack([a / (a + b), betaincinv(a, b, 0.025), betaincinv(a, b, 0.975)])
    if prevalence is not None:
        bounds[:, 2] = _predictive(bounds[:, 0], bounds[:, 1], prevalence)
        bounds[:, 3] = _predictive(bounds[:, 1], bounds[:, 0], 1 - prevalence)
        bounds[:, 4] = _rate(bounds[:, 0], bounds[:, 1], prevalence)
    return bounds


def effective(
    denominators: NDArray[np.bool_], hits: NDArray[np.bool_], patients: NDArray[np.integer]
) -> tuple[FloatArray, FloatArray]:
    """Hits and images, (n_columns,) each, at the effective number: of images where each is of another patient.

    denominators, hits: (n_images, n_columns). Where patients have several images of a column, the number is that of
    `share_by_patient` times (1.96 / t)², t the quantile of Student's distribution with as many degrees of freedom as the
    design effect is known with: 2 / Σ u², at most one less than patients, u of each patient its part in the logarithm of the
    variance less its part in that of p (1 − p). They are few where few patients, such as those with a miss, decide it.
    """
    share = share_by_patient(denominators, hits, patients)
    n, p = share.n.astype(np.float64), np.nan_to_num(share.value)
    _, code = np.unique(patients, return_inverse=True)
    residues = np.stack([np.bincount(code, column) for column in (denominators * (hits - p)).T], axis=1)
    has_image = np.stack([np.bincount(code, column) > 0 for column in denominators.T], axis=1)
    m, spread = has_image.sum(axis=0).astype(np.float64), p * (1 - p)
    number = np.divide(spread, share.se**2, out=m.copy(), where=spread > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = residues**2 / (residues**2).sum(axis=0) - (1 - 2 * p) * residues / (n * spread)
        freedom = 2 / ((parts - np.where(has_image, 1 / m, 0)) ** 2).sum(axis=0)
    t = stdtrit(np.clip(np.nan_to_num(freedom, nan=np.inf), 1, np.maximum(m - 1, 1)), 0.975)
    number = np.where(m < n, number * (ndtri(0.975) / t) ** 2, n)
    return p * number, number


def _predictive(rate: FloatArray, other_rate: FloatArray, share: float) -> FloatArray:
    """PPV from sensitivity and specificity, (3,) each; NPV from specificity and sensitivity, with the share of negatives.

    logit PPV = logit share + log sensitivity − log(1 − specificity); both classes are independent, so distances to the
    bounds are added as squares (Zou and Donner, Statistics in Medicine 27, 2008).
    """
    hit, false = np.log(rate), np.log1p(-other_rate)
    middle = logit(share) + hit[0] - false[0]
    below = np.hypot(hit[0] - hit[1], false[1] - false[0])
    above = np.hypot(hit[2] - hit[0], false[0] - false[2])
    return np.asarray(expit([middle, middle - below, middle + above]))


def _rate(sensitivity: FloatArray, specificity: FloatArray, share: float) -> FloatArray:
    """The share of positive calls, (3,), likewise."""
    hit, false = share * sensitivity, (1 - share) * (1 - specificity)
    middle = hit[0] + false[0]
    below = np.hypot(hit[0] - hit[1], false[0] - false[2])
    above = np.hypot(hit[2] - hit[0], false[1] - false[0])
    return np.array([middle, middle - below, middle + above])


def quantile_bounds(
    scores: FloatArray, target: float, number: float, reach: tuple[float, float]
) -> tuple[float, float]:
    """95 % bounds of the score that a share `target` of the hospital's images has at least.

    scores: (n_images,) in falling order. number: effective images. reach: the lowest and highest score of any image, which
    bound it where these are too few. The share above the r-th highest is Beta(r, n − r + 1), so that a bound is at the r
    where it is above or below `target` with 2.5 %; between two images, the bound is between them, or at the outer one
    where images share scores.
    """
    n, scale = len(scores), number / len(scores)

    def rank(level: float) -> float:
        def more(r: float) -> float:
            return float(betainc(r * scale, (n - r) * scale + 1, target)) - level

        low, high = 1e-9, n + 1 / scale - 1e-9
        if more(low) < 0 or more(high) > 0:
            return low if more(low) < 0 else high
        return float(brentq(more, low, high))

    high, low = rank(0.975), rank(0.025)
    if len(np.unique(scores)) < n:
        high, low = np.floor(high), np.ceil(low)
    at = np.concatenate([[reach[1]], scores, [reach[0]]])
    upper, lower = np.interp([high, low], np.arange(n + 2), at)
    return float(lower), float(upper)

"""Do two quantities rise together? Spearman's correlation with an interval."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from xray.stats.estimates import DEFINED, FEW_IMAGES, NO_VARIANCE, Numbers, check_level


@dataclass(frozen=True)
class Correlation:
    """A correlation in [−1, 1] with its interval; n pairs; NaN where `reason` says why. No interval below four pairs."""

    value: float
    lower: float
    upper: float
    n: int
    reason: str


def spearman(first: Numbers, second: Numbers, level: float = 0.95) -> Correlation:
    """Spearman's ρ: Pearson's r of midranks; interval with variance (1 + ρ²/2) / (n − 3) (Bonett and Wright 2000)."""
    one, two = _pairs(first, second)
    return _correlation(_midranks(one), _midranks(two), level)


def _pairs(first: Numbers, second: Numbers) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != two.shape or one.ndim != 1:
        raise ValueError(f"values are {one.shape} and {two.shape}; expected two vectors of one length")
    defined = ~np.isnan(one) & ~np.isnan(two)
    return one[defined], two[defined]


def _midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    ranks: NDArray[np.float64] = (last - (sizes - 1) / 2)[group]
    return ranks


def _correlation(one: NDArray[np.float64], two: NDArray[np.float64], level: float) -> Correlation:
    check_level(level)
    n = one.size
    if n < 2:
        return Correlation(np.nan, np.nan, np.nan, n, FEW_IMAGES.replace("images", "pairs"))
    a, b = one - one.mean(), two - two.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    if scale == 0:
        return Correlation(np.nan, np.nan, np.nan, n, NO_VARIANCE)
    r = float(np.clip(a @ b / scale, -1, 1))
    if n < 4 or abs(r) == 1:
        return Correlation(r, np.nan, np.nan, n, DEFINED)
    spread = np.sqrt((1 + r**2 / 2) / (n - 3))
    half = ndtri(0.5 + level / 2) * spread
    lower, upper = np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)
    return Correlation(r, float(lower), float(upper), n, DEFINED)

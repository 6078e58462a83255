"""A proportion and its interval."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from xray.stats.estimates import (
    DEFINED,
    NO_CASES,
    REASON_TYPE,
    Estimates,
    FloatArray,
    check_level,
    undefined,
)


def wilson(successes: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Wilson's score interval of a proportion: (lower, upper) within [0, 1], NaN where n is 0.

    (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n), p = successes / n (Wilson 1927). Any arrays that
    broadcast.
    """
    check_level(level)
    count, total = _counts(successes, n)
    z = ndtri(0.5 + level / 2)
    p = np.divide(count, total, out=undefined(total.shape), where=total > 0)
    total = np.maximum(total, 1)
    shrink = 1 + z**2 / total
    centre = (p + z**2 / (2 * total)) / shrink
    half = z * np.sqrt(p * (1 - p) / total + z**2 / (4 * total**2)) / shrink
    lower = np.where(p == 0, 0.0, np.maximum(centre - half, 0))
    return lower, np.where(p == 1, 1.0, np.minimum(centre + half, 1))


def proportion(successes: ArrayLike, n: ArrayLike, level: float = 0.95) -> Estimates:
    """A proportion with Wilson's interval and se = √(p(1−p)/n). `n_pos` of the result is the number of
    successes.

    Any arrays that broadcast. Where n is 0: NaN, reason "no case to count".
    """
    count, total = _counts(successes, n)
    value = np.divide(count, total, out=undefined(total.shape), where=total > 0)
    lower, upper = wilson(count, total, level)
    se = np.sqrt(value * (1 - value) / np.maximum(total, 1))
    reason = np.where(total > 0, DEFINED, NO_CASES).astype(REASON_TYPE)
    return Estimates(value, lower, upper, se, total.astype(np.int64), count.astype(np.int64), reason)


def _counts(successes: ArrayLike, n: ArrayLike) -> tuple[FloatArray, FloatArray]:
    count, total = np.broadcast_arrays(
        np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    )
    if not ((count >= 0) & (count <= total)).all():
        raise ValueError("successes must lie between 0 and n")
    return count, total

"""Intervals and tests of proportions."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, ndtr, ndtri

from xray.stats.estimates import (
    DEFINED,
    NO_CASES,
    NO_VARIANCE,
    REASON_TYPE,
    Comparison,
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


def clopper_pearson(successes: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """The exact interval of a proportion, which covers at least `level` always (Clopper and Pearson 1934).

    Quantiles of Beta(x, n − x + 1) and Beta(x + 1, n − x). (lower, upper) within [0, 1], NaN where n is 0.
    """
    check_level(level)
    x, total = _counts(successes, n)
    tail = (1 - level) / 2
    lower = np.where(x == 0, 0.0, betaincinv(np.maximum(x, 1), total - x + 1, tail))
    upper = np.where(x == total, 1.0, betaincinv(x + 1, np.maximum(total - x, 1), 1 - tail))
    return np.where(total > 0, lower, np.nan), np.where(total > 0, upper, np.nan)


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


def compare_proportions(
    successes_first: ArrayLike,
    n_first: ArrayLike,
    successes_second: ArrayLike,
    n_second: ArrayLike,
    level: float = 0.95,
) -> Comparison:
    """Difference of two independent proportions, first minus second, such as a finding's prevalence at two
    sites.

    Interval: Newcombe 1998, method 10 (from the two Wilson intervals), within [−1, 1]. Test: z with the
    pooled variance p(1−p)(1/n1 + 1/n2), so z² is Pearson's chi-squared of the 2 × 2 table. se is the unpooled
    one. Where no case, or every case, is a success at both, z and p are NaN with reason "no variance".
    """
    x1, n1, x2, n2 = np.broadcast_arrays(
        *_counts(successes_first, n_first), *_counts(successes_second, n_second)
    )
    first, second = proportion(x1, n1, level), proportion(x2, n2, level)
    difference = first.value - second.value
    lower = difference - np.hypot(first.value - first.lower, second.upper - second.value)
    upper = difference + np.hypot(first.upper - first.value, second.value - second.lower)
    both = np.isfinite(difference)
    pooled = np.divide(x1 + x2, n1 + n2, out=undefined(both.shape), where=both)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(n1, 1) + 1 / np.maximum(n2, 1)))
    z = np.divide(difference, spread, out=undefined(both.shape), where=spread > 0)
    reason = np.where(both, np.where(spread > 0, DEFINED, NO_VARIANCE), NO_CASES).astype(REASON_TYPE)
    return Comparison(
        difference,
        np.maximum(lower, -1),
        np.minimum(upper, 1),
        np.hypot(first.se, second.se),
        z,
        2 * ndtr(-np.abs(z)),
        (n1 + n2).astype(np.int64),
        (x1 + x2).astype(np.int64),
        reason,
    )


def _counts(successes: ArrayLike, n: ArrayLike) -> tuple[FloatArray, FloatArray]:
    count, total = np.broadcast_arrays(
        np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    )
    if not ((count >= 0) & (count <= total)).all():
        raise ValueError("successes must lie between 0 and n")
    return count, total

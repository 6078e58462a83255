"""Two calls of the same images, such as at two thresholds: how far apart are the proportions?"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xray.stats.agreement import cells_of_patients, inflation_of
from xray.stats.estimates import (
    DEFINED,
    NO_CASES,
    REASON_TYPE,
    FloatArray,
    IntArray,
    Numbers,
    check_level,
    undefined,
)
from xray.stats.estimates import Estimates as PairedDifference
from xray.stats.intervals import wilson


def paired_difference(
    both: ArrayLike,
    first_only: ArrayLike,
    second_only: ArrayLike,
    neither: ArrayLike,
    level: float = 0.95,
    inflation: ArrayLike = 1.0,
) -> PairedDifference:
    """Difference of two proportions of the same cases, second minus first, with Newcombe's interval.

    Method 10 of Newcombe (Statistics in Medicine 17, 1998, 2635-2650): Wilson's intervals of the two proportions, added in
    squares with their correlation φ, which is corrected for continuity where it is positive. Within [−1, 1].
    both, first_only, second_only, neither: cases that are a success of both, one or none; arrays that broadcast.
    se: √(b + c − (b − c)²/n) / n. n_pos of the result: successes of the second. NaN with reason where there is no case.
    inflation: of the variance where patients have several cases (`paired_inflation`): so many times fewer cases than there
    are.
    """
    check_level(level)
    a, b, c, d = (
        np.asarray(cell, dtype=np.float64)
        for cell in np.broadcast_arrays(both, first_only, second_only, neither)
    )
    n_cases, n_pos = _whole(a + b + c + d), _whole(a + c)
    a, b, c, d = (cell / np.asarray(inflation) for cell in (a, b, c, d))
    n = a + b + c + d
    first, second = _share(a + b, n), _share(a + c, n)
    difference = second - first
    (low_1, up_1), (low_2, up_2) = wilson(a + b, n, level), wilson(a + c, n, level)
    phi = _correlation(a, b, c, d, n)
    lower = _reach(second - low_2, up_1 - first, phi)
    upper = _reach(up_2 - second, first - low_1, phi)
    cases = np.maximum(n, 1)
    se = np.sqrt(np.maximum(b + c - (b - c) ** 2 / cases, 0)) / cases
    reason = np.where(n > 0, DEFINED, NO_CASES).astype(REASON_TYPE)
    return PairedDifference(
        difference,
        np.maximum(difference - lower, -1),
        np.minimum(difference + upper, 1),
        np.where(n > 0, se, np.nan),
        n_cases,
        n_pos,
        reason,
    )


def paired_inflation(first: Numbers, second: Numbers, patients: NDArray[np.generic]) -> FloatArray:
    """How many times the variance of a paired difference is that of independent images, at least 1. (n_columns,) or ().

    first, second: (n_images,) or (n_images, n_columns), 1 for a success, 0 or NaN; patients: (n_images,). By
    `inflation_of`, of an image's difference.
    """
    gain = np.array([0.0, -1.0, 1.0, 0.0])
    inflation = [inflation_of(cells, gain) for cells in cells_of_patients(first, second, patients)]
    return np.array(inflation).reshape(np.shape(first)[1:])


def _reach(distance: FloatArray, other_distance: FloatArray, phi: FloatArray) -> FloatArray:
    return np.sqrt(np.maximum(distance**2 - 2 * phi * distance * other_distance + other_distance**2, 0))


def _correlation(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray, n: FloatArray) -> FloatArray:
    """φ of the 2 × 2 table, its numerator lowered by n/2 towards 0 where it is positive; 0 where a margin is empty."""
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    product = a * d - b * c
    corrected = np.where(product > n / 2, product - n / 2, np.where(product >= 0, 0, product))
    return np.divide(corrected, np.sqrt(margins), out=np.zeros_like(margins), where=margins > 0)


def _share(part: FloatArray, total: FloatArray) -> FloatArray:
    return np.divide(part, total, out=undefined(total.shape), where=total > 0)


def _whole(count: FloatArray) -> IntArray:
    return np.asarray(count, dtype=np.int64)

"""Bland and Altman's limits of agreement: how far apart are two scores of the same image?"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from xray.stats.estimates import (
    DEFINED,
    FEW_IMAGES,
    REASON_TYPE,
    FloatArray,
    IntArray,
    Numbers,
    TextArray,
    check_level,
    column_sums,
    undefined,
)


@dataclass(frozen=True)
class LimitsOfAgreement:
    """Bias and limits of agreement, each as (value, lower bound, upper bound) along the first axis.

    bias: (3, ...) mean of first − second. lower_limit, upper_limit: (3, ...) bias ∓ z · sd.
    sd: standard deviation of the differences. n: images with both scores. Units are those of the scores.
    """

    bias: FloatArray
    lower_limit: FloatArray
    upper_limit: FloatArray
    sd: FloatArray
    n: IntArray
    reason: TextArray


def bland_altman(first: Numbers, second: Numbers, level: float = 0.95) -> LimitsOfAgreement:
    """Limits of agreement of two scores on one scale, column by column (Bland and Altman 1986, 1999).

    Limits hold `level` of the differences, if these are normal: bias ± z · sd. Bounds are at `level` too, by
    Student's t with n − 1 df and se(bias) = sd/√n, se(limit) = sd √(1/n + z²/(2(n − 1))).
    first, second: (n_images,) or (n_images, n_columns), NaN = none. Undefined below two images.
    """
    check_level(level)
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != two.shape:
        raise ValueError(f"scores are {one.shape} and {two.shape}; expected one shape")
    difference = one - two
    scored = ~np.isnan(difference)
    n = np.asarray(scored.sum(axis=0), dtype=np.int64)
    enough, values = n >= 2, np.where(scored, difference, 0)
    mean = np.divide(column_sums(values), n, out=undefined(n.shape), where=enough)
    squares = column_sums(np.where(scored, (values - mean) ** 2, 0))
    sd = np.sqrt(np.divide(squares, n - 1, out=undefined(n.shape), where=enough))
    z, degrees, safe = ndtri(0.5 + level / 2), np.maximum(n - 1, 1), np.maximum(n, 1)
    t = stdtrit(degrees, 0.5 + level / 2)
    around_bias, around_limit = t * sd / np.sqrt(safe), t * sd * np.sqrt(1 / safe + z**2 / (2 * degrees))
    reason = np.where(enough, DEFINED, FEW_IMAGES).astype(REASON_TYPE)
    return LimitsOfAgreement(
        _with_bounds(mean, around_bias),
        _with_bounds(mean - z * sd, around_limit),
        _with_bounds(mean + z * sd, around_limit),
        sd,
        n,
        reason,
    )


def _with_bounds(value: FloatArray, half: FloatArray) -> FloatArray:
    return np.stack([value, value - half, value + half])

"""Bland and Altman's limits of agreement: how far apart are two scores of the same image?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from xray.stats.estimates import (
    DEFINED,
    FEW_IMAGES,
    FEW_UNITS,
    REASON_TYPE,
    FloatArray,
    IntArray,
    Numbers,
    TextArray,
    as_rows,
    check_level,
    codes_of,
    column_sums,
    sums_of_patients,
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


def bland_altman(
    first: Numbers, second: Numbers, level: float = 0.95, patients: NDArray[np.generic] | None = None
) -> LimitsOfAgreement:
    """Limits of agreement of two scores on one scale, column by column (Bland and Altman 1986, 1999).

    Limits hold `level` of the differences, if these are normal: bias ± z · sd. Bounds are at `level` too, by
    Student's t with n − 1 df and se(bias) = sd/√n, se(limit) = sd √(1/n + z²/(2(n − 1))).
    first, second: (n_images,) or (n_images, n_columns), NaN = none. Undefined below two images. patients: (n_images,), whose
    the images are, where some have several: bounds are then by Student's t with one degree less than patients, and variances
    from each patient's influence on bias and limits, which takes no distribution for granted. Undefined below two patients.
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
    reason = np.where(enough, DEFINED, FEW_IMAGES).astype(REASON_TYPE)
    t = stdtrit(degrees, 0.5 + level / 2)
    around_bias, around_limit = t * sd / np.sqrt(safe), t * sd * np.sqrt(1 / safe + z**2 / (2 * degrees))
    halves = [around_limit, around_bias, around_limit]
    if patients is not None:
        code = codes_of(patients)
        units = _count_units(scored, code)
        t = stdtrit(np.maximum(units - 1, 1), 0.5 + level / 2)
        t = np.where(units > 1, t, np.nan)
        apart = np.where(scored, difference - mean, 0)
        of_spread = np.where(scored, (apart**2 - squares / safe) / (2 * np.where(sd > 0, sd, 1)), 0)
        own, spread = (sums_of_patients(influence, code) for influence in (apart, of_spread))
        factor = t * np.sqrt(units / np.maximum(units - 1, 1)) / safe
        halves = [
            factor * np.sqrt(np.square(own + side * z * spread).sum(axis=-1)).reshape(n.shape)
            for side in (-1, 0, 1)
        ]
        reason = np.where(enough & (units < 2), FEW_UNITS, reason).astype(REASON_TYPE)
    limits = [_with_bounds(mean + side * z * sd, half) for side, half in zip((-1, 0, 1), halves, strict=True)]
    return LimitsOfAgreement(limits[1], limits[0], limits[2], sd, n, reason)


def _count_units(scored: NDArray[np.bool_], code: IntArray) -> IntArray:
    """Patients with an image that has both scores, (n_columns,) or ()."""
    counts = [np.count_nonzero(np.bincount(code[of])) for of in as_rows(scored)]
    return np.array(counts, dtype=np.int64).reshape(scored.shape[1:])


def _with_bounds(value: FloatArray, half: FloatArray) -> FloatArray:
    return np.stack([value, value - half, value + half])

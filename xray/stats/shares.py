"""Proportions of images whose patients have several, and differences of two models: the patient is the unit."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from xray.stats.differences import deviate
from xray.stats.estimates import (
    DEFINED,
    NO_CASES,
    NO_VARIANCE,
    REASON_TYPE,
    Comparison,
    Estimates,
    FloatArray,
    IntArray,
    check_level,
    codes_of,
    reshaped,
    sums_of_patients,
)
from xray.stats.intervals import wilson


def share_by_patient(
    denominator: ArrayLike, successes: ArrayLike, patients: NDArray[np.integer], level: float = 0.95
) -> Estimates:
    """The share p of the denominator's images that are successes, with Wilson's interval at the effective number of images.

    denominator, successes: bool (n_images,) or (n_images, n_columns), a success only within it. patients: (n_images,) codes.
    With x successes of n images of each of m patients, var(p) = m/(m−1) Σ(x − p n)² / (Σn)² (Cochran's ratio), and the
    effective number is p(1−p)/var, at most the number of images: where patients agree within themselves it is that of the
    patients. Where p is 0 or 1 the number of patients in the denominator is the effective one. n and n_pos of the result
    are images. Empty denominator: NaN, reason "no case to count".
    """
    code, columns = codes_of(patients), np.shape(denominator)[1:]
    n_of, x_of = (_sums(table, code) for table in (denominator, successes))
    return reshaped(_of_sums(n_of, x_of, level)[0], columns)


def _of_sums(n_of: FloatArray, x_of: FloatArray, level: float) -> tuple[Estimates, FloatArray]:
    """Shares of columns from each patient's images and successes, and what those differ by from the share of all.

    (n_columns, n_patients) each.
    """
    n, x = n_of.sum(axis=1), x_of.sum(axis=1)
    # in whole numbers first, so that it is 0 to the bit where patients are alike
    residue = (n[:, None] * x_of - x[:, None] * n_of) / np.maximum(n, 1)[:, None]
    return share_of(n, x, (n_of > 0).sum(axis=1), (residue**2).sum(axis=1), level), residue


def share_of(
    images: ArrayLike, successes: ArrayLike, patients: ArrayLike, squares: ArrayLike, level: float = 0.95
) -> Estimates:
    """As `share_by_patient`, from numbers of images, successes and patients, and the sum over patients of (x − p n)².

    Arrays of one shape.
    """
    n, x, m, squared = (np.asarray(of, dtype=np.float64) for of in (images, successes, patients, squares))
    p = np.divide(x, n, out=np.full(n.shape, np.nan), where=n > 0)
    variance = m / np.maximum(m - 1, 1) * squared / np.maximum(n, 1) ** 2
    spread = np.nan_to_num(p * (1 - p))
    effective = np.divide(spread, variance, out=m.copy(), where=variance > 0)
    effective = np.minimum(effective, n)
    lower, upper = wilson(np.nan_to_num(p) * effective, effective, level)
    se = np.sqrt(np.divide(spread, effective, out=np.full(n.shape, np.nan), where=effective > 0))
    reason = np.where(n > 0, DEFINED, NO_CASES).astype(REASON_TYPE)
    return Estimates(p, lower, upper, se, n.astype(np.int64), x.astype(np.int64), reason)


def _sums(table: ArrayLike, code: IntArray) -> FloatArray:
    return sums_of_patients(np.asarray(table, dtype=np.float64), code)


def shares_at_threshold(
    labels: NDArray[np.floating],
    scores: NDArray[np.floating],
    thresholds: FloatArray | float,
    patients: NDArray[np.integer],
    level: float = 0.95,
) -> dict[str, Estimates]:
    """Sensitivity, specificity, predictive values, accuracy and share of positive calls under the rule score >= threshold.

    labels: 1/0/NaN, (n_images,) or (n_images, n_columns); scores: likewise, NaN = none. thresholds: one, or one per column,
    in the unit of the scores; NaN counts nothing. patients: (n_images,) codes, the units of `share_by_patient`.
    """
    scored = ~np.isnan(labels) & ~np.isnan(scores) & ~np.isnan(thresholds)
    calls, positive = scored & (scores >= thresholds), scored & (labels == 1)
    cells = {
        "sensitivity": (positive, positive & calls),
        "specificity": (scored & ~positive, scored & ~positive & ~calls),
        "ppv": (calls, calls & positive),
        "npv": (scored & ~calls, scored & ~calls & ~positive),
        "accuracy": (scored, scored & (calls == positive)),
        "positive rate": (scored, calls),
    }
    return {name: share_by_patient(*of, patients, level) for name, of in cells.items()}


def paired_by_patient(
    denominator: NDArray[np.bool_],
    gain: NDArray[np.floating],
    patients: NDArray[np.integer],
    level: float = 0.95,
) -> Comparison:
    """Mean gain of the first of two models over the second, on the images of the denominator, with the patient as the unit.

    denominator, gain: (n_images,); gain 1, 0 or −1 for calls, or any number, such as net benefit. The variance is that of
    `share_by_patient`; Student's interval and test, as many patients less one. Scalars; z is the normal deviate of p, n_pos
    the number of images on which the two differ.
    """
    check_level(level)
    code = codes_of(patients)
    among = denominator.astype(np.float64)
    total, n_of = np.where(denominator, gain, 0.0), np.bincount(code, weights=among)
    n, m = int(among.sum()), int((n_of > 0).sum())
    differ = np.array(int((total != 0).sum()))
    if n == 0:
        no = np.array(np.nan)
        return Comparison(no, no, no, no, no, no, np.array(0), np.array(0), np.array(NO_CASES))
    mean = total.sum() / n
    residue = np.bincount(code, weights=total) - mean * n_of
    se = np.sqrt(m / max(m - 1, 1) * (residue[n_of > 0] ** 2).sum()) / n
    t = mean / se if se > 0 else np.nan
    half, p = stdtrit(max(m - 1, 1), 0.5 + level / 2) * se, np.array(2 * stdtr(max(m - 1, 1), -abs(t)))
    reason = DEFINED if se > 0 else NO_VARIANCE
    value, lower, upper, error = (
        np.array(of, dtype=np.float64) for of in (mean, mean - half, mean + half, se)
    )
    return Comparison(value, lower, upper, error, deviate(value, p), p, np.array(n), differ, np.array(reason))


def shares_by_patient(
    subsets: Sequence[NDArray[np.bool_]],
    hits: NDArray[np.bool_],
    patients: NDArray[np.integer],
    level: float = 0.95,
) -> tuple[tuple[Estimates, Estimates], Comparison]:
    """The share of successes in each of two subsets of images, and the first less the second; patients may be in both.

    subsets: the images of each, bool (n_images,); hits: (n_images,). Bounds come from those of the two shares, with the
    correlation that shared patients give (Zou, Stat Med 27, 2008; without shared patients Newcombe's hybrid score). No test:
    p and z are NaN.
    """
    code = codes_of(patients)
    of_each = [_of_sums(_sums(each, code), _sums(hits & each, code), level) for each in subsets]
    gap = reshaped(_difference(*of_each), ())
    first, second = (reshaped(of, ()) for of, _ in of_each)
    none = np.array(np.nan)
    n, n_pos = (np.array(getattr(first, name) + getattr(second, name)) for name in ("n", "n_pos"))
    comparison = Comparison(gap.value, gap.lower, gap.upper, gap.se, none, none, n, n_pos, gap.reason)
    return (first, second), comparison


def _difference(first: tuple[Estimates, FloatArray], second: tuple[Estimates, FloatArray]) -> Estimates:
    """The first share less the second, (n_columns,); each with what patients' successes differ from it. n: the first's."""
    (p, one), (q, two) = first, second
    spread = np.sqrt((one**2).sum(axis=1) * (two**2).sum(axis=1))
    rho = np.divide((one * two).sum(axis=1), spread, out=np.zeros(spread.shape), where=spread > 0)

    def reach(a: FloatArray, b: FloatArray) -> FloatArray:
        return np.sqrt(np.maximum(a**2 + b**2 - 2 * rho * a * b, 0.0))

    gap = p.value - q.value
    lower = gap - reach(p.value - p.lower, q.upper - q.value)
    upper = gap + reach(p.upper - p.value, q.value - q.lower)
    reason = np.where(p.reason == DEFINED, q.reason, p.reason)
    return Estimates(
        gap, np.maximum(lower, -1), np.minimum(upper, 1), reach(p.se, q.se), p.n, p.n_pos, reason
    )

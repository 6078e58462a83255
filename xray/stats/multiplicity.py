"""Many tests at once: adjusted p-values over one declared family."""

import numpy as np
from numpy.typing import ArrayLike

from xray.stats.estimates import FloatArray


def holm(p: ArrayLike) -> FloatArray:
    """Holm's step-down adjusted p-values: rejecting where they are ≤ α bounds the chance of any false claim
    by α.

    adj_(i) = max_{j ≤ i} min(1, (m − j + 1) p_(j)) (Holm 1979). p: any shape, one family; NaN (a test that
    could not be made) stays NaN and does not count in m. Raises ValueError for p outside [0, 1].
    """
    values, defined = _family(p)
    ranked = np.sort(values[defined])
    scaled = np.maximum.accumulate(ranked * np.arange(ranked.size, 0, -1))
    return _put_back(values, defined, scaled)


def benjamini_hochberg(p: ArrayLike) -> FloatArray:
    """Benjamini-Hochberg adjusted p-values: rejecting where they are ≤ q bounds the false discovery rate by
    q.

    adj_(i) = min_{j ≥ i} min(1, m p_(j) / j) (Benjamini and Hochberg 1995), for independent or positively
    dependent tests. p as in `holm`.
    """
    values, defined = _family(p)
    ranked = np.sort(values[defined])
    scaled = ranked * ranked.size / np.arange(1, ranked.size + 1)
    return _put_back(values, defined, np.minimum.accumulate(scaled[::-1])[::-1])


def _family(p: ArrayLike) -> tuple[FloatArray, FloatArray]:
    values = np.asarray(p, dtype=np.float64)
    if ((values < 0) | (values > 1)).any():
        raise ValueError("p-values must lie in [0, 1]")
    return values, ~np.isnan(values)


def _put_back(values: FloatArray, defined: FloatArray, ascending: FloatArray) -> FloatArray:
    adjusted = np.full(values.shape, np.nan)
    order = np.argsort(values[defined], kind="stable")
    by_position = np.empty_like(ascending)
    by_position[order] = np.minimum(ascending, 1)
    adjusted[defined] = by_position
    return adjusted

"""Profile-likelihood bounds of Cohen's κ, from the four cells of two raters' calls.

With margins p and q both raters call a share κ (p + q) / 2 + (1 − κ) p q of the images positive, so (κ, p, q) says the same
as the four cells. A κ lies within the bounds where twice the log-likelihood that is lost by the best margins at that κ is at
most the quantile of χ² with one degree of freedom. ¼ is added to each cell: that gives bounds at κ = ±1 and where a rater
calls everything alike. Fleiss' large-sample interval holds 4 to 90 % there and with few positives (benchmarks/kappa.py).
"""

from math import log, sqrt
from typing import Final

import numpy as np
from scipy.special import chdtri

from xray.compiled import compiled
from xray.stats.estimates import FloatArray, check_level

ADDED: Final = 0.25
"""Added to each cell, chosen for coverage over a grid of κ, margins and n (benchmarks/kappa.py)."""


def kappa_bounds(cells: FloatArray, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """(lower, upper) bounds of κ, (n_tables,) each. cells: (n_tables, 4) counts, which need not be whole: called by both, by
    the first only, by the second only, by neither. NaN where a table is empty.
    """
    check_level(level)
    bounds = np.full((2, len(cells)), np.nan)
    _profile(np.ascontiguousarray(cells, dtype=np.float64) + ADDED, float(chdtri(1, 1 - level)), bounds)
    return bounds[0], bounds[1]


@compiled
def _profile(cells: FloatArray, critical: float, bounds: FloatArray) -> None:
    for k in range(len(cells)):
        counts = cells[k]
        n = counts.sum()
        if n <= 4 * 0.25:
            continue
        p, q = (counts[0] + counts[1]) / n, (counts[0] + counts[2]) / n
        value = 2 * (counts[0] / n - p * q) / (p * (1 - q) + q * (1 - p))
        highest = 0.0
        for cell in counts:
            highest += cell * log(cell / n)
        for side in range(2):
            bounds[side, k] = _bound(counts, p, q, value, highest - critical / 2, 2.0 * side - 1)


@compiled
def _bound(counts: FloatArray, p: float, q: float, value: float, lowest: float, limit: float) -> float:
    """Where the profile falls below `lowest`, between the estimate and the limit, −1 or 1.

    The root of the lost likelihood is nearly straight in κ: each guess draws it from the estimate through the last guess,
    and is the middle of the bracket where that leaves it, or where half of it was not won.
    """
    highest = 0.0
    n = counts.sum()
    for count in counts:
        highest += count * log(count / n)
    target = sqrt(highest - lowest)
    agreement = (counts[0] + counts[3]) / n
    inside, outside = value, limit
    kappa = value + np.sign(limit - value) * 2 * sqrt(agreement * (1 - agreement) / n) / (p + q - 2 * p * q)
    for _ in range(40):
        if not min(inside, outside) < kappa < max(inside, outside):
            kappa = (inside + outside) / 2
        before = abs(outside - inside)
        start_p, start_q, possible = _feasible(counts, kappa, p, q)
        likelihood = -np.inf
        if possible:
            likelihood, start_p, start_q = _climb(counts, kappa, start_p, start_q)
        if likelihood < lowest:
            outside = kappa
        else:
            inside, p, q = kappa, start_p, start_q
        guess = (inside + outside) / 2
        if likelihood > -np.inf:
            root = sqrt(max(highest - likelihood, 0.0))
            if root > 0:
                guess = value + (kappa - value) * target / root
                if abs(guess - kappa) < 1e-7:
                    return guess
        if abs(outside - inside) < 1e-8:
            break
        if likelihood == -np.inf and abs(outside - inside) > before / 2:
            guess = (inside + outside) / 2
        kappa = guess
    return (inside + outside) / 2


@compiled
def _likelihood(counts: FloatArray, kappa: float, p: float, q: float) -> float:
    both = kappa * (p + q) / 2 + (1 - kappa) * p * q
    neither = 1 - p - q + both
    if both <= 0 or both >= p or both >= q or neither <= 0:
        return -np.inf
    return (
        counts[0] * log(both)
        + counts[1] * log(p - both)
        + counts[2] * log(q - both)
        + counts[3] * log(neither)
    )


@compiled
def _feasible(counts: FloatArray, kappa: float, p: float, q: float) -> tuple[float, float, bool]:
    """Margins near (p, q) at which a κ is possible: nearer to each other, then to one half."""
    middle = (p + q) / 2
    for _ in range(60):
        if _likelihood(counts, kappa, p, q) > -np.inf:
            return p, q, True
        p, q = (p + middle) / 2, (q + middle) / 2
        if abs(p - q) < 1e-3:
            middle = (middle + 0.5) / 2
    return p, q, False


@compiled
def _climb(counts: FloatArray, kappa: float, p: float, q: float) -> tuple[float, float, float]:
    """The best margins at a κ, by Newton's method with halved steps: (log-likelihood, p, q)."""
    highest = _likelihood(counts, kappa, p, q)
    for _ in range(30):
        both = kappa * (p + q) / 2 + (1 - kappa) * p * q
        by_p, by_q = kappa / 2 + (1 - kappa) * q, kappa / 2 + (1 - kappa) * p
        shares = (both, p - both, q - both, 1 - p - q + both)
        to_p, to_q = (by_p, 1 - by_p, -by_p, by_p - 1), (by_q, -by_q, 1 - by_q, by_q - 1)
        slope_p, slope_q, pp, qq, pq, bend = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for cell in range(4):
            weight = counts[cell] / shares[cell]
            slope_p += weight * to_p[cell]
            slope_q += weight * to_q[cell]
            pp += weight / shares[cell] * to_p[cell] * to_p[cell]
            qq += weight / shares[cell] * to_q[cell] * to_q[cell]
            pq += weight / shares[cell] * to_p[cell] * to_q[cell]
            bend += weight if cell == 0 or cell == 3 else -weight
        exact = pq - (1 - kappa) * bend
        if pp * qq - exact * exact > 1e-12 * pp * qq:
            pq = exact
        determinant = pp * qq - pq * pq
        step_p, step_q = (
            (qq * slope_p - pq * slope_q) / determinant,
            (pp * slope_q - pq * slope_p) / determinant,
        )
        size, gained = 1.0, 0.0
        for _ in range(40):
            likelihood = _likelihood(counts, kappa, p + size * step_p, q + size * step_q)
            if likelihood >= highest:
                gained = likelihood - highest
                highest, p, q = likelihood, p + size * step_p, q + size * step_q
                break
            size /= 2
        if gained < 1e-9:
            break
    return highest, p, q

"""What will the next hospital see? Random-effects synthesis of one estimate per site, with a prediction interval.

y_i ~ N(θ_i, v_i), θ_i ~ N(μ, τ²). τ² by restricted maximum likelihood; the interval of μ by Hartung and Knapp with t_{k−1}
(Statistics in Medicine 20 (2001) 3875-3889), never narrower than without their factor (Röver et al., BMC Medical Research
Methodology 15 (2015) 99). The interval of the next site's θ takes the uncertainty of τ² with it: Q(τ²) = Σ (y_i − μ(τ²))² /
(v_i + τ²) is χ²_{k−1} at the true τ² (Viechtbauer, Statistics in Medicine 26 (2007) 37-52) and independent of μ(τ²), so that
each quantile of χ² gives a τ², and the interval is of the mixture of N(μ(τ²), 1 / Σ w + τ²) over them (as Nagashima et al.,
Statistical Methods in Medical Research 28 (2019) 1689-1702, do by another pivot). The customary interval, t_{k−2} at the one
estimated τ², holds 83-91 % where sites differ little, as τ² is then often estimated as 0.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, ndtr, stdtrit

from xray.stats.estimates import FloatArray

FEWEST: Final = 3
"""Sites below which nothing is said of how sites differ."""
TOO_FEW: Final = "too few sites"
QUANTILES: Final = 100
"""Of the distribution of τ²."""
BISECTIONS: Final = 45


@dataclass(frozen=True)
class Synthesis:
    """The mean over sites and what the next one will see, on the scale of the estimates given; NaN where `reason` says why.

    mean, lower, upper: μ and its interval. next_lower, next_upper: prediction interval of a further site's own value. tau2:
    variance between sites. i2: share of the variance that is between sites, in [0, 1]. n: sites used.
    """

    mean: float
    lower: float
    upper: float
    next_lower: float
    next_upper: float
    tau2: float
    i2: float
    n: int
    reason: str


def synthesise(estimates: FloatArray, standard_errors: FloatArray, level: float = 0.95) -> Synthesis:
    """Combine estimates of several sites.

    estimates, standard_errors: (n_sites,), on a scale on which errors are about normal (logit of an AUC or a share, log of
    O/E). Sites where either is not finite, or the error is not above 0, are left out.
    """
    y, se = np.asarray(estimates, float), np.asarray(standard_errors, float)
    usable = np.isfinite(y) & np.isfinite(se) & (se > 0)
    y, variances = y[usable], se[usable] ** 2
    if len(y) < FEWEST:
        mean = float(np.average(y, weights=1 / variances)) if len(y) else math.nan
        nan = math.nan
        return Synthesis(mean, nan, nan, nan, nan, nan, nan, len(y), TOO_FEW)
    tau2 = between(y, variances)
    weights = 1 / (variances + tau2)
    mean = float(np.average(y, weights=weights))
    k = len(y)
    squares = float((weights * (y - mean) ** 2).sum())
    of_mean = max(1.0, squares / (k - 1)) / weights.sum()
    half = float(stdtrit(k - 1, (1 + level) / 2)) * math.sqrt(of_mean)
    fixed = 1 / variances
    typical = (k - 1) * fixed.sum() / (fixed.sum() ** 2 - (fixed**2).sum())
    i2 = tau2 / (tau2 + typical)
    next_lower, next_upper = next_site(y, variances, level)
    return Synthesis(mean, mean - half, mean + half, next_lower, next_upper, tau2, i2, k, "")


def next_site(estimates: FloatArray, variances: FloatArray, level: float) -> tuple[float, float]:
    """Prediction interval of the next site's own value. estimates, variances: (n_sites,), three at least."""
    k = len(estimates)
    tau2 = _quantiles_of_tau2(estimates, variances, chdtri(k - 1, (np.arange(QUANTILES) + 0.5) / QUANTILES))
    weights = 1 / (variances + tau2[:, None])
    total = weights.sum(axis=1)
    means, sds = (weights * estimates).sum(axis=1) / total, np.sqrt(1 / total + tau2)

    def quantile(share: float) -> float:
        low, high = float((means - 40 * sds).min()), float((means + 40 * sds).max())
        return float(brentq(lambda x: ndtr((x - means) / sds).mean() - share, low, high, xtol=1e-10))

    return quantile((1 - level) / 2), quantile((1 + level) / 2)


def _quantiles_of_tau2(estimates: FloatArray, variances: FloatArray, targets: FloatArray) -> FloatArray:
    """The τ² at which Q is each of `targets` (n,), 0 where Q is below it for every τ²."""

    def q(tau2: FloatArray) -> FloatArray:
        weights = 1 / (variances + tau2[:, None])
        mean = (weights * estimates).sum(axis=1) / weights.sum(axis=1)
        return np.asarray((weights * (estimates - mean[:, None]) ** 2).sum(axis=1))

    low, high = np.zeros(len(targets)), np.full(len(targets), float(variances.max()))
    while (above := q(high) > targets).any():
        high[above] *= 4
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        above = q(middle) > targets
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(q(np.zeros(len(targets))) > targets, (low + high) / 2, 0.0)


def between(estimates: FloatArray, variances: FloatArray) -> float:
    """τ² by restricted maximum likelihood, 0 where no positive value is likelier. estimates, variances: (n_sites,)."""

    def slopes(tau2: FloatArray) -> FloatArray:
        """Twice the derivative of the restricted log likelihood, of each τ² (n,)."""
        weights = 1 / (variances + tau2[:, None])
        total = weights.sum(axis=1)
        mean = (weights * estimates).sum(axis=1) / total
        residuals = (weights**2 * (estimates - mean[:, None]) ** 2).sum(axis=1)
        return np.asarray(residuals - total + (weights**2).sum(axis=1) / total)

    def slope(tau2: float) -> float:
        return float(slopes(np.array([tau2]))[0])

    high = max(float(np.var(estimates, ddof=1)), float(variances.max())) * 4 + 1e-12
    grid = np.concatenate([[0.0], np.geomspace(high * 1e-8, high, 60)])
    at_grid = slopes(grid)
    falls = np.flatnonzero((at_grid[:-1] > 0) & (at_grid[1:] <= 0))
    peaks = [float(brentq(slope, grid[i], grid[i + 1], xtol=1e-14, rtol=1e-13)) for i in falls]
    return max([0.0, *peaks], key=lambda tau2: _likelihood(tau2, estimates, variances))


def _likelihood(tau2: float, estimates: FloatArray, variances: FloatArray) -> float:
    """Twice the restricted log likelihood."""
    weights = 1 / (variances + tau2)
    total = weights.sum()
    mean = (weights * estimates).sum() / total
    return float(np.log(weights).sum() - math.log(total) - (weights * (estimates - mean) ** 2).sum())

"""Does the next site lie in its prediction interval as often as it says? 93–97 % is asked for. Rates of simulated syntheses.

    python benchmarks/next_site.py [syntheses] [--sites 5 8 12 20] [--sd 0 0.1 0.3 0.6] [--seed N] [--json]

Sites differ by a normal with this standard deviation, their standard errors are drawn from .08 to .4. Beside ours
(`xray.stats.synthesis.next_site`) the customary interval, t with k − 2 degrees of freedom at the one estimated τ² and
Hartung and Knapp's variance of the mean, and the one of Nagashima, Noma and Furukawa (Statistical Methods in Medical
Research 28 (2019) 1689-1702): τ² from its confidence distribution by Cochran's Q, the mean by Hartung and Knapp. `error` is
the Monte Carlo standard error of a rate of .95.
"""

import argparse
import json
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from xray.stats.synthesis import between, next_site

Floats = NDArray[np.float64]
Bounds = tuple[float, float]
DRAWS = 1000


def product_interval(estimates: Floats, variances: Floats, random: np.random.Generator) -> Bounds:
    """`next_site`."""
    return next_site(estimates, variances, 0.95)


def customary(estimates: Floats, variances: Floats, random: np.random.Generator) -> Bounds:
    """t with k − 2 degrees of freedom at the estimated τ²."""
    tau2, k = between(estimates, variances), len(estimates)
    weights = 1 / (variances + tau2)
    mean = float(np.average(estimates, weights=weights))
    factor = max(1.0, float((weights * (estimates - mean) ** 2).sum()) / (k - 1))
    half = float(student.ppf(0.975, k - 2)) * (tau2 + factor / float(weights.sum())) ** 0.5
    return mean - half, mean + half


def nagashima(estimates: Floats, variances: Floats, random: np.random.Generator) -> Bounds:
    """Quantiles of mean + √τ² z − t_{k−1} se(τ²), τ² at which Q under a draw of normals is the Q that was seen."""
    k, fixed = len(estimates), 1 / variances
    form = np.diag(fixed) - np.outer(fixed, fixed) / fixed.sum()
    statistic = float(estimates @ form @ estimates)
    normals = random.normal(size=(DRAWS, k))

    def q(tau2: Floats) -> Floats:
        scaled = normals * np.sqrt(variances + tau2[:, None])
        return np.asarray(np.einsum("bi,ij,bj->b", scaled, form, scaled))

    low, high = np.zeros(DRAWS), np.full(DRAWS, 100 * float(variances.max()))
    for _ in range(45):
        middle = (low + high) / 2
        above = q(middle) > statistic
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    tau2 = np.where(q(np.zeros(DRAWS)) > statistic, 0.0, high)
    weights = 1 / (variances + tau2[:, None])
    means = (weights * estimates).sum(axis=1) / weights.sum(axis=1)
    residue = (weights * (estimates - means[:, None]) ** 2).sum(axis=1) / (k - 1)
    moments = max(0.0, (statistic - (k - 1)) / (fixed.sum() - (fixed**2).sum() / fixed.sum()))
    mean = float(np.average(estimates, weights=1 / (variances + moments)))
    errors = np.sqrt(residue / weights.sum(axis=1))
    draws = mean + np.sqrt(tau2) * random.normal(size=DRAWS) - random.standard_t(k - 1, DRAWS) * errors
    lower, upper = np.quantile(draws, [0.025, 0.975])
    return float(lower), float(upper)


INTERVALS: dict[str, Callable[[Floats, Floats, np.random.Generator], Bounds]] = {
    "ours": product_interval,
    "customary": customary,
    "Nagashima": nagashima,
}


def rates(sites: int, sd: float, syntheses: int, seed: int) -> dict[str, tuple[float, float]]:
    """Interval → share of syntheses in which it holds the next site, median width."""
    random = np.random.default_rng([seed, sites, round(sd * 1000)])
    inside: dict[str, list[bool]] = {name: [] for name in INTERVALS}
    widths: dict[str, list[float]] = {name: [] for name in INTERVALS}
    for _ in range(syntheses):
        errors = random.uniform(0.08, 0.4, sites)
        estimates = random.normal(0, sd, sites) + random.normal(0, errors)
        following = random.normal(0, sd)
        for name, interval in INTERVALS.items():
            low, high = interval(estimates, errors**2, random)
            inside[name].append(bool(low <= following <= high))
            widths[name].append(high - low)
    return {name: (float(np.mean(inside[name])), float(np.median(widths[name]))) for name in INTERVALS}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("syntheses", nargs="?", type=int, default=1000)
    parser.add_argument("--sites", type=int, nargs="+", default=[5, 8, 12, 20])
    parser.add_argument("--sd", type=float, nargs="+", default=[0.0, 0.1, 0.3, 0.6])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for sites in options.sites:
        for sd in options.sd:
            results = rates(sites, sd, options.syntheses, options.seed)
            row = {
                "sites": sites,
                "sd": sd,
                "syntheses": options.syntheses,
                "error": (0.0475 / options.syntheses) ** 0.5,
            }
            row |= {
                f"{name} {measure}": value
                for name, both in results.items()
                for measure, value in zip(("rate", "width"), both, strict=True)
            }
            row = {key: round(value, 4) for key, value in row.items()}
            print(
                json.dumps(row) if options.json else "  ".join(f"{k} {v}" for k, v in row.items()), flush=True
            )


if __name__ == "__main__":
    main()

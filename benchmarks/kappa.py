"""Do 95 % intervals of Cohen's κ hold the truth? python -m benchmarks.kappa [--quick] [--json]

Over a grid of κ, margins and numbers of images: the share of samples in which κ is defined and the interval holds it, exact
but for the drawing of the tables. Profile likelihood with ¼ added to each cell is what `xray.stats.agreement.kappa` does;
beside it other amounts added and the large-sample interval.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from benchmarks.report import arguments
from xray.stats.agreement import CrossTable, kappa
from xray.stats.kappa_bounds import ADDED, kappa_bounds

Floats = NDArray[np.float64]
Bounds = tuple[Floats, Floats]


@dataclass(frozen=True)
class Row:
    """One interval over the whole grid. least: lowest rate, with its setting; within: share of settings in 93 to 97 %."""

    interval: str
    settings: int
    least: float
    where: str
    within: float
    below: float
    above: float
    holds: bool | None


def cells(value: float, p: float, q: float) -> Floats | None:
    """Shares of the four cells, None where the margins do not allow this κ."""
    both = value * (p + q) / 2 + (1 - value) * p * q
    shares = np.array([both, p - both, q - both, 1 - p - q + both])
    return shares if (shares >= 0).all() else None


def point(counts: Floats) -> Floats:
    """κ of tables (n, 4)."""
    return kappa(CrossTable(*counts.T.astype(np.int64))).value


def profile(added: float) -> Callable[[Floats], Bounds]:
    """Profile likelihood with so much added to each cell; the estimate is always within."""

    def bounds(counts: Floats) -> Bounds:
        lower, upper = kappa_bounds(counts + added - ADDED)
        return np.fmin(lower, point(counts)), np.fmax(upper, point(counts))

    return bounds


def large_sample(counts: Floats) -> Bounds:
    """κ ± 1.96 se of Fleiss, Cohen and Everitt (1969), none where se is 0."""
    estimate = kappa(CrossTable(*counts.T.astype(np.int64)))
    half = np.where(estimate.se > 0, ndtri(0.975) * estimate.se, np.nan)
    return estimate.value - half, estimate.value + half


def rows(quick: bool) -> Iterator[Row]:
    """All intervals, each as soon as it is simulated."""
    rng = np.random.default_rng(0)
    samples = 2000 if quick else 20_000
    grid = []
    for n in (50, 200, 1000):
        for p, q in ((0.02, 0.02), (0.02, 0.05), (0.1, 0.1), (0.1, 0.2), (0.5, 0.5)):
            for value in (0.02, 0.3, 0.6, 0.8, 0.95):
                shares = cells(value, p, q)
                if shares is not None:
                    draws = rng.multinomial(n, shares, samples).astype(np.float64)
                    tables, counts = np.unique(draws, axis=0, return_counts=True)
                    grid.append((value, f"κ {value}, {p} and {q}, n {n}", tables, counts))
    for name, bounds, tested in (
        ("profile likelihood, ¼ added", profile(0.25), True),
        ("(profile likelihood, .1 added)", profile(0.1), None),
        ("(profile likelihood, ½ added)", profile(0.5), None),
        ("(large sample)", large_sample, None),
    ):
        rates = []
        for value, setting, tables, counts in grid:
            lower, upper = bounds(tables)
            defined = np.isfinite(point(tables))
            covered = defined & (lower <= value) & (value <= upper)
            rates.append((float(counts[covered].sum() / counts[defined].sum()), setting))
        rate = np.array([r for r, _ in rates])
        below, above = float((rate < 0.93).mean()), float((rate > 0.97).mean())
        least, worst_case = min(rates)
        holds = least >= 0.9 if tested else None
        yield Row(name, len(rates), least, worst_case, 1 - below - above, below, above, holds)


def main() -> int:
    """Print every interval; exit code 1 where the one in use does not hold."""
    options = arguments(__doc__)
    good = True
    for row in rows(options.quick):
        good &= row.holds is not False
        if options.json:
            print(json.dumps(asdict(row), ensure_ascii=False), flush=True)
        else:
            print(
                f"{row.interval:32} {row.settings} settings: 93 to 97 % in {row.within:.0%}, below in {row.below:.0%}, "
                f"above in {row.above:.0%}; least {row.least:.1%} ({row.where})",
                flush=True,
            )
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())

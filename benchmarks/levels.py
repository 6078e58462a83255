"""Do families of null comparisons of AUCs hold .05, and intervals 95 %? python -m benchmarks.levels [--quick] [--json]

`family`: how often at least one of 60 null comparisons passes Holm's adjustment. `rate`: the share of 95 % intervals that
hold the truth. `old_family`, `old_rate`: the same of the normal interval by DeLong's variance, for comparison.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from benchmarks.report import arguments
from xray.stats.comparisons import compare_paired, compare_unpaired
from xray.stats.delong import auc_interval
from xray.stats.estimates import Comparison

FAMILY = 60
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One setting. holds: whether `rate` and, under no difference, `family` are as they should be but for chance."""

    comparison: str
    setting: str
    rate: float
    family: float | None
    old_rate: float
    old_family: float | None
    holds: bool


def scores(
    rng: np.random.Generator, kind: str, area: float, n_pos: int, n_neg: int, columns: int
) -> tuple[Floats, Floats]:
    """Labels (n,) and scores (n, columns) of known AUC, one image per patient."""
    labels = np.repeat([1.0, 0.0], [n_pos, n_neg])
    if kind == "normal":
        return labels, rng.normal(size=(labels.size, columns)) + np.sqrt(2) * ndtri(area) * labels[:, None]
    return labels, rng.exponential(size=(labels.size, columns)) * np.where(labels == 1, area / (1 - area), 1)[
        :, None
    ]


def judge(comparison: str, setting: str, estimate: Comparison, truth: float) -> Row:
    """Rates of one setting, against those of the normal interval."""
    old_p = 2 * ndtr(
        -np.abs(
            np.divide(estimate.difference, estimate.se, out=np.zeros_like(estimate.se), where=estimate.se > 0)
        )
    )
    covered = (estimate.lower <= truth) & (truth <= estimate.upper)
    old_held = np.abs(estimate.difference - truth) <= ndtri(0.975) * estimate.se
    families = [
        None if truth else float(1 - np.mean(~(p < 0.05 / FAMILY)) ** FAMILY) for p in (estimate.p, old_p)
    ]
    rate, error = float(covered.mean()), float(np.sqrt(0.95 * 0.05 / covered.size))
    holds = rate >= 0.93 - 2.5 * error and (families[0] is None or families[0] <= 0.12)
    return Row(comparison, setting, rate, families[0], float(old_held.mean()), families[1], holds)


def rows(quick: bool) -> Iterator[Row]:
    """All settings, each as soon as it is simulated."""
    columns = 1500 if quick else 12_000
    rng = np.random.default_rng(0)
    for kind in ("normal", "exponential"):
        for area in (0.75, 0.9, 0.97):
            for n_pos, n_neg, m_pos, m_neg in ((3, 100, 40, 400), (10, 100, 40, 400), (15, 100, 15, 200)):
                one = auc_interval(*scores(rng, kind, area, n_pos, n_neg, columns))
                two = auc_interval(*scores(rng, kind, area, m_pos, m_neg, columns))
                setting = f"{kind}, AUC {area}, {n_pos} and {m_pos} positives"
                yield judge("two samples", setting, compare_unpaired(one, two), 0.0)
    for first, second in ((0.75, 0.75), (0.9, 0.9), (0.97, 0.97), (0.99, 0.97), (0.8, 0.9)):
        for n_pos, n_neg in ((3, 200), (10, 200), (20, 400)):
            labels, common = scores(rng, "normal", 0.5, n_pos, n_neg, columns // 3)
            one, two = (
                (common + rng.normal(size=common.shape)) / np.sqrt(2)
                + np.sqrt(2) * ndtri(area) * labels[:, None]
                for area in (first, second)
            )
            setting = f"AUC {first} and {second}, {n_pos} positives"
            yield judge("one sample", setting, compare_paired(labels, one, two), first - second)


def main() -> int:
    """Print every rate; exit code 1 where one does not hold."""
    options = arguments(__doc__)
    good = True
    for row in rows(options.quick):
        good &= row.holds
        if options.json:
            print(json.dumps(asdict(row), ensure_ascii=False), flush=True)
        else:
            families = "" if row.family is None else f"family {row.family:.2f} (was {row.old_family:.2f})"
            verdict = "holds" if row.holds else "FAILS"
            print(
                f"{row.comparison:12} {row.setting:42} {row.rate:6.1%} (was {row.old_rate:6.1%}) {families:24} {verdict}",
                flush=True,
            )
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""B's scores of a finding as mixtures of A's classes: what another prevalence or wrong labels can do, and pictures can't.

Another prevalence leaves B's scores a mixture of the scores of A's positives and A's negatives; the weight says which.
Labels that are wrong at random leave each class of B such a mixture too; there the weight says how many are wrong. Misfit
says that neither is all. Scores are counted in bins; weights are by generalised least squares, and misfit is chi-squared
with BINS − 2 degrees of freedom, variances of independent images times images per patient.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import chdtrc, ndtri

from xray.stats.estimates import FloatArray, IntArray
from xray.stats.part import Part

BINS: Final = 10
"""Equal shares of A's scores into which a finding's scores are counted."""
RARE: Final = 0.005
"""Added to shares before their logarithms are taken, so that a share of nought has one."""
CUTS: Final = ndtri(np.arange(1, BINS) / BINS)
COLUMNS: Final = (
    "images z", "implied - observed z", "implied - a z", "images p", "implied", "implied se", "implied / observed",
    "implied / a", "positives mixed", "positives mixed z", "positives misfit", "negatives mixed", "negatives mixed z",
    "negatives misfit",
)  # fmt: skip


@dataclass(frozen=True)
class Mixture:
    """weight: of the second of two groups, with its standard error; misfit: chi-squared with BINS − 2 degrees of freedom."""

    weight: float
    se: float
    misfit: float

    @property
    def misfit_z(self) -> float:
        """The misfit as asinh of a normal deviate (Wilson and Hilferty)."""
        df = BINS - 2
        z = ((self.misfit / df) ** (1 / 3) - (1 - 2 / (9 * df))) / np.sqrt(2 / (9 * df))
        return float(np.arcsinh(z))


@dataclass(frozen=True)
class _Histogram:
    share: FloatArray
    covariance: FloatArray


def mixtures(one: Part, two: Part, name: str = "") -> dict[str, FloatArray]:
    """Columns of every task, (n_tasks,) each; with a name before them, the three of all scores only."""
    n = one.labels.shape[1]
    values = np.array([_of_task(one, two, k) for k in range(n)]).reshape(n, len(COLUMNS))
    names = COLUMNS[:3] if name else COLUMNS
    return {name + column_name: values[:, column] for column, column_name in enumerate(names)}


def _of_task(one: Part, two: Part, k: int) -> tuple[float, ...]:
    at_a, at_b = (np.searchsorted(CUTS, part.scores[:, k]) for part in (one, two))
    known_a, known_b = one.usable[:, k], two.usable[:, k]
    negatives_a, positives_a = (
        _histogram(at_a[known_a & (one.labels[:, k] == value)], one.effect) for value in (0, 1)
    )
    all_b = _histogram(at_b[~np.isnan(two.scores[:, k])], two.effect)
    negatives, positives = (
        _histogram(at_b[known_b & (two.labels[:, k] == value)], two.effect) for value in (0, 1)
    )
    observed, share_a = float(two.labels[known_b, k].mean()), float(one.labels[known_a, k].mean())
    every = fit(negatives_a, positives_a, all_b, observed)
    of_observed = two.effect * observed * (1 - observed) / int(known_b.sum())
    of_a = one.effect * share_a * (1 - share_a) / int(known_a.sum())
    variance = every.se**2
    implied = min(max(every.weight, 0.0), 1.0) + RARE
    mislabelled = [
        fit(positives_a, negatives_a, positives, 0.0),
        fit(negatives_a, positives_a, negatives, 0.0),
    ]
    return (
        every.misfit_z,
        float(np.arcsinh((every.weight - observed) / np.sqrt(variance + of_observed))),
        float(np.arcsinh((every.weight - share_a) / np.sqrt(variance + of_a))),
        float(chdtrc(BINS - 2, every.misfit)),
        every.weight,
        every.se,
        float(np.log(implied / (observed + RARE))),
        float(np.log(implied / (share_a + RARE))),
        *(
            number
            for mixture in mislabelled
            for number in (
                min(max(mixture.weight, -1.0), 2.0),
                float(np.arcsinh(mixture.weight / mixture.se)),
                mixture.misfit_z,
            )
        ),
    )


def _histogram(bins: IntArray, effect: float) -> _Histogram:
    n = bins.size
    share = np.bincount(bins, minlength=BINS)[:-1] / n
    smooth = (share * n + 0.5) / (n + 0.5 * BINS)
    return _Histogram(share, effect * (np.diag(smooth) - np.outer(smooth, smooth)) / n)


def fit(first: _Histogram, second: _Histogram, target: _Histogram, start: float) -> Mixture:
    """The share of the second in the target, a mixture of both; `start`: where weighting begins."""
    slope, weight = second.share - first.share, start
    for _ in range(2):
        inverse = np.linalg.inv(
            (1 - weight) ** 2 * first.covariance + weight**2 * second.covariance + target.covariance
        )
        information = float(slope @ inverse @ slope) + 1e-9
        implied = float(slope @ inverse @ (target.share - first.share)) / information
        weight = min(max(implied, 0.0), 1.0)
    residual = target.share - first.share - implied * slope
    return Mixture(implied, float(np.sqrt(1 / information)), float(residual @ inverse @ residual))

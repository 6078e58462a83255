"""Did the images change, beyond what other prevalences make of them? From scores of both sites and labels of A alone.

If only prevalences changed, a function h of an image's scores has at B the mean that it has among A's images when these are
weighted by their labels. With weights linear in the labels, w(y) = 1 + β · (y − mean y),
    mean_B h = mean_A [h w(y)] = mean_A h + Cov_A(h, y) β,
which for one finding is black-box shift estimation (Lipton, Wang and Smola 2018) and here is fitted for all findings at
once, with more functions than findings, by generalised least squares. What is left over is tested by Hansen's J (1982): no
prevalences explain the scores of B. The fit also says what prevalence B's scores imply, whatever B's labels say.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from xray.stats.estimates import FloatArray, IntArray, undefined
from xray.stats.transfer import SiteScores

QUANTILES: Final = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Functions of a score: is it above this quantile of A's scores?"""


@dataclass(frozen=True)
class Tilting:
    """Per task: p that its scores at B come from A's images under other prevalences, and the prevalence that they imply.

    p, implied, implied_se: (n_tasks,). observed_gap, observed_gap_se: implied minus observed prevalence of B.
    a_gap, a_gap_se: implied minus A's prevalence. p_all: of all tasks' scores together. NaN where it can't be fitted.
    """

    p: FloatArray
    implied: FloatArray
    implied_se: FloatArray
    observed_gap: FloatArray
    observed_gap_se: FloatArray
    a_gap: FloatArray
    a_gap_se: FloatArray
    p_all: float


def tilt(a: SiteScores, b: SiteScores, tasks: IntArray) -> Tilting:
    """Fit prevalences of B to its scores, for the given columns; see the module. Patients are the units."""
    n_tasks = a.labels.shape[1]
    found = [undefined((n_tasks,)) for _ in range(7)]
    units = np.unique(np.concatenate([a.patients, b.patients]), return_inverse=True)[1]
    unit_a, unit_b = units[: len(a.patients)], units[len(a.patients) :]
    labels = a.labels[:, tasks]
    centred = np.nan_to_num(labels - np.nanmean(labels, axis=0))
    steps_a, steps_b, of_task = _steps(a, b, tasks)
    for place, task in enumerate(tasks):
        own = of_task == place
        middle = np.flatnonzero(~own)[len(QUANTILES) // 2 :: len(QUANTILES)]
        chosen = np.sort(np.concatenate([np.flatnonzero(own), middle]))
        fit = _Fit(steps_a[:, chosen], steps_b[:, chosen], centred, unit_a, unit_b)
        known = ~np.isnan(labels[:, place])
        values = fit.prevalence(np.where(known, labels[:, place], 0), known.astype(float), b.labels[:, task])
        for array, number in zip(found, (fit.p, *values), strict=True):
            array[task] = number
    whole = _Fit(steps_a, steps_b, centred, unit_a, unit_b)
    return Tilting(*found, whole.p)


def _steps(a: SiteScores, b: SiteScores, tasks: IntArray) -> tuple[FloatArray, FloatArray, IntArray]:
    """Step functions of every task's two scores at both sites, and each column's place among the tasks."""
    at_a, at_b, of_task = [], [], []
    for place, task in enumerate(tasks):
        for scores_a, scores_b in ((a.of_a, b.of_a), (a.of_b, b.of_b)):
            cuts = np.nanquantile(scores_a[:, task], QUANTILES)
            at_a.append(scores_a[:, task, None] > cuts)
            at_b.append(scores_b[:, task, None] > cuts)
            of_task += [place] * len(cuts)
    return np.hstack(at_a).astype(float), np.hstack(at_b).astype(float), np.array(of_task)


class _Fit:
    """Generalised least squares of mean_B h − mean_A h on Cov_A(h, y)."""

    def __init__(
        self,
        h_a: FloatArray,
        h_b: FloatArray,
        labels: FloatArray,
        unit_a: NDArray[np.intp],
        unit_b: NDArray[np.intp],
    ) -> None:
        self.units, self.labels = (unit_a, unit_b), labels
        self.gap = h_b.mean(axis=0) - h_a.mean(axis=0)
        slopes = (h_a - h_a.mean(axis=0)).T @ labels / len(labels)
        weights = np.ones(len(labels))
        n_moments, n_free = slopes.shape
        n_units = min(np.unique(unit).size for unit in self.units)
        for _ in range(2):
            self.of_gap = self._influence(h_a * weights[:, None], h_b)
            covariance = sum(part.T @ part for part in self.of_gap)
            covariance[np.diag_indices_from(covariance)] += 1e-3 * covariance.trace() / n_moments
            inverse = np.linalg.inv(covariance)
            self.to_beta = np.linalg.pinv(slopes.T @ inverse @ slopes) @ slopes.T @ inverse
            self.beta = self.to_beta @ self.gap
            weights = 1 + labels @ self.beta
        self.weights = weights
        rest = self.gap - slopes @ self.beta
        df, left = n_moments - n_free, n_units - n_moments
        statistic = float(rest @ inverse @ rest)
        self.p = float(fdtrc(df, left, statistic * left / (n_units * df))) if df > 0 and left > 0 else np.nan

    def _influence(self, of_a: FloatArray, of_b: FloatArray) -> list[FloatArray]:
        """Each patient's influence on mean_B − mean_A, by site: (n_patients, n_columns) each."""
        return [
            sign * _sums(values - values.mean(axis=0), unit) / len(values)
            for values, unit, sign in zip((of_a, of_b), self.units, (-1.0, 1.0), strict=True)
        ]

    def prevalence(self, positive: FloatArray, known: FloatArray, labels_b: FloatArray) -> tuple[float, ...]:
        """Implied prevalence at B with se, minus observed with se, minus A's with se."""
        mean_known = known.mean()
        share = float(positive.mean() / mean_known)
        about = (positive - share * known) / mean_known
        slope = (about @ self.labels) / len(about)
        implied = share + float(slope @ self.beta)
        of_beta = [part @ self.to_beta.T @ slope for part in self.of_gap]
        tilted = about * self.weights
        of_implied = _sums((tilted - tilted.mean())[:, None], self.units[0])[:, 0] / len(about) + of_beta[0]
        change = about * (self.weights - 1)
        of_change = _sums((change - change.mean())[:, None], self.units[0])[:, 0] / len(about) + of_beta[0]
        seen = ~np.isnan(labels_b)
        observed = float(labels_b[seen].mean())
        of_observed = _sums(np.where(seen, labels_b - observed, 0)[:, None], self.units[1])[:, 0] / seen.sum()

        def se(at_a: FloatArray, at_b: FloatArray) -> float:
            return float(np.sqrt((at_a**2).sum() + (at_b**2).sum()))

        return (
            implied,
            se(of_implied, of_beta[1]),
            implied - observed,
            se(of_implied, of_beta[1] - of_observed),
            implied - share,
            se(of_change, of_beta[1]),
        )


def _sums(values: FloatArray, unit: NDArray[np.intp]) -> FloatArray:
    """Sum over each patient's images: (n_images, n_columns) → (n_patients, n_columns)."""
    order = np.argsort(unit, kind="stable")
    ordered = unit[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return np.asarray(np.add.reduceat(values[order], starts, axis=0))

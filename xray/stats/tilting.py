"""Did the images change, beyond what other prevalences explain? From scores of both sites and labels of A alone.

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

from xray.compiled import compiled
from xray.stats.estimates import FloatArray, IntArray, undefined
from xray.stats.transfer import Patients, SiteScores

Steps = NDArray[np.uint8]
"""Step functions of scores, 1 above a cut and 0 elsewhere: (n_images, n_functions)."""

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
    arrays = [undefined((n_tasks,)) for _ in range(7)]
    labels = a.labels[:, tasks]
    steps_a, steps_b, of_task = _steps(a, b, tasks)
    moments = _Moments(steps_a, steps_b, np.nan_to_num(labels - np.nanmean(labels, axis=0)), a, b)
    for column, task in enumerate(tasks):
        columns = of_task == column
        middle = np.flatnonzero(~columns)[len(QUANTILES) // 2 :: len(QUANTILES)]
        fit = _Fit(moments, np.sort(np.concatenate([np.flatnonzero(columns), middle])))
        labelled = ~np.isnan(labels[:, column])
        values = fit.prevalence(
            np.where(labelled, labels[:, column], 0), labelled.astype(float), b.labels[:, task]
        )
        for array, number in zip(arrays, (fit.p, *values), strict=True):
            array[task] = number
    p, implied, implied_se, observed, observed_se, against_a, against_a_se = arrays
    p_all = _Fit(moments, np.arange(of_task.size)).p
    return Tilting(p, implied, implied_se, observed, observed_se, against_a, against_a_se, p_all)


def _steps(a: SiteScores, b: SiteScores, tasks: IntArray) -> tuple[Steps, Steps, IntArray]:
    """Step functions of every task's two scores at both sites, and each column's place among the tasks."""
    cuts = np.concatenate([np.nanquantile(of[:, tasks], QUANTILES, axis=0).T for of in (a.of_a, a.of_b)])
    of_task = np.repeat(np.tile(np.arange(len(tasks)), 2), len(QUANTILES))
    at_a, at_b = (_above(np.hstack([site.of_a[:, tasks], site.of_b[:, tasks]]), cuts) for site in (a, b))
    return at_a, at_b, of_task


class _Moments:
    """What all fits of a pair share: functions of scores at both sites, their covariance with labels, and each other."""

    def __init__(self, h_a: Steps, h_b: Steps, labels: FloatArray, a: SiteScores, b: SiteScores) -> None:
        self.h_a, self.h_b, self.labels = h_a, h_b, labels
        self.at_a, self.at_b = Patients(a.patients), Patients(b.patients)
        (mean_a, self.covariance_a), (self.mean_b, self.covariance_b) = (
            _covariance(*arguments) for arguments in ((h_a, self.at_a), (h_b, self.at_b))
        )
        self.gap = self.mean_b - mean_a
        self.slopes = _products(h_a, labels - labels.mean(axis=0)) / len(labels)
        self.n_units = min(self.at_a.n, self.at_b.n)


class _Fit:
    """Generalised least squares of mean_B h − mean_A h on Cov_A(h, y), for chosen functions."""

    def __init__(self, moments: _Moments, functions: IntArray) -> None:
        self.moments, self.functions = moments, functions
        block = np.ix_(functions, functions)
        gap, slopes = moments.gap[functions], moments.slopes[functions]
        self._solve(moments.covariance_a[block] + moments.covariance_b[block], gap, slopes)
        self.sums_a = _weighted(moments.h_a, functions, self.weights, moments.at_a.unit, moments.at_a.n)
        self.mean_a, covariance_a = _of_means(self.sums_a, moments.at_a.sizes)
        inverse = self._solve(covariance_a + moments.covariance_b[block], gap, slopes)
        residual = gap - slopes @ self.beta
        df, df_left = functions.size - slopes.shape[1], moments.n_units - functions.size
        statistic = float(residual @ inverse @ residual) * df_left / (moments.n_units * df)
        self.p = float(fdtrc(df, df_left, statistic))  # NaN with as many functions as patients, or more

    def _solve(self, covariance: FloatArray, gap: FloatArray, slopes: FloatArray) -> FloatArray:
        """Sets beta and the weights of A's images that follow from it; the inverse of the (stabilised) covariance."""
        covariance[np.diag_indices_from(covariance)] += 1e-3 * covariance.trace() / gap.size
        inverse = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
        normal = np.asarray(np.linalg.pinv(slopes.T @ inverse @ slopes), dtype=np.float64)
        self.to_beta = normal @ slopes.T @ inverse
        self.beta = self.to_beta @ gap
        self.weights = 1 + self.moments.labels @ self.beta
        return inverse

    def prevalence(
        self, positive: FloatArray, has_label: FloatArray, labels_b: FloatArray
    ) -> tuple[float, ...]:
        """Implied prevalence at B with se, minus observed with se, minus A's with se."""
        moments, mean_known = self.moments, has_label.mean()
        share = float(positive.mean() / mean_known)
        about = (positive - share * has_label) / mean_known
        slope = (about @ moments.labels) / len(about)
        implied = share + float(slope @ self.beta)
        toward = self.to_beta.T @ slope
        beta_a = (moments.at_a.sizes * (self.mean_a @ toward) - self.sums_a @ toward) / len(about)
        beta_b = moments.at_b.influence(_combined(moments.h_b, self.functions, toward))
        labelled = ~np.isnan(labels_b)
        observed = float(labels_b[labelled].mean())
        of_observed = moments.at_b.sums(np.where(labelled, labels_b - observed, 0)) / labelled.sum()

        def se(at_a: FloatArray, at_b: FloatArray) -> float:
            return float(np.sqrt(at_a @ at_a + at_b @ at_b))

        of_implied = moments.at_a.influence(about * self.weights) + beta_a
        of_change = moments.at_a.influence(about * (self.weights - 1)) + beta_a
        return (
            implied,
            se(of_implied, beta_b),
            implied - observed,
            se(of_implied, beta_b - of_observed),
            implied - share,
            se(of_change, beta_b),
        )


def _covariance(h: Steps, patients: Patients) -> tuple[FloatArray, FloatArray]:
    """Means of the functions over images, and the covariance of these means."""
    every = np.arange(h.shape[1])
    sums = _weighted(h, every, np.ones(len(h)), patients.unit, patients.n)
    exact = (
        len(h) * float(patients.sizes.max()) < 2**24
    )  # sums are counts, and single precision holds their products
    return _of_means(sums.astype(np.float32) if exact else sums, patients.sizes)


def _of_means(sums: NDArray[np.floating], sizes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Means over images and their covariance, from each patient's sums (n_patients, k) and numbers of images (n_patients,).

    The sum over patients of (sums − size · mean)(sums − size · mean)ᵀ / n², multiplied out.
    """
    n = sizes.sum()
    mean = sums.sum(axis=0, dtype=np.float64) / n
    cross = np.outer(sizes @ sums, mean)
    squares = (sums.T @ sums) + (sizes @ sizes) * np.outer(mean, mean) - cross - cross.T
    return mean, np.asarray(squares / n**2, dtype=np.float64)


def _products(h: Steps, values: FloatArray) -> FloatArray:
    """h.T @ values: (n_functions, n_values)."""
    return np.asarray(h.T.astype(np.float64) @ values)


@compiled
def _above(scores: FloatArray, cuts: FloatArray) -> Steps:
    """Whether each score (n, k) is above each of its cuts (k, q): (n, k · q)."""
    n, k = scores.shape
    q = cuts.shape[1]
    steps = np.empty((n, k * q), dtype=np.uint8)
    for i in range(n):
        for j in range(k):
            for cut in range(q):
                steps[i, j * q + cut] = scores[i, j] > cuts[j, cut]
    return steps


@compiled
def _weighted(
    h: Steps, functions: IntArray, weights: FloatArray, unit: NDArray[np.integer], n_units: int
) -> FloatArray:
    """Sum over each patient's images of weight times these functions: (n_units, n_functions)."""
    sums = np.zeros((n_units, functions.size))
    for i in range(len(h)):
        for j in range(functions.size):
            sums[unit[i], j] += weights[i] * h[i, functions[j]]
    return sums


@compiled
def _combined(h: Steps, functions: IntArray, factors: FloatArray) -> FloatArray:
    """The sum of factor times function for each image: (n_images,)."""
    sums = np.zeros(len(h))
    for i in range(len(h)):
        for j in range(functions.size):
            sums[i] += factors[j] * h[i, functions[j]]
    return sums

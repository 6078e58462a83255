"""Do the same two scores mean the same at both sites, and are labels still associated with each other as before?

Neither question has a direction: exchanging the sites leaves every p as it is.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc, ndtr

from xray.stats.compiled import compiled
from xray.stats.estimates import FloatArray, IntArray, undefined
from xray.stats.transfer import Patients, SiteScores, joint_units

RIDGE: Final = 0.5
"""Penalty on standardised coefficients: keeps them finite where scores separate the classes."""
_PENALTY: Final = np.array([0.0, 0.0, *[RIDGE] * 6])
_TESTED: Final = slice(6, None)
_STEPS: Final = 50
"""More than any fit takes."""


def meaning_changed(a: SiteScores, b: SiteScores, tasks: IntArray) -> FloatArray:
    """p of the hypothesis that logit P(y) = site + f(s_A, s_B) with one f for both sites, against a slope for each.

    f is linear with squares. Wald's test of site · s_A and site · s_B (2 df), by the covariance clustered by patient
    or that of the likelihood, whichever says less: the first fails where scores nearly separate the classes. The
    site's own intercept takes up prevalence, and most of a shift of the labelling threshold. Against F with the
    positives of the site that has fewer as denominator. (n_tasks,), for the given columns; NaN with fewer than six, and
    elsewhere.
    """
    p = undefined((a.labels.shape[1],))
    units, n_units = joint_units(a, b)
    for task in tasks:
        p[task] = _meaning(a, b, int(task), units, n_units)
    return p


def _meaning(
    a: SiteScores, b: SiteScores, task: int, units: tuple[IntArray, IntArray], n_units: int
) -> float:
    labels, scores, unit = [], [], []
    for part, of in zip((a, b), units, strict=True):
        pair = np.stack([part.of_a[:, task], part.of_b[:, task]])
        usable = ~np.isnan(part.labels[:, task]) & np.isfinite(pair).all(axis=0)
        labels.append(part.labels[usable, task])
        scores.append(pair[:, usable])
        unit.append(of[usable])
    y, s, of_unit = np.concatenate(labels), np.concatenate(scores, axis=1), np.concatenate(unit)
    degrees = min(int((part == value).sum()) for part in labels for value in (0, 1)) - 4
    spread = s.std(axis=1, keepdims=True)
    if degrees < 2 or (spread == 0).any():
        return np.nan
    s = np.clip((s - s.mean(axis=1, keepdims=True)) / spread, -5, 5)
    beta, inverse = _ridge(s, y, labels[0].size)
    gradients = _scores_of_units(s, y, labels[0].size, beta, of_unit, n_units)
    covariance = inverse @ (gradients.T @ gradients) @ inverse
    coefficients = beta[_TESTED]
    statistic = min(
        float(coefficients @ np.linalg.pinv(matrix[_TESTED, _TESTED], hermitian=True) @ coefficients)
        for matrix in (covariance, inverse)
    )
    return float(fdtrc(2, degrees, statistic * (degrees - 1) / (2 * degrees)))


def companions_changed(a: SiteScores, b: SiteScores, tasks: IntArray) -> FloatArray:
    """p that the odds ratio of a finding's labels with every other finding's is the same at both sites, per finding.

    The largest |Δ log odds ratio| / se over the other findings in `tasks`, Bonferroni over them. Sees labels only: an image
    shift can't change it. ½ is added to each cell; variances are inflated by images per patient. (n_tasks,), NaN without
    another finding.
    """
    p = np.full(a.labels.shape[1], np.nan)
    if len(tasks) > 1:
        (one, v_one), (two, v_two) = (_log_odds_ratios(part, tasks) for part in (a, b))
        z = np.abs((two - one) / np.sqrt(v_one + v_two))
        np.fill_diagonal(z, 0)
        p[tasks] = np.minimum(1, (len(tasks) - 1) * 2 * ndtr(-z.max(axis=1)))
    return p


def _log_odds_ratios(site: SiteScores, tasks: IntArray) -> tuple[FloatArray, FloatArray]:
    """Log odds ratios of all pairs of findings, and their variances: (n, n) each."""
    yes, no = ((site.labels[:, tasks] == value).astype(np.float64) for value in (1, 0))
    both, neither, first, second = (x.T @ y + 0.5 for x, y in ((yes, yes), (no, no), (yes, no), (no, yes)))
    clustering = len(site.patients) / Patients(site.patients).n
    ratios = np.log(both * neither / (first * second))
    return ratios, clustering * (1 / both + 1 / neither + 1 / first + 1 / second)


def _ridge(scores: FloatArray, y: FloatArray, n_a: int) -> tuple[FloatArray, FloatArray]:
    """Penalised maximum likelihood, scores (2, n_images): coefficients (8,) and the inverse of the information (8, 8).

    Columns: 1, site, both scores, their squares, site times both scores; site is −½ for the first n_a images, A's, and ½
    for the others.
    """
    beta: FloatArray = np.zeros(_PENALTY.size)
    value, gradient, information = _penalised(scores, y, n_a, beta)
    for _ in range(_STEPS):
        step = np.linalg.solve(information, gradient)
        following = _penalised(scores, y, n_a, beta + step)
        # a whole step may lead past the maximum, and further at each step
        while following[0] < value - 1e-9 * abs(value):
            step = step / 2
            following = _penalised(scores, y, n_a, beta + step)
        beta, (value, gradient, information) = beta + step, following
        if np.abs(step).max() < 1e-8:
            break
    return beta, np.asarray(np.linalg.inv(information), dtype=np.float64)


def _penalised(
    scores: FloatArray, y: FloatArray, n_a: int, beta: FloatArray
) -> tuple[float, FloatArray, FloatArray]:
    """The penalised log-likelihood, its gradient (8,) and minus its second derivative (8, 8)."""
    likelihood, gradient, information = _derivatives(scores, y, n_a, beta)
    penalty = 0.5 * float(_PENALTY @ beta**2)
    return likelihood - penalty, gradient - _PENALTY * beta, information + np.diag(_PENALTY)


@compiled
def _row(
    one: float, two: float, site: float
) -> tuple[float, float, float, float, float, float, float, float]:
    """An image's columns of the design, see `_ridge`."""
    return 1.0, site, one, two, one * one, two * two, site * one, site * two


@compiled
def _rest(row: tuple[float, ...], beta: FloatArray, y: float) -> tuple[float, float, float]:
    """Label minus fitted probability, the variance of the label, and its log-likelihood."""
    linear = 0.0
    for j in range(8):
        linear += row[j] * beta[j]
    small = np.exp(-abs(linear))
    rarer = small / (1.0 + small)
    mean = 1.0 - rarer if linear > 0 else rarer
    return y - mean, mean * (1.0 - mean), y * linear - max(linear, 0.0) - np.log1p(small)


@compiled
def _derivatives(
    scores: FloatArray, y: FloatArray, n_a: int, beta: FloatArray
) -> tuple[float, FloatArray, FloatArray]:
    """The log-likelihood, its gradient (8,) and minus its second derivative (8, 8).

    Within a site the columns that have `site` in them are multiples of others: five columns' sums are enough.
    """
    likelihood, gradient, information = 0.0, np.zeros(8), np.zeros((8, 8))
    source = (0, 0, 1, 2, 3, 4, 1, 2)
    for half in range(2):
        site = half - 0.5
        first, last = (0, n_a) if half == 0 else (n_a, y.size)
        sums, moments = np.zeros(5), np.zeros((5, 5))
        for i in range(first, last):
            row = _row(scores[0, i], scores[1, i], site)
            residual, weight, of_image = _rest(row, beta, y[i])
            likelihood += of_image
            columns = (row[0], row[2], row[3], row[4], row[5])
            for j in range(5):
                sums[j] += residual * columns[j]
                for k in range(j + 1):
                    moments[j, k] += weight * columns[j] * columns[k]
        for j in range(8):
            factor = site if j in (1, 6, 7) else 1.0
            gradient[j] += factor * sums[source[j]]
            for k in range(8):
                other = site if k in (1, 6, 7) else 1.0
                low, high = min(source[j], source[k]), max(source[j], source[k])
                information[j, k] += factor * other * moments[high, low]
    return likelihood, gradient, information


@compiled
def _scores_of_units(
    scores: FloatArray, y: FloatArray, n_a: int, beta: FloatArray, unit: NDArray[np.integer], n_units: int
) -> FloatArray:
    """Each patient's part of the gradient, (n_units, 8)."""
    gradients = np.zeros((n_units, 8))
    for i in range(y.size):
        row = _row(scores[0, i], scores[1, i], -0.5 if i < n_a else 0.5)
        residual, _, _ = _rest(row, beta, y[i])
        for j in range(8):
            gradients[unit[i], j] += residual * row[j]
    return gradients

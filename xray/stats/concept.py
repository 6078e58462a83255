"""Do the same two scores mean the same at both sites, and are labels still associated with each other as before?

Neither question has a direction: exchanging the sites leaves every p as it is.
"""

from typing import Final, NamedTuple

import numpy as np
from scipy.special import fdtrc, ndtr

from xray.stats.estimates import FloatArray, IntArray, undefined
from xray.stats.transfer import Patients, SiteScores, joint_units

RIDGE: Final = 0.5
"""Penalty on standardised coefficients: keeps them finite where scores separate the classes."""
_PENALTY: Final = np.array([0.0, 0.0, *[RIDGE] * 6])
_TESTED: Final = slice(6, None)
_NOISE: Final = 1e-9
"""Of the largest variance of a combination of both slopes: what is smaller is rounding, as where both networks are one."""
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
    halves = _halves(s, y, labels[0].size)
    beta, inverse = _ridge(halves)
    gradients = _scores_of_units(halves, beta, of_unit, n_units)
    covariance = inverse @ (gradients.T @ gradients) @ inverse
    coefficients = beta[_TESTED]
    statistic = min(
        float(coefficients @ np.linalg.pinv(matrix, rcond=_NOISE, hermitian=True) @ coefficients)
        for matrix in (covariance[_TESTED, _TESTED], inverse[_TESTED, _TESTED])
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


class _Half(NamedTuple):
    """The images of one site. columns: (5, n): 1, both scores, their squares. labels: (n,).

    design: (8, 5), of which times the columns are those of the fit: 1, site, both scores, their squares, site times both
    scores; site is −½ at A and ½ at B.
    """

    columns: FloatArray
    labels: FloatArray
    design: FloatArray


def _halves(scores: FloatArray, y: FloatArray, n_a: int) -> tuple[_Half, ...]:
    """Of scores (2, n_images) and labels (n_images,), those of the first n_a images, A's, and of the others."""
    columns = np.vstack([np.ones_like(y), scores, scores**2])
    one, first, second, *squares = np.eye(5)
    halves = []
    for site, at in ((-0.5, slice(n_a)), (0.5, slice(n_a, None))):
        design = np.array([one, site * one, first, second, *squares, site * first, site * second])
        halves.append(_Half(columns[:, at], y[at], design))
    return tuple(halves)


def _ridge(halves: tuple[_Half, ...]) -> tuple[FloatArray, FloatArray]:
    """Penalised maximum likelihood: coefficients (8,) and the inverse of the information (8, 8)."""
    beta: FloatArray = np.zeros(_PENALTY.size)
    value, gradient, information = _penalised(halves, beta)
    for _ in range(_STEPS):
        step = np.linalg.solve(information, gradient)
        following = _penalised(halves, beta + step)
        # a whole step may lead past the maximum, and further at each step
        while following[0] < value - 1e-9 * abs(value):
            step = step / 2
            following = _penalised(halves, beta + step)
        beta, (value, gradient, information) = beta + step, following
        if np.abs(step).max() < 1e-8:
            break
    return beta, np.asarray(np.linalg.inv(information), dtype=np.float64)


def _penalised(halves: tuple[_Half, ...], beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """The penalised log-likelihood, its gradient (8,) and minus its second derivative (8, 8)."""
    likelihood = -0.5 * float(_PENALTY @ beta**2)
    gradient, information = -_PENALTY * beta, np.diag(_PENALTY)
    for columns, y, design in halves:
        linear = (beta @ design) @ columns
        residual, weight, small = _rest(linear, y)
        likelihood += float(y @ linear - np.maximum(linear, 0).sum() - np.log1p(small).sum())
        gradient += design @ (columns @ residual)
        information += design @ ((columns * weight) @ columns.T) @ design.T
    return likelihood, gradient, information


def _rest(linear: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Label minus fitted probability, the variance of the label, and exp(−|linear|): (n,) each."""
    small = np.exp(-np.abs(linear))
    rarer = small / (1 + small)
    return y - np.where(linear > 0, 1 - rarer, rarer), rarer * (1 - rarer), small


def _scores_of_units(halves: tuple[_Half, ...], beta: FloatArray, unit: IntArray, n_units: int) -> FloatArray:
    """Each patient's part of the gradient, (n_units, 8). unit: (n_images,), of both sites."""
    gradients, start = np.zeros((n_units, _PENALTY.size)), 0
    for columns, y, design in halves:
        residual, _, _ = _rest((beta @ design) @ columns, y)
        of_half = unit[start : start + y.size]
        sums = [np.bincount(of_half, weights=residual * column, minlength=n_units) for column in columns]
        gradients += np.array(sums).T @ design.T
        start += y.size
    return gradients

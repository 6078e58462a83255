"""Do the same two scores mean the same at both sites, and do labels still go together with each other as they did?"""

from typing import Final

import numpy as np
from scipy.special import expit, fdtrc, ndtr

from xray.stats.estimates import FloatArray, IntArray
from xray.stats.transfer import Patients, SiteScores

RIDGE: Final = 0.5
"""Penalty on standardised coefficients: keeps them finite where scores separate the classes."""


def meaning_changed(a: SiteScores, b: SiteScores, task: int) -> float:
    """p of the hypothesis that logit P(y) = site + f(s_A, s_B) with one f for both sites, against another slope at B.

    f is linear with squares. Wald's test of site · s_A and site · s_B (2 df), by the covariance clustered by patient
    or that of the likelihood, whichever says less: the first fails where scores nearly separate the classes. The
    site's own intercept takes up prevalence, and most of a shift of the labelling threshold. Against F with the
    positives of the site that has fewer as denominator. NaN with fewer than six.
    """
    labels, scores, site, unit = [], [], [], []
    for number, part in enumerate((a, b)):
        pair = np.column_stack([part.of_a[:, task], part.of_b[:, task]])
        kept = ~np.isnan(part.labels[:, task]) & np.isfinite(pair).all(axis=1)
        labels.append(part.labels[kept, task])
        scores.append(pair[kept])
        site.append(np.full(int(kept.sum()), float(number)))
        unit.append(np.asarray(part.patients)[kept])
    y, s, at_b = np.concatenate(labels), np.concatenate(scores), np.concatenate(site)
    degrees = min(int((part == value).sum()) for part in labels for value in (0, 1)) - 4
    if degrees < 2 or (s.std(axis=0) == 0).any():
        return np.nan
    s = np.clip((s - s.mean(axis=0)) / s.std(axis=0), -5, 5)
    design = np.column_stack([np.ones(y.size), at_b, s, s**2, at_b[:, None] * s])
    beta, inverse = _ridge(design, y)
    rest = (y - expit(design @ beta))[:, None] * design
    sums = Patients(np.concatenate(unit)).sums(rest)
    covariance = inverse @ (sums.T @ sums) @ inverse
    tested = beta[-2:]
    statistic = min(
        float(tested @ np.linalg.pinv(each[-2:, -2:], hermitian=True) @ tested)
        for each in (covariance, inverse)
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


def _ridge(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Penalised maximum likelihood: coefficients and the inverse of the information."""
    ridge = np.full(x.shape[1], RIDGE)
    ridge[:2] = 1e-3
    beta: FloatArray = np.zeros(x.shape[1])
    for _ in range(25):
        mean = expit(x @ beta)
        information = (x * (mean * (1 - mean))[:, None]).T @ x + np.diag(ridge)
        step = np.linalg.solve(information, x.T @ (y - mean) - ridge * beta)
        size = np.abs(step).max()
        beta = beta + step * min(1.0, 4 / size if size else 1.0)
        if size < 1e-8:
            break
    return beta, np.asarray(np.linalg.inv(information), dtype=np.float64)

"""What changed between two sites: prevalence, images or the meaning of the labels? Tests from stored scores
and labels.

A is the training site, B the target; scores are those of one model (or several) at both.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, kolmogorov, ndtr, ndtri

from xray.stats.estimates import (
    CONSTANT_SCORES,
    DEFINED,
    FEW_IMAGES,
    FEW_NEGATIVES,
    FEW_POSITIVES,
    NO_VARIANCE,
    REASON_TYPE,
    Comparison,
    Estimates,
    FloatArray,
    Numbers,
    check_level,
)
from xray.stats.intervals import compare_proportions
from xray.stats.logistic import LogisticFit, fit_logistic


@dataclass(frozen=True)
class ConceptShift:
    """Likelihood-ratio test of whether the same score means the same at both sites.

    statistic: 2 (log L with − log L without interaction), chi-squared with `df` degrees of freedom if nothing
    changed.
    interaction: (k,) change of the scores' slopes at B, with se (k,). site: change of the intercept, of the
    model without interaction. NaN where `reason` says why. n, n_pos: images of both sites together.
    """

    statistic: float
    df: int
    p: float
    interaction: FloatArray
    se: FloatArray
    site: float
    n: int
    n_pos: int
    reason: str


@dataclass(frozen=True)
class ScoreShift:
    """How the distribution of a score differs at B, labels unseen.

    log_variance_ratio: log(var B / var A), with se, z and p. ks: Kolmogorov-Smirnov distance of the scores,
    each site's centred at its median; ks_p: asymptotic. Neither sees a mere offset. n_a, n_b: images.
    """

    log_variance_ratio: float
    se: float
    z: float
    p: float
    ks: float
    ks_p: float
    n_a: int
    n_b: int
    reason: str


@dataclass(frozen=True)
class LabelShift:
    """What B's scores say of B's prevalence, if only prevalence changed.

    prevalence: B's, estimated from its scores alone. weights: (2,) importance of negatives and positives of A
    that makes A look like B, NaN where A has none. observed: residual of B's mean probability against B's
    observed prevalence (z_obs).
    unchanged: against A's prevalence (z_A). Residuals are in probability; `observed` is NaN without labels of
    B.
    """

    prevalence: Estimates
    weights: FloatArray
    observed: Comparison
    unchanged: Comparison


def prevalence_shift(labels_a: Numbers, labels_b: Numbers, level: float = 0.95) -> Comparison:
    """Difference in prevalence, B minus A, column by column: Newcombe's interval and the pooled z-test.

    labels: (n_images,) or (n_images, n_columns) of each site, 1/0/NaN. See
    `xray.stats.intervals.compare_proportions`.
    """
    a, b = _labels(labels_a), _labels(labels_b)
    counts = ((part == 1).sum(axis=0) for part in (b, a))
    totals = ((~np.isnan(part)).sum(axis=0) for part in (b, a))
    (x_b, x_a), (n_b, n_a) = counts, totals
    return compare_proportions(x_b, n_b, x_a, n_a, level)


def concept_shift(labels_a: Numbers, scores_a: Numbers, labels_b: Numbers, scores_b: Numbers) -> ConceptShift:
    """Does the relation of scores and labels differ between the sites? Site × score interaction,
    likelihood-ratio test.

    logit P(y) = site + s against the same + site · s on A and B together. The site term takes up any shift of
    prevalence (and of the threshold of labelling), so the test is blind to these. k scores give k degrees of
    freedom.
    labels: (n_images,) of each site, 1/0/NaN. scores: (n_images,) or (n_images, k) logits; incomplete images
    are left out.
    """
    (y_a, s_a), (y_b, s_b) = _complete(labels_a, scores_a), _complete(labels_b, scores_b)
    k = s_a.shape[1]
    if s_b.shape[1] != k:
        raise ValueError(f"site A has {k} scores per image, site B {s_b.shape[1]}")
    y, scores = np.concatenate([y_a, y_b]), np.concatenate([s_a, s_b])
    at_b = np.repeat([0.0, 1.0], [y_a.size, y_b.size])
    null_design = np.column_stack([np.ones_like(y), at_b, scores])
    null, full = (
        fit_logistic(null_design, y),
        fit_logistic(np.column_stack([null_design, at_b[:, None] * scores]), y),
    )
    statistic = (
        max(0.0, 2 * (full.log_likelihood - null.log_likelihood)) if full.reason == DEFINED else np.nan
    )
    return ConceptShift(
        statistic,
        k,
        float(chdtrc(k, statistic)),
        full.coefficients[2 + k :],
        np.sqrt(full.covariance.diagonal())[2 + k :],
        float(null.coefficients[1]),
        y.size,
        int(y.sum()),
        full.reason or null.reason,
    )


def score_shift(scores_a: Numbers, scores_b: Numbers) -> ScoreShift:
    """Do the scores spread differently at B? Log variance ratio, and Kolmogorov-Smirnov of median-centred
    scores.

    The variance of log s² is (kurtosis − (n − 3)/(n − 1)) / n, with each site's own kurtosis, so that long
    tails don't pass for a shift. scores: (n_images,) of each site, NaN = none. Needs four images at each site
    and scores that vary.
    """
    a, b = (np.asarray(part, dtype=np.float64) for part in (scores_a, scores_b))
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    reason = DEFINED
    if min(a.size, b.size) < 4:
        reason = FEW_IMAGES
    elif np.ptp(a) == 0 or np.ptp(b) == 0:
        reason = CONSTANT_SCORES
    if reason != DEFINED:
        return ScoreShift(*(np.nan,) * 6, a.size, b.size, reason)
    ratio = float(np.log(b.var(ddof=1) / a.var(ddof=1)))
    se = float(np.sqrt(_variance_of_log(a) + _variance_of_log(b)))
    distance = _ks(a - np.median(a), b - np.median(b))
    ks_p = float(kolmogorov(distance * np.sqrt(a.size * b.size / (a.size + b.size))))
    return ScoreShift(
        ratio, se, ratio / se, float(2 * ndtr(-abs(ratio / se))), distance, ks_p, a.size, b.size, reason
    )


def label_shift(
    labels_a: Numbers,
    probabilities_a: Numbers,
    probabilities_b: Numbers,
    labels_b: Numbers | None = None,
    level: float = 0.95,
) -> LabelShift:
    """Black-box shift estimation for one finding (Lipton, Wang and Smola 2018), soft: with probabilities for
    calls.

    If only prevalence changed, mean_B p = π m1 + (1 − π) m0 with m1, m0 the means of p among A's positives
    and negatives: π = (mean_B p − m0) / (m1 − m0), cut to [0, 1]; se by the delta method. weights = ((1 −
    π)/(1 − π_A), π/π_A). Hard calls 0/1 for probabilities give the classical estimate from the confusion
    matrix.
    labels: (n_images,), 1/0/NaN; probabilities: (n_images,), any score on a scale where means make sense, NaN
    = none. Needs two positives and two negatives at A and two images at B.
    """
    check_level(level)
    y, p = _complete(labels_a, probabilities_a)
    p = p[:, 0]
    q = np.asarray(probabilities_b, dtype=np.float64)
    truth = np.full(q.shape, np.nan) if labels_b is None else _labels(labels_b)
    if truth.shape != q.shape:
        raise ValueError(f"labels of B are {truth.shape}, probabilities {q.shape}")
    n, n_pos, n_b = y.size, int(y.sum()), int((~np.isnan(q)).sum())
    reason = (
        FEW_POSITIVES if n_pos < 2 else FEW_NEGATIVES if n - n_pos < 2 else FEW_IMAGES if n_b < 2 else DEFINED
    )
    if reason == DEFINED and p[y == 1].mean() == p[y == 0].mean():
        reason = NO_VARIANCE
    if reason != DEFINED:
        nothing = _difference(np.nan, np.nan, 0, 0, reason, level)
        return LabelShift(
            _prevalence(np.nan, np.nan, n_b, reason, level), np.full(2, np.nan), nothing, nothing
        )
    m0, m1, v0, v1 = (
        p[y == 0].mean(),
        p[y == 1].mean(),
        _variance_of_mean(p[y == 0]),
        _variance_of_mean(p[y == 1]),
    )
    present = q[~np.isnan(q)]
    pi = (present.mean() - m0) / (m1 - m0)
    variance = (_variance_of_mean(present) + pi**2 * v1 + (1 - pi) ** 2 * v0) / (m1 - m0) ** 2
    prevalence = _prevalence(pi, variance, n_b, DEFINED, level)
    share = float(np.clip(pi, 0, 1))
    weights = np.array([(1 - share) / (1 - n_pos / n), share / (n_pos / n)])
    unchanged = _difference(
        present.mean() - p.mean(),
        _variance_of_mean(present) + _variance_of_mean(p),
        n + n_b,
        n_pos,
        DEFINED,
        level,
    )
    return LabelShift(prevalence, weights, _observed(q, truth, (m0, m1), (v0, v1), level), unchanged)


def platt(labels: Numbers, scores: Numbers) -> LogisticFit:
    """Platt's scaling: logit P(y) = c0 + c1 · score, fitted to one site (Platt 1999, without his smoothing of
    labels).

    labels, scores: (n_images,); incomplete images are left out. coefficients of the result: (c0, c1).
    """
    y, s = _complete(labels, scores)
    return fit_logistic(np.column_stack([np.ones_like(y), s]), y)


def _observed(
    q: FloatArray, truth: FloatArray, means: tuple[float, float], variances: tuple[float, float], level: float
) -> Comparison:
    """mean_B p − [π_B m1 + (1 − π_B) m0] on B's labelled images; π_B and mean_B p vary together, image by
    image.
    """
    kept = ~np.isnan(q) & ~np.isnan(truth)
    if kept.sum() < 2:
        return _difference(np.nan, np.nan, int(kept.sum()), int(truth[kept].sum()), FEW_IMAGES, level)
    m0, m1 = means
    rest = q[kept] - m0 - truth[kept] * (m1 - m0)
    pi = truth[kept].mean()
    variance = _variance_of_mean(rest) + pi**2 * variances[1] + (1 - pi) ** 2 * variances[0]
    return _difference(rest.mean(), variance, int(kept.sum()), int(truth[kept].sum()), DEFINED, level)


def _prevalence(value: float, variance: float, n: int, reason: str, level: float) -> Estimates:
    se = np.sqrt(variance)
    half = ndtri(0.5 + level / 2) * se
    shown, lower, upper = (np.asarray(np.clip(part, 0, 1)) for part in (value, value - half, value + half))
    text = np.asarray(reason, dtype=REASON_TYPE)
    return Estimates(shown, lower, upper, np.asarray(se), np.asarray(n), np.asarray(0), text)


def _difference(value: float, variance: float, n: int, n_pos: int, reason: str, level: float) -> Comparison:
    se = np.sqrt(variance)
    half = ndtri(0.5 + level / 2) * se
    z = value / se if se > 0 else np.nan
    p = 2 * ndtr(-abs(z))
    difference, lower, upper, spread, statistic, chance = (
        np.asarray(part, dtype=np.float64) for part in (value, value - half, value + half, se, z, p)
    )
    text = np.asarray(NO_VARIANCE if reason == DEFINED and not se > 0 else reason, dtype=REASON_TYPE)
    counts = np.asarray(n), np.asarray(n_pos)
    return Comparison(difference, lower, upper, spread, statistic, chance, *counts, text)


def _variance_of_mean(values: FloatArray) -> float:
    return float(values.var(ddof=1) / values.size)


def _variance_of_log(values: FloatArray) -> float:
    """Variance of the log of the sample variance."""
    n = values.size
    deviation = values - values.mean()
    kurtosis = float((deviation**4).mean() / (deviation**2).mean() ** 2)
    return max(kurtosis - (n - 3) / (n - 1), 1 / n) / n


def _ks(a: FloatArray, b: FloatArray) -> float:
    a, b = np.sort(a), np.sort(b)
    at = np.concatenate([a, b])
    below_a, below_b = (
        np.searchsorted(a, at, side="right") / a.size,
        np.searchsorted(b, at, side="right") / b.size,
    )
    return float(np.abs(below_a - below_b).max())


def _labels(labels: Numbers) -> FloatArray:
    values = np.asarray(labels, dtype=np.float64)
    if not ((values == 1) | (values == 0) | np.isnan(values)).all():
        raise ValueError("labels must be 1, 0 or NaN")
    return values


def _complete(labels: Numbers, scores: Numbers) -> tuple[FloatArray, FloatArray]:
    """Labels (n,) and scores (n, k) of the images that have all."""
    y, s = _labels(labels), np.asarray(scores, dtype=np.float64)
    if y.ndim != 1 or s.shape[:1] != y.shape or s.ndim > 2:
        raise ValueError(
            f"labels {y.shape} don't fit scores {s.shape}; expected (n_images,) and (n_images, k)"
        )
    s = s if s.ndim == 2 else s[:, None]
    kept = ~np.isnan(y) & ~np.isnan(s).any(axis=1)
    return y[kept], s[kept]

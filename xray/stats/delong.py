"""DeLong: standard error, interval and covariance of AUC, from placements and without resampling.

Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837-845. With V10_i the share of negatives
that positive i exceeds (ties half) and V01_j the share of positives that exceed negative j,
    Cov(AUC_a, AUC_b) = cov_i(V10_ai, V10_bi) / n_pos + cov_j(V01_aj, V01_bj) / n_neg.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtri, stdtrit

from xray.stats.estimates import (
    DEFINED,
    FEW_NEGATIVES,
    FEW_POSITIVES,
    INFINITE_SCORE,
    NO_DATA,
    ONE_CLASS,
    Estimates,
    FloatArray,
    IntArray,
    Numbers,
    check_level,
    reshaped,
    undefined,
)
from xray.stats.placements import (
    Counts,
    Scores,
    as_columns,
    count_pairs,
    count_pairs_in_order,
    split_by_label,
)


@dataclass(frozen=True)
class Covariance:
    """AUCs of k models on the same images and their joint uncertainty.

    value: (k,) AUCs; covariance: (k, k); n, n_pos: images with label and every score, positives among them.
    reason: "" or why `value` or `covariance` is NaN.
    """

    value: FloatArray
    covariance: FloatArray
    n: int
    n_pos: int
    reason: str


def auc_interval(labels: Numbers, scores: Numbers, level: float = 0.95) -> Estimates:
    """AUC with DeLong's standard error and a confidence interval on the logit scale.

    The interval is expit(logit(AUC) ± z · se / (AUC (1 − AUC))), so it stays within [0, 1] (Pepe 2003, §5.2).
    Where next to nothing is misplaced (`few_misplaced`) DeLong's variance is too uncertain, and at AUC = 1, AUC = 0
    or where all scores are equal it is 0: there the interval reaches as far as Newcombe's score interval
    (`newcombe_interval`) on either side, if that is wider. se is DeLong's throughout.

    labels, scores: as in `xray.stats.roc.auc`. level: in (0, 1).
    One class: everything NaN. Fewer than two positives or negatives: value without interval, and the reason.
    """
    check_level(level)
    groups = split_by_label(labels, scores)
    shape = groups.reason.shape
    value, variance = undefined(shape), undefined(shape)
    reason = groups.reason.copy()
    for column, positives, negatives in groups:
        of_positives, of_negatives = count_pairs(positives, negatives)
        value[column] = auc_of(of_positives, negatives.size)
        reason[column] = _too_few(positives.size, negatives.size)
        if reason[column] == DEFINED:
            variance[column] = (
                covariance_of_means(of_positives[None], negatives.size)
                + covariance_of_means(of_negatives[None], positives.size)
            ).item()
    lower, upper = logit_bounds(value, variance, groups.n_pos, groups.n_neg, level)
    n_images = groups.n_pos + groups.n_neg
    return reshaped(
        Estimates(value, lower, upper, np.sqrt(variance), n_images, groups.n_pos, reason), groups.shape
    )


def few_misplaced(value: FloatArray, n_pos: IntArray, n_neg: IntArray) -> NDArray[np.bool_]:
    """Where fewer than five of the rarer class are misplaced: min(AUC, 1 − AUC) · min(n_pos, n_neg) < 5.

    There intervals from DeLong's variance, and percentiles of a bootstrap, hold the truth too rarely
    (benchmarks/coverage.py).
    """
    is_few: NDArray[np.bool_] = np.minimum(value, 1 - value) * np.minimum(n_pos, n_neg) < 5
    return is_few


def newcombe_interval(
    value: FloatArray, n_pos: IntArray, n_neg: IntArray, level: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Score interval of AUC that needs no variance estimate, so it holds at 0 and 1 too (Newcombe 2006,
    method 5).

    Bounds are the θ with |θ − AUC| = z √(θ(1−θ) (1 + m ((1−θ)/(2−θ) + θ/(1+θ))) / (n_pos n_neg)), m = (n_pos
    + n_neg)/2 − 1. Arrays of one shape. Returns (lower, upper) within [0, 1].
    """
    check_level(level)
    z = ndtri(0.5 + level / 2)
    product, extra = n_pos * n_neg, (n_pos + n_neg) / 2 - 1

    def gap(theta: FloatArray) -> FloatArray:
        spread = (
            theta * (1 - theta) * (1 + extra * ((1 - theta) / (2 - theta) + theta / (1 + theta))) / product
        )
        return np.abs(theta - value) - z * np.sqrt(spread)

    bounds = []
    for limit in (np.zeros_like(value), np.ones_like(value)):
        outside, inside = limit, value
        for _ in range(60):
            middle = (outside + inside) / 2
            beyond = gap(middle) > 0
            outside, inside = np.where(beyond, middle, outside), np.where(beyond, inside, middle)
        bounds.append(np.where(value == limit, limit, (outside + inside) / 2))
    return bounds[0], bounds[1]


def delong_covariance(labels: Numbers, scores: Numbers) -> Covariance:
    """AUCs of k models on the same images and their covariance matrix.

    labels: (n_images,), 1/0/NaN. scores: (n_models, n_images); an image without label or without any one
    model's score is left out of all, so that the models are compared on the same images.
    """
    label, columns = as_columns(labels, np.atleast_2d(np.asarray(scores)).T)
    if label.ndim != 1:
        raise ValueError(f"labels are {label.shape}; expected one vector (n_images,) for all models")
    joint = place_jointly(label, columns.T)
    covariance = undefined((columns.shape[1],) * 2)
    if joint.reason == DEFINED:
        covariance = covariance_of_means(joint.of_positives, joint.n_neg)
        covariance += covariance_of_means(joint.of_negatives, joint.n_pos)
    return Covariance(joint.value, covariance, joint.n_pos + joint.n_neg, joint.n_pos, joint.reason)


@dataclass(frozen=True)
class JointPlacements:
    """Placements of k models on the same images, in half pairs: (k, n_pos) and (k, n_neg).

    positives, negatives: which images these are. reason: as in `Covariance`; placements are 0 where there is
    no AUC.
    """

    of_positives: Counts
    of_negatives: Counts
    positives: NDArray[np.intp]
    negatives: NDArray[np.intp]
    reason: str

    @property
    def n_pos(self) -> int:
        """Positives among the images."""
        return self.positives.size

    @property
    def n_neg(self) -> int:
        """Negatives among the images."""
        return self.negatives.size

    @property
    def value(self) -> FloatArray:
        """(k,) AUCs, NaN where undefined."""
        if self.reason in (NO_DATA, ONE_CLASS, INFINITE_SCORE):
            return undefined((len(self.of_positives),))
        return np.array([auc_of(counts, self.n_neg) for counts in self.of_positives])


def place_jointly(labels: Scores, models: Scores) -> JointPlacements:
    """Placements of k models, models (k, n_images), on the images that have a label and every model's
    score.
    """
    if not ((labels == 1) | (labels == 0) | np.isnan(labels)).all():
        raise ValueError("labels must be 1, 0 or NaN")
    complete = ~np.isnan(models).any(axis=0)
    is_positive, is_negative = (
        np.flatnonzero((labels == 1) & complete),
        np.flatnonzero((labels == 0) & complete),
    )
    n_pos, n_neg = is_positive.size, is_negative.size
    of_positives = np.zeros((len(models), n_pos), dtype=np.int32)
    of_negatives = np.zeros((len(models), n_neg), dtype=np.int32)
    positives, negatives = models[:, is_positive], models[:, is_negative]
    reason = (
        NO_DATA if n_pos + n_neg == 0 else ONE_CLASS if n_pos == 0 or n_neg == 0 else _too_few(n_pos, n_neg)
    )
    if np.isinf(positives).any() or np.isinf(negatives).any():
        reason = INFINITE_SCORE
    elif n_pos and n_neg:
        for model in range(len(models)):
            placed = count_pairs_in_order(positives[model], negatives[model])
            of_positives[model], of_negatives[model] = placed
    return JointPlacements(of_positives, of_negatives, is_positive, is_negative, reason)


def auc_of(of_positives: Counts, n_neg: int) -> float:
    """Placements in half pairs → AUC, rounded once."""
    return int(of_positives.sum(dtype=np.int64)) / (2 * of_positives.size * n_neg)


def covariance_of_means(counts: Counts, n_other: int) -> FloatArray:
    """Covariance of the k means of placements: counts (k, n) in half pairs against n_other → (k, k).

    Deviations are taken from the nearest whole number, exactly; so equal rows give equal entries, and
    constant rows 0.
    """
    n = counts.shape[1]
    deviation = counts - np.rint(counts.mean(axis=1, keepdims=True))
    total = deviation.sum(axis=1)
    squares: FloatArray = deviation @ deviation.T - np.outer(total, total) / n
    return np.asarray(squares / (n - 1) / n / (2.0 * n_other) ** 2)


def _too_few(n_pos: int, n_neg: int) -> str:
    return FEW_POSITIVES if n_pos < 2 else FEW_NEGATIVES if n_neg < 2 else DEFINED


def logit_bounds(
    value: FloatArray,
    variance: FloatArray,
    n_pos: IntArray,
    n_neg: IntArray,
    level: float,
    degrees: ArrayLike = np.inf,
) -> tuple[FloatArray, FloatArray]:
    """The bounds that `auc_interval` describes, of AUCs and their variances; NaN where the variance is.

    n_pos, n_neg: independent units of each class (images, or patients). degrees: of Student's quantile, that takes the
    place of the normal one.
    """
    lower, upper = undefined(value.shape), undefined(value.shape)
    smooth = variance > 0
    centre = logit(value[smooth])
    quantile = stdtrit(np.broadcast_to(degrees, value.shape)[smooth], 0.5 + level / 2)
    half = quantile * np.sqrt(variance[smooth]) / (value[smooth] * (1 - value[smooth]))
    lower[smooth], upper[smooth] = expit(centre - half), expit(centre + half)
    rough = (variance == 0) | (smooth & few_misplaced(value, n_pos, n_neg))
    if rough.any():
        below, above = newcombe_interval(value[rough], n_pos[rough], n_neg[rough], level)
        lower[rough], upper[rough] = np.fmin(lower[rough], below), np.fmax(upper[rough], above)
    return lower, upper

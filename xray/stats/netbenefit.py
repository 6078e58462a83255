"""Is acting on the model's calls worth it? Net benefit at a threshold probability (Vickers and Elkin
2006).

Net benefit is a mean over images of what each contributes: 1 for a positive that is acted on, −t/(1 − t) for a negative,
0 where nothing is done. Its variance is that of a mean, Σ (contribution − mean)² / n², the sum over patients (each with the
sum of its images) where patients have several. All of it follows from counts of positives and negatives on either side of
each threshold, so one pass over the scores serves every threshold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit, ndtri

from xray.compiled import compiled
from xray.stats.estimates import (
    ALL_CALLED,
    DEFINED,
    FEW_PATIENTS,
    NO_DATA,
    NO_VARIANCE,
    NONE_CALLED,
    REASON_TYPE,
    Estimates,
    FloatArray,
    IntArray,
    Numbers,
    check_level,
    reshaped,
)
from xray.stats.intervals import wilson
from xray.stats.placements import Scores, as_columns, as_table

FEW = 10
"""With positives or negatives of effectively fewer patients (Kish 1965) on the side that is counted, the variance is too
uncertain."""


@dataclass(frozen=True)
class NetBenefit:
    """Decision curves. thresholds: (k,). model: estimates (k, ...); treat_all: (k, ...). Treating none has
    benefit 0. over_all: model minus treat_all, paired on the same images; estimates (k, ...).
    """

    thresholds: FloatArray
    model: Estimates
    treat_all: FloatArray
    over_all: Estimates


def net_benefit(
    labels: Numbers,
    scores: Numbers,
    thresholds: ArrayLike,
    patients: NDArray[np.generic] | None = None,
    level: float = 0.95,
    of_logits: bool = False,
) -> NetBenefit:
    """Net benefit TP/n − FP/n · t/(1 − t) of acting where probability >= t, in true positives per image.

    labels: (n_images,) or (n_images, n_columns), 1/0/NaN. scores: of that shape, probabilities in [0, 1] or NaN; or their
    logits (`of_logits`), compared with the logit of t. thresholds: (k,), in (0, 1). patients: (n_images,), equal where the
    patient is; None: one image each. Normal intervals, for thresholds given beforehand; where they rest on positives
    or negatives of effectively fewer than ten patients, they reach as far as those from Wilson's bounds. At most the
    prevalence.
    Where no image is called the benefit is 0, where all are it is that of treating all: neither has an interval.
    """
    check_level(level)
    label, score = as_columns(labels, scores)
    cutoffs = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    outside = not of_logits and ((score < 0) | (score > 1)).any()
    if ((cutoffs <= 0) | (cutoffs >= 1)).any() or outside:
        raise ValueError("thresholds must lie in (0, 1) and probabilities in [0, 1]")
    if patients is not None and np.shape(patients) != score.shape[:1]:
        raise ValueError(f"patients are {np.shape(patients)}; expected {score.shape[:1]}")
    shape = (cutoffs.size, *score.shape[1:])
    table = as_table(score)
    truth = np.broadcast_to(as_table(label), table.shape)
    order = np.argsort(cutoffs, kind="stable")
    cuts = np.ascontiguousarray(logit(cutoffs[order]) if of_logits else cutoffs[order])
    sums = (
        _sums_of_images(truth, table, cuts)
        if patients is None
        else _sums_of_patients(truth, table, cuts, patients)
    )
    sums.calls[:, order], sums.rest[:, order] = sums.calls.copy(), sums.rest.copy()
    odds = (cutoffs / (1 - cutoffs))[:, None]
    n, n_pos, n_called = sums.n, sums.n_pos, sums.calls[:2].sum(axis=0)
    too_few = (n == 0, NO_DATA), (sums.units < 2, NO_VARIANCE if patients is None else FEW_PATIENTS)
    model = _estimates(sums, sums.calls, odds, (*too_few, (n_called == 0, NONE_CALLED)), level)
    gain = _estimates(sums, sums.rest, -odds, (*too_few, (n_called == n, ALL_CALLED)), level)
    treat_all = np.where(n > 0, (n_pos - odds * (n - n_pos)) / np.maximum(n, 1), np.nan)
    return NetBenefit(cutoffs, reshaped(model, shape), treat_all.reshape(shape), reshaped(gain, shape))


@dataclass(frozen=True)
class _Sums:
    """Sums over units, which are patients or images, column by column.

    called, rest: of images that reach each threshold, and of the others, (7, k, n_columns): positives, negatives,
    positives², positives · negatives, negatives², positives · images, negatives · images; a unit's images are all it has.
    n, n_pos, units, squares: images, positives, units that have any, and the sum of their images²; (n_columns,).
    """

    calls: IntArray
    rest: IntArray
    n: IntArray
    n_pos: IntArray
    units: IntArray
    squares: IntArray


def _sums_of_images(labels: NDArray[np.float32], scores: Scores, cuts: FloatArray) -> _Sums:
    counts = np.zeros((scores.shape[1], 2, cuts.size + 1), dtype=np.int64)
    n_invalid = np.zeros(scores.shape[1], dtype=np.int64)
    _count(labels, scores, cuts, counts, n_invalid)
    _refuse(n_invalid)
    above = counts[:, :, ::-1].cumsum(axis=2)[:, :, ::-1].transpose(1, 2, 0)
    n, n_pos = above[:, 0].sum(axis=0), above[1, 0]
    calls, rest = (
        np.stack([hits, alarms, hits, np.zeros_like(hits), alarms, hits, alarms])
        for hits, alarms in ((above[1, 1:], above[0, 1:]), (n_pos - above[1, 1:], n - n_pos - above[0, 1:]))
    )
    return _Sums(calls, rest, n, n_pos, n, n)


def _sums_of_patients(
    labels: NDArray[np.float32], scores: Scores, cuts: FloatArray, patients: NDArray[np.generic]
) -> _Sums:
    index = np.unique(patients, return_inverse=True)[1]
    together = np.argsort(index, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(index[together])) + 1, index.size)
    changes = np.zeros((2, scores.shape[1], cuts.size, 7), dtype=np.int64)
    n, n_pos, units, squares, n_invalid = np.zeros((5, scores.shape[1]), dtype=np.int64)
    _count_of_patients(labels, scores, cuts, together, ends, changes, n, n_pos, units, squares, n_invalid)
    _refuse(n_invalid)
    calls, rest = changes.cumsum(axis=2).transpose(0, 3, 2, 1)
    return _Sums(calls, rest, n, n_pos, units, squares)


def _refuse(n_invalid: IntArray) -> None:
    if n_invalid.any():
        raise ValueError("labels must be 1, 0 or NaN")


def _estimates(
    sums: _Sums,
    side: IntArray,
    odds: FloatArray,
    undefined: tuple[tuple[NDArray[np.bool_], str], ...],
    level: float,
) -> Estimates:
    """Mean of positives − odds · negatives of one side; its negative where odds are negative: of the images not called.

    undefined: conditions under which there is no interval; the first that holds is the reason.
    """
    safe, sign = np.maximum(sums.n, 1), np.sign(odds)
    odds = np.abs(odds)
    hits, alarms, hits_hits, hits_alarms, alarms_alarms, hits_n, alarms_n = side / safe
    value = np.where(sums.n > 0, hits - odds * alarms, np.nan)
    spread = hits_hits - 2 * odds * hits_alarms + odds**2 * alarms_alarms
    variance = (spread - 2 * value * (hits_n - odds * alarms_n) + value**2 * sums.squares / safe) / safe
    same = (side[0] == sums.n) | (side[1] == sums.n)
    reason = np.full(value.shape, DEFINED, dtype=REASON_TYPE)
    for condition, text in (*undefined, (same, NO_VARIANCE)):
        reason[np.broadcast_to(condition, value.shape) & (reason == DEFINED)] = text
    se = np.where(reason == DEFINED, np.sqrt(np.maximum(variance, 0)), np.nan)
    half = ndtri(0.5 + level / 2) * se
    lower, upper = value - half, value + half
    squares = np.maximum(side[[2, 4]], 1)
    effective = np.where(side[:2] > 0, safe * side[:2] / squares, np.maximum(sums.units, 1))
    below, above = _by_proportions(hits, alarms, odds, effective, level)
    is_few = (side[:2] ** 2 / squares).min(axis=0) < FEW
    lower, upper = (
        np.where(is_few, np.minimum(lower, below), lower),
        np.where(is_few, np.maximum(upper, above), upper),
    )
    lower, upper = np.where(sign > 0, (lower, upper), (-upper, -lower))
    value = sign * value + 0.0  # never −0
    n, n_pos = (np.broadcast_to(count, value.shape).astype(np.int64) for count in (sums.n, sums.n_pos))
    return Estimates(value, lower, upper, se, n, n_pos, reason)


def _by_proportions(
    hits: FloatArray, alarms: FloatArray, odds: FloatArray, n: FloatArray, level: float
) -> tuple[FloatArray, FloatArray]:
    """Bounds of hits − odds · alarms from Wilson's bounds of either share (Zou and Donner 2008).

    n: (2, ...), of how many independent images the shares of hits and of alarms are (Kish 1965): fewer than there are where
    patients have several.

    With l, u the bounds of a share and r the correlation of two shares of one whole, −√(hits alarms / ((1 − hits) (1 −
    alarms))), the lower one lies √(a² + b² − 2 r a b) below, a = hits − l, b = odds · (u − alarms); the upper one alike.
    """
    less_hits, more_hits = (np.abs(bound - hits) for bound in wilson(hits * n[0], n[0], level))
    less_alarms, more_alarms = (odds * np.abs(bound - alarms) for bound in wilson(alarms * n[1], n[1], level))
    r = -np.sqrt(hits * alarms / np.maximum((1 - hits) * (1 - alarms), np.finfo(float).tiny))
    r = np.maximum(r, -1)
    below = np.sqrt(less_hits**2 + more_alarms**2 - 2 * r * less_hits * more_alarms)
    above = np.sqrt(more_hits**2 + less_alarms**2 - 2 * r * more_hits * less_alarms)
    value = hits - odds * alarms
    return value - below, value + above


@compiled
def _count(
    labels: NDArray[np.float32], scores: Scores, cuts: FloatArray, counts: IntArray, n_invalid: IntArray
) -> None:
    """counts[column, label, b]: images whose score reaches just b of the ascending cuts."""
    n_images, n_columns = scores.shape
    for column in range(n_columns):
        of_column = counts[column]
        for i in range(n_images):
            label, score = labels[i, column], scores[i, column]
            if label == label and score == score:
                n_reached = 0
                for cut in cuts:
                    n_reached += score >= cut
                of_column[int(label == 1), n_reached] += 1
                n_invalid[column] += (label != 1) & (label != 0)


@compiled
def _count_of_patients(
    labels: NDArray[np.float32],
    scores: Scores,
    cuts: FloatArray,
    together: NDArray[np.intp],
    ends: NDArray[np.intp],
    changes: IntArray,
    n: IntArray,
    n_pos: IntArray,
    units: IntArray,
    squares: IntArray,
    n_invalid: IntArray,
) -> None:
    """Fill changes (2, n_columns, k, 7): how `called` and `rest` (`_Sums`) differ from those at the threshold before.

    together: images, patient by patient; ends: where each patient's end. A patient changes only where it has an image.
    """
    counts = np.zeros((2, cuts.size + 1), dtype=np.int64)
    for column in range(scores.shape[1]):
        first = 0
        for end in ends:
            counts[:] = 0
            for i in together[first:end]:
                label, score = labels[i, column], scores[i, column]
                if label == label and score == score:
                    n_reached = 0
                    for cut in cuts:
                        n_reached += score >= cut
                    counts[int(label == 1), n_reached] += 1
                    n_invalid[column] += (label != 1) & (label != 0)
            first = end
            negatives, positives = counts[0].sum(), counts[1].sum()
            images = negatives + positives
            if images == 0:
                continue
            n[column] += images
            n_pos[column] += positives
            units[column] += 1
            squares[column] += images * images
            hits, alarms = positives, negatives
            for k in range(cuts.size):
                if k > 0:
                    if counts[0, k] + counts[1, k] == 0:
                        continue
                    _add(changes[0, column, k], hits, alarms, images, -1)
                    _add(changes[1, column, k], positives - hits, negatives - alarms, images, -1)
                hits -= counts[1, k]
                alarms -= counts[0, k]
                _add(changes[0, column, k], hits, alarms, images, 1)
                _add(changes[1, column, k], positives - hits, negatives - alarms, images, 1)


@compiled
def _add(sums: IntArray, hits: int, alarms: int, images: int, sign: int) -> None:
    sums[0] += sign * hits
    sums[1] += sign * alarms
    sums[2] += sign * hits * hits
    sums[3] += sign * hits * alarms
    sums[4] += sign * alarms * alarms
    sums[5] += sign * hits * images
    sums[6] += sign * alarms * images

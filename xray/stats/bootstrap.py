"""Bootstrap of AUC over patients: what would the AUC be, had other patients come?

A replicate draws as many patients as there are, with replacement, each with all its images. Drawing only sets
weights, so the scores are sorted once; each replicate is then one pass over cumulative sums of weights
(sixteen replicates at a time), in whole numbers, ties included. The same patients are drawn for every model:
differences are paired.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from xray.stats.compiled import compiled
from xray.stats.delong import auc_interval, few_misplaced, newcombe_interval
from xray.stats.estimates import (
    DEFINED,
    FEW_PATIENTS,
    INFINITE_SCORE,
    NO_DATA,
    NO_VARIANCE,
    ONE_CLASS,
    REASON_TYPE,
    Comparison,
    Estimates,
    FloatArray,
    IntArray,
    Numbers,
    check_level,
)
from xray.stats.placements import Scores, as_columns

_LANES = 16
"""Replicates that pass over the images together."""


@dataclass(frozen=True)
class BootstrapAuc:
    """AUCs of k models with percentile intervals over patients.

    estimates: arrays (k,); se is the standard deviation of the replicates.
    replicates: (n_replicates, k), NaN where a replicate drew one class only; same row, same patients.
    n_patients: the units drawn: patients with a usable image, or all (`draw_all`).
    """

    estimates: Estimates
    replicates: FloatArray
    n_patients: int


def bootstrap_auc(
    labels: Numbers,
    scores: Numbers,
    patients: NDArray[np.generic],
    n_replicates: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    draw_all: bool = False,
) -> BootstrapAuc:
    """AUC of k models on the same images with percentile intervals from a bootstrap over patients.

    labels: (n_images,), 1/0/NaN. scores: (n_images,) or (n_models, n_images); an image without label or
    without any one model's score is left out of all. patients: (n_images,), equal where the patient is.
    The result depends on the inputs, n_replicates and seed only. Undefined where fewer than two patients have
    positives, or negatives. Replicates of one class only are left out of se and interval. Where next to nothing is
    misplaced (`xray.stats.delong.few_misplaced`, patients counted) replicates vary too little: there the interval
    reaches as far as Newcombe's, if that is wider.
    draw_all: draw from all patients, those without a usable image too. Then the replicates of two tasks on the same
    patients are of the same draws, whatever labels each lacks, and means over tasks can be taken row by row.
    """
    check_level(level)
    label, columns = as_columns(labels, np.atleast_2d(np.asarray(scores)).T)
    if label.ndim != 1 or np.shape(patients) != label.shape:
        raise ValueError(f"labels {label.shape} and patients {np.shape(patients)} must both be (n_images,)")
    kept = ~np.isnan(label) & ~np.isnan(columns).any(axis=1)
    label, models = label[kept], np.ascontiguousarray(columns[kept].T)
    names, index = np.unique(np.asarray(patients)[kept | draw_all], return_inverse=True)
    index = index[kept] if draw_all else index
    point = auc_interval(label, models.T, level)
    replicates = np.full((n_replicates, len(models)), np.nan)
    reason = _reason(label, models, index)
    if reason == DEFINED:
        events = [_events(label, row, index) for row in models]
        ends = np.cumsum([0] + [gains.size for _, gains in events])
        who, gains = (np.concatenate(parts) for parts in zip(*events, strict=True))
        positives_of = np.bincount(index[label == 1], minlength=names.size)
        _replicate(who, gains, ends, positives_of, _key(seed), replicates)
    units = [np.array(np.unique(index[label == value]).size) for value in (1, 0)]
    return BootstrapAuc(_summarise(point, replicates, reason, level, *units), replicates, names.size)


def bootstrap_difference(result: BootstrapAuc, first: int, second: int, level: float = 0.95) -> Comparison:
    """Difference in AUC of two of the models, first minus second (their positions), paired by replicate.

    Percentile interval; z = difference / standard deviation of the replicates' differences, p from the normal
    distribution.
    """
    check_level(level)
    both = result.estimates
    drawn = result.replicates[:, first] - result.replicates[:, second]
    difference = both.value[first] - both.value[second]
    lower, upper, se = _spread(drawn, level)
    z = difference / se if se > 0 else np.nan
    reason = str(both.reason[first]) or (DEFINED if se > 0 else NO_VARIANCE)
    value, low, high, spread, statistic, p = (
        np.asarray(part, dtype=np.float64) for part in (difference, lower, upper, se, z, 2 * ndtr(-np.abs(z)))
    )
    n, n_pos = both.n[first, ...], both.n_pos[first, ...]
    return Comparison(value, low, high, spread, statistic, p, n, n_pos, np.asarray(reason, dtype=REASON_TYPE))


def patient_weights(n_patients: int, n_replicates: int, seed: int) -> NDArray[np.uint8]:
    """How often each replicate draws each patient: (n_replicates, n_patients), rows sum to n_patients.

    Multinomial with equal chances: the weights that `bootstrap_auc` uses, patients in ascending order.
    """
    weights = np.zeros((-(-n_replicates // _LANES), n_patients, _LANES), dtype=np.uint8)
    for block in range(len(weights)):
        _draw(weights[block], block * _LANES, _key(seed))
    return weights.transpose(0, 2, 1).reshape(-1, n_patients)[:n_replicates]


def _reason(label: Scores, models: Scores, index: NDArray[np.intp]) -> str:
    if label.size == 0:
        return NO_DATA
    if np.isinf(models).any():
        return INFINITE_SCORE
    of_class = [np.unique(index[label == value]).size for value in (0, 1)]
    return ONE_CLASS if min(of_class) == 0 else FEW_PATIENTS if min(of_class) < 2 else DEFINED


def _summarise(
    point: Estimates, replicates: FloatArray, reason: str, level: float, n_pos: IntArray, n_neg: IntArray
) -> Estimates:
    """n_pos, n_neg: patients with positives and with negatives."""
    spreads = np.array([_spread(column, level) for column in replicates.T]).reshape(-1, 3)
    rough = few_misplaced(point.value, n_pos, n_neg) & (reason == DEFINED)
    if rough.any():
        below, above = newcombe_interval(point.value[rough], n_pos, n_neg, level)
        spreads[rough, 0] = np.fmin(spreads[rough, 0], below)
        spreads[rough, 1] = np.fmax(spreads[rough, 1], above)
    reasons = np.full(point.reason.shape, reason, dtype=REASON_TYPE)
    return Estimates(point.value, spreads[:, 0], spreads[:, 1], spreads[:, 2], point.n, point.n_pos, reasons)


def _spread(drawn: FloatArray, level: float) -> tuple[float, float, float]:
    """(lower, upper, standard deviation) of the replicates that are defined."""
    drawn = drawn[~np.isnan(drawn)]
    if drawn.size < 2:
        return np.nan, np.nan, np.nan
    lower, upper = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(lower), float(upper), float(drawn.std(ddof=1))


def _key(seed: int) -> np.uint64:
    return np.uint64(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])


def _events(
    label: Scores, scores: Scores, index: NDArray[np.intp]
) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """What happens from the lowest score to the highest: whose image it is, and what it does.

    0: a negative, which adds its weight to those passed. 1 or 2: a positive, which gains so many half pairs
    with each negative passed. Tied with negatives, a positive comes both before and after these, with one
    half pair each time.
    """
    _, group = np.unique(scores, return_inverse=True)
    is_positive = label == 1
    has_negative = np.bincount(group[~is_positive], minlength=group.max() + 1) > 0
    tied = np.flatnonzero(is_positive & has_negative[group])
    gains = np.where(is_positive, np.where(has_negative[group], 1, 2), 0)
    place = np.concatenate([3 * group + 1 + is_positive, 3 * group[tied]])
    order = np.argsort(place, kind="stable")
    who = np.concatenate([index, index[tied]])[order].astype(np.int32)
    return who, np.concatenate([gains, gains[tied]])[order].astype(np.int8)


@compiled
def _mix(state: np.uint64) -> np.uint64:
    """The output function of SplitMix64 (Steele, Lea and Flood 2014)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@compiled
def _draw(weights: NDArray[np.uint8], first: int, key: np.uint64) -> None:
    """Fill weights (n_patients, lanes) with the draws of replicates `first` and on.

    Numbers below n_patients by Lemire's method (2019), without bias, from 32 random bits. One byte holds a
    weight: that a patient is drawn more than 255 times has a chance below 1 / 255!.
    """
    n = np.uint64(len(weights))
    low_word, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    refused = (np.uint64(1) << half) % n
    weights[:] = 0
    for lane in range(weights.shape[1]):
        state = _mix(key ^ _mix(np.uint64(first + lane + 1)))
        spare, has_spare = np.uint64(0), False
        for _ in range(len(weights)):
            while True:
                if has_spare:
                    bits, has_spare = spare, False
                else:
                    state += np.uint64(0x9E3779B97F4A7C15)
                    spare = _mix(state)
                    bits, spare, has_spare = spare & low_word, spare >> half, True
                product = bits * n
                if (product & low_word) >= refused:
                    break
            weights[product >> half, lane] += 1


@compiled
def _replicate(
    who: NDArray[np.int32],
    gains: NDArray[np.int8],
    ends: IntArray,
    positives_of: IntArray,
    key: np.uint64,
    replicates: FloatArray,
) -> None:
    """Fill replicates (n_replicates, k). Model m's events are who, gains [ends[m]:ends[m + 1]], in ascending
    order.
    """
    weights = np.zeros((positives_of.size, _LANES), dtype=np.uint8)
    positives = np.zeros(_LANES, dtype=np.int64)
    passed = np.zeros(_LANES, dtype=np.int32)
    half_pairs = np.zeros(_LANES, dtype=np.int64)
    for first in range(0, len(replicates), _LANES):
        _draw(weights, first, key)
        positives[:] = 0
        for patient in range(positives_of.size):
            if positives_of[patient] > 0:
                for lane in range(_LANES):
                    positives[lane] += weights[patient, lane] * positives_of[patient]
        for model in range(ends.size - 1):
            passed[:] = 0
            half_pairs[:] = 0
            for event in range(ends[model], ends[model + 1]):
                row = weights[np.uint64(who[event])]
                if gains[event] == 0:
                    for lane in range(_LANES):
                        passed[lane] += row[lane]
                else:
                    for lane in range(_LANES):
                        half_pairs[lane] += np.int64(row[lane]) * passed[lane] * gains[event]
            for lane in range(min(_LANES, len(replicates) - first)):
                pairs = 2.0 * positives[lane] * passed[lane]
                if pairs > 0:
                    replicates[first + lane, model] = half_pairs[lane] / pairs

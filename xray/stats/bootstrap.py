"""Bootstrap of AUC over patients: what would the AUC be with other patients?

A replicate draws as many patients as there are, with replacement, each with all its images. Drawing only sets
weights, so the scores are sorted once; each replicate is then one pass over cumulative sums of weights
(many replicates at a time), in whole numbers, ties included. The same patients are drawn for every model:
differences are paired.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from xray.compiled import compiled
from xray.stats.delong import auc_interval, few_misplaced, newcombe_interval
from xray.stats.estimates import (
    DEFINED,
    FEW_PATIENTS,
    INFINITE_SCORE,
    NO_DATA,
    ONE_CLASS,
    REASON_TYPE,
    Estimates,
    FloatArray,
    IntArray,
    Numbers,
    check_level,
)
from xray.stats.placements import Scores, as_columns

_LANES = 64
"""Replicates that pass over the images together: so many that the compiler takes them by vectors."""


@dataclass(frozen=True)
class BootstrapAuc:
    """AUCs of k models with percentile intervals over patients.

    estimates: arrays (k,); se is the standard deviation of the replicates.
    replicates: (n_replicates, k), NaN where a replicate drew one class only; same row, same patients.
    n_patients: the units drawn: patients with a usable image, or those of `draws`. n_positive, n_negative: patients that
    have positives, and negatives.
    """

    estimates: Estimates
    replicates: FloatArray
    n_patients: int
    n_positive: int
    n_negative: int


def separate(several: BootstrapAuc) -> list[BootstrapAuc]:
    """The models of one bootstrap, one by one."""
    return [
        replace(
            several,
            estimates=Estimates(
                *(getattr(several.estimates, field.name)[[k]] for field in fields(Estimates))
            ),
            replicates=several.replicates[:, [k]],
        )
        for k in range(several.replicates.shape[1])
    ]


def joined(models: Sequence[BootstrapAuc]) -> BootstrapAuc:
    """Models that were resampled by the same draws of the same images, side by side."""
    return replace(
        models[0],
        estimates=Estimates(
            *(
                np.concatenate([getattr(model.estimates, field.name) for model in models])
                for field in fields(Estimates)
            )
        ),
        replicates=np.hstack([model.replicates for model in models]),
    )


def bootstrap_auc(
    labels: Numbers,
    scores: Numbers,
    patients: NDArray[np.generic],
    n_replicates: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    draws: "Draws | None" = None,
) -> BootstrapAuc:
    """AUC of k models on the same images with percentile intervals from a bootstrap over patients.

    labels: (n_images,), 1/0/NaN. scores: (n_images,) or (n_models, n_images); an image without label or
    without any one model's score is left out of all. patients: (n_images,), equal where the patient is.
    The result depends on the inputs, n_replicates and seed only. Undefined where fewer than two patients have
    positives, or negatives. Replicates of one class only are left out of se and interval. Where next to nothing is
    misplaced (`xray.stats.delong.few_misplaced`, patients counted) replicates vary too little: there the interval
    reaches as far as Newcombe's, if that is wider.
    draws: draws of all these patients, those without a usable image too, in place of n_replicates and seed. The replicates
    of two tasks are then of the same draws, whatever labels each lacks, and means over tasks can be taken row by row.
    """
    check_level(level)
    label, columns = as_columns(labels, np.atleast_2d(np.asarray(scores)).T)
    if label.ndim != 1 or np.shape(patients) != label.shape:
        raise ValueError(f"labels {label.shape} and patients {np.shape(patients)} must both be (n_images,)")
    usable = ~np.isnan(label) & ~np.isnan(columns).any(axis=1)
    label, models = label[usable], np.ascontiguousarray(columns[usable].T)
    if draws is None:
        draws = Draws(np.asarray(patients)[usable], n_replicates, seed)
        index = draws.index
    else:
        index = draws.index[usable]
    point = auc_interval(label, models.T, level)
    replicates = np.full((draws.n_replicates, len(models)), np.nan)
    reason = _reason(label, models, index)
    if reason == DEFINED:
        events = [_events(label, row, index) for row in models]
        ends = np.cumsum([0] + [gains.size for _, gains in events])
        unit, gains = (np.concatenate(parts) for parts in zip(*events, strict=True))
        negatives_of, positives_of = (
            np.bincount(index[label == value], minlength=draws.n_patients) for value in (0, 1)
        )
        for block, first in enumerate(range(0, draws.n_replicates, _LANES)):
            part_of_replicates, weights = replicates[first : first + _LANES], draws.block(block)
            _replicate(unit, gains, ends, negatives_of, positives_of, weights, part_of_replicates)
    units = [np.array(np.unique(index[label == value]).size) for value in (1, 0)]
    estimates = _summarise(point, replicates, reason, level, *units)
    return BootstrapAuc(estimates, replicates, draws.n_patients, *(int(n) for n in units))


class Draws:
    """Which patients each replicate draws; the same for every model and task that is given them.

    index: (n_images,) each image's patient, from 0 on. keep: whether blocks are kept, n_replicates · n_patients bytes.
    """

    def __init__(
        self, patients: NDArray[np.generic], n_replicates: int, seed: int, keep: bool = False
    ) -> None:
        names, self.index = np.unique(patients, return_inverse=True)
        self.n_patients, self.n_replicates, self._key = names.size, n_replicates, _key(seed)
        self.n_blocks = -(-n_replicates // _LANES)
        self._blocks: dict[int, NDArray[np.uint8]] | None = {} if keep else None

    def block(self, number: int) -> NDArray[np.uint8]:
        """How often each of some replicates draws each patient: (n_patients, lanes), for block `number` of n_blocks."""
        if self._blocks is not None and number in self._blocks:
            return self._blocks[number]
        weights = np.zeros((self.n_patients, _LANES), dtype=np.uint8)
        _draw(weights, number * _LANES, self._key)
        if self._blocks is not None:
            self._blocks[number] = weights
        return weights


def patient_weights(n_patients: int, n_replicates: int, seed: int) -> NDArray[np.uint8]:
    """How often each replicate draws each patient: (n_replicates, n_patients), rows sum to n_patients.

    Multinomial with equal chances: the weights that `bootstrap_auc` uses, patients in ascending order.
    """
    draws = Draws(np.arange(n_patients), n_replicates, seed)
    blocks = [draws.block(number).T for number in range(draws.n_blocks)]
    return np.concatenate(blocks)[:n_replicates]


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


def _spread(replicates: FloatArray, level: float) -> tuple[float, float, float]:
    """(lower, upper, standard deviation) of the replicates that are defined."""
    replicates = replicates[~np.isnan(replicates)]
    if replicates.size < 2:
        return np.nan, np.nan, np.nan
    lower, upper = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return float(lower), float(upper), float(replicates.std(ddof=1))


def _key(seed: int) -> np.uint64:
    return np.uint64(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])


def _events(
    label: Scores, scores: Scores, index: NDArray[np.intp]
) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """The events from the lowest score to the highest: whose image it is, and what it adds.

    0: a negative, which adds its weight to those passed. 1 or 2: a positive, which gains so many half pairs
    with each negative passed. Tied with negatives, a positive comes both before and after these, with one
    half pair each time.
    """
    order = np.argsort(scores)
    ascending, unit = scores[order], index[order].astype(np.int32)
    group = np.cumsum(np.append(False, ascending[1:] != ascending[:-1]))
    is_positive = label[order] == 1
    has_negative = np.zeros(group.size, dtype=np.bool_)
    has_negative[group[~is_positive]] = True
    half = is_positive & has_negative[group]
    gains = np.where(is_positive, np.where(half, 1, 2), 0).astype(np.int8)
    tied = np.flatnonzero(half)
    if tied.size:
        key = np.concatenate([3 * group + 1 + is_positive, 3 * group[tied]])
        events = np.argsort(key, kind="stable")
        unit, gains = (np.concatenate([array, array[tied]])[events] for array in (unit, gains))
    return unit, gains


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


def _replicate(
    unit: NDArray[np.int32],
    gains: NDArray[np.int8],
    ends: IntArray,
    negatives_of: IntArray,
    positives_of: IntArray,
    weights: NDArray[np.uint8],
    replicates: FloatArray,
) -> None:
    """Fill replicates (at most as many as lanes, k). Model m's events are unit, gains [ends[m]:ends[m + 1]], ascending.

    Products are summed in 32 bits as long as the sum fits, then in 64. Raises ValueError where not even one does.
    """
    negatives, positives = (_weighted(weights, images) for images in (negatives_of, positives_of))
    largest = 2 * int(weights.max()) * int(negatives.max())
    if largest >= 2**31:
        raise ValueError(f"too many images for a bootstrap: {int(negatives.max())} negatives drawn")
    half_pairs = np.zeros((ends.size - 1, weights.shape[1]), dtype=np.int64)
    _half_pairs(unit, gains, ends, weights, (2**31 - 1) // max(largest, 1), half_pairs)
    pairs = 2.0 * positives * negatives
    aucs = np.divide(half_pairs, pairs, out=np.full(half_pairs.shape, np.nan), where=pairs > 0)
    replicates[:] = aucs[:, : len(replicates)].T


@compiled
def _weighted(weights: NDArray[np.uint8], images_of: IntArray) -> IntArray:
    """Images that each lane draws of so many images per patient: (lanes,)."""
    total = np.zeros(weights.shape[1], dtype=np.int64)
    for patient in range(images_of.size):
        if images_of[patient] > 0:
            row = weights[patient]
            for lane in range(row.size):
                total[lane] += row[lane] * images_of[patient]
    return total


@compiled
def _half_pairs(
    unit: NDArray[np.int32],
    gains: NDArray[np.int8],
    ends: IntArray,
    weights: NDArray[np.uint8],
    room: int,
    half_pairs: IntArray,
) -> None:
    """Add up half_pairs (k, lanes); `room`: so many products may be added in 32 bits."""
    lanes = weights.shape[1]
    negatives_passed, part = np.zeros(lanes, dtype=np.int32), np.zeros(lanes, dtype=np.int32)
    for model in range(ends.size - 1):
        negatives_passed[:] = 0
        n_added = 0
        for event in range(ends[model], ends[model + 1]):
            row = weights[np.uint64(unit[event])]
            gain = np.int32(gains[event])
            if gain == 0:
                for lane in range(row.size):
                    negatives_passed[lane] += np.int32(row[lane])
            else:
                for lane in range(row.size):
                    part[lane] += np.int32(row[lane]) * negatives_passed[lane] * gain
                n_added += 1
                if n_added == room:
                    n_added = 0
                    for lane in range(part.size):
                        half_pairs[model, lane] += part[lane]
                    part[:] = 0
        for lane in range(part.size):
            half_pairs[model, lane] += part[lane]
        part[:] = 0

"""AUC in each subgroup of the images, and outside it: scores are sorted once for all subgroups.

Placements within a subgroup are running counts along the sorted scores. The variance is that of
`xray.stats.clustered`, which for one image per patient is DeLong's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray.compiled import compiled
from xray.stats.clustered import degrees_of_patients
from xray.stats.delong import logit_bounds
from xray.stats.estimates import (
    DEFINED,
    FEW_NEGATIVES,
    FEW_PATIENTS,
    FEW_POSITIVES,
    INFINITE_SCORE,
    NO_DATA,
    ONE_CLASS,
    REASON_TYPE,
    Estimates,
    FloatArray,
    IntArray,
    Numbers,
    check_level,
    codes_of,
)
from xray.stats.placements import as_columns, as_table


def auc_by_group(
    labels: Numbers,
    scores: Numbers,
    group: NDArray[np.integer],
    n_groups: int,
    patients: NDArray[np.generic],
    clustered: bool = True,
    level: float = 0.95,
) -> tuple[Estimates, Estimates, IntArray]:
    """AUC with interval in each group of images, and in all but that group: arrays (n_groups, n_columns); and the units.

    Units, (2, 2, n_groups, n_columns): of the group and of the rest, patients with positives and with negatives; 0 where
    there is one class only.

    labels: (n_images,) or (n_images, n_columns), 1/0/NaN. scores: (n_images, n_columns), NaN = none. group: (n_images,)
    from 0 on. patients: (n_images,), the units; clustered: whether reasons count patients (as `clustered_auc_interval`) or
    images (as `auc_interval`). An infinite score makes its column undefined in every group.
    """
    return in_order(labels, scores, patients).auc_by_group(group, n_groups, clustered, level)


@dataclass(frozen=True)
class _Column:
    """The images that have a label and a score, in ascending order of scores. step: equal where scores are."""

    images: NDArray[np.intp]
    step: IntArray
    positive: NDArray[np.bool_]
    unit: IntArray
    infinite: bool


@dataclass(frozen=True)
class InOrder:
    """Scores that were sorted once, for as many ways to divide the images as there are. n_units: codes of patients."""

    columns: tuple[_Column, ...]
    n_units: int

    def auc_by_group(
        self, group: NDArray[np.integer], n_groups: int, clustered: bool = True, level: float = 0.95
    ) -> tuple[Estimates, Estimates, IntArray]:
        """As the function `auc_by_group`."""
        check_level(level)
        of = np.asarray(group, dtype=np.int64)
        shape = (2, n_groups, len(self.columns))
        counts, variances = np.zeros((*shape, 7), dtype=np.int64), np.zeros((*shape, 1))
        infinite = np.array([column.infinite for column in self.columns], dtype=np.bool_)
        for position, column in enumerate(self.columns):
            of_group = of[column.images]
            for number in range(n_groups):
                for is_rest in range(1 if n_groups == 2 else 2):  # of two, the other is computed as a group
                    members = _members(
                        of_group, number, bool(is_rest), column.positive, column.step, column.unit
                    )
                    cell = is_rest, number, position
                    _sums(*members, self.n_units, counts[cell], variances[cell])
        if n_groups == 2:
            counts[1], variances[1] = counts[0, ::-1], variances[0, ::-1]
        inside, outside = (
            _estimates(counts[is_rest], variances[is_rest], infinite, clustered, level)
            for is_rest in range(2)
        )
        return inside, outside, np.moveaxis(counts[..., 3:5], -1, 1)


def in_order(labels: Numbers, scores: Numbers, patients: NDArray[np.generic]) -> InOrder:
    """Sort scores for `InOrder.auc_by_group`. All as of the function `auc_by_group`."""
    label, score = as_columns(labels, scores)
    table = as_table(score)
    label = np.broadcast_to(as_table(label), table.shape)
    if not ((label == 1) | (label == 0) | np.isnan(label)).all():
        raise ValueError("labels must be 1, 0 or NaN")
    unit = codes_of(patients)
    columns = tuple(_in_order(label[:, k], table[:, k], unit) for k in range(table.shape[1]))
    return InOrder(columns, int(unit.max(initial=-1)) + 1)


def _in_order(label: NDArray[np.floating], score: NDArray[np.floating], unit: IntArray) -> _Column:
    images = np.flatnonzero(~np.isnan(label) & ~np.isnan(score))
    images = images[np.argsort(score[images])]
    ascending = score[images]
    step = np.cumsum(np.append(True, ascending[1:] != ascending[:-1])[: images.size])
    return _Column(images, step, label[images] == 1, unit[images], bool(np.isinf(ascending).any()))


def _estimates(
    counts: IntArray, variances: FloatArray, infinite: NDArray[np.bool_], clustered: bool, level: float
) -> Estimates:
    n_pos, n_neg, half_pairs, units_pos, units_neg, squares_pos, squares_neg = np.moveaxis(counts, -1, 0)
    reason = np.full(n_pos.shape, DEFINED, dtype=REASON_TYPE)
    if clustered:
        reason[np.minimum(units_pos, units_neg) < 2] = FEW_PATIENTS
    reason[n_neg < 2] = FEW_NEGATIVES
    reason[n_pos < 2] = FEW_POSITIVES
    reason[np.minimum(n_pos, n_neg) == 0] = ONE_CLASS
    reason[n_pos + n_neg == 0] = NO_DATA
    reason[:, infinite] = INFINITE_SCORE
    ranked = ~np.isin(reason, (ONE_CLASS, NO_DATA, INFINITE_SCORE))
    value = np.divide(half_pairs, 2 * n_pos * n_neg, out=np.full(n_pos.shape, np.nan), where=ranked)
    variance = np.where(reason == DEFINED, variances[..., 0], np.nan)
    degrees = degrees_of_patients((n_pos, n_neg), (units_pos, units_neg), (squares_pos, squares_neg))
    lower, upper = logit_bounds(value, variance, units_pos, units_neg, level, degrees)
    return Estimates(value, lower, upper, np.sqrt(variance), n_pos + n_neg, n_pos, reason)


@compiled
def _members(
    of_group: IntArray,
    group: int,
    is_rest: bool,
    positive: NDArray[np.bool_],
    step: IntArray,
    unit: NDArray[np.intp],
) -> tuple[NDArray[np.bool_], IntArray, NDArray[np.intp]]:
    """The images of one group, or of all but that one. Written first and kept if it belongs: no branch to mispredict."""
    n = 0
    positives = np.empty(positive.size + 1, dtype=np.bool_)
    steps, units = np.empty(positive.size + 1, dtype=np.int64), np.empty(positive.size + 1, dtype=np.int64)
    for i in range(positive.size):
        positives[n], steps[n], units[n] = positive[i], step[i], unit[i]
        n += (of_group[i] == group) != is_rest
    return positives[:n], steps[:n], units[:n]


@compiled
def _sums(
    positive: NDArray[np.bool_],
    step: IntArray,
    unit: NDArray[np.intp],
    n_units: int,
    counts: IntArray,
    variance: FloatArray,
) -> None:
    """Of images in ascending order of scores (`step`: equal where scores are): counts becomes positives, negatives,
    half pairs, units with positives, with negatives, their squared numbers of images added up; variance[0] that of AUC.
    """
    n = positive.size
    placed = np.zeros((2, n_units))
    images = np.zeros((2, n_units), dtype=np.int64)
    n_pos, total = int(positive.sum()), 0
    n_neg = n - n_pos
    passed_pos, passed_neg, start = 0, 0, 0
    while start < n:
        stop, tied_pos = start, 0
        while stop < n and step[stop] == step[start]:
            tied_pos += positive[stop]
            stop += 1
        tied_neg = stop - start - tied_pos
        below, above = 2 * passed_neg + tied_neg, 2 * (n_pos - passed_pos) - tied_pos
        for i in range(start, stop):
            of = 0 if positive[i] else 1
            placed[of, unit[i]] += above if of else below
            images[of, unit[i]] += 1
        total += tied_pos * below
        passed_pos += tied_pos
        passed_neg += tied_neg
        start = stop
    units_pos, units_neg, units = 0, 0, 0
    squares_pos, squares_neg, products = 0.0, 0.0, 0.0
    images_pos, images_neg = 0, 0
    if n_pos > 0 and n_neg > 0:
        mean_pos, mean_neg = total / n_pos, total / n_neg
        for k in range(n_units):
            a = placed[0, k] - images[0, k] * mean_pos
            b = placed[1, k] - images[1, k] * mean_neg
            if images[0, k] < n_pos:
                a /= 1 - images[0, k] / n_pos
            if images[1, k] < n_neg:
                b /= 1 - images[1, k] / n_neg
            squares_pos += a * a
            squares_neg += b * b
            products += a * b
            images_pos += images[0, k] * images[0, k]
            images_neg += images[1, k] * images[1, k]
            units_pos += images[0, k] > 0
            units_neg += images[1, k] > 0
            units += images[0, k] + images[1, k] > 0
    counts[0], counts[1], counts[2] = n_pos, n_neg, total
    counts[3], counts[4], counts[5], counts[6] = units_pos, units_neg, images_pos, images_neg
    if units_pos > 1 and units_neg > 1:
        total_variance = (units_pos - 1) / units_pos * squares_pos + (units_neg - 1) / units_neg * squares_neg
        total_variance += 2 * (units - 1) / units * products
        pairs = 2.0 * n_pos * n_neg
        variance[0] = max(total_variance / pairs / pairs, 0.0)

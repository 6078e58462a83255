"""Where the scores of positives lie among those of negatives, exactly and without sorting both.

Everything about ROC curves follows from how many negatives each positive exceeds and ties with (its
*placement*; DeLong, DeLong and Clarke-Pearson 1988). Only one group is sorted. A table of equally wide
buckets over its range then gives the position of nearly every score of the other group in one look-up; those
that fall into an occupied bucket are searched for there. All counts are integers, so ties cost no exactness.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from xray.compiled import compiled
from xray.stats.estimates import (
    INFINITE_SCORE,
    NO_DATA,
    ONE_CLASS,
    IntArray,
    Numbers,
    TextArray,
    reasons,
)

AnyScalar = TypeVar("AnyScalar", bound=np.generic)
Scores = NDArray[np.floating]
Counts = NDArray[np.int32]

_UNSIGNED: Any = np.uint64  # unsigned indices spare numba's test for negative ones
_TILE = 256  # rows at a time: a tile of 18 columns stays in the first-level cache
_PADDING = 4  # infinities after the sorted scores: `_search` compares four of them at a time


@dataclass(frozen=True)
class Groups:
    """The scores of the images that have label and score, by class. One row of `scores` per column of the
    input.

    scores: (n_columns, n_images + 1); row j holds its n_pos[j] positives from the left, its n_neg[j]
    negatives from the right.
    shape: that of a row of the input, the shape that results take.
    reason: why a column has no ROC curve, or "".
    """

    scores: Scores
    n_pos: IntArray
    n_neg: IntArray
    shape: tuple[int, ...]
    reason: TextArray

    def __iter__(self) -> Iterator[tuple[int, Scores, Scores]]:
        """(column, positives, negatives) of every column that has a ROC curve. The arrays are views: sort
        them freely.
        """
        for column in np.flatnonzero(self.reason == ""):
            row = self.scores[column]
            yield int(column), row[: self.n_pos[column]], row[row.size - self.n_neg[column] :]


def split_by_label(labels: Numbers, scores: Numbers) -> Groups:
    """Split each column's scores into positives and negatives, leaving out missing labels and scores.

    labels: (n_images,) or (n_images, n_columns), 1/0/NaN; one vector of labels may serve many columns of
    scores.
    scores: (n_images,) or (n_images, n_columns); float32 stays float32, anything else becomes float64.
    Raises ValueError where shapes don't fit or a label is not 1, 0 or NaN. An infinite score makes its column
    undefined.
    """
    label_columns, score_columns = as_columns(labels, scores)
    shape, n_images = score_columns.shape[1:], len(score_columns)
    score_columns = as_table(score_columns)
    label_columns = np.broadcast_to(as_table(label_columns), score_columns.shape)
    n_columns = score_columns.shape[1]
    groups = np.empty((n_columns, n_images + 1), dtype=score_columns.dtype)
    n_pos, n_neg, n_invalid, infinite = np.zeros((4, n_columns), dtype=np.int64)
    _split(label_columns, score_columns, groups, n_pos, n_neg, n_invalid, infinite)
    if n_invalid.any():
        column = int(np.flatnonzero(n_invalid)[0])
        raise ValueError(f"column {column} has {n_invalid[column]} labels that are not 1, 0 or NaN")
    reason = reasons((n_columns,))
    reason[(n_pos == 0) | (n_neg == 0)] = ONE_CLASS
    reason[n_pos + n_neg == 0] = NO_DATA
    reason[infinite > 0] = INFINITE_SCORE
    return Groups(groups, n_pos, n_neg, shape, reason)


def as_columns(labels: Numbers, scores: Numbers) -> tuple[NDArray[np.float32], Scores]:
    """Labels as float32 and scores as float32 or float64, their shapes checked (see `split_by_label`)."""
    values, scores = np.asarray(labels), np.asarray(scores)
    narrow = values.astype(np.float32, copy=False)
    if values.dtype == np.float64 and not np.array_equal(narrow, values, equal_nan=True):
        raise ValueError("labels must be 1, 0 or NaN")
    single = scores.dtype == np.float32
    score_columns: Scores = scores.astype(np.float32 if single else np.float64, copy=False)
    if scores.ndim not in (1, 2) or values.shape not in (scores.shape, scores.shape[:1]):
        raise ValueError(
            f"labels {values.shape} don't fit scores {scores.shape}; "
            "expected (n_images,) or (n_images, n_columns)"
        )
    return narrow, score_columns


def as_table(array: NDArray[AnyScalar]) -> NDArray[AnyScalar]:
    """A vector as a table of one column; a table as it is."""
    return array if array.ndim == 2 else array[:, None]


def count_pairs(positives: Scores, negatives: Scores) -> tuple[Counts, Counts]:
    """Placements in half pairs. Sorts the smaller group in place; its counts are in sorted order.

    Returns, for each positive, 2 · #(negatives below) + #(negatives equal), and for each negative the same of
    positives: a positive's placement is its count / (2 n_neg), a negative's 1 − its count / (2 n_pos).
    """
    positives_smaller = positives.size <= negatives.size
    small, large = (positives, negatives) if positives_smaller else (negatives, positives)
    small.sort()
    counts, below, upto = placements(small, large)
    return (below + upto, counts) if positives_smaller else (counts, below + upto)


def half_pairs(positives: Scores, negatives: Scores) -> int:
    """2 · #(positive above negative) + #(tied), which is 2 · n_pos · n_neg · AUC. Sorts the smaller group in
    place.
    """
    positives_smaller = positives.size <= negatives.size
    small, large = (positives, negatives) if positives_smaller else (negatives, positives)
    small.sort()
    padded, table, pending = _workspace(small, large.size)
    total = int(_half_pairs(padded, large, table, pending))
    return 2 * positives.size * negatives.size - total if positives_smaller else total


def count_pairs_in_order(positives: Scores, negatives: Scores) -> tuple[Counts, Counts]:
    """As `count_pairs`, leaving both groups, and the order of both results, as they are."""
    positives_smaller = positives.size <= negatives.size
    small, large = (positives, negatives) if positives_smaller else (negatives, positives)
    order = np.argsort(small)
    of_large, below, upto = placements(small[order], large)
    of_small = np.empty_like(below)
    of_small[order] = below + upto
    return (of_small, of_large) if positives_smaller else (of_large, of_small)


def placements(reference: Scores, others: Scores) -> tuple[Counts, Counts, Counts]:
    """Count each group's elements below and equal to those of the other.

    reference: sorted, not empty, finite. others: in any order, finite, of the same dtype.
    Returns (counts, below, upto): counts[i] = 2 · #(reference < others[i]) + #(reference == others[i]), in
    the order of `others`; below[k] = #(others < reference[k]) and upto[k] = #(others <= reference[k]).
    """
    padded, table, pending = _workspace(reference, others.size)
    counts = np.empty(others.size, dtype=np.int32)
    below = np.zeros(reference.size + 1, dtype=np.int32)
    upto = np.zeros(reference.size + 1, dtype=np.int32)
    _count(padded, others, counts, below, upto, table, pending)
    return counts, below[:-1], upto[:-1]


def _workspace(reference: Scores, n_others: int) -> tuple[Scores, Counts, Counts]:
    """(padded reference, empty bucket table, room for pending positions)."""
    n_buckets = 1 << min(max(max(n_others // 2, 2 * reference.size).bit_length(), 6), 17)
    padded = np.append(reference, np.full(_PADDING, np.inf, dtype=reference.dtype))
    return padded, np.zeros(n_buckets + 3, dtype=np.int32), np.empty(n_others + 1, dtype=np.int32)


@compiled
def _split(
    labels: NDArray[np.float32],
    scores: Scores,
    groups: Scores,
    n_pos: IntArray,
    n_neg: IntArray,
    n_invalid_of: IntArray,
    infinite: IntArray,
) -> None:
    """Write every score to both ends of its row and keep the one that its label selects: no branch to
    mispredict.
    """
    n_images, n_columns = scores.shape
    for first in range(0, n_images, _TILE):
        last = min(n_images, first + _TILE)
        for column in range(n_columns):
            row = groups[column]
            left, right = _UNSIGNED(n_pos[column]), _UNSIGNED(n_images - n_neg[column])
            n_wrong, n_infinite = _UNSIGNED(0), _UNSIGNED(0)
            for i in range(_UNSIGNED(first), _UNSIGNED(last)):
                label, score = labels[i, _UNSIGNED(column)], scores[i, _UNSIGNED(column)]
                row[left] = score
                row[right] = score
                present = score == score
                left += _UNSIGNED((label == 1) & present)
                right -= _UNSIGNED((label == 0) & present)
                n_wrong += _UNSIGNED((label != 1) & (label != 0) & (label == label))
                n_infinite += _UNSIGNED((score - score != 0) & present & (label == label))
            n_pos[column] = left
            n_neg[column] = _UNSIGNED(n_images) - right
            n_invalid_of[column] += n_wrong
            infinite[column] += n_infinite


@compiled
def _bucket(score: float, low: float, scale: float, last: float) -> Any:
    """The bucket of a score, from 0 (below the reference) to `last` (above it).

    A non-decreasing function of the score whatever the rounding, which is all that exactness needs. Halving
    before subtracting keeps it from overflowing.
    """
    position: float = (0.5 * np.float64(score) - low) * scale + 1.0
    position = position if position > 0.0 else 0.0
    return _UNSIGNED(np.int64(position if position < last else last))


@compiled
def _fill(table: Counts, reference: Scores) -> tuple[float, float, float]:
    """Make table[b] the number of reference scores in buckets before b. Returns what `_bucket` needs."""
    one = _UNSIGNED(1)
    n_reference = reference.size - _PADDING
    last = _UNSIGNED(table.size - 2)
    low = 0.5 * np.float64(reference[0])
    width = 0.5 * np.float64(reference[n_reference - 1]) - low
    scale = 0.0
    if width > 0 and (table.size - 4) / width < 1e300:
        scale = (table.size - 4) / width
    top = np.float64(last)
    for k in range(n_reference):
        table[_bucket(reference[k], low, scale, top) + one] += 1
    for bucket in range(last + one):
        table[bucket + one] += table[bucket]
    return low, scale, top


@compiled
def _search(reference: Scores, score: float, start: Any, stop: Any) -> Any:
    """How many of the sorted reference are below the score, and how many are not above it.

    start, stop: the entries of the score's bucket, at least one. If these are one value, one comparison
    tells. Otherwise the first four from `start` are compared without a branch, and without asking where the
    bucket ends: what lies beyond it exceeds every score in it. Only where all four are passed is the rest
    searched.
    """
    one, two, three = _UNSIGNED(1), _UNSIGNED(2), _UNSIGNED(3)
    a = reference[start]
    if a == reference[stop - one]:
        width = stop - start
        return start + width * _UNSIGNED(a < score), start + width * _UNSIGNED(a <= score)
    b, c, d = reference[start + one], reference[start + two], reference[start + three]
    less = start + _UNSIGNED(a < score) + _UNSIGNED(b < score) + _UNSIGNED(c < score) + _UNSIGNED(d < score)
    upto = (
        start + _UNSIGNED(a <= score) + _UNSIGNED(b <= score) + _UNSIGNED(c <= score) + _UNSIGNED(d <= score)
    )
    if d <= score:
        end = stop
        while upto < end:
            middle = (upto + end) >> one
            if reference[middle] <= score:
                upto = middle + one
            else:
                end = middle
        if d < score:
            end = upto
            while less < end:
                middle = (less + end) >> one
                if reference[middle] < score:
                    less = middle + one
                else:
                    end = middle
    return less, upto


@compiled
def _half_pairs(reference: Scores, others: Scores, table: Counts, pending: Counts) -> int:
    """See `half_pairs`. A score in an empty bucket is placed by the table alone; the rest wait for a second
    pass.
    """
    low, scale, top = _fill(table, reference)
    one = _UNSIGNED(1)
    total = np.int64(0)
    n_pending = _UNSIGNED(0)
    for i in range(_UNSIGNED(others.size)):
        bucket = _bucket(others[i], low, scale, top)
        start = table[bucket]
        occupied = start != table[bucket + one]
        total += 0 if occupied else 2 * np.int64(start)
        pending[n_pending] = i
        n_pending += _UNSIGNED(occupied)
    for p in range(n_pending):
        score = others[_UNSIGNED(pending[p])]
        bucket = _bucket(score, low, scale, top)
        less, upto = _search(reference, score, _UNSIGNED(table[bucket]), _UNSIGNED(table[bucket + one]))
        total += np.int64(less + upto)
    return int(total)


@compiled
def _count(
    reference: Scores,
    others: Scores,
    counts: Counts,
    below: Counts,
    upto: Counts,
    table: Counts,
    pending: Counts,
) -> None:
    """See `place`; in two passes as `_half_pairs`. below[k] and upto[k] first count the others placed exactly
    there.
    """
    low, scale, top = _fill(table, reference)
    one = _UNSIGNED(1)
    n_pending = _UNSIGNED(0)
    for i in range(_UNSIGNED(others.size)):
        bucket = _bucket(others[i], low, scale, top)
        start = table[bucket]
        occupied = start != table[bucket + one]
        counts[i] = start + start
        below[_UNSIGNED(start)] += not occupied
        pending[n_pending] = i
        n_pending += _UNSIGNED(occupied)
    for k in range(below.size):
        upto[k] = below[k]
    for p in range(n_pending):
        i = _UNSIGNED(pending[p])
        bucket = _bucket(others[i], low, scale, top)
        first, after = _search(reference, others[i], _UNSIGNED(table[bucket]), _UNSIGNED(table[bucket + one]))
        counts[i] = first + after
        upto[first] += 1
        below[after] += 1
    for k in range(below.size - 1):
        upto[k + 1] += upto[k]
        below[k + 1] += below[k]

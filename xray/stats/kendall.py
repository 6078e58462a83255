"""Kendall's τ-b: do two models put the images in the same order?"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xray.compiled import compiled
from xray.stats.estimates import (
    CONSTANT_SCORES,
    DEFINED,
    FEW_IMAGES,
    REASON_TYPE,
    FloatArray,
    IntArray,
    Numbers,
    TextArray,
    reasons,
    undefined,
)
from xray.stats.placements import as_table

_UNSIGNED: Any = np.uint64
"""Of an index that is never negative: compiled loops need not ask whether it counts from the end."""
_FEW: Final = 8
"""So many ranks that agree in all higher bits are compared one by one."""


@dataclass(frozen=True)
class Association:
    """A measure of association of two scores. All arrays have the shape of a row of the scores.

    value: in [−1, 1], NaN where `reason` says why. n: images with both scores.
    """

    value: FloatArray
    n: IntArray
    reason: TextArray


def kendall_tau(first: Numbers, second: Numbers) -> Association:
    """Kendall's τ-b of two scores of the same images, column by column, ties included, in O(n log n).

    τ-b = (concordant − discordant) / √((pairs − ties_first)(pairs − ties_second)) (Kendall 1945; Knight
    1966).
    first, second: (n_images,) or (n_images, n_columns), NaN = none. Undefined below two images, and where
    either score is the same for all of them. Infinite scores are ranks like any other.
    """
    one, two = np.asarray(first), np.asarray(second)
    if one.shape != two.shape or one.ndim not in (1, 2):
        raise ValueError(
            f"scores are {one.shape} and {two.shape}; expected one shape, (n_images,) or (n_images, k)"
        )
    shape = one.shape[1:]
    one, two = as_table(one), as_table(two)
    value, n, reason = (
        undefined(one.shape[1:]),
        np.zeros(one.shape[1:], dtype=np.int64),
        reasons(one.shape[1:]),
    )
    for column in range(one.shape[1]):
        tau = tau_of_ranks(ranked(one[:, column]), ranked(two[:, column]))
        value[column], n[column], reason[column] = tau.value, tau.n, tau.reason
    return Association(value.reshape(shape), n.reshape(shape), reason.reshape(shape))


@dataclass(frozen=True)
class Ranks:
    """A score's ranks among the images that have it. scores: (n_images,). usable: (n_images,) which have one.

    ranks: (n,) from 0 on without gaps, of those. sizes: how many share each rank. order: (n,), places by rank.
    """

    scores: Numbers
    usable: NDArray[np.bool_]
    ranks: NDArray[np.int32]
    sizes: IntArray
    order: NDArray[np.intp]


def ranked(scores: Numbers) -> Ranks:
    """Sort a score once for all its pairs with others. scores: (n_images,), NaN = none."""
    values = np.asarray(scores)
    present = values == values
    return Ranks(values, present, *_dense_ranks(values[present]))


def tau_of_ranks(first: Ranks, second: Ranks) -> Association:
    """As `kendall_tau` of two scores that are ranked already."""
    present = first.usable & second.usable
    n = int(present.sum())
    if n < max(first.ranks.size, second.ranks.size):
        first, second = (ranked(ranks.scores[present]) for ranks in (first, second))
    value, reason = np.nan, DEFINED
    if n < 2:
        reason = FEW_IMAGES
    elif min(first.sizes.size, second.sizes.size) < 2:
        reason = CONSTANT_SCORES
    else:
        value = _tau(first, second)
    return Association(np.array(value), np.array(n), np.array(reason, dtype=REASON_TYPE))


def _tau(first: Ranks, second: Ranks) -> float:
    pairs, tied_x, tied_y = _pairs(np.array([first.ranks.size])), _pairs(first.sizes), _pairs(second.sizes)
    by_x = second.ranks[first.order]
    tied_both = int(_sort_tied(by_x, first.sizes))
    upto = np.concatenate([[0], np.cumsum(second.sizes)])
    discordant = int(_inversions(by_x, np.empty_like(by_x), upto))
    lead = pairs - tied_x - tied_y + tied_both - 2 * discordant
    return lead / math.sqrt((pairs - tied_x) * (pairs - tied_y))


def _dense_ranks(scores: NDArray[np.generic]) -> tuple[NDArray[np.int32], IntArray, NDArray[np.intp]]:
    """Ranks from 0 without gaps, how many share each, and the order that they are from."""
    order = np.argsort(scores)
    ascending = scores[order]
    steps = np.cumsum(np.append(False, ascending[1:] != ascending[:-1])[: scores.size], dtype=np.int32)
    ranks = np.empty_like(steps)
    ranks[order] = steps
    return ranks, np.bincount(steps), order


def _pairs(sizes: IntArray) -> int:
    return int((sizes * (sizes - 1) // 2).sum())


@compiled
def _sort_tied(values: NDArray[np.int32], sizes: IntArray) -> int:
    """Sort values within each group of ties of another score, whose sizes are given; how many pairs are tied in both."""
    count, start = 0, 0
    for size in sizes:
        if size > 1:
            group = values[start : start + size]
            group.sort()
            equal = 0
            for i in range(1, size):
                equal = equal + 1 if group[i] == group[i - 1] else 0
                count += equal
        start += size
    return count


@compiled
def _inversions(values: NDArray[np.int32], spare: NDArray[np.int32], upto: IntArray) -> int:
    """Pairs in descending order, bit by bit from the highest; sorts `values` or `spare` by all bits but the last three.

    upto: (m + 1,), how many values are below each. At each bit, values that agree in the higher ones lie together: a pair of
    these is in descending order by this bit if the first has it and the second has not. Where a value goes is chosen, not
    branched on: of random ranks every second branch would be mispredicted.
    """
    count, m, unit = np.int64(0), upto.size - 1, _UNSIGNED(1)
    half = _FEW
    while 2 * half < m:
        half *= 2
    while half >= _FEW:
        for low in range(0, m, 2 * half):
            zero, one = _UNSIGNED(upto[low]), _UNSIGNED(upto[min(low + half, m)])
            middle, stop = one, _UNSIGNED(upto[min(low + 2 * half, m)])
            for i in range(zero, stop):
                value = values[i]
                has = _UNSIGNED((value & half) != 0)
                spare[one if has else zero] = value
                count += np.int64((unit - has) * (one - middle))
                one += has
                zero += unit - has
        values, spare = spare, values
        half //= 2
    for low in range(0, m, _FEW):
        count += _of_few(values[upto[low] : upto[min(low + _FEW, m)]], low)
    return int(count)


@compiled
def _of_few(values: NDArray[np.int32], low: int) -> int:
    """As `_inversions`, of `_FEW` ranks from `low` on: each is compared with those before it, or where many are tied,
    with how often each rank was there before.
    """
    count = 0
    if values.size <= _FEW:
        for i in range(1, values.size):
            for j in range(i):
                count += values[j] > values[i]
        return count
    sizes = np.zeros(_FEW, dtype=np.int64)
    for value in values:
        for greater in range(value - low + 1, _FEW):
            count += sizes[greater]
        sizes[value - low] += 1
    return count

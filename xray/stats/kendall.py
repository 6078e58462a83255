"""Kendall's τ-b: do two models put the images in the same order?"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray.stats.compiled import compiled
from xray.stats.estimates import (
    CONSTANT_SCORES,
    FEW_IMAGES,
    FloatArray,
    IntArray,
    Numbers,
    TextArray,
    reasons,
    undefined,
)
from xray.stats.placements import as_table


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
        kept = (one[:, column] == one[:, column]) & (two[:, column] == two[:, column])
        n[column] = kept.sum()
        if n[column] < 2:
            reason[column] = FEW_IMAGES
            continue
        x, x_sizes = _dense_ranks(one[kept, column])
        y, y_sizes = _dense_ranks(two[kept, column])
        if x_sizes.size < 2 or y_sizes.size < 2:
            reason[column] = CONSTANT_SCORES
            continue
        value[column] = _tau(x, x_sizes, y, y_sizes)
    return Association(value.reshape(shape), n.reshape(shape), reason.reshape(shape))


def _tau(x: IntArray, x_sizes: IntArray, y: IntArray, y_sizes: IntArray) -> float:
    pairs, tied_x, tied_y = _pairs(np.array([x.size])), _pairs(x_sizes), _pairs(y_sizes)
    if x_sizes.size == x.size:  # no ties: ranks are places
        by_x, tied_both = np.empty_like(y), 0
        by_x[x] = y
    else:
        joint = np.sort(x * y_sizes.size + y)
        tied_both = _pairs(np.diff(np.flatnonzero(np.diff(joint, prepend=-1, append=-1))))
        by_x = joint % y_sizes.size
    discordant = int(_inversions(by_x, np.empty_like(by_x)))
    lead = pairs - tied_x - tied_y + tied_both - 2 * discordant
    return lead / math.sqrt((pairs - tied_x) * (pairs - tied_y))


def _dense_ranks(scores: NDArray[np.generic]) -> tuple[IntArray, IntArray]:
    """Ranks from 0 without gaps, and how many share each."""
    order = np.argsort(scores)
    ascending = scores[order]
    steps = np.empty(scores.size, dtype=np.int64)
    steps[0] = 0
    np.cumsum(ascending[1:] != ascending[:-1], out=steps[1:])
    ranks = np.empty_like(steps)
    ranks[order] = steps
    return ranks, np.bincount(steps)


def _pairs(sizes: IntArray) -> int:
    return int((sizes * (sizes - 1) // 2).sum())


@compiled
def _inversions(values: IntArray, spare: IntArray) -> int:
    """Pairs in descending order, by merge sort from below; sorts `values` or `spare`."""
    count = 0
    width = 1
    while width < values.size:
        for start in range(0, values.size, 2 * width):
            middle, stop = min(start + width, values.size), min(start + 2 * width, values.size)
            left, right = start, middle
            for out in range(start, stop):
                if right >= stop or (left < middle and values[left] <= values[right]):
                    spare[out] = values[left]
                    left += 1
                else:
                    spare[out] = values[right]
                    right += 1
                    count += middle - left
        values, spare = spare, values
        width *= 2
    return count

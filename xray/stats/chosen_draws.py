"""Choosing a threshold for a goal, on the images and on draws of their patients with replacement."""

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from xray.compiled import compiled
from xray.stats.estimates import FloatArray

Goal = Literal["sensitivity", "specificity", "ppv", "positive rate", "youden"]
GOALS: Final[tuple[Goal, ...]] = ("sensitivity", "specificity", "ppv", "positive rate", "youden")
_SENSITIVITY, _SPECIFICITY, _PPV, _RATE = range(4)
"""Places in `GOALS`."""
_SLACK: Final = 1e-12
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
"""Of splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""

Calls = tuple[FloatArray, FloatArray]
"""Positive and negative images with at least each image's score, (n_images,) each, in falling order of scores."""


@compiled
def calls(label: NDArray[np.bool_], weights: FloatArray, patients: NDArray[np.int64]) -> Calls:
    """Calls where each patient counts `weights` times. label, patients (codes): (n_images,) in falling order of scores."""
    tp, fp = np.empty(len(label)), np.empty(len(label))
    positive = negative = 0.0
    for i in range(len(label)):
        if label[i]:
            positive += weights[patients[i]]
        else:
            negative += weights[patients[i]]
        tp[i], fp[i] = positive, negative
    return tp, fp


@compiled
def place_of(
    goal: int, target: float, share: float, tp: FloatArray, fp: FloatArray, last: NDArray[np.bool_]
) -> int:
    """The image at whose score the threshold is; −1 where the goal, an index of `GOALS`, is out of reach.

    share: of positives where the threshold is used. last: whether an image is the last with its score.
    """
    n_pos, n_neg = tp[-1], fp[-1]
    best, gain = -1, 0.0
    for i in range(len(tp)):
        if not last[i]:
            continue
        hit, false = tp[i] / n_pos, fp[i] / n_neg
        if goal == _SENSITIVITY:
            if hit >= target - _SLACK:
                return i
        elif goal == _SPECIFICITY:
            if 1 - false >= target - _SLACK:
                best = i
        elif goal == _PPV:
            if hit > 0 and share * hit >= (target - _SLACK) * (share * hit + (1 - share) * false):
                best = i
        elif goal == _RATE:
            if share * hit + (1 - share) * false <= target + _SLACK:
                best = i
        elif hit - false > gain:
            best, gain = i, hit - false
    return best


@compiled
def resamples(
    label: NDArray[np.bool_],
    last: NDArray[np.bool_],
    patients: NDArray[np.int64],
    goals: NDArray[np.int64],
    targets: FloatArray,
    prevalence: float,
    replicates: int,
    seed: np.uint64,
) -> tuple[NDArray[np.int64], FloatArray]:
    """The position that each goal gives in each draw of patients, (n_goals, n_draws), and the counts there.

    Counts: (n_goals, n_draws, 4), positives and negatives called, and all of either. Position −1: the goal is out of reach,
    or the draw has one class. prevalence: NaN for that of the draw.
    """
    m = patients.max() + 1
    positions = np.full((len(goals), replicates), -1)
    counts = np.zeros((len(goals), replicates, 4))
    weights, state = np.empty(m), seed
    for replicate in range(replicates):
        weights[:] = 0
        for _ in range(m):  # the upper half of each number, scaled to the patients
            state += _STEP
            bits = (state ^ (state >> np.uint64(30))) * _MIX[0]
            bits = (bits ^ (bits >> np.uint64(27))) * _MIX[1]
            bits = (bits ^ (bits >> np.uint64(31))) >> np.uint64(32)
            weights[np.int64((bits * np.uint64(m)) >> np.uint64(32))] += 1
        tp, fp = calls(label, weights, patients)
        if tp[-1] == 0 or fp[-1] == 0:
            continue
        share = tp[-1] / (tp[-1] + fp[-1]) if np.isnan(prevalence) else prevalence
        for g in range(len(goals)):
            position = place_of(goals[g], targets[g], share, tp, fp, last)
            positions[g, replicate] = position
            if position >= 0:
                counts[g, replicate] = np.array([tp[position], fp[position], tp[-1], fp[-1]])
    return positions, counts

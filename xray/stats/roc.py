"""ROC curves: area, Youden's threshold, and the area under the precision-recall curve. Exact, ties
included.
"""

from dataclasses import dataclass

import numpy as np

from xray.stats.estimates import (
    NOT_BETTER,
    FloatArray,
    IntArray,
    Numbers,
    TextArray,
    Values,
    reshaped,
    undefined,
)
from xray.stats.placements import Groups, Scores, half_pairs, placements, split_by_label


@dataclass(frozen=True)
class Youden:
    """The operating point of maximal J. All arrays have the shape of a row of the scores.

    threshold: call an image positive where score >= threshold; itself one of the positives' scores, NaN where
    `reason` says why.
    sensitivity, specificity: at that threshold. j: sensitivity + specificity − 1, in (0, 1].
    n, n_pos: images used, positives among them.
    """

    threshold: FloatArray
    sensitivity: FloatArray
    specificity: FloatArray
    j: FloatArray
    n: IntArray
    n_pos: IntArray
    reason: TextArray


def auc(labels: Numbers, scores: Numbers) -> Values:
    """Area under the ROC curve: the chance that a positive image scores higher than a negative one, ties
    counting half.

    AUC = (#{positive above negative} + ½ #{tied}) / (n_pos · n_neg), counted in whole pairs and divided once,
    so that the result is the correctly rounded one (Mann-Whitney U; Hanley and McNeil 1982).

    labels: (n_images,) or (n_images, n_columns), 1/0/NaN. scores: (n_images,) or (n_images, n_columns), NaN =
    none.
    Returns values in [0, 1]; NaN with reason "one class" where there is no positive or no negative.
    Columns are read fastest where each is contiguous or all lie row by row. Raises ValueError for other
    labels or shapes.

    >>> float(auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])).value)
    0.75
    """
    groups = split_by_label(labels, scores)
    value = undefined(groups.reason.shape)
    for column, positives, negatives in groups:
        value[column] = half_pairs(positives, negatives) / (2 * positives.size * negatives.size)
    return _values(value, groups)


def average_precision(labels: Numbers, scores: Numbers) -> Values:
    """Area under the precision-recall curve as average precision: Σ_t (recall_t − recall_{t−1}) ·
    precision_t, t over distinct scores.

    No interpolation, as in scikit-learn's average_precision_score. A useless model gets the prevalence, not
    ½.
    Arguments and reasons as in `auc`; range (0, 1].
    """
    groups = split_by_label(labels, scores)
    value = undefined(groups.reason.shape)
    for column, positives, negatives in groups:
        positives.sort()
        _, below, _ = placements(positives, negatives)
        true_calls = positives.size - _tie_starts(positives)
        false_calls = negatives.size - below
        value[column] = np.mean(true_calls / (true_calls + false_calls))
    return _values(value, groups)


def youden(labels: Numbers, scores: Numbers) -> Youden:
    """The threshold that maximises Youden's J = TPR − FPR under the rule score >= threshold (Youden 1950;
    protocol §5.7).

    Of several thresholds with exactly the same J the highest is taken: the one with the fewest positive
    calls. Where no threshold has J > 0 (a fully inverted or constant model) there is no finite optimum: NaN
    and a reason.
    Arguments as in `auc`.
    """
    groups = split_by_label(labels, scores)
    shape = groups.reason.shape
    threshold, sensitivity, specificity, j = (undefined(shape) for _ in range(4))
    reason = groups.reason.copy()
    for column, positives, negatives in groups:
        positives.sort()
        _, below, _ = placements(positives, negatives)
        first = _tie_starts(positives)
        # in units of 1 / (n_pos n_neg), so that equal J are equal integers
        gain = negatives.size * (positives.size - first) - positives.size * (
            negatives.size - below.astype(np.int64)
        )
        best = gain.size - 1 - int(np.argmax(gain[::-1]))
        if gain[best] <= 0:
            reason[column] = NOT_BETTER
            continue
        threshold[column] = positives[best]
        sensitivity[column] = (positives.size - first[best]) / positives.size
        specificity[column] = below[best] / negatives.size
        j[column] = int(gain[best]) / (positives.size * negatives.size)
    n_images = groups.n_pos + groups.n_neg
    point = Youden(threshold, sensitivity, specificity, j, n_images, groups.n_pos, reason)
    return reshaped(point, groups.shape)


def _tie_starts(ascending: Scores) -> IntArray:
    """For each element the position of the first one equal to it."""
    positions = np.arange(ascending.size)
    positions[1:][ascending[1:] == ascending[:-1]] = 0
    return np.maximum.accumulate(positions)


def _values(value: FloatArray, groups: Groups) -> Values:
    return reshaped(Values(value, groups.n_pos + groups.n_neg, groups.n_pos, groups.reason), groups.shape)

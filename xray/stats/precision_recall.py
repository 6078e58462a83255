"""Area under the precision-recall curve with an interval.

A sample's average precision is a smooth function of the weights of its images. The derivative by an image's weight (its
influence) says how far that image moved the value; the sum of their squares estimates the variance, as a bootstrap over
images would (Efron 1982, infinitesimal jackknife). Prevalence is drawn with the images, so its chance is part of it.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri

from xray.stats.estimates import (
    DEFINED,
    FEW_PATIENTS,
    FEW_POSITIVES,
    Estimates,
    FloatArray,
    Numbers,
    check_level,
    codes_of,
    reshaped,
    undefined,
)
from xray.stats.intervals import wilson
from xray.stats.placements import Scores, as_columns, as_table
from xray.stats.roc import average_precision

_FEW = 10


def average_precision_interval(
    labels: Numbers, scores: Numbers, patients: NDArray[np.generic] | None = None, level: float = 0.95
) -> Estimates:
    """Average precision with an interval on the logit scale, column by column.

    expit(logit(AP) ± z · se / (AP (1 − AP))), se² the sum of squares of the images' influences, or of the patients' sums of
    them. Where n · min(AP, 1 − AP) < 10, n the positives (patients with positives), that variance is too uncertain: there
    the interval reaches as far as that of a proportion of n, if that is wider (benchmarks/coverage.py): Wilson's, or below
    ½ the logit interval of Boyd, Eng and Page (2013), which near 1 is far too wide. So AP = 1 has an interval too; se is
    that of the influences throughout.

    labels, scores: as in `xray.stats.roc.auc`. patients: (n_images,), equal where the patient is; None: one image each.
    Reasons as in `auc`; with fewer than two positives, or patients with any, a value without interval.
    """
    check_level(level)
    precision = average_precision(labels, scores)
    label, score = as_columns(labels, scores)
    if patients is not None and np.shape(patients) != score.shape[:1]:
        raise ValueError(f"patients are {np.shape(patients)}; expected {score.shape[:1]}")
    table = as_table(score)
    label = np.broadcast_to(as_table(label), table.shape)
    value, reason = np.atleast_1d(precision.value), np.atleast_1d(precision.reason).copy()
    units, variance = np.atleast_1d(precision.n_pos).copy(), undefined(value.shape)
    reason[(reason == DEFINED) & (units < 2)] = FEW_POSITIVES
    for column in np.flatnonzero(reason == DEFINED):
        scored = ~np.isnan(label[:, column]) & ~np.isnan(table[:, column])
        influences, positive = (
            influence(label[scored, column], table[scored, column]),
            label[scored, column] == 1,
        )
        if patients is not None:
            code = codes_of(patients[scored])
            influences = np.bincount(code, influences).astype(np.float64)
            units[column] = np.count_nonzero(np.bincount(code[positive]))
        variance[column] = influences @ influences
    few_patients = (reason == DEFINED) & (units < 2)
    reason[few_patients], variance[few_patients] = FEW_PATIENTS, np.nan
    lower, upper = _bounds(value, variance, units, level)
    n, n_pos = np.atleast_1d(precision.n), np.atleast_1d(precision.n_pos)
    return reshaped(
        Estimates(value, lower, upper, np.sqrt(variance), n, n_pos, reason), precision.value.shape
    )


def influence(labels: Scores, scores: Scores) -> FloatArray:
    """How far each image moves average precision: its derivative by the image's weight, all weights one. (n_images,)

    With AP the mean over positives i of tp_i / (tp_i + fp_i), both counted from i's score upwards: a positive brings its
    own precision less AP, and raises that of every positive not above it by fp / (tp + fp)²; a negative lowers these by
    tp / (tp + fp)²; all divided by the positives. Sums to 0. labels: 1 or 0, both present; scores finite.
    """
    order = np.argsort(scores)
    ascending, positive = scores[order], labels[order] == 1
    starts = np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1]))
    sizes = np.diff(np.append(starts, scores.size))
    positives = np.add.reduceat(positive, starts, dtype=np.int64)
    n_called = (scores.size - starts).astype(np.float64)
    true = positives[::-1].cumsum()[::-1]
    n_pos = true[0]
    precision = true / n_called
    raised = np.cumsum(positives * (n_called - true) / n_called**2)
    lowered = np.cumsum(positives * true / n_called**2)
    of_positives = np.repeat(precision - positives @ precision / n_pos + raised, sizes)
    influences = np.empty(scores.size)
    influences[order] = np.where(positive, of_positives, -np.repeat(lowered, sizes)) / n_pos
    return influences


def _bounds(
    value: FloatArray, variance: FloatArray, units: NDArray[np.int64], level: float
) -> tuple[FloatArray, FloatArray]:
    defined, smooth = ~np.isnan(variance), variance > 0
    inside = np.where(smooth & (value < 1), value, 0.5)
    half = ndtri(0.5 + level / 2) * np.sqrt(np.where(smooth, variance, 0)) / (inside * (1 - inside))
    smooth &= value < 1
    lower = np.where(smooth, expit(logit(inside) - half), np.where(defined, value, np.nan))
    upper = np.where(smooth, expit(logit(inside) + half), np.where(defined, value, np.nan))
    is_few = defined & (np.minimum(value, 1 - value) * units < _FEW)
    below, above = wilson(np.where(is_few, value * units, 0), np.maximum(units, 1), level)
    low = is_few & (value < 0.5)
    share = np.where(low, value, 0.5)
    half = ndtri(0.5 + level / 2) / np.sqrt(np.maximum(units, 1) * share * (1 - share))
    below = np.where(low, expit(logit(share) - half), below)
    above = np.where(low, expit(logit(share) + half), above)
    return np.where(is_few, np.minimum(lower, below), lower), np.where(
        is_few, np.maximum(upper, above), upper
    )

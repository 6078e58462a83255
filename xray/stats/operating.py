"""What a model does at one threshold, and the calibration that puts every model's threshold at one half."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xray.stats.estimates import NO_THRESHOLD, Estimates, FloatArray, IntArray, Numbers, check_level
from xray.stats.intervals import proportion
from xray.stats.placements import as_columns


@dataclass(frozen=True)
class OperatingPoint:
    """Counts at a threshold and the five proportions they give. All arrays have the shape of a row of the
    scores.

    Of each proportion, n is the denominator (such as all positives), n_pos the numerator (such as those
    found).
    """

    true_positives: IntArray
    false_positives: IntArray
    true_negatives: IntArray
    false_negatives: IntArray
    sensitivity: Estimates
    specificity: Estimates
    ppv: Estimates
    npv: Estimates
    accuracy: Estimates


def operating_point(
    labels: Numbers, scores: Numbers, threshold: ArrayLike, level: float = 0.95
) -> OperatingPoint:
    """Sensitivity, specificity, predictive values and accuracy under the rule score >= threshold, with
    Wilson's intervals.

    labels: (n_images,) or (n_images, n_columns), 1/0/NaN. scores: (n_images,) or (n_images, n_columns), NaN =
    none.
    threshold: one, or one per column, in the unit of the scores; where it is NaN all is NaN with reason "no
    threshold" and the counts are 0. A proportion without cases is NaN with reason "no case to count".
    """
    check_level(level)
    label, score = as_columns(labels, scores)
    if not ((label == 1) | (label == 0) | np.isnan(label)).all():
        raise ValueError("labels must be 1, 0 or NaN")
    if label.ndim < score.ndim:
        label = label[:, None]
    cut = np.broadcast_to(np.asarray(threshold, dtype=np.float64), score.shape[1:])
    is_called, not_called = score >= cut, score < cut
    tp, fp, tn, fn = (
        np.asarray(np.sum(cell, axis=0, dtype=np.int64))
        for cell in (
            (label == 1) & is_called,
            (label == 0) & is_called,
            (label == 0) & not_called,
            (label == 1) & not_called,
        )
    )

    def share(part: IntArray, rest: IntArray) -> Estimates:
        estimates = proportion(part, part + rest, level)
        estimates.reason[np.isnan(cut)] = NO_THRESHOLD
        return estimates

    return OperatingPoint(
        tp, fp, tn, fn, share(tp, fn), share(tn, fp), share(tp, fp), share(tn, fn), share(tp + tn, fp + fn)
    )


def calibrate(probabilities: ArrayLike, optimum: ArrayLike) -> FloatArray:
    """Stretch probabilities so that the optimal threshold lies at ½ (Cohen et al. 2020, Eq. 1).

    f(x) = x / (2 opt) for x ≤ opt, else 1 − (1 − x) / (2 (1 − opt)). Continuous and increasing, [0, 1] → [0,
    1].
    probabilities: any shape, in [0, 1] or NaN. optimum: broadcasts against them, in [0, 1], on the same scale
    (the sigmoid of a threshold of logits); NaN gives NaN.
    """
    x, opt = np.broadcast_arrays(np.asarray(probabilities, np.float64), np.asarray(optimum, np.float64))
    for name, values in (("probabilities", x), ("optimum", opt)):
        if ((values < 0) | (values > 1)).any():
            raise ValueError(f"{name} must lie in [0, 1]; logits go through the sigmoid first")
    below = 0.5 * np.divide(np.minimum(x, opt), opt, out=np.ones_like(x), where=opt > 0)
    above = 1 - 0.5 * np.divide(1 - np.maximum(x, opt), 1 - opt, out=np.ones_like(x), where=opt < 1)
    stretched = np.where(x <= opt, below, above)
    return np.where(np.isnan(x) | np.isnan(opt), np.nan, stretched)

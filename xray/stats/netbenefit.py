"""Is acting on the model's calls worth it? Net benefit at a threshold probability (Vickers and Elkin
2006).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from xray.stats.estimates import (
    DEFINED,
    NO_DATA,
    REASON_TYPE,
    Estimates,
    FloatArray,
    Numbers,
    check_level,
    reshaped,
    undefined,
)
from xray.stats.placements import as_columns, as_table


@dataclass(frozen=True)
class NetBenefit:
    """Decision curves. thresholds: (k,). model: estimates (k, ...); treat_all: (k, ...). Treating none has
    benefit 0.
    """

    thresholds: FloatArray
    model: Estimates
    treat_all: FloatArray


def net_benefit(
    labels: Numbers, probabilities: Numbers, thresholds: ArrayLike, level: float = 0.95
) -> NetBenefit:
    """Net benefit TP/n − FP/n · t/(1 − t) of acting where probability >= t, in true positives per image.

    labels: (n_images,) or (n_images, n_columns), 1/0/NaN. probabilities: of that shape, in [0, 1] or NaN.
    thresholds: (k,), in (0, 1). Normal interval, from the variance of an image's contribution. At most the
    prevalence.
    """
    check_level(level)
    label, probability = as_columns(labels, probabilities)
    cuts = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    if ((cuts <= 0) | (cuts >= 1)).any() or ((probability < 0) | (probability > 1)).any():
        raise ValueError("thresholds must lie in (0, 1) and probabilities in [0, 1]")
    if not ((label == 1) | (label == 0) | np.isnan(label)).all():
        raise ValueError("labels must be 1, 0 or NaN")
    shape = (cuts.size, *probability.shape[1:])
    table = as_table(probability)
    truth = np.broadcast_to(as_table(label), table.shape)
    kept = ~np.isnan(truth) & ~np.isnan(table)
    n, n_pos = kept.sum(axis=0), (kept & (truth == 1)).sum(axis=0)
    value, variance, everyone = undefined((3, cuts.size, table.shape[1]))
    safe = np.maximum(n, 1)
    for row, cut in enumerate(cuts):
        odds = cut / (1 - cut)
        hits = (kept & (truth == 1) & (table >= cut)).sum(axis=0) / safe
        alarms = (kept & (truth == 0) & (table >= cut)).sum(axis=0) / safe
        value[row] = np.where(n > 0, hits - odds * alarms, np.nan)
        variance[row] = (hits + odds**2 * alarms - value[row] ** 2) / safe
        everyone[row] = np.where(n > 0, (n_pos - odds * (n - n_pos)) / safe, np.nan)
    se = np.sqrt(np.maximum(variance, 0))
    half = ndtri(0.5 + level / 2) * se
    reason = np.broadcast_to(np.where(n > 0, DEFINED, NO_DATA), value.shape).astype(REASON_TYPE)
    images, positives = (np.broadcast_to(count, value.shape).astype(np.int64) for count in (n, n_pos))
    model = Estimates(value, value - half, value + half, se, images, positives, reason)
    return NetBenefit(cuts, reshaped(model, shape), everyone.reshape(shape))

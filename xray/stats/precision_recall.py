"""Area under the precision-recall curve with an interval."""

import numpy as np
from scipy.special import expit, logit, ndtri

from xray.stats.estimates import (
    DEFINED,
    FEW_POSITIVES,
    NO_VARIANCE,
    Estimates,
    Numbers,
    check_level,
    undefined,
)
from xray.stats.roc import average_precision


def average_precision_interval(labels: Numbers, scores: Numbers, level: float = 0.95) -> Estimates:
    """Average precision with the logit interval of Boyd, Eng and Page (ECML PKDD 2013), column by column.

    expit(logit(AP) ± z / √(n_pos AP (1 − AP))): AP is taken as a proportion of the positives. se is that on the scale of AP,
    √(AP (1 − AP) / n_pos). Arguments and reasons as in `xray.stats.roc.auc`; with fewer than two positives, and at AP = 1,
    a value without interval.
    """
    check_level(level)
    found = average_precision(labels, scores)
    value, n_pos = found.value, np.maximum(found.n_pos, 1)
    inside = (found.n_pos >= 2) & (value < 1)
    safe = np.where(inside, value, 0.5)
    half = ndtri(0.5 + level / 2) / np.sqrt(n_pos * safe * (1 - safe))
    lower, upper = (
        np.where(inside, bound, np.nan) for bound in (expit(logit(safe) - half), expit(logit(safe) + half))
    )
    se = np.where(inside, np.sqrt(safe * (1 - safe) / n_pos), undefined(value.shape))
    unsure = np.where(found.n_pos < 2, FEW_POSITIVES, np.where(inside, DEFINED, NO_VARIANCE))
    reason = np.where(found.reason != DEFINED, found.reason, unsure).astype(found.reason.dtype)
    return Estimates(value, lower, upper, se, found.n, found.n_pos, reason)

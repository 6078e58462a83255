"""Partial AUC: how well a model ranks where few negatives are called, on McClish's scale, with an interval by influences."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, stdtrit

from xray.stats.estimates import (
    DEFINED,
    FEW_NEGATIVES,
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
from xray.stats.placements import as_columns, as_table, placements
from xray.stats.roc import auc

FEW: Final = 5
"""So many units on either side, below which the variance of influences is too uncertain alone."""


def partial_auc(
    labels: Numbers,
    scores: Numbers,
    most: float = 0.1,
    units: NDArray[np.integer] | None = None,
    level: float = 0.95,
) -> Estimates:
    """Area under the ROC curve up to a false positive rate of `most`, standardised: 0.5 is guessing, 1 perfect.

    With A the area over [0, t] it is (1 + (A − t²/2) / (t − t²/2)) / 2 (McClish 1989), as scikit-learn's `max_fpr`. A is
    the mean over positives of the part of [0, t] in which the positive is called; where a positive ties with negatives the
    curve is straight. Variance: of the influences of positives and negatives, which are independent, summed over each unit
    (a patient) where `units` are given; the interval is of Wald's form on the logit of A / t, the share of positives called
    over [0, t], with Student's t of the rarer class's units; with few on either side it is widened to
    Wilson's. labels, scores: (n_images,) or (n_images, n_columns); units: (n_images,).
    Raises ValueError for `most` outside (0, 1].
    """
    check_level(level)
    if not 0 < most <= 1:
        raise ValueError(f"most is {most}; expected a false positive rate above 0 and up to 1")
    full = auc(labels, scores)
    label, score = as_columns(labels, scores)
    table = as_table(score)
    label = np.broadcast_to(as_table(label), table.shape)
    shape = (table.shape[1],)
    value, se, reason = undefined(shape), undefined(shape), np.atleast_1d(full.reason).copy()
    lower, upper = undefined(shape), undefined(shape)
    for column in np.flatnonzero(reason == DEFINED):
        y, s = label[:, column].astype(np.float64), table[:, column].astype(np.float64)
        scored = ~np.isnan(y) & ~np.isnan(s)
        y, s = y[scored], s[scored]
        area, influences = _area(y, s, most)
        scale = 2 * (most - most**2 / 2)
        value[column] = 0.5 + (area - most**2 / 2) / scale
        unit = np.arange(y.size) if units is None else codes_of(np.asarray(units)[scored])
        counts = [int(np.count_nonzero(np.bincount(unit[y == kind]))) for kind in (1, 0)]
        if min(counts) < 2:
            reason[column] = FEW_POSITIVES if counts[0] < 2 else FEW_NEGATIVES
            continue
        summed = np.bincount(unit, influences)
        fewest = min(counts)
        error = float(np.sqrt(summed @ summed * fewest / (fewest - 1)))
        bounds = np.array(_bounds(min(area / most, 1.0), error / most, fewest, level)) * most
        se[column] = error / scale
        lower[column], upper[column] = 0.5 + (bounds - most**2 / 2) / scale
    n, n_pos = np.atleast_1d(full.n), np.atleast_1d(full.n_pos)
    return reshaped(Estimates(value, lower, upper, se, n, n_pos, reason), full.value.shape)


def _area(y: FloatArray, s: FloatArray, most: float) -> tuple[float, FloatArray]:
    """The area over [0, most], and how far each image moves it (divided by the number of its class; sums to 0)."""
    is_positive, scores = y == 1, s[y == 0]
    positive, n_neg = s[is_positive], scores.size
    order = np.argsort(positive)
    ranked = positive[order]
    twice, below, upto = placements(ranked, scores)
    above, at_least = (n_neg - upto) / n_neg, (n_neg - below) / n_neg
    width = at_least - above
    inside = np.clip(most - above, 0, None)
    ramp = np.divide(inside**2, 2 * width, out=np.zeros_like(width), where=width > 0)
    part = np.where(most >= at_least, most - (above + at_least) / 2, ramp)
    area = float(part.mean())
    influences, of_positives = np.empty(y.size), np.empty(positive.size)
    of_positives[order] = (part - area) / positive.size
    influences[is_positive] = of_positives
    # a negative that scores higher than a positive, or as high, takes that from it while the rate is below `most`
    full = most >= at_least
    share = np.divide(inside, width, out=np.zeros_like(width), where=width > 0)
    by_above = np.where(full, 0.5, np.where(width > 0, share - share**2 / 2, (inside > 0).astype(float)))
    by_tie = np.where(full, 0.5, share**2 / 2)
    tie_losses = np.concatenate([[0.0], np.cumsum(by_tie)])
    above_losses = np.concatenate([[0.0], np.cumsum(by_above)])
    if (below < upto).any():  # a tie, which a negative's place does not tell from one positive more below it
        lower, higher = (np.searchsorted(ranked, scores, side=side) for side in ("left", "right"))
        losses = tie_losses[higher] + above_losses[lower]
    else:
        losses = (tie_losses + above_losses)[twice // 2]
    losses = losses / positive.size
    influences[~is_positive] = -(losses - losses.mean()) / n_neg
    return area, influences


def _bounds(share: float, se: float, units: int, level: float) -> tuple[float, float]:
    """Interval of a mean of numbers in [0, 1]; with few on either side not narrower than Wilson's of a proportion."""
    lower, upper = share, share
    if 0 < share < 1 and se > 0:
        half = float(stdtrit(units - 1, 0.5 + level / 2)) * se / (share * (1 - share))
        lower, upper = float(expit(logit(share) - half)), float(expit(logit(share) + half))
    if min(share, 1 - share) * units < FEW:
        below, above = wilson(share * units, units, level)
        lower, upper = min(lower, float(below)), max(upper, float(above))
    return lower, upper

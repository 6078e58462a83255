"""A threshold chosen on images, and what it will do on others: accounting for its choice on the very images that it is
judged by.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from xray.stats.chosen_bounds import MEASURES, effective, quantile_bounds, shares_at
from xray.stats.chosen_draws import GOALS, Goal, calls, place_of, resamples
from xray.stats.estimates import FloatArray

__all__ = ["GOALS", "MEASURES", "Choice", "Goal", "choose", "choose_each"]

REPLICATES: Final = 1000
QUANTILES: Final[tuple[Goal, ...]] = ("sensitivity", "specificity", "positive rate")
"""Goals whose threshold is a quantile of scores: of positives, of negatives, of all."""


@dataclass(frozen=True)
class Choice:
    """A chosen threshold and its measures, in the order of `MEASURES`.

    threshold: call an image positive where score >= it; NaN where `reason` says why. lower, upper: 95 % bounds of the
    threshold that very many such patients would give. apparent: on the images that it was chosen on. value, value_lower,
    value_upper: what this threshold does on further images of the hospital, with 95 % bounds. replicates: draws of patients
    in which the goal could be reached.
    """

    threshold: float
    lower: float
    upper: float
    apparent: FloatArray
    value: FloatArray
    value_lower: FloatArray
    value_upper: FloatArray
    n: int
    n_pos: int
    replicates: int
    reason: str


@dataclass(frozen=True)
class _Images:
    """Images in falling order of scores, (n_images,) each. last: of its score."""

    label: NDArray[np.bool_]
    score: FloatArray
    patients: NDArray[np.int64]
    last: NDArray[np.bool_]
    tp: FloatArray
    fp: FloatArray


def choose(
    labels: NDArray[np.floating],
    scores: NDArray[np.floating],
    patients: NDArray[np.integer],
    goal: Goal,
    target: float = 0.0,
    prevalence: float | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Choice:
    """Choose a threshold for a goal, and bound what it will do on further images.

    labels 1/0/NaN, scores, patients (codes): (n_images,). sensitivity: the highest threshold that reaches `target`;
    specificity and ppv: the lowest that does; positive rate: the lowest that calls at most `target` of the images; youden:
    the highest sum of sensitivity and specificity. prevalence: of the hospital where it is to be used, for ppv, npv and
    positive rate; that of the images where it is None.

    Measures: `shares_at`; Youden's less the optimism of choosing, which is the mean over draws of patients of what each
    draw's own threshold seems to do there less what it does on the images (Efron 1983). The threshold's own bounds are those
    of a quantile (`quantile_bounds`) where it is one, else from the choices over draws, as far apart as few patients
    of the smaller class make them (Hesterberg, The American Statistician 69, 2015).
    """
    return choose_each(labels, scores, patients, [(goal, target)], prevalence, replicates, seed)[0]


def choose_each(
    labels: NDArray[np.floating],
    scores: NDArray[np.floating],
    patients: NDArray[np.integer],
    requests: Sequence[tuple[Goal, float]],
    prevalence: float | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> list[Choice]:
    """As `choose`, for several goals (goal, target) by the same draws."""
    scored = ~np.isnan(labels) & ~np.isnan(scores)
    label, score = labels[scored] == 1, np.asarray(scores[scored], dtype=np.float64)
    n, n_pos = int(scored.sum()), int(label.sum())
    if n_pos in (0, n):
        return [_nothing(n, n_pos, "one class") for _ in requests]
    order = np.argsort(-score, kind="stable")
    label, score = label[order], score[order]
    _, code = np.unique(patients[scored][order], return_inverse=True)
    tp, fp = calls(label, np.ones(int(code.max()) + 1), code)
    images = _Images(label, score, code, np.append(score[1:] != score[:-1], True), tp, fp)
    goals = np.array([GOALS.index(goal) for goal, _ in requests])
    targets = np.array([share for _, share in requests], dtype=np.float64)
    share = np.nan if prevalence is None else prevalence
    positions, counts = resamples(
        label, images.last, code, goals, targets, share, replicates, np.uint64(seed)
    )
    return [
        _choice(images, *request, prevalence, positions[g], counts[g]) for g, request in enumerate(requests)
    ]


def _choice(
    images: _Images,
    goal: Goal,
    target: float,
    prevalence: float | None,
    positions: NDArray[np.int64],
    counts: FloatArray,
) -> Choice:
    """The choice for one goal. positions, counts: of its draws, from `drawn`."""
    label, score, code = images.label, images.score, images.patients
    n, n_pos = len(label), int(label.sum())
    share = n_pos / n if prevalence is None else prevalence
    position = place_of(GOALS.index(goal), target, share, images.tp, images.fp, images.last)
    if position < 0:
        return _nothing(n, n_pos, "out of reach on these images")
    reached = positions >= 0
    counts_here = np.array([images.tp[position], images.fp[position], n_pos, n - n_pos])
    choice = replace(
        _nothing(n, n_pos, ""),
        threshold=float(score[position]),
        apparent=_measures(counts_here, prevalence),
        replicates=int(reached.sum()),
    )
    if choice.replicates < len(positions) / 2:
        return replace(choice, reason="the goal is out of reach in most draws of patients")
    drawn_places, apparent = positions[reached], _measures(counts[reached], prevalence)
    if goal in QUANTILES and (prevalence is None or goal != "positive rate"):
        lower, upper = _quantile(images, goal, target)
    else:
        units = min(len(np.unique(code[of])) for of in (label, ~label))
        lower, upper = _over_draws(choice.threshold, score[drawn_places], units, goal)
        lower, upper = _outward(images, lower, upper)
    optimism = None
    if goal == "youden":
        class_sizes = np.broadcast_to([n_pos, n - n_pos], (len(drawn_places), 2))
        actual = np.column_stack([images.tp[drawn_places], images.fp[drawn_places], class_sizes])
        optimism = np.nan_to_num(np.nanmean(apparent - _measures(actual, prevalence), axis=0))
    value, value_lower, value_upper = shares_at(
        label, score >= choice.threshold, code, _edge(images, choice.threshold), optimism, prevalence
    )
    return replace(
        choice,
        lower=float(lower),
        upper=float(upper),
        value=value,
        value_lower=value_lower,
        value_upper=value_upper,
    )


def _edge(images: _Images, threshold: float) -> int:
    """1 or −1 where the threshold is the score of positive or negative images of one patient, else 0."""
    at = images.score == threshold
    single = len(np.unique(images.patients[at])) == 1 and len(np.unique(images.label[at])) == 1
    return (1 if images.label[at][0] else -1) if single else 0


def _quantile(images: _Images, goal: Goal, target: float) -> tuple[float, float]:
    """95 % bounds of a threshold that is a quantile of the scores of positives, of negatives (from below) or of all."""
    every = np.ones(len(images.label), dtype=np.bool_)
    among = {"sensitivity": images.label, "specificity": ~images.label}.get(goal, every)
    sign = -1 if goal == "specificity" else 1
    positive_calls = sign * images.score >= np.quantile(
        sign * images.score[among], 1 - target, method="inverted_cdf"
    )
    _, number = effective(among[:, None], (among & positive_calls)[:, None], images.patients)
    scores = np.sort(sign * images.score[among])[::-1]
    reach = (float((sign * images.score).min()), float((sign * images.score).max()))
    bounds = quantile_bounds(scores, target, float(number[0]), reach)
    lower, upper = (-bounds[1], -bounds[0]) if sign < 0 else bounds
    if goal == "sensitivity" or len(np.unique(scores)) == len(scores):
        return lower, upper
    cuts = images.score[images.last][
        ::-1
    ]  # where images share scores, the lowest that serves is the next above
    above = np.minimum(np.searchsorted(cuts, [lower, upper], "right"), len(cuts) - 1)
    return float(cuts[above[0]]), float(cuts[above[1]])


def _over_draws(threshold: float, thresholds: FloatArray, units: int, goal: Goal) -> tuple[float, float]:
    """95 % bounds of a threshold from those of draws, (n_draws,), expanded for few units of the smaller class.

    Percentiles (Hesterberg 2015); of Youden's the normal interval, of which a bootstrap has the spread but not the place
    (Abrevaya and Huang, Econometrica 73, 2005): its middle is between the threshold and the mean of the draws.
    """
    wide = stdtrit(units - 1, 0.975) * (units / (units - 1)) ** 0.5 if units > 1 else ndtri(0.975)
    if goal == "youden":
        middle, half = (threshold + thresholds.mean()) / 2, wide * thresholds.std()
        return float(middle - half), float(middle + half)
    lower, upper = np.quantile(thresholds, [ndtr(-wide), ndtr(wide)], method="inverted_cdf")
    return float(lower), float(upper)


def _outward(images: _Images, lower: float, upper: float) -> tuple[float, float]:
    """The bounds, moved apart to scores that there are where images share scores: no other threshold is another choice."""
    cuts = images.score[images.last][::-1]
    if len(cuts) == len(images.score):
        return lower, upper
    below = max(int(np.searchsorted(cuts, lower, "right")) - 1, 0)
    above = min(int(np.searchsorted(cuts, upper, "left")), len(cuts) - 1)
    return float(cuts[below]), float(cuts[above])


def _nothing(n: int, n_pos: int, reason: str) -> Choice:
    """No threshold, for a reason."""
    empty = np.full(len(MEASURES), np.nan)
    return Choice(np.nan, np.nan, np.nan, empty, empty, empty, empty, n, n_pos, 0, reason)


def _measures(counts: FloatArray, prevalence: float | None) -> FloatArray:
    """`MEASURES`, (..., n_measures), of counts (..., 4): positives and negatives called, and all positives and negatives."""
    tp, fp, n_pos, n_neg = np.moveaxis(counts, -1, 0)
    share = n_pos / (n_pos + n_neg) if prevalence is None else prevalence
    hit, false = share * tp / n_pos, (1 - share) * fp / n_neg
    miss, true = share - hit, 1 - share - false
    with np.errstate(invalid="ignore"):
        return np.stack(
            [tp / n_pos, 1 - fp / n_neg, hit / (hit + false), true / (true + miss), hit + false], axis=-1
        )

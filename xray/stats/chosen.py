"""A threshold chosen on images, and what it will do on others: honest about being chosen on the very images that it is
judged by.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, expit, logit, ndtr, ndtri, stdtrit

from xray.stats.estimates import FloatArray
from xray.stats.shares import share_by_patient

Goal = Literal["sensitivity", "specificity", "ppv", "positive rate", "youden"]
GOALS: Final[tuple[Goal, ...]] = ("sensitivity", "specificity", "ppv", "positive rate", "youden")
MEASURES: Final = ("sensitivity", "specificity", "ppv", "npv", "positive rate")
REPLICATES: Final = 1000
_BLOCK: Final = 2_000_000
"""Cells of replicates times images that are worked on at once."""


@dataclass(frozen=True)
class Choice:
    """A chosen threshold and its measures, in the order of `MEASURES`.

    threshold: call an image positive where score >= it; NaN where `reason` says why. lower, upper: 95 % percentile bounds of
    the choice over draws of patients. apparent: on the images that it was chosen on. value: less the optimism of choosing;
    value_lower, value_upper: 95 % bounds of what this threshold does on further images of the hospital. replicates: draws in
    which the goal could be reached.
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
class _Curve:
    """Counts at every distinct score, the highest first, (n_replicates, n_thresholds): calls of either class."""

    tp: FloatArray
    fp: FloatArray
    n_pos: FloatArray
    n_neg: FloatArray


def choose(
    labels: NDArray[np.floating],
    scores: NDArray[np.floating],
    patients: NDArray[np.integer],
    goal: Goal,
    wanted: float = 0.0,
    prevalence: float | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Choice:
    """Choose a threshold for a goal, and bound what it does by a bootstrap over patients of choosing and judging.

    labels 1/0/NaN, scores, patients (codes): (n_images,). sensitivity: the highest threshold that reaches `wanted`;
    specificity and ppv: the lowest that does; positive rate: the lowest that calls at most `wanted` of the images; youden:
    the highest sum of sensitivity and specificity. prevalence: of the hospital where it is to be used, for ppv, npv and
    positive rate; that of the images where it is None.

    A draw of patients chooses a threshold of its own, t*. What it seems to do in the draw less what it does on the images,
    d = logit θ*(t*) − logit θ(t*), is distributed as what the chosen threshold seems to do less what it will do: the mean of
    d is the optimism, and logit θ(t) − quantiles of d are the bounds (Efron 1983; the basic bootstrap of Davison and Hinkley
    1997, 5.2). Half a patient is added to each count, so that logits are finite. Percentiles are expanded for few patients
    of the smaller class (Hesterberg, The American Statistician 69, 2015).
    """
    known = ~np.isnan(labels) & ~np.isnan(scores)
    label, score = labels[known] == 1, np.asarray(scores[known], dtype=np.float64)
    n, n_pos = int(known.sum()), int(label.sum())
    nothing = _nothing(n, n_pos, "one class")
    if n_pos in (0, n):
        return nothing
    order = np.argsort(-score, kind="stable")
    label, score = label[order], score[order]
    ends = np.flatnonzero(np.append(score[1:] != score[:-1], True))
    own = _curve(label, np.ones((1, n)), ends)
    place = _choose(own, goal, wanted, prevalence)[0]
    if place < 0:
        return replace(nothing, reason="out of reach on these images")
    apparent = _measures(own, np.array([place]), prevalence, 0.0)[0]
    add = 0.5 * n / len(np.unique(patients[known]))
    smooth = logit(_measures(own, np.array([place]), prevalence, add)[0])
    places, gaps, misses = _drawn(
        label, ends, own, patients[known][order], goal, wanted, prevalence, add, replicates, seed
    )
    cuts = score[ends]
    chosen = replace(
        nothing, threshold=float(cuts[place]), apparent=apparent, replicates=len(places), reason=""
    )
    if len(places) < replicates / 2:
        return replace(chosen, reason="the goal is out of reach in most draws of patients")
    units = min(len(np.unique(patients[known][order][of])) for of in (label, ~label))
    below = _expanded(units)
    lower, upper = np.quantile(cuts[places], [below, 1 - below], method="inverted_cdf")
    upper_gap, lower_gap = np.quantile(gaps, [1 - below, below], axis=0)
    made = replace(
        chosen,
        lower=float(lower),
        upper=float(upper),
        value=expit(smooth - gaps.mean(axis=0)),
        value_lower=expit(smooth - upper_gap),
        value_upper=expit(smooth - lower_gap),
    )
    if goal not in ("sensitivity", "specificity"):
        return made
    called = score >= made.threshold
    right, whose = (called & label, label) if goal == "sensitivity" else (~called & ~label, ~label)
    made = _by_order(made, MEASURES.index(goal), whose, right, patients[known][order])
    return _npv_by_order(made, smooth, gaps, misses) if goal == "sensitivity" else made


def _npv_by_order(made: Choice, smooth: FloatArray, gaps: FloatArray, misses: FloatArray) -> Choice:
    """The choice with bounds of NPV from those of the sensitivity that it was chosen for, of which few misses decide.

    logit NPV = r − log(1 − sensitivity), where r is log of specificity and the odds of a negative. Positives and negatives
    of a draw are independent given its threshold, so both distances are added as squares (Zou, Donner, Stat Med 27, 2008):
    that of the first part is by order, that of r is 1.96 standard deviations over the draws. smooth: logits on these
    images; gaps: (n_draws, n_measures); misses: (n_draws,), the gaps of log(1 − sensitivity).
    """
    place = MEASURES.index("npv")
    rest = gaps[:, place] + misses
    r = smooth[place] - np.log1p(np.exp(smooth[0])) - rest.mean()
    missed = [float(np.log1p(-each[0])) for each in (made.value, made.value_lower, made.value_upper)]
    half = float(ndtri(0.975)) * rest.std()
    middle = r - missed[0]
    value, lower, upper = made.value.copy(), made.value_lower.copy(), made.value_upper.copy()
    value[place] = expit(middle)
    lower[place] = expit(middle - np.hypot(missed[1] - missed[0], half))
    upper[place] = expit(middle + np.hypot(missed[0] - missed[2], half))
    return replace(made, value=value, value_lower=lower, value_upper=upper)


def _expanded(units: int) -> float:
    """The share of draws below a 95 % percentile interval, expanded for few units of the smaller class (Hesterberg 2015)."""
    if units < 2:
        return 0.025
    return float(ndtr(stdtrit(units - 1, 0.025) * (units / (units - 1)) ** 0.5))


def _by_order(
    made: Choice,
    measure: int,
    among: NDArray[np.bool_],
    right: NDArray[np.bool_],
    patients: NDArray[np.integer],
) -> Choice:
    """The choice with exact bounds of the share that it was chosen for, which few images make too coarse for a bootstrap.

    A threshold that is the k-th highest of n positives leaves above it a share of the hospital's positives that is
    Beta(k, n − k + 1), whatever the scores (Wilks 1941); of negatives below one that lies between two of them, about
    Beta(k + ½, n − k + ½). Where patients have several images, n is the effective number (`share_by_patient`).
    """
    share = share_by_patient(among, right, patients)
    k, n = float(share.n_pos), float(share.n)
    spread = float(share.value * (1 - share.value))
    patients_of = len(np.unique(patients[among]))
    effective = min(n, spread / float(share.se) ** 2 + 1) if spread > 0 else float(patients_of)
    k, n = k * effective / n, effective
    a, b = (k, n - k + 1) if MEASURES[measure] == "sensitivity" else (k + 0.5, n - k + 0.5)
    value, lower, upper = made.value.copy(), made.value_lower.copy(), made.value_upper.copy()
    value[measure], lower[measure], upper[measure] = (
        a / (a + b),
        betaincinv(a, b, 0.025),
        betaincinv(a, b, 0.975),
    )
    return replace(made, value=value, value_lower=lower, value_upper=upper)


def _nothing(n: int, n_pos: int, reason: str) -> Choice:
    """No threshold, for a reason."""
    empty = np.full(len(MEASURES), np.nan)
    return Choice(np.nan, np.nan, np.nan, empty, empty, empty, empty, n, n_pos, 0, reason)


def _drawn(
    label: NDArray[np.bool_],
    ends: NDArray[np.int64],
    own: _Curve,
    patients: NDArray[np.integer],
    goal: Goal,
    wanted: float,
    prevalence: float | None,
    add: float,
    replicates: int,
    seed: int,
) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
    """Of each draw that reaches the goal: the place of its threshold, its gaps d, (n_draws, n_measures), and the gap of
    log(1 − sensitivity)."""
    random = np.random.default_rng(seed)
    _, code = np.unique(patients, return_inverse=True)
    m = int(code.max()) + 1
    at_once = max(1, _BLOCK // len(label))
    places, gaps, misses = [], [], []
    for start in range(0, replicates, at_once):
        size = min(at_once, replicates - start)
        weights = random.multinomial(m, np.full(m, 1 / m), size=size)[:, code].astype(np.float64)
        curve = _curve(label, weights, ends)
        place = _choose(curve, goal, wanted, prevalence)
        reached = np.flatnonzero((place >= 0) & (curve.n_pos > 0) & (curve.n_neg > 0))
        drawn = _Curve(curve.tp[reached], curve.fp[reached], curve.n_pos[reached], curve.n_neg[reached])
        seems = logit(_measures(drawn, place[reached], prevalence, add))
        does = logit(_measures(own, place[reached], prevalence, add))
        places.append(place[reached])
        gaps.append(seems - does)
        misses.append(np.log1p(np.exp(does[:, 0])) - np.log1p(np.exp(seems[:, 0])))
    return np.concatenate(places), np.concatenate(gaps), np.concatenate(misses)


def _curve(label: NDArray[np.bool_], weights: FloatArray, ends: NDArray[np.int64]) -> _Curve:
    """Counts under weights (n_replicates, n_images) of images in falling order of their scores."""
    tp, fp = (np.cumsum(weights * of_class, axis=1) for of_class in (label, ~label))
    return _Curve(tp[:, ends], fp[:, ends], tp[:, -1], fp[:, -1])


def _choose(curve: _Curve, goal: Goal, wanted: float, prevalence: float | None) -> NDArray[np.int64]:
    """The place of the threshold of each replicate, (n_replicates,); -1 where the goal is out of reach."""
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity, called = curve.tp / curve.n_pos[:, None], curve.fp / curve.n_neg[:, None]
    last = sensitivity.shape[1] - 1
    if goal == "youden":
        gain = np.nan_to_num(sensitivity - called, nan=-1.0)
        best = gain.argmax(axis=1)
        return np.where(gain[np.arange(len(gain)), best] > 0, best, -1)
    share = _prevalence(curve, prevalence)[:, None]
    true_rate, false_rate = share * sensitivity, (1 - share) * called
    slack = 1e-12
    if goal == "sensitivity":
        holds = sensitivity >= wanted - slack
        return np.where(holds.any(axis=1), holds.argmax(axis=1), -1)
    if goal == "specificity":
        holds = 1 - called >= wanted - slack
    elif goal == "ppv":
        holds = true_rate >= (wanted - slack) * (true_rate + false_rate)
        holds &= true_rate > 0
    else:
        holds = true_rate + false_rate <= wanted + slack
    return np.where(holds.any(axis=1), last - holds[:, ::-1].argmax(axis=1), -1)


def _prevalence(curve: _Curve, prevalence: float | None) -> FloatArray:
    if prevalence is None:
        return curve.n_pos / (curve.n_pos + curve.n_neg)
    return np.full(curve.n_pos.shape, prevalence)


def _measures(curve: _Curve, place: NDArray[np.int64], prevalence: float | None, add: float) -> FloatArray:
    """`MEASURES` at the place of each replicate, (n_places, n_measures); `add` images to each cell of the two by two."""
    row = (
        np.arange(len(place)) if len(curve.n_pos) > 1 or len(place) == 1 else np.zeros(len(place), dtype=int)
    )
    tp, fp, n_pos, n_neg = curve.tp[row, place], curve.fp[row, place], curve.n_pos[row], curve.n_neg[row]
    share = _prevalence(curve, prevalence)[row]
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity, called = (tp + add) / (n_pos + 2 * add), (fp + add) / (n_neg + 2 * add)
        hit, miss = share * sensitivity, share * (1 - sensitivity)
        false, true = (1 - share) * called, (1 - share) * (1 - called)
        return np.stack(
            [sensitivity, 1 - called, hit / (hit + false), true / (true + miss), hit + false], axis=1
        )

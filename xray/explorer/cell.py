"""One cell in numbers: a model's scores of a finding on a dataset's images, at every threshold that matters."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xray.stats.delong import auc_interval

STEPS: Final = 200
"""Places of the threshold's slider."""
BINS: Final = 32


@dataclass(frozen=True)
class Curve:
    """What is called positive at each threshold, where score >= threshold; from the highest threshold, which calls nothing.

    threshold: logits (n,), falling, the first +inf; each the shortest number that calls the same images. tp, fp: images that
    are called positive there and are, or are not.
    """

    threshold: NDArray[np.float64]
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    n_pos: int
    n_neg: int

    def at(self, threshold: float) -> int:
        """The place of the lowest threshold of the curve that is not below this one, by what is called."""
        return int(np.searchsorted(-self.threshold, -threshold, side="right")) - 1


@dataclass(frozen=True)
class Histogram:
    """Shares of the positives and of the negatives per bin; edges (BINS + 1,) are logits."""

    edges: NDArray[np.float64]
    positives: NDArray[np.float64]
    negatives: NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """Everything that the page of a cell draws; auc, lower and upper are NaN where there is no such thing, and why."""

    curve: Curve
    histogram: Histogram
    auc: float
    lower: float
    upper: float
    reason: str

    @property
    def n(self) -> int:
        """Images that have a score and a label."""
        return self.curve.n_pos + self.curve.n_neg


def measure(logits: NDArray[np.float32], labels: NDArray[np.int16]) -> Cell:
    """The cell of aligned scores and labels 1/0, (n_images,) each, none missing."""
    scores = logits.astype(np.float64)
    estimate = auc_interval(labels.astype(np.float64), scores)
    return Cell(
        curve(scores, labels),
        histogram(scores, labels),
        auc=float(estimate.value),
        lower=float(estimate.lower),
        upper=float(estimate.upper),
        reason=str(estimate.reason),
    )


def curve(scores: NDArray[np.float64], labels: NDArray[np.int16]) -> Curve:
    """Counts at every distinct score, or at `STEPS` quantiles of them where there are more; exact at each that is kept."""
    order = np.argsort(-scores, kind="stable")
    falling, positive = scores[order], labels[order] == 1
    last = (
        np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
        if falling.size
        else np.zeros(0, np.int64)
    )
    if last.size > STEPS:
        last = last[np.unique(np.linspace(0, last.size - 1, STEPS).round().astype(np.int64))]
    tp, calls = np.cumsum(positive)[last], last + 1
    n_pos = int(positive.sum())
    return Curve(
        np.concatenate([[np.inf], _short(falling, last)]),
        np.concatenate([[0], tp]),
        np.concatenate([[0], calls - tp]),
        n_pos,
        int(falling.size - n_pos),
    )


def _short(falling: NDArray[np.float64], last: NDArray[np.int64]) -> NDArray[np.float64]:
    """The shortest decimals that are at most falling[last], and above the next lower score."""
    below = np.append(falling, -np.inf)[last + 1]
    return np.array(
        [short(low, high) for low, high in zip(below, falling[last], strict=True)], dtype=np.float64
    )


def short(low: float, high: float) -> float:
    """The decimal of fewest digits in (low, high]."""
    for digits in range(1, 17):
        scale = 10.0**digits
        rounded = float(np.floor(high * scale) / scale)
        if low < rounded <= high:
            return rounded
    return high


def same_calls(scores: NDArray[np.float64], threshold: float) -> float:
    """The shortest threshold that calls the same images as this one; itself where it calls none, or all."""
    above, below = scores[scores >= threshold], scores[scores < threshold]
    return short(float(below.max()), float(above.min())) if above.size and below.size else threshold


def counts(
    scores: NDArray[np.float64], labels: NDArray[np.int16], threshold: float
) -> tuple[int, int, int, int]:
    """(true positives, false positives, false negatives, true negatives) where score >= threshold is called positive."""
    calls, positive = scores >= threshold, labels == 1
    tp, fp = int((calls & positive).sum()), int((calls & ~positive).sum())
    return tp, fp, int(positive.sum()) - tp, int((~positive).sum()) - fp


def histogram(scores: NDArray[np.float64], labels: NDArray[np.int16]) -> Histogram:
    """Shares by label in equal bins of the logit over all scores."""
    low, high = (float(scores.min()), float(scores.max())) if scores.size else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    shares = []
    for label in (1, 0):
        own = np.histogram(scores[labels == label], edges)[0]
        shares.append(own / max(1, own.sum()))
    return Histogram(edges, *shares)


def ppv_at(sensitivity: float, specificity: float, prevalence: float) -> tuple[float, float]:
    """Positive and negative predictive value at a prevalence (Bayes); NaN where nothing, or everything, would be called."""
    calls = sensitivity * prevalence + (1 - specificity) * (1 - prevalence)
    passed = (1 - sensitivity) * prevalence + specificity * (1 - prevalence)
    ppv = sensitivity * prevalence / calls if calls else float("nan")
    npv = specificity * (1 - prevalence) / passed if passed else float("nan")
    return ppv, npv

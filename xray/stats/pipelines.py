"""What pictures cost: A's images scored through B's pipeline, by the same model, for the same patients and labels.

Patients, prevalence and labels are the same on both sides, so the AUC that is lost is that of the pictures, as far as the
pipeline holds what differs between the two acquisitions (what belongs to a scanner and can't be repeated is not in it). Two
scores of the same images are compared with patients as units, as two models are.

Where not all images are put through it, positives and negatives are drawn in equal numbers, by chance within each class: an
AUC does not ask how common a finding is, so the paired difference needs no weights. A sample that was drawn for one finding
is a random one of another's classes only where these findings have little to do with each other (`representative`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xray.stats.clustered import clustered_covariance
from xray.stats.differences import least_variance, student
from xray.stats.estimates import DEFINED, FloatArray, IntArray

FURTHEST: Final = 4.0
"""Standard errors that a sample's share of another finding may lie from that of the class it is of."""
NAMES: Final = ("cost", "se", "lower", "upper", "images")


@dataclass(frozen=True)
class Piped:
    """cost: AUC of A's images as they are less AUC through B's pipeline, with standard error and 95 % interval (Student's
    t); images: that have both scores and a label. reason: "" or why not.
    """

    cost: float
    se: float
    lower: float
    upper: float
    images: int
    reason: str = DEFINED

    @property
    def numbers(self) -> tuple[float, ...]:
        """By `NAMES`."""
        return self.cost, self.se, self.lower, self.upper, float(self.images)


def measure(labels: FloatArray, own: FloatArray, piped: FloatArray, patients: NDArray[np.generic]) -> Piped:
    """labels, 1/0/NaN; own, piped: scores of the same images as they are and through the pipeline, NaN where there is none;
    patients: (n_images,) each. Undefined with fewer than two patients of a class.
    """
    usable = np.isfinite(labels) & np.isfinite(own) & np.isfinite(piped)
    y, unit = labels[usable], patients[usable]
    of = clustered_covariance(y, np.stack([own[usable], piped[usable]]), unit)
    if of.reason != DEFINED:
        return Piped(*(float("nan"),) * 4, int(usable.sum()), of.reason)
    units = [np.unique(unit[y == value]).size for value in (1, 0)]
    difference = np.array([of.value[0] - of.value[1]])
    variance = np.array([of.covariance[0, 0] + of.covariance[1, 1] - 2 * of.covariance[0, 1]])
    variance = np.maximum(variance, 0) + least_variance(*units)
    lower, upper, _ = student(difference, variance, min(units) - 1, 0.95)
    se = float(np.sqrt(variance[0]))
    return Piped(float(difference[0]), se, float(lower[0]), float(upper[0]), int(usable.sum()))


def draw(labels: FloatArray, budget: int, rng: np.random.Generator) -> IntArray:
    """Which images to put through the pipeline, in order: as many positives as negatives, where there are so many. All that
    have a label where the budget holds them. labels: (n_images,), 1/0/NaN.
    """
    classes = [np.flatnonzero(labels == value) for value in (1, 0)]
    counts = [min(of.size, budget) for of in classes]
    while sum(counts) > budget:
        counts[int(np.argmax(counts))] -= 1
    sample = [rng.choice(of, n, replace=False) for of, n in zip(classes, counts, strict=True)]
    return np.sort(np.concatenate(sample))


def representative(labels: FloatArray, task: int, sample: NDArray[np.bool_]) -> bool:
    """Whether images are like a sample by chance within each class of a finding: they hold no more and no fewer positives of
    any other finding than that would bring. labels: (n_images, n_tasks), 1/0/NaN; shown: (n_images,), those of the sample.
    """
    positive = np.nan_to_num(labels)
    for value in (0, 1):
        own = labels[:, task] == value
        size, n = int(own.sum()), int((own & sample).sum())
        if n in (0, size):
            continue
        share = positive[own].mean(axis=0)
        spread = share * (1 - share) / n * (size - n) / (size - 1)
        distance = np.abs(positive[own & sample].mean(axis=0) - share)
        if (distance > FURTHEST * np.sqrt(spread)).any():
            return False
    return True

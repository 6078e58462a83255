"""A site as the tests of evidence read it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xray.stats.estimates import FloatArray, IntArray
from xray.stats.transfer import Patients


@dataclass
class Part:
    """Labels and normal scores (n_images, n_tasks) of the compared tasks, and whose images they are."""

    labels: FloatArray
    scores: FloatArray
    patients: Patients
    effect: float
    """Images per patient, weighted by images: how much a variance of independent images falls short at most."""
    by_score: tuple[IntArray, ...] | None = None
    """Per task, the images that have a score, from the lowest on, where that is known."""
    usable: NDArray[np.bool_] = field(init=False)
    _orders: dict[int, IntArray] = field(init=False, default_factory=dict)
    _tied: dict[int, IntArray] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.usable = ~np.isnan(self.labels) & ~np.isnan(self.scores)

    def ordered(self, k: int) -> IntArray:
        """The images whose label and score of the k-th task are known, by score from the lowest on."""
        if k not in self._orders:
            if self.by_score is None:
                images = np.flatnonzero(self.usable[:, k])
                self._orders[k] = images[np.argsort(self.scores[images, k], kind="stable")]
            else:
                self._orders[k] = self.by_score[k][self.usable[self.by_score[k], k]]
        return self._orders[k]

    def tied(self, k: int) -> IntArray:
        """Of the images in this order, the first of each score."""
        if k not in self._tied:
            self._tied[k] = np.flatnonzero(np.diff(self.scores[self.ordered(k), k], prepend=-np.inf))
        return self._tied[k]


def together(x: FloatArray, y: FloatArray, among: NDArray[np.bool_]) -> FloatArray:
    """How far two models agree, Fisher's z of their scores' correlation over each task's chosen images, (n_tasks,).

    x, y, among: (n_images, n_tasks).
    """
    among = among & ~np.isnan(x) & ~np.isnan(y)
    n = np.maximum(among.sum(axis=0), 1)
    deviations = []
    for scores in (x, y):
        mean = np.where(among, scores, 0).sum(axis=0) / n
        deviations.append(np.where(among, scores - mean, 0))
    x, y = deviations
    r = (x * y).sum(axis=0) / np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0) + 1e-9)
    return np.asarray(np.arctanh(np.clip(r, -0.999, 0.999)))


def asinh_z(value: FloatArray, se: FloatArray) -> FloatArray:
    """asinh of a value in units of its error: z where it is small, its logarithm where it is large."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.arcsinh(value / se))

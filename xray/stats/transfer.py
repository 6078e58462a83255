"""The loss between two sites, decomposed: two models at two sites, the patient as unit.

With AUC_XY the AUC of the model of site X on images of site Y, the drop of A's model at B is exactly
    AUC_AA − AUC_AB = intrinsic + transfer,
    intrinsic = ½ [(AUC_AA − AUC_AB) + (AUC_BA − AUC_BB)]   what both models lose at B: its images or labels are harder,
    transfer  = ½ [(AUC_AA − AUC_AB) + (AUC_BB − AUC_BA)]   what each model is better at home: the sites differ in kind.
Each part is a contrast of one and the same model between sites, so where the sites are alike both are 0 whatever the
models are worth. AUC_AA − AUC_BB and AUC_BB − AUC_AB, which compare two models, are not: a smaller training set passes for a
shift. The excess of a finding is its transfer minus the median of the other findings' of the same sites.

Standard errors are DeLong's for patients with several images (Obuchowski 1997), by each patient's influence on each AUC, so
that covariances between findings, models and (where sites share patients) sites come along.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from xray.stats.delong import place_jointly
from xray.stats.estimates import DEFINED, FloatArray, IntArray, TextArray, check_level, reasons, undefined

N_DRAWS: Final = 2000
"""Draws of the normal distribution by which the median over other findings gets its standard error."""


@dataclass(frozen=True)
class SiteScores:
    """Held-out images of one site: labels (n_images, n_tasks), 1/0/NaN; scores of both sites' models, NaN = none.

    of_a, of_b: (n_images, n_tasks) logits of the models trained on A and on B. patients: (n_images,), names that both
    sites share where they share patients.
    """

    labels: FloatArray
    of_a: FloatArray
    of_b: FloatArray
    patients: NDArray[np.generic]


class Patients:
    """Which images are of one patient: the units of every standard error here.

    unit: (n_images,) each image's patient, from 0 on. n: how many patients. sizes: (n,) images of each, as floats.
    """

    def __init__(self, patients: NDArray[np.generic]) -> None:
        self.unit = np.unique(patients, return_inverse=True)[1]
        self.sizes = np.bincount(self.unit).astype(np.float64)
        self.n = self.sizes.size

    def sums(self, values: FloatArray) -> FloatArray:
        """Sum over each patient's images: (n_images,) → (n_patients,)."""
        return np.asarray(np.bincount(self.unit, values, minlength=self.n), dtype=np.float64)

    def influence(self, values: FloatArray) -> FloatArray:
        """Each patient's influence on the mean over images: (n_images,) → (n_patients,)."""
        return self.sums(values - values.mean()) / len(values)


@dataclass(frozen=True)
class Part:
    """One part of a drop, per task: estimate, interval, standard error, two-sided p. Arrays (n_tasks,), NaN where
    undefined."""

    value: FloatArray
    lower: FloatArray
    upper: FloatArray
    se: FloatArray
    p: FloatArray


@dataclass(frozen=True)
class Beyond:
    """A part compared with the same part of the other findings of the same sites; NaN with fewer than two others.

    others: their median. excess: the finding's minus that. spread: (n_tasks,) standard deviation between the others, beyond
    their sampling error.
    """

    others: Part
    excess: Part
    spread: FloatArray


@dataclass(frozen=True)
class Decomposition:
    """AUCs of two models at two sites, per task, and the drop of A's model at B taken apart.

    auc, auc_se: (n_tasks, 2, 2), [task, model, site]. drop_limit: (n_tasks,) upper bound of the
    drop, one-sided at `level`. n_pos, n_neg: (n_tasks, 2) by site. reason: "" or why undefined.
    """

    auc: FloatArray
    auc_se: FloatArray
    drop: Part
    drop_limit: FloatArray
    intrinsic: Part
    transfer: Part
    beyond_intrinsic: Beyond
    beyond_transfer: Beyond
    n_pos: IntArray
    n_neg: IntArray
    reason: TextArray


def decompose(a: SiteScores, b: SiteScores, level: float = 0.95) -> Decomposition:
    """The drop of A's model at B in parts. Intervals are Student's, with the positives of the site that has fewer minus 1
    as degrees of freedom.

    Undefined (NaN, with reason) where a site or a model lacks the task or a site has fewer than two positives or negatives.
    """
    return influences(a, b).decompose(level)


@dataclass(frozen=True)
class Influences:
    """AUCs of two models at two sites and each patient's influence on them: all that `decompose` needs.

    value: (n_tasks, 2, 2), [task, model, site]. influence: (n_tasks, 2, 2, n_patients). counts: (2, n_tasks, 2), positives
    and negatives by site. reasons: (2, n_tasks) by site, "" or why a task has no AUC there.
    """

    value: FloatArray
    influence: FloatArray
    counts: IntArray
    reasons: TextArray

    @property
    def tasks(self) -> IntArray:
        """The tasks that have an AUC at both sites."""
        return np.flatnonzero((self.reasons == DEFINED).all(axis=0))

    def reversed(self) -> "Influences":
        """The same with A and B exchanged."""
        return Influences(
            self.value[:, ::-1, ::-1],
            self.influence[:, ::-1, ::-1],
            self.counts[..., ::-1],
            self.reasons[::-1],
        )

    def parts(self, level: float = 0.95) -> tuple[Part, Part, Part]:
        """The drop, and what of it is intrinsic and transfer: see `decompose`."""
        (drop, _), (intrinsic, _), (transfer, _) = self._parts(level)
        return drop, intrinsic, transfer

    def _parts(self, level: float) -> list[tuple[Part, FloatArray]]:
        """The three, each with its influences (n_tasks, n_patients)."""
        check_level(level)
        value, influence, counts = self.value, self.influence, self.counts
        usable, degrees, least = self._usable, self._degrees, _least_variance(counts)
        (aa, ab), (ba, bb) = np.moveaxis(value, 0, -1)
        (of_aa, of_ab), (of_ba, of_bb) = np.moveaxis(influence, 0, 2)
        a_drop, b_drop = of_aa - of_ab, of_bb - of_ba
        terms = (
            (aa - ab, a_drop, least),
            (0.5 * ((aa - ab) - (bb - ba)), 0.5 * (a_drop - b_drop), least / 2),
            (0.5 * ((aa - ab) + (bb - ba)), 0.5 * (a_drop + b_drop), least / 2),
        )
        return [(_part(of, by, usable, degrees, floor, level), by) for of, by, floor in terms]

    @property
    def _usable(self) -> NDArray[np.bool_]:
        return np.asarray((self.reasons == DEFINED).all(axis=0))

    @property
    def _degrees(self) -> IntArray:
        return np.maximum(self.counts.min(axis=(0, 2)) - 1, 1)

    def decompose(self, level: float = 0.95) -> Decomposition:
        """See `decompose`."""
        value, influence, counts = self.value, self.influence, self.counts
        usable, degrees = self._usable, self._degrees
        (drop, _), *of_two = self._parts(level)
        beyond = [_beyond(part, by, usable, degrees, level) for part, by in of_two]
        se = np.where(usable[:, None, None], np.sqrt(np.einsum("...i,...i", influence, influence)), np.nan)
        return Decomposition(
            value,
            se,
            drop,
            drop.value + stdtrit(degrees, level) * drop.se,
            of_two[0][0],
            of_two[1][0],
            beyond[0],
            beyond[1],
            counts[0],
            counts[1],
            np.where(self.reasons[0] == DEFINED, self.reasons[1], self.reasons[0]),
        )


def influences(a: SiteScores, b: SiteScores) -> Influences:
    """AUC and influences of both models at both sites, for every task."""
    n_tasks = a.labels.shape[1]
    units, n_units = joint_units(a, b)
    value, influence = undefined((n_tasks, 2, 2)), np.zeros((n_tasks, 2, 2, n_units))
    counts, reason = np.zeros((2, n_tasks, 2), dtype=np.int64), reasons((2, n_tasks))
    for index, (site, unit) in enumerate(zip((a, b), units, strict=True)):
        for task in range(n_tasks):
            of_task = _influence(site, task, unit, n_units)
            value[task, :, index], influence[task, :, index], counts[:, task, index], reason[index, task] = (
                of_task
            )
    influence[(reason != DEFINED).any(axis=0)] = 0
    return Influences(value, influence, counts, reason)


class HasPatients(Protocol):
    """A site whose images are of patients, (n_images,)."""

    @property
    def patients(self) -> NDArray[np.generic]:
        """Names that both sites share where they share patients."""


def joint_units(a: HasPatients, b: HasPatients) -> tuple[tuple[IntArray, IntArray], int]:
    """Patients of both sites numbered from 0 on: (n_images of A,), (n_images of B,), and how many there are."""
    names, unit = np.unique(np.concatenate([a.patients, b.patients]), return_inverse=True)
    return (unit[: len(a.patients)], unit[len(a.patients) :]), names.size


def _influence(
    site: SiteScores, task: int, unit: IntArray, n_units: int
) -> tuple[FloatArray, FloatArray, IntArray, str]:
    """AUC of both models (2,), each patient's influence on them (2, n_units), (positives, negatives), reason."""
    models = (site.of_a,) if site.of_b is site.of_a else (site.of_a, site.of_b)
    joint = place_jointly(site.labels[:, task], np.stack([of[:, task] for of in models]))
    counts = np.array([joint.n_pos, joint.n_neg])
    value, influence = np.broadcast_to(joint.value, (2,)), np.zeros((len(models), n_units))
    if joint.reason != DEFINED:
        return value, np.broadcast_to(influence, (2, n_units)), counts, joint.reason
    pairs = 2.0 * joint.n_pos * joint.n_neg
    for placements, images, sign in (
        (joint.of_positives, joint.positives, 1.0),
        (joint.of_negatives, joint.negatives, -1.0),
    ):
        deviation = placements - placements.mean(axis=1, keepdims=True)
        of = unit[images]
        share = int(np.count_nonzero(np.bincount(of, minlength=n_units)))
        scale = sign * np.sqrt(share / max(share - 1, 1)) / pairs
        for model in range(len(models)):
            influence[model] += scale * np.bincount(of, deviation[model], minlength=n_units)
    return value, np.broadcast_to(influence, (2, n_units)), counts, DEFINED


def _least_variance(counts: IntArray) -> FloatArray:
    """A floor for the variance of a difference between sites: near AUC = 1 placements vary too little to tell."""
    return np.asarray(((0.25 / (counts.min(axis=0) + 1.0)) ** 2).sum(axis=1))


def _part(
    value: FloatArray,
    influence: FloatArray,
    usable: NDArray[np.bool_],
    degrees: IntArray,
    least: FloatArray,
    level: float,
) -> Part:
    variance = np.maximum(np.einsum("ti,ti->t", influence, influence), least)
    return _interval(np.where(usable, value, np.nan), np.sqrt(variance), degrees, level)


def _interval(value: FloatArray, se: FloatArray, degrees: IntArray, level: float) -> Part:
    t = stdtrit(degrees, 0.5 + level / 2)
    p = 2 * stdtr(degrees, -np.abs(value / se))
    se = np.where(np.isnan(value), np.nan, se)
    return Part(value, np.maximum(value - t * se, -1), np.minimum(value + t * se, 1), se, p)


def _beyond(
    part: Part, influence: FloatArray, usable: NDArray[np.bool_], degrees: IntArray, level: float
) -> Beyond:
    """Standard errors of medians by draws from the joint normal distribution of all findings' parts."""
    n_tasks = usable.size
    median, median_se, excess_se, spread = (undefined((n_tasks,)) for _ in range(4))
    tasks = np.flatnonzero(usable)
    if tasks.size >= 3:
        covariance = influence[tasks] @ influence[tasks].T
        covariance[np.diag_indices_from(covariance)] = part.se[tasks] ** 2
        roots, axes = np.linalg.eigh(covariance)
        noise = (
            np.random.default_rng(0).normal(size=(N_DRAWS, tasks.size))
            * np.sqrt(np.maximum(roots, 0))
            @ axes.T
        )
        draws = part.value[tasks] + noise
        medians = medians_of_others(draws)
        excess_se[tasks] = (draws - medians).std(axis=0, ddof=1)
        median_se[tasks] = medians.std(axis=0, ddof=1)
        median[tasks] = medians_of_others(part.value[tasks][None])[0]
        for index, task in enumerate(tasks):
            other_tasks = np.delete(np.arange(tasks.size), index)
            values = part.value[tasks[other_tasks]]
            far = 1.4826 * np.median(np.abs(values - np.median(values)))
            spread[task] = np.sqrt(max(far**2 - np.median(part.se[tasks[other_tasks]] ** 2), 0.0))
    return Beyond(
        _interval(median, median_se, degrees, level),
        _interval(part.value - median, excess_se, degrees, level),
        spread,
    )


def medians_of_others(values: FloatArray) -> FloatArray:
    """(n, m) → (n, m): the median of a row's other entries beside each entry, from one sort of the row. m at least 2."""
    n, m = values.shape
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(m), (n, m)), axis=1)
    middle = [np.take_along_axis(ordered, at + (rank <= at), axis=1) for at in {(m - 2) // 2, (m - 1) // 2}]
    return np.asarray(middle[0] if len(middle) == 1 else 0.5 * (middle[0] + middle[1]))

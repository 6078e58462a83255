"""DeLong for patients with several images: standard error and covariance of AUC with the patient as unit.

With a_p the change of AUC when patient p's positives are left out, and b_p that when the negatives are, over I10 patients
with positives, I01 with negatives and I in all, this is the jackknife
    Var = (I10−1)/I10 Σ a_p² + (I01−1)/I01 Σ b_p² + 2 (I−1)/I Σ a_p b_p.
a_p = A_p / (n_pos − n_pos,p), A_p the sum over the patient's positives of V10 − AUC (`xray.stats.delong`). Where all
patients have as many images this is Obuchowski's (Biometrics 53, 1997, 567-578), with one each DeLong's. Where some have
many more than others, Obuchowski's is too small, since these patients draw the mean to themselves; there Student's
quantile takes the place of the normal one (`degrees_of_patients`; decision 31).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xray.stats.delong import Covariance, JointPlacements, logit_bounds, place_jointly
from xray.stats.differences import between_samples, deviate
from xray.stats.estimates import (
    DEFINED,
    FEW_PATIENTS,
    Comparison,
    Estimates,
    FloatArray,
    IntArray,
    Numbers,
    check_level,
    reasons,
    reshaped,
    undefined,
)
from xray.stats.placements import as_columns, as_table


def clustered_covariance(labels: Numbers, scores: Numbers, patients: NDArray[np.generic]) -> Covariance:
    """AUCs of k models on the same images and their covariance, allowing for several images per patient.

    labels: (n_images,), 1/0/NaN. scores: (n_models, n_images); images incomplete in any are left out.
    patients: (n_images,), equal where the patient is. Undefined with fewer than two patients of a class.
    """
    label, columns = as_columns(labels, np.atleast_2d(np.asarray(scores)).T)
    if label.ndim != 1 or np.shape(patients) != label.shape:
        raise ValueError(f"labels {label.shape} and patients {np.shape(patients)} must both be (n_images,)")
    joint = place_jointly(label, columns.T)
    units = _Units(joint, *_numbered(patients))
    covariance, reason = _covariance(joint, units)
    return Covariance(joint.value, covariance, joint.n_pos + joint.n_neg, joint.n_pos, reason)


def clustered_auc_interval(
    labels: Numbers, scores: Numbers, patients: NDArray[np.generic], level: float = 0.95
) -> Estimates:
    """As `xray.stats.delong.auc_interval`, column by column, with the patient as unit. patients:
    (n_images,).
    """
    check_level(level)
    label, score = as_columns(labels, scores)
    if np.shape(patients) != score.shape[:1]:
        raise ValueError(f"patients are {np.shape(patients)}; expected {score.shape[:1]}")
    shape, score = score.shape[1:], as_table(score)
    label = np.broadcast_to(as_table(label), score.shape)
    value, variance = undefined(score.shape[1:]), undefined(score.shape[1:])
    n_pos, n_neg, units_pos, units_neg = np.zeros((4, score.shape[1]), dtype=np.int64)
    reason, degrees = reasons(score.shape[1:]), np.full(score.shape[1:], np.inf)
    index, n_patients = _numbered(patients)
    for column in range(score.shape[1]):
        joint = place_jointly(label[:, column], score[None, :, column])
        units = _Units(joint, index, n_patients)
        covariance, reason[column] = _covariance(joint, units)
        value[column], variance[column] = joint.value[0], covariance[0, 0]
        n_pos[column], n_neg[column] = joint.n_pos, joint.n_neg
        units_pos[column], units_neg[column] = units.with_positives, units.with_negatives
        degrees[column] = units.degrees
    lower, upper = logit_bounds(value, variance, units_pos, units_neg, level, degrees)
    estimates = Estimates(value, lower, upper, np.sqrt(variance), n_pos + n_neg, n_pos, reason)
    return reshaped(estimates, shape)


def degrees_of_patients(
    images: Sequence[IntArray], patients: Sequence[IntArray], squares: Sequence[IntArray]
) -> FloatArray:
    """Degrees of freedom of an AUC's variance where patients have unequal numbers of images; infinite where all are equal.

    images, patients, squares: of the positives and of the negatives, how many images, how many patients, and the patients'
    numbers of images squared and added up. Kish's effective number of the class that has fewer, n² / Σ n_p², minus one, at
    least one.
    """
    effective = [
        np.divide(
            np.square(n, dtype=np.float64),
            s,
            out=np.full(np.shape(n), np.inf),
            where=(s > 0) & (n * n != s * p),
        )
        for n, p, s in zip(images, patients, squares, strict=True)
    ]
    return np.maximum(np.minimum(*effective) - 1, 1.0)


def clustered_subsets(
    labels: Sequence[Numbers], scores: Numbers, patients: NDArray[np.generic], level: float = 0.95
) -> tuple[tuple[Estimates, Estimates], Comparison]:
    """AUC of one model on two subsets of images, and the first less the second; patients may have images in both.

    labels: of each subset, (n_images,), NaN for images that are not of it. scores, patients: (n_images,). The covariance is
    (I−1)/I Σ (a_p + b_p)(a'_p + b'_p) over the I patients of either subset; interval and p are those of
    `xray.stats.differences.between_samples`.
    """
    first, second = (clustered_auc_interval(labels_of, scores, patients, level) for labels_of in labels)
    index, n_patients = _numbered(patients)
    score = np.asarray(scores, dtype=np.float64)
    joint = [place_jointly(as_columns(both, score)[0], score[None]) for both in labels]
    units = [_Units(placements, index, n_patients) for placements in joint]
    reason = first.reason if str(first.reason) != DEFINED else second.reason
    covariance = 0.0
    if str(reason) == DEFINED:
        change = [np.add(*_changes(*pair))[0] for pair in zip(joint, units, strict=True)]
        involved = sum(unit.positives_of + unit.negatives_of for unit in units)
        n_units = int(np.count_nonzero(involved))
        covariance = (n_units - 1) / n_units * float(change[0] @ change[1])
    counts = np.array([(unit.with_positives, unit.with_negatives) for unit in units])
    values, variances = (
        np.array([[float(getattr(subset, name))] for subset in (first, second)]) for name in ("value", "se")
    )
    lower, upper, p = between_samples(values, variances**2, counts[:, :1], counts[:, 1:], covariance, level)
    difference = values[0] - values[1]
    se = np.sqrt(np.maximum(variances[0] ** 2 + variances[1] ** 2 - 2 * covariance, 0))
    n, n_pos = (np.array(getattr(first, name) + getattr(second, name)) for name in ("n", "n_pos"))
    comparison = Comparison(
        difference, lower, upper, se, deviate(difference, p), p, n, n_pos, np.array([reason])
    )
    return (first, second), reshaped(comparison, ())


def _numbered(patients: NDArray[np.generic]) -> tuple[NDArray[np.intp], int]:
    """Each image's patient as a number from 0 on, and how many there are."""
    names, index = np.unique(patients, return_inverse=True)
    return index, names.size


class _Units:
    """The patients of the positives and of the negatives, and how many there are of either, and of both together."""

    def __init__(self, joint: JointPlacements, index: NDArray[np.intp], n_patients: int) -> None:
        self.n_patients = n_patients
        self.of_positives, self.of_negatives = index[joint.positives], index[joint.negatives]
        self.positives_of, self.negatives_of = (
            np.bincount(of, minlength=n_patients) for of in (self.of_positives, self.of_negatives)
        )
        ill, well = self.positives_of > 0, self.negatives_of > 0
        self.with_positives, self.with_negatives, self.n = (
            int(kind.sum()) for kind in (ill, well, ill | well)
        )

    @property
    def degrees(self) -> float:
        """See `degrees_of_patients`."""
        images = self.positives_of, self.negatives_of
        totals, units, squares = (
            [np.array(count(of)) for of in images]
            for count in (np.sum, np.count_nonzero, lambda of: (of**2).sum())
        )
        return float(degrees_of_patients(totals, units, squares))


def _covariance(joint: JointPlacements, units: _Units) -> tuple[FloatArray, str]:
    k = len(joint.of_positives)
    if joint.reason != DEFINED:
        return undefined((k, k)), joint.reason
    if min(units.with_positives, units.with_negatives) < 2:
        return undefined((k, k)), FEW_PATIENTS
    a, b = _changes(joint, units)
    cross = a @ b.T
    covariance = (units.with_positives - 1) / units.with_positives * (a @ a.T)
    covariance += (units.with_negatives - 1) / units.with_negatives * (b @ b.T)
    covariance += (units.n - 1) / units.n * (cross + cross.T)
    np.fill_diagonal(covariance, np.maximum(covariance.diagonal(), 0))
    return covariance, DEFINED


def _changes(joint: JointPlacements, units: _Units) -> tuple[FloatArray, FloatArray]:
    """a_p and b_p of every patient, (k, n_patients) each."""
    n_pos, n_neg = joint.n_pos, joint.n_neg
    a = _sums(joint.of_positives, units.of_positives, units.n_patients) / (
        2.0 * n_neg * (n_pos - units.positives_of)
    )
    b = -_sums(joint.of_negatives, units.of_negatives, units.n_patients) / (
        2.0 * n_pos * (n_neg - units.negatives_of)
    )
    return a, b


def _sums(counts: NDArray[np.int32], index: NDArray[np.intp], n_patients: int) -> FloatArray:
    """Each patient's sum of deviations from the mean: (k, n) → (k, n_patients)."""
    deviations = counts - counts.mean(axis=1, keepdims=True)
    return np.array([np.bincount(index, row, minlength=n_patients) for row in deviations])

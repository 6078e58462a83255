"""DeLong for patients with several images: standard error and covariance of AUC with the patient as unit.

Source: Obuchowski, Biometrics 53 (1997) 567-578. With A_p the sum over patient p's positives of V10 − AUC,
and B_p that over the patient's negatives of V01 − AUC (placements as in `xray.stats.delong`), over I10
patients with positives, I01 with negatives and I in all:
    Var = I10/(I10−1) Σ A_p² / n_pos² + I01/(I01−1) Σ B_p² / n_neg² + 2 I/(I−1) Σ A_p B_p / (n_pos n_neg).
With one image per patient this is DeLong's.
"""

import numpy as np
from numpy.typing import NDArray

from xray.stats.delong import Covariance, JointPlacements, logit_bounds, place_jointly
from xray.stats.estimates import (
    DEFINED,
    FEW_PATIENTS,
    Estimates,
    FloatArray,
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
    reason = reasons(score.shape[1:])
    index, n_patients = _numbered(patients)
    for column in range(score.shape[1]):
        joint = place_jointly(label[:, column], score[None, :, column])
        units = _Units(joint, index, n_patients)
        covariance, reason[column] = _covariance(joint, units)
        value[column], variance[column] = joint.value[0], covariance[0, 0]
        n_pos[column], n_neg[column] = joint.n_pos, joint.n_neg
        units_pos[column], units_neg[column] = units.with_positives, units.with_negatives
    lower, upper = logit_bounds(value, variance, units_pos, units_neg, level)
    found = Estimates(value, lower, upper, np.sqrt(variance), n_pos + n_neg, n_pos, reason)
    return reshaped(found, shape)


def _numbered(patients: NDArray[np.generic]) -> tuple[NDArray[np.intp], int]:
    """Each image's patient as a number from 0 on, and how many there are."""
    names, index = np.unique(patients, return_inverse=True)
    return index, names.size


class _Units:
    """The patients of the positives and of the negatives, and how many there are of either, and of both together."""

    def __init__(self, joint: JointPlacements, index: NDArray[np.intp], n_patients: int) -> None:
        self.n_patients = n_patients
        self.of_positives, self.of_negatives = index[joint.positives], index[joint.negatives]
        ill, well = np.zeros((2, n_patients), dtype=np.bool_)
        ill[self.of_positives] = True
        well[self.of_negatives] = True
        self.with_positives, self.with_negatives, self.n = (
            int(each.sum()) for each in (ill, well, ill | well)
        )


def _covariance(joint: JointPlacements, units: _Units) -> tuple[FloatArray, str]:
    k, n_pos, n_neg = len(joint.of_positives), joint.n_pos, joint.n_neg
    if joint.reason != DEFINED:
        return undefined((k, k)), joint.reason
    if min(units.with_positives, units.with_negatives) < 2:
        return undefined((k, k)), FEW_PATIENTS
    a = _sums(joint.of_positives, units.of_positives, units.n_patients) / (2.0 * n_neg * n_pos)
    b = -_sums(joint.of_negatives, units.of_negatives, units.n_patients) / (2.0 * n_pos * n_neg)
    crossed = a @ b.T
    covariance = units.with_positives / (units.with_positives - 1) * (a @ a.T)
    covariance += units.with_negatives / (units.with_negatives - 1) * (b @ b.T)
    covariance += units.n / (units.n - 1) * (crossed + crossed.T)
    np.fill_diagonal(covariance, np.maximum(covariance.diagonal(), 0))
    return covariance, DEFINED


def _sums(counts: NDArray[np.int32], index: NDArray[np.intp], n_patients: int) -> FloatArray:
    """Each patient's sum of deviations from the mean: (k, n) → (k, n_patients)."""
    deviations = counts - counts.mean(axis=1, keepdims=True)
    return np.array([np.bincount(index, row, minlength=n_patients) for row in deviations])

"""Is the AUC of one model above that of another, or of the same model elsewhere? Differences with interval and test.

Variances are DeLong's (`xray.stats.delong`), with the patient as unit the jackknife's (`xray.stats.clustered`). Intervals
and tests are those of `xray.stats.differences`, which hold their level with few positives and near AUC = 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray.stats.delong import auc_of, place_jointly
from xray.stats.differences import between_samples, degrees_of_freedom, deviate, least_variance, student
from xray.stats.estimates import (
    DEFINED,
    FEW_PATIENTS,
    INFINITE_SCORE,
    NO_DATA,
    NO_VARIANCE,
    ONE_CLASS,
    Comparison,
    Estimates,
    FloatArray,
    IntArray,
    Numbers,
    check_level,
    reasons,
    reshaped,
)
from xray.stats.placements import Counts, Scores, as_columns, as_table


def compare_paired(
    labels: Numbers,
    first: Numbers,
    second: Numbers,
    level: float = 0.95,
    patients: NDArray[np.generic] | None = None,
) -> Comparison:
    """Difference in AUC of two models on the same images, first minus second: DeLong's variance, Student's t.

    labels: (n_images,) or (n_images, n_columns); first, second: scores of that shape. An image without either
    score is left out of both. patients: (n_images,), the units where a patient has several images.
    The variance has a floor, `xray.stats.differences.least_variance`, and Satterthwaite's degrees of freedom; bounds lie
    within [−1, 1]. z is the normal deviate of p; se is DeLong's. Where the two rank the images alike the interval is
    that point, and z and p are NaN with reason "no variance"; where both are perfect the floor still gives an interval.
    """
    check_level(level)
    label, one = as_columns(labels, first)
    _, two = as_columns(labels, second)
    if one.shape != two.shape:
        raise ValueError(f"scores of the first model are {one.shape}, of the second {two.shape}")
    shape = one.shape[1:]
    one, two = as_table(one), as_table(two)
    unit = np.arange(len(one)) if patients is None else np.unique(patients, return_inverse=True)[1]
    label_columns = np.broadcast_to(as_table(label), one.shape)
    pairs = [
        _Paired.of(label_columns[:, column], np.stack([one[:, column], two[:, column]]), unit)
        for column in range(one.shape[1])
    ]
    difference, variance, degrees, least = (
        np.array([getattr(pair, name) for pair in pairs])
        for name in ("difference", "variance", "degrees", "least")
    )
    n, n_pos = (np.array([getattr(pair, name) for pair in pairs], dtype=np.int64) for name in ("n", "n_pos"))
    reason = reasons((len(pairs),))
    reason[:] = [pair.reason for pair in pairs]
    lower, upper, p = student(difference, variance + least, degrees, level)
    lower, upper = (np.where(variance + least == 0, difference, bound) for bound in (lower, upper))
    p[variance == 0] = np.nan
    reason[variance == 0] = NO_VARIANCE
    se, z = np.sqrt(variance), deviate(difference, p)
    return reshaped(Comparison(difference, lower, upper, se, z, p, n, n_pos, reason), shape)


@dataclass(frozen=True)
class _Paired:
    """One column of a paired comparison."""

    difference: float
    variance: float
    degrees: float
    least: float
    n: int
    n_pos: int
    reason: str

    @classmethod
    def of(cls, labels: Scores, models: Scores, unit: NDArray[np.intp]) -> "_Paired":
        """labels (n_images,), scores of two models (2, n_images), patients (n_images,) from 0 on."""
        joint = place_jointly(labels, models)
        reason = joint.reason
        difference = variance = degrees = least = np.nan
        if reason not in (NO_DATA, ONE_CLASS, INFINITE_SCORE):
            gain = joint.of_positives[:1] - joint.of_positives[1:]
            difference = auc_of(gain, joint.n_neg)
        images = [
            np.unique(unit[images_of_class], return_counts=True)[1]
            for images_of_class in (joint.positives, joint.negatives)
        ]
        units = [of.size for of in images]
        effective = [of.sum() ** 2 / (of**2).sum() if of.size else 0 for of in images]
        if reason == DEFINED and min(units) < 2:
            reason = FEW_PATIENTS
        if reason == DEFINED:
            loss = joint.of_negatives[:1] - joint.of_negatives[1:]
            n_units = int(unit.max()) + 1
            changes = [
                _changes(gains, other, unit[images_of_class], n_units)
                for gains, other, images_of_class in (
                    (gain, joint.n_neg, joint.positives),
                    (-loss, joint.n_pos, joint.negatives),
                )
            ]
            parts = [float(_jackknife(change, n) @ change) for change, n in zip(changes, units, strict=True)]
            both = np.unique(unit[np.concatenate([joint.positives, joint.negatives])]).size
            cross = float(_jackknife(changes[0], both) @ changes[1]) if both < sum(units) else 0.0
            variance = max(sum(parts) + 2 * cross, 0.0)
            degrees = float(degrees_of_freedom(parts, np.array(effective) - 1))
            alike = not gain.any() and not loss.any() and 0 < float(joint.value[0]) < 1
            least = 0.0 if alike else float(least_variance(*units))
        return cls(difference, variance, degrees, least, joint.n_pos + joint.n_neg, joint.n_pos, reason)


def _changes(counts: Counts, n_other: int, unit: NDArray[np.intp], n: int) -> FloatArray:
    """By how much a mean of placements (1, n) in half pairs changes when a patient is left out: (n_patients,)."""
    sums, images = np.bincount(unit, counts[0] - counts[0].mean(), n), np.bincount(unit, minlength=n)
    return np.asarray(sums / (2.0 * n_other * (unit.size - images)))


def _jackknife(change: FloatArray, n_units: int) -> FloatArray:
    return (n_units - 1) / n_units * change


def compare_unpaired(
    first: Estimates,
    second: Estimates,
    level: float = 0.95,
    units: IntArray | None = None,
) -> Comparison:
    """Difference of two independent AUCs, such as one model's at two sites: first minus second.

    Bounds and p are those of `xray.stats.differences.between_samples`, which hold with few positives and near AUC = 1; z is
    the normal deviate of p, se² = se_first² + se_second². units: (2, 2, …), of both samples, patients with
    positives and with negatives, where a patient may have several images. Not for models scored on the same patients.
    """
    if units is None:
        units = np.array([(part.n_pos, part.n - part.n_pos) for part in (first, second)])
    shape = first.value.shape
    reason = np.where(first.reason != DEFINED, first.reason, second.reason)
    counts = units.reshape(2, 2, -1)
    values, spreads = (
        np.stack([np.ravel(getattr(part, name)) for part in (first, second)]) for name in ("value", "se")
    )
    difference = values[0] - values[1]
    lower, upper, p = between_samples(values, spreads**2, counts[:, 0], counts[:, 1], level=level)
    n, n_pos = (np.ravel(getattr(first, name) + getattr(second, name)) for name in ("n", "n_pos"))
    z, se = deviate(difference, p), np.hypot(*spreads)
    return reshaped(Comparison(difference, lower, upper, se, z, p, n, n_pos, np.ravel(reason)), shape)

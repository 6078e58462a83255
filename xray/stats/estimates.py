"""What statistics return: arrays of values side by side, and a reason wherever a value is not defined.

Conventions of the whole package. Labels are 1 (positive), 0 (negative) or NaN (missing); scores are logits or
any other number that grows with suspicion, NaN where there is none. An image that lacks its label or its
score is left out of that column. What can't be computed is NaN and has a reason: never 0, never 0.5, never
infinity.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Result = TypeVar("Result", bound="DataclassInstance")
Scalar = TypeVar("Scalar", bound=np.generic)
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TextArray = NDArray[np.str_]
Numbers = NDArray[np.floating | np.integer | np.bool_]

DEFINED: Final = ""
NO_DATA: Final = "no image with label and score"
ONE_CLASS: Final = "one class"
FEW_POSITIVES: Final = "fewer than two positives"
FEW_NEGATIVES: Final = "fewer than two negatives"
INFINITE_SCORE: Final = "infinite score"
NOT_BETTER: Final = "no threshold is better than chance"
NO_VARIANCE: Final = "no variance"
CONSTANT_CALLS: Final = "both say the same of every image"
CONSTANT_SCORES: Final = "all scores equal"
FEW_PATIENTS: Final = "fewer than two patients of a class"
FEW_UNITS: Final = "fewer than two patients"
NO_CASES: Final = "no case to count"
NO_THRESHOLD: Final = "no threshold"
FEW_IMAGES: Final = "fewer than two images"
NONE_CALLED: Final = "no image is called"
ALL_CALLED: Final = "every image is called"


def codes_of(patients: NDArray[np.generic]) -> IntArray:
    """Whole numbers from 0, one for each patient; as they are where they are such numbers, with or without gaps."""
    codes = np.asarray(patients)
    if codes.dtype.kind in "iu" and codes.size and codes.min() >= 0 and codes.max() < 4 * codes.size:
        return codes.astype(np.int64, copy=False)
    return np.asarray(np.unique(codes, return_inverse=True)[1], dtype=np.int64)


def as_rows(values: NDArray[Scalar]) -> NDArray[Scalar]:
    """(n, …) as rows of columns, (n_columns, n), also where there is no image or no column."""
    return values.reshape(len(values), math.prod(values.shape[1:])).T


def sums_of_patients(values: NDArray[np.floating], codes: IntArray) -> FloatArray:
    """Each patient's sum of every column, (n_columns, n_codes). values: (n_images, …); codes: (n_images,).

    A row per column, so that the sums of one do not depend on how many stand beside it.
    """
    columns = as_rows(values)
    sums = np.zeros((len(columns), int(codes.max(initial=-1)) + 1))
    for row, column in zip(sums, columns, strict=True):
        row[:] = np.bincount(codes, weights=column, minlength=row.size)
    return sums


REASON_TYPE: Final = "<U48"
"""Dtype of every `reason` array; the longest reason must fit."""


@dataclass(frozen=True)
class Values:
    """Point estimates without an interval. All arrays have one shape: that of a row of the scores.

    value: the statistic, NaN where undefined. n, n_pos: images used, positives among them. reason: "" or why
    not.
    """

    value: FloatArray
    n: IntArray
    n_pos: IntArray
    reason: TextArray


@dataclass(frozen=True)
class Estimates:
    """Point estimates with confidence interval. All arrays have one shape: that of a row of the scores.

    value may be finite where lower, upper and se are NaN: then `reason` says why there is no interval.
    """

    value: FloatArray
    lower: FloatArray
    upper: FloatArray
    se: FloatArray
    n: IntArray
    n_pos: IntArray
    reason: TextArray


@dataclass(frozen=True)
class Comparison:
    """A difference with interval and two-sided test. All arrays have one shape.

    difference: first minus second; z: the test statistic, standard normal under no difference; p: two-sided.
    n, n_pos: images behind it (of both samples together where these are different), positives among them.
    """

    difference: FloatArray
    lower: FloatArray
    upper: FloatArray
    se: FloatArray
    z: FloatArray
    p: FloatArray
    n: IntArray
    n_pos: IntArray
    reason: TextArray


def reasons(shape: tuple[int, ...]) -> TextArray:
    """An array of empty reasons."""
    return np.full(shape, DEFINED, dtype=REASON_TYPE)


def undefined(shape: tuple[int, ...]) -> FloatArray:
    """An array of NaN."""
    return np.full(shape, np.nan)


def column_sums(values: FloatArray) -> FloatArray:
    """Sums over the first axis, (n, ...) → (...); of each column the same to the last bit, whatever stands beside it."""
    sums: FloatArray = np.ascontiguousarray(np.moveaxis(values, 0, -1)).sum(axis=-1)
    return sums


def reshaped(result: Result, shape: tuple[int, ...]) -> Result:
    """A dataclass of arrays with every array in another shape."""
    return replace(
        result, **{part.name: getattr(result, part.name).reshape(shape) for part in fields(result)}
    )


def stacked(results: Sequence[Result]) -> Result:
    """Dataclasses of arrays (n,) as one of (n, n_results)."""
    first = results[0]
    return replace(
        first,
        **{
            part.name: np.stack([getattr(of, part.name) for of in results], axis=-1) for part in fields(first)
        },
    )


def check_level(level: float) -> None:
    """Refuse a confidence level outside (0, 1), such as 95."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; expected a number between 0 and 1, such as 0.95")

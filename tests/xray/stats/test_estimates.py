"""Codes of patients: as they are where they are small numbers, else by sorting; equal where the patient is."""

import numpy as np
import pytest

from xray.stats.estimates import codes_of


@pytest.mark.parametrize(
    "patients",
    [
        np.array(["b", "a", "b", "c"]), np.array([10**12, -1, 10**12, 5]), np.array([2.5, 1.0, 2.5, 3.0]),
        np.array([15, 3, 15, 0], dtype=np.int32), np.array([16, 3, 16, 0]), np.array([-1, 3, -1, 0]),
    ],
)  # fmt: skip
def test_codes_are_equal_where_patients_are(patients):
    codes = codes_of(patients)
    assert codes.dtype == np.int64
    assert codes.min() >= 0
    assert codes.max() < 4 * patients.size
    np.testing.assert_array_equal(codes[:, None] == codes, patients[:, None] == patients)


def test_small_numbers_are_taken_as_they_are():
    patients = np.array([15, 3, 15, 0])
    assert codes_of(patients) is patients
    assert codes_of(np.zeros(0, dtype=np.int64)).size == 0

"""Patients of two cohorts under one numbering, whatever ids the database gave them."""

from dataclasses import replace

import numpy as np

from db.store import Identities, StoredCohort
from xray.analyses.shared import patients_of_both


def cohort(patients: list[int]) -> StoredCohort:
    n = len(patients)
    ids = np.array(patients, np.int64)
    identities = Identities(np.arange(n), ids, np.zeros(n, bool), np.unique(ids, return_inverse=True)[1] + 1)
    return StoredCohort(1, 1, np.arange(n, dtype=np.int32), identities, np.zeros((n, 1), np.float32))


def test_patients_are_numbered_by_image_order_and_not_by_id() -> None:
    a, b = cohort([7, 7, 3, 9]), cohort([3, 5, 9, 9])
    assert [codes.tolist() for codes in patients_of_both(a, b)] == [[0, 0, 1, 2], [1, 3, 2, 2]]
    other = {3: 90, 5: 1, 7: 2, 9: 50}  # as if the datasets had been registered in another order
    renamed = [
        replace(
            part,
            identities=replace(
                part.identities, patients=np.array([other[int(p)] for p in part.identities.patients])
            ),
        )
        for part in (a, b)
    ]
    assert [codes.tolist() for codes in patients_of_both(*renamed)] == [[0, 0, 1, 2], [1, 3, 2, 2]]

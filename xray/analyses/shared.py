"""Pictures that two cohorts share, whatever their datasets call them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from db.store import StoredCohort


def labels_of_shared(a: StoredCohort, b: StoredCohort) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both cohorts' labels of the pictures that both have, (n_pictures, n_tasks) each, a row per picture.

    NaN where a cohort says nothing, or says two things of copies of one picture.
    """
    pictures = np.intersect1d(a.identities.pictures, b.identities.pictures)
    return _labels_of(a, pictures), _labels_of(b, pictures)


def patients_of_both(a: StoredCohort, b: StoredCohort) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A code per patient in both cohorts, (n_images,) each, by first appearance: the same in every home."""
    codes = patients_of_all([a, b])
    return codes[: len(a.identities.patients)], codes[len(a.identities.patients) :]


def patients_of_all(cohorts: Sequence[StoredCohort]) -> NDArray[np.int64]:
    """A code per patient over the images of some cohorts, one after the other, by first appearance."""
    patients = np.concatenate([cohort.identities.patients for cohort in cohorts])
    _, first, codes_of = np.unique(patients, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first)).astype(np.int64)[codes_of])


def patients_of_shared(a: StoredCohort, b: StoredCohort) -> NDArray[np.int64]:
    """Who these pictures show, (n_pictures,), in the order of `labels_of_shared`."""
    pictures = np.intersect1d(a.identities.pictures, b.identities.pictures)
    first = np.unique(a.identities.pictures, return_index=True)
    return a.patients[first[1][np.searchsorted(first[0], pictures)]]


def _labels_of(cohort: StoredCohort, pictures: NDArray[np.int64]) -> NDArray[np.float64]:
    """Labels (n_pictures, n_tasks) of some pictures, in their order."""
    rows = np.isin(cohort.identities.pictures, pictures)
    row = np.searchsorted(pictures, cohort.identities.pictures[rows])
    labels = cohort.labels[rows]
    states = {value: np.zeros((len(pictures), labels.shape[1]), dtype=bool) for value in (0, 1)}
    for value, state in states.items():
        np.logical_or.at(state, row, labels == value)
    return np.where(states[0] == states[1], np.nan, states[1].astype(np.float64))

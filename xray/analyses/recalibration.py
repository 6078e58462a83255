"""Recalibrate a model for a hospital: a map fitted there, assessed there by cross-fitting and elsewhere as it is."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from xray.analyses.code import code_hash
from xray.analyses.stored import StoredStudy, load_study, load_tests
from xray.data.recalibrations import fingerprint_of, put_recalibration
from xray.errors import AnalysisError
from xray.findings import match
from xray.names import unknown
from xray.stats.calibration_intervals import (
    Calibrated,
    Measure,
    brier_difference,
    calibration_measures,
)
from xray.stats.estimates import FloatArray, IntArray
from xray.stats.flexible_calibration import FlexibleCurve, flexible_curve
from xray.stats.recalibration import Method, Recalibration, cross_fitted, recalibrate

FOLDS: Final = 5
FEWEST: Final[dict[Method, int]] = {"intercept": 10, "logistic": 10, "isotonic": 100}
"""So many patients of either class before a map is fitted; of fewer, intervals of isotonic's don't hold (decision 38)."""
_CODE: Final = "xray.stats.recalibration"


@dataclass(frozen=True)
class Judged:
    """Calibration on a dataset's test images before and after; after at the fitted dataset is cross-fitted.

    difference: of Brier's scores, after less before, on the same images. left_out: images here of patients whom the map
    was fitted on.
    """

    dataset: str
    before: Calibrated
    after: Calibrated
    difference: Measure
    curve_before: FlexibleCurve
    curve_after: FlexibleCurve
    left_out: int = 0


@dataclass(frozen=True)
class Recalibrated:
    """A stored calibration: `version` of a model and finding, and how it does where it was fitted and elsewhere."""

    model: str
    task: str
    version: int
    fitted: Recalibration
    at_home: Judged
    elsewhere: tuple[Judged, ...]


@dataclass(frozen=True)
class _Scored:
    """A model's logits for a finding on a dataset's test images (n_images,); codes and ids of their patients."""

    dataset: str
    cohort_id: int
    labels: FloatArray
    logits: FloatArray
    patients: IntArray
    people: IntArray

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Images with a label and a score."""
        return ~np.isnan(self.labels) & ~np.isnan(self.logits)


def recalibrate_model(
    connection: Connection,
    study: str,
    model: str,
    task: str,
    method: Method,
    dataset: str | None = None,
) -> Recalibrated:
    """Fit a calibration of a study's model for a finding, store it, and judge it. dataset: where; the first if None.

    model: a configuration with one seed, a model from elsewhere, or a model's full name. Raises `AnalysisError` where the
    study has no such model, finding or dataset, or there are too few images or the classes are separated perfectly.
    """
    stored = load_study(connection, study)
    finding = match(task, stored.findings)
    if finding is None:
        raise AnalysisError(unknown("finding", task, stored.findings))
    column = stored.findings.index(finding)
    name, model_id, ids = _one_model(connection, stored, model)
    candidates = _scored(connection, stored, ids, column)
    names = [candidate.dataset for candidate in candidates]
    if not candidates:
        raise AnalysisError(f"{name} scored no image that is labelled for {finding} in study {study}")
    if dataset is not None and dataset not in names:
        raise AnalysisError(
            unknown(f"dataset where {name} scored labelled images for {finding}", dataset, names)
        )
    home = candidates[0 if dataset is None else names.index(dataset)]
    calibration, judged = _fit(home, method, f"{name}, {finding} at {home.dataset}")
    content = connection.scalar(
        text("select content_hash from cohort where id = :id"), {"id": home.cohort_id}
    )
    fingerprint = fingerprint_of(home.labels, home.logits, method, str(content), code_hash(_CODE))
    version = put_recalibration(
        connection, model_id, stored.task_ids[column], home.cohort_id, calibration, fingerprint
    )
    people = home.people[home.usable]
    elsewhere = tuple(
        _elsewhere(candidate, calibration, people) for candidate in candidates if candidate is not home
    )
    return Recalibrated(name, finding, version, calibration, judged, elsewhere)


def _one_model(connection: Connection, study: StoredStudy, model: str) -> tuple[str, int, frozenset[int]]:
    """Full name and id of the model that is meant, and its evaluations in the study."""
    rows = connection.execute(
        text(
            "select evaluation.id, model.id as model_id, model.name, model.trained_on"
            " from evaluation join model on model.id = evaluation.model_id where evaluation.id = any(:ids)"
            " order by model.id"
        ),
        {"ids": [evaluation.evaluation_id for evaluation in study.evaluations]},
    ).all()
    matches = [row for row in rows if model in (row.name, row.trained_on)]
    if not matches:
        names_of_models = dict.fromkeys(name for row in rows for name in (row.trained_on, row.name))
        raise AnalysisError(unknown(f"model of study {study.name}", model, list(names_of_models)))
    names = list(dict.fromkeys(row.name for row in matches))
    if len(names) > 1:
        raise AnalysisError(
            f"{model} has {len(names)} models, and a calibration is of one: name one of {', '.join(names)}"
        )
    return names[0], matches[0].model_id, frozenset(row.id for row in matches)


def _scored(connection: Connection, study: StoredStudy, ids: frozenset[int], column: int) -> list[_Scored]:
    """The datasets that are labelled for a finding and that one of these evaluations scored for it."""
    return [
        _Scored(
            test.dataset,
            test.cohort.id,
            np.asarray(test.cohort.labels[:, column], dtype=np.float64),
            np.asarray(test.logits[evaluation.evaluation_id][column], dtype=np.float64),
            test.cohort.patients,
            test.cohort.identities.patients,
        )
        for test in load_tests(connection, study)
        if column in test.labelled_tasks()
        for evaluation in test.evaluations
        if evaluation.evaluation_id in ids and column in evaluation.trained
    ]


def _fit(home: _Scored, method: Method, context: str) -> tuple[Recalibration, Judged]:
    for value, word in ((1, "positive"), (0, "negative")):
        n = np.unique(home.patients[home.usable & (home.labels == value)]).size
        if n < FEWEST[method]:
            raise AnalysisError(
                f"{context}: {n} patients with a {word} image that is scored; {method} needs {FEWEST[method]}"
            )
    calibration = recalibrate(home.labels, home.logits, method)
    after, reason = cross_fitted(home.labels, home.logits, home.patients, method, FOLDS)
    if calibration.reason or reason:
        raise AnalysisError(f"{context}: no calibration by {method}: {calibration.reason or reason}")
    return calibration, _judged(home, after, fitted_here=True)


def _elsewhere(away: _Scored, calibration: Recalibration, people: IntArray) -> Judged:
    shared_patients = np.isin(away.people, people) & away.usable
    unseen = replace(away, labels=np.where(shared_patients, np.nan, away.labels))
    return _judged(unseen, calibration.apply(away.logits), left_out=int(shared_patients.sum()))


def _judged(data: _Scored, after: FloatArray, fitted_here: bool = False, left_out: int = 0) -> Judged:
    labels, before, patients = data.labels, data.logits, data.patients
    return Judged(
        data.dataset,
        calibration_measures(labels, before, patients),
        calibration_measures(labels, after, patients, fitted_here),
        brier_difference(labels, before, after, patients),
        flexible_curve(labels, before, patients),
        flexible_curve(labels, after, patients),
        left_out,
    )

"""A model's probabilities made to fit a hospital: a map fitted there, judged there by cross-fitting, elsewhere as it is."""

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
    here: Judged
    elsewhere: tuple[Judged, ...]


@dataclass(frozen=True)
class _Scored:
    """What a model said of a finding on a dataset's test images (n_images,); codes and ids of their patients."""

    dataset: str
    cohort_id: int
    labels: FloatArray
    logits: FloatArray
    patients: IntArray
    people: IntArray

    @property
    def used(self) -> NDArray[np.bool_]:
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
    study has no such model, finding or dataset, or the images are too few or too well told apart.
    """
    stored = load_study(connection, study)
    finding = match(task, stored.findings)
    if finding is None:
        raise AnalysisError(unknown("finding", task, stored.findings))
    column = stored.findings.index(finding)
    name, model_id, ids = _one_model(connection, stored, model)
    scored = _scored(connection, stored, ids, column)
    names = [each.dataset for each in scored]
    if not scored:
        raise AnalysisError(f"{name} scored no image that is labelled for {finding} in study {study}")
    if dataset is not None and dataset not in names:
        raise AnalysisError(
            unknown(f"dataset where {name} scored labelled images for {finding}", dataset, names)
        )
    here = scored[0 if dataset is None else names.index(dataset)]
    fitted, judged = _fit(here, method, f"{name}, {finding} at {here.dataset}")
    content = connection.scalar(
        text("select content_hash from cohort where id = :id"), {"id": here.cohort_id}
    )
    fingerprint = fingerprint_of(here.labels, here.logits, method, str(content), code_hash(_CODE))
    version = put_recalibration(
        connection, model_id, stored.task_ids[column], here.cohort_id, fitted, fingerprint
    )
    seen = here.people[here.used]
    others = tuple(_elsewhere(each, fitted, seen) for each in scored if each is not here)
    return Recalibrated(name, finding, version, fitted, judged, others)


def _one_model(connection: Connection, study: StoredStudy, model: str) -> tuple[str, int, frozenset[int]]:
    """Full name and id of the model that is meant, and its evaluations in the study."""
    rows = connection.execute(
        text(
            "select evaluation.id, model.id as model_id, model.name, model.trained_on"
            " from evaluation join model on model.id = evaluation.model_id where evaluation.id = any(:ids)"
            " order by model.id"
        ),
        {"ids": [each.evaluation_id for each in study.evaluations]},
    ).all()
    mine = [row for row in rows if model in (row.name, row.trained_on)]
    if not mine:
        known = dict.fromkeys(name for row in rows for name in (row.trained_on, row.name))
        raise AnalysisError(unknown(f"model of study {study.name}", model, list(known)))
    names = list(dict.fromkeys(row.name for row in mine))
    if len(names) > 1:
        raise AnalysisError(
            f"{model} has {len(names)} models, and a calibration is of one: name one of {', '.join(names)}"
        )
    return names[0], mine[0].model_id, frozenset(row.id for row in mine)


def _scored(connection: Connection, study: StoredStudy, ids: frozenset[int], column: int) -> list[_Scored]:
    """The datasets that are labelled for a finding and that one of these evaluations scored for it."""
    return [
        _Scored(
            test.dataset,
            test.cohort.id,
            np.asarray(test.cohort.labels[:, column], dtype=np.float64),
            np.asarray(test.logits[each.evaluation_id][column], dtype=np.float64),
            test.cohort.patients,
            test.cohort.shown.patients,
        )
        for test in load_tests(connection, study)
        if column in test.labelled_tasks()
        for each in test.evaluations
        if each.evaluation_id in ids and column in each.trained
    ]


def _fit(here: _Scored, method: Method, where: str) -> tuple[Recalibration, Judged]:
    for value, word in ((1, "positive"), (0, "negative")):
        n = np.unique(here.patients[here.used & (here.labels == value)]).size
        if n < FEWEST[method]:
            raise AnalysisError(
                f"{where}: {n} patients with a {word} image that is scored; {method} needs {FEWEST[method]}"
            )
    fitted = recalibrate(here.labels, here.logits, method)
    after, reason = cross_fitted(here.labels, here.logits, here.patients, method, FOLDS)
    if fitted.reason or reason:
        raise AnalysisError(f"{where}: no calibration by {method}: {fitted.reason or reason}")
    return fitted, _judged(here, after, fitted_here=True)


def _elsewhere(there: _Scored, fitted: Recalibration, seen: IntArray) -> Judged:
    again = np.isin(there.people, seen) & there.used
    others = replace(there, labels=np.where(again, np.nan, there.labels))
    return _judged(others, fitted.apply(there.logits), left_out=int(again.sum()))


def _judged(scored: _Scored, after: FloatArray, fitted_here: bool = False, left_out: int = 0) -> Judged:
    labels, before, patients = scored.labels, scored.logits, scored.patients
    return Judged(
        scored.dataset,
        calibration_measures(labels, before, patients),
        calibration_measures(labels, after, patients, fitted_here),
        brier_difference(labels, before, after, patients),
        flexible_curve(labels, before, patients),
        flexible_curve(labels, after, patients),
        left_out,
    )

"""Two models on the same images: which ranks, finds and decides better, and on which images they differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from db.queries import query
from xray.analyses.resampled import has_repeated_patients
from xray.analyses.rows import number
from xray.analyses.stored import StoredStudy, TestSet, load_study, load_tests
from xray.analyses.where import fit, parse
from xray.data.operating_points import declared
from xray.errors import AnalysisError
from xray.names import unknown
from xray.stats.agreement import cross_table, kappa, mcnemar
from xray.stats.comparisons import compare_paired
from xray.stats.estimates import Comparison
from xray.stats.multiplicity import holm
from xray.stats.roc import auc, youden
from xray.stats.shares import paired_by_patient

FEWEST: Final = 10
"""Of either class, before two models are compared."""
HARM: Final = 0.1
"""Threshold probability of the net benefit that is compared, unless another is asked for."""


@dataclass(frozen=True)
class Compared:
    """Rows of a comparison, one for each dataset and finding, and the images on which the calls differ.

    Differences are the first model less the second. rows: as JSON. images: columns dataset, task, image, label, first,
    second (calls).
    """

    first: str
    second: str
    rows: list[dict[str, Any]]
    images: pd.DataFrame


def compare(
    connection: Connection,
    study: str,
    first: str,
    second: str,
    *,
    where: str | None = None,
    margin: float | None = None,
    probability: float = HARM,
) -> Compared:
    """Compare two models of a study on the images that both scored.

    where: only images that fit these conditions (`where.parse`). margin: how much lower an AUC may be and count as no worse.
    probability: the threshold probability of net benefit. The family of Holm's correction is every dataset and finding.
    Raises `AnalysisError` where the study has no such model, the two share no dataset, or no image fits.
    """
    stored = load_study(connection, study)
    check_models(stored, first, second)
    if first == second:
        raise AnalysisError(f"{first}: a model is compared with another one")
    if margin is not None and not 0 < margin < 0.5:
        raise AnalysisError(f"--margin: expected a difference of AUC above 0 and below 0.5, found {margin:g}")
    if not 0 < probability < 1:
        raise AnalysisError(f"--probability: expected a share above 0 and below 1, found {probability:g}")
    clauses = parse(where) if where else ()
    tests = load_tests(connection, stored, [clause.column for clause in clauses], trained_on=[first, second])
    both = [test for test in tests if {first, second} <= set(test.trained_on)]
    if not both:
        raise AnalysisError(f"{first} and {second} scored no dataset of study {study} together")
    points = declared(connection, stored.id, stored.findings)
    rows, images = [], []
    for test in both:
        fits = fit(clauses, test.columns, len(test.cohort.labels))
        names = connection.execute(text(query("cohort_names")), {"cohort_id": test.cohort.id}).one().names
        for row, differing in _of_test(test, first, second, fits, points, probability, stored.findings):
            rows.append(row)
            images.append(differing.assign(image=[names[row_index] for row_index in differing["image"]]))
    if not any(row["n"] for row in rows):
        raise AnalysisError(f"--where {where!r}: no labelled image that both models scored fits")
    adjust(rows)
    if margin is not None:
        for row in rows:
            lower = row["lower"]
            row["margin"], row["no_worse"] = margin, None if lower is None else bool(lower > -margin)
    return Compared(first, second, rows, pd.concat(images, ignore_index=True))


def check_models(study: StoredStudy, *names: str) -> None:
    """Raises `AnalysisError` where a study has no model of such a name."""
    models = list(dict.fromkeys(evaluation.trained_on for evaluation in study.evaluations))
    for name in names:
        if name not in models:
            raise AnalysisError(unknown(f"model of study {study.name}", name, models))


def adjust(rows: Sequence[dict[str, Any]]) -> None:
    """Fill in p_holm over the rows whose p is known."""
    with_p = [row for row in rows if row["p"] is not None]
    if with_p:
        for row, p in zip(with_p, holm([row["p"] for row in with_p]), strict=True):
            row["p_holm"] = float(p)


def _of_test(
    test: TestSet,
    first: str,
    second: str,
    fits: NDArray[np.bool_],
    points: Mapping[str, Mapping[int, float]],
    probability: float,
    findings: Sequence[str],
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    tasks = sorted(test.labelled_tasks() & test.trained_tasks(first) & test.trained_tasks(second))
    for task in tasks:
        label = np.where(fits, test.cohort.labels[:, task], np.nan)
        scores = [test.ensemble(name)[:, task] for name in (first, second)]
        scored = ~np.isnan(label) & ~np.isnan(scores[0]) & ~np.isnan(scores[1])
        label = np.where(scored, label, np.nan)
        points_of = [points.get(name, {}) for name in (first, second)]
        row, images = _row(test, task, label, scores, points_of, probability)
        yield (
            {"test_dataset": test.dataset, "task": findings[task], **row},
            images.assign(task=findings[task]),
        )


def _row(
    test: TestSet,
    task: int,
    label: NDArray[np.floating],
    scores: Sequence[NDArray[np.float64]],
    points: Sequence[Mapping[int, float]],
    probability: float,
) -> tuple[dict[str, Any], pd.DataFrame]:
    scored, positive = ~np.isnan(label), label == 1
    n, n_pos = int(scored.sum()), int(positive.sum())
    patients, clustered = test.cohort.patients, has_repeated_patients(test)
    enough = enough_patients(label, patients)
    row: dict[str, Any] = {"n": n, "n_pos": n_pos}
    labels = label.astype(np.float32)
    row |= {
        f"auc_{letter}": number(float(auc(labels, score).value))
        for letter, score in zip("ab", scores, strict=True)
    }
    areas = compare_paired(labels, scores[0], scores[1], patients=patients if clustered else None)
    row |= difference(areas, "", enough)
    row["p_holm"] = None
    cuts = [
        declared_points.get(task, float(youden(labels, s).threshold))
        for declared_points, s in zip(points, scores, strict=True)
    ]
    row |= {f"threshold_{letter}": number(cut) for letter, cut in zip("ab", cuts, strict=True)}
    row["thresholds"] = [
        "declared" if task in declared_points else "best on these images" for declared_points in points
    ]
    calls_of = [scored & (score >= cut) for score, cut in zip(scores, cuts, strict=True)]
    gain = calls_of[0].astype(np.int8) - calls_of[1].astype(np.int8)
    for name, among, sign in (("sensitivity", positive, 1), ("specificity", scored & ~positive, -1)):
        paired = paired_by_patient(among, sign * gain, patients)
        if not clustered:  # McNemar's exact test needs no large sample
            table = cross_table(*(np.where(among, column, np.nan) for column in calls_of))
            paired = replace(paired, p=mcnemar(table).p_exact)
        row |= difference(paired, f"{name}_", enough and not any(map(np.isnan, cuts)))
    odds = probability / (1 - probability)
    at = float(np.log(odds))
    treated = [scored & (score >= at) for score in scores]
    worth = [np.where(positive, column, -odds * column) for column in treated]
    row |= {
        "probability": probability,
        **difference(paired_by_patient(scored, worth[0] - worth[1], patients), "net_benefit_", enough),
    }
    table = cross_table(*(np.where(scored, column, np.nan) for column in calls_of))
    agreement = kappa(table)
    row |= {"kappa": number(float(agreement.value)), "kappa_lower": number(float(agreement.lower))}
    row |= {"kappa_upper": number(float(agreement.upper)), "differ": int((gain != 0).sum())}
    row["reason"] = None if enough else f"fewer than {FEWEST} patients of a class"
    differing = np.flatnonzero(gain != 0)
    columns = {
        "label": label[differing],
        "first": calls_of[0][differing].astype(int),
        "second": calls_of[1][differing].astype(int),
    }
    return row, pd.DataFrame({"dataset": test.dataset, "task": "", "image": differing, **columns})


def enough_patients(labels: NDArray[np.floating], patients: NDArray[np.integer]) -> bool:
    """Whether each class has FEWEST patients. labels: (n_images,), NaN where an image does not count."""
    return min(np.unique(patients[labels == value]).size for value in (0, 1)) >= FEWEST


def difference(comparison: Comparison, prefix: str, enough: bool) -> dict[str, float | None]:
    """A difference, its bounds and p as JSON has them; None where there are not `enough` of a class."""
    names = ("difference", "lower", "upper", "p")
    return {prefix + name: number(float(getattr(comparison, name))) if enough else None for name in names}

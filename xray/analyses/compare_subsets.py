"""One model on two subsets of images: before and after a day, one scanner and another, women and men."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from xray.analyses.compare import FEWEST, adjust, check_models, difference, enough_patients
from xray.analyses.rows import number
from xray.analyses.stored import TestSet, load_study, load_tests
from xray.analyses.where import fit, parse
from xray.data.operating_points import declared
from xray.errors import AnalysisError
from xray.stats.clustered import clustered_subsets
from xray.stats.roc import youden
from xray.stats.shares import shares_by_patient


def compare_subsets(
    connection: Connection, study: str, model: str, first: str, second: str
) -> list[dict[str, Any]]:
    """A model of a study on the images that fit `first` against those that fit `second` (`where.parse`), as rows for JSON.

    A row for each dataset and finding: n, positives and AUC with interval of either subset (a, b), their difference, a less
    b, with interval and p (adjusted after Holm over all rows: p_holm); sensitivity and specificity of both at one threshold,
    the declared one, else the best on the images of both, and their differences with intervals. Patients are the units,
    also where they are in both. Raises `AnalysisError` where there is no such model, no image fits a condition, or one fits
    both.
    """
    stored_study = load_study(connection, study)
    check_models(stored_study, model)
    clauses = parse(first), parse(second)
    columns = list(dict.fromkeys(clause.column for side in clauses for clause in side))
    points = declared(connection, stored_study.id, stored_study.findings).get(model, {})
    rows, empty_sides = [], [True, True]
    for test in load_tests(connection, stored_study, columns, trained_on=[model]):
        if model not in test.trained_on:
            continue
        sides = [fit(side, test.columns, len(test.cohort.labels)) for side in clauses]
        both = int((sides[0] & sides[1]).sum())
        if both:
            raise AnalysisError(f"{both} images of {test.dataset} fit both {first!r} and {second!r}")
        empty_sides = [empty and not side.any() for empty, side in zip(empty_sides, sides, strict=True)]
        for task in sorted(test.labelled_tasks() & test.trained_tasks(model)):
            row = _row(test, task, test.ensemble(model)[:, task], sides, points)
            rows.append({"test_dataset": test.dataset, "task": stored_study.findings[task], **row})
    for empty, condition in zip(empty_sides, (first, second), strict=True):
        if empty:
            raise AnalysisError(f"{condition!r}: no image that {model} scored fits")
    adjust(rows)
    return rows


def _row(
    test: TestSet,
    task: int,
    score: NDArray[np.float64],
    sides: Sequence[NDArray[np.bool_]],
    points: Mapping[int, float],
) -> dict[str, Any]:
    patients = test.cohort.patients
    label = np.where(np.isnan(score), np.nan, test.cohort.labels[:, task])
    labels = [np.where(side, label, np.nan) for side in sides]
    aucs, gap = clustered_subsets(labels, score, patients)
    enough = all(enough_patients(side, patients) for side in labels)
    row: dict[str, Any] = {}
    for name, area in zip("ab", aucs, strict=True):
        row |= {f"n_{name}": int(area.n), f"n_pos_{name}": int(area.n_pos)}
        row |= {f"auc_{name}{part}": number(float(getattr(area, at))) for part, at in _BOUNDS}
    row |= difference(gap, "", enough) | {"p_holm": None}
    either = np.where(sides[0] | sides[1], label, np.nan)
    cut = points.get(task, float(youden(either.astype(np.float32), score).threshold))
    row |= {
        "threshold": number(cut),
        "threshold_is": "declared" if task in points else "best on these images",
    }
    right = {"sensitivity": score >= cut, "specificity": score < cut}
    for (name, hits), positive in zip(right.items(), (1, 0), strict=True):
        shares, gap = shares_by_patient([side == positive for side in labels], hits, patients)
        for side, share in zip("ab", shares, strict=True):
            row |= {f"{name}_{side}{part}": number(float(getattr(share, at))) for part, at in _BOUNDS}
        row |= difference(gap, f"{name}_", enough and not np.isnan(cut))
    row["reason"] = None if enough else f"fewer than {FEWEST} patients of a class"
    return row


_BOUNDS = (("", "value"), ("_lower", "lower"), ("_upper", "upper"))

"""Two models on the same images: which ranks, finds and decides better, and on which images they differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from sqlalchemy import Connection, text

from db.queries import query
from xray.analyses.resampled import has_repeated_patients
from xray.analyses.rows import number
from xray.analyses.stored import StoredStudy, TestSet, load_study, load_tests
from xray.analyses.where import chosen, parse
from xray.data.operating_points import declared
from xray.errors import AnalysisError
from xray.names import unknown
from xray.stats.agreement import cross_table, kappa, mcnemar
from xray.stats.clustered import clustered_covariance
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
    tests = load_tests(connection, stored, [each.column for each in clauses], trained_on=[first, second])
    both = [test for test in tests if {first, second} <= set(test.trained_on)]
    if not both:
        raise AnalysisError(f"{first} and {second} scored no dataset of study {study} together")
    points = declared(connection, stored.id, stored.findings)
    rows, images = [], []
    for test in both:
        fits = chosen(clauses, test.columns, len(test.cohort.labels))
        names = connection.execute(text(query("cohort_names")), {"cohort_id": test.cohort.id}).one().names
        for row, differing in _of_test(test, first, second, fits, points, probability, stored.findings):
            rows.append(row)
            images.append(differing.assign(image=[names[place] for place in differing["image"]]))
    if not any(row["n"] for row in rows):
        raise AnalysisError(f"--where {where!r}: no labelled image that both models scored fits")
    adjust(rows)
    if margin is not None:
        for row in rows:
            lower = row["lower"]
            row["margin"], row["no_worse"] = margin, None if lower is None else bool(lower > -margin)
    return Compared(first, second, rows, pd.concat(images, ignore_index=True))


def check_models(stored: StoredStudy, *names: str) -> None:
    """Raises `AnalysisError` where a study has no model of such a name."""
    known = list(dict.fromkeys(each.trained_on for each in stored.evaluations))
    for name in names:
        if name not in known:
            raise AnalysisError(unknown(f"model of study {stored.name}", name, known))


def adjust(rows: Sequence[dict[str, Any]]) -> None:
    """Fill in p_holm over the rows whose p is known."""
    tested = [row for row in rows if row["p"] is not None]
    if tested:
        for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
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
        known = ~np.isnan(label) & ~np.isnan(scores[0]) & ~np.isnan(scores[1])
        label = np.where(known, label, np.nan)
        own = [points.get(name, {}) for name in (first, second)]
        row, images = _row(test, task, label, scores, own, probability)
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
    known, positive = ~np.isnan(label), label == 1
    n, n_pos = int(known.sum()), int(positive.sum())
    patients, clustered = test.cohort.patients, has_repeated_patients(test)
    enough = min(n_pos, n - n_pos) >= FEWEST
    row: dict[str, Any] = {"n": n, "n_pos": n_pos}
    labels = label.astype(np.float32)
    row |= {
        f"auc_{place}": number(float(auc(labels, score).value))
        for place, score in zip("ab", scores, strict=True)
    }
    found = _areas(labels, scores, patients, clustered)
    row |= difference(found, "", enough)
    row["p_holm"] = None
    cuts = [own.get(task, float(youden(labels, s).threshold)) for own, s in zip(points, scores, strict=True)]
    row |= {f"threshold_{place}": number(cut) for place, cut in zip("ab", cuts, strict=True)}
    row["thresholds"] = ["declared" if task in own else "best on these images" for own in points]
    called = [known & (score >= cut) for score, cut in zip(scores, cuts, strict=True)]
    gain = called[0].astype(np.int8) - called[1].astype(np.int8)
    for name, among, sign in (("sensitivity", positive, 1), ("specificity", known & ~positive, -1)):
        paired = paired_by_patient(among, sign * gain, patients)
        if not clustered:  # McNemar's exact test needs no large sample
            table = cross_table(*(np.where(among, each, np.nan) for each in called))
            paired = replace(paired, p=mcnemar(table).p_exact)
        row |= difference(paired, f"{name}_", enough and not any(map(np.isnan, cuts)))
    odds = probability / (1 - probability)
    at = float(np.log(odds))
    treated = [known & (score >= at) for score in scores]
    worth = [np.where(positive, each, -odds * each) for each in treated]
    row |= {
        "probability": probability,
        **difference(paired_by_patient(known, worth[0] - worth[1], patients), "net_benefit_", enough),
    }
    table = cross_table(*(np.where(known, each, np.nan) for each in called))
    agreed = kappa(table)
    row |= {"kappa": number(float(agreed.value)), "kappa_lower": number(float(agreed.lower))}
    row |= {"kappa_upper": number(float(agreed.upper)), "differ": int((gain != 0).sum())}
    row["reason"] = None if enough else f"fewer than {FEWEST} of a class"
    places = np.flatnonzero(gain != 0)
    columns = {
        "label": label[places],
        "first": called[0][places].astype(int),
        "second": called[1][places].astype(int),
    }
    return row, pd.DataFrame({"dataset": test.dataset, "task": "", "image": places, **columns})


def _areas(
    labels: NDArray[np.float32],
    scores: Sequence[NDArray[np.float64]],
    patients: NDArray[np.int64],
    clustered: bool,
) -> Comparison:
    """Difference of AUCs: DeLong's, by patient where some have several images."""
    plain = compare_paired(labels, scores[0], scores[1])
    if not clustered:
        return plain
    covariance = clustered_covariance(labels, np.stack(scores), patients).covariance
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if not variance > 0:
        return replace(plain, lower=np.array(np.nan), upper=np.array(np.nan), p=np.array(np.nan))
    se = variance**0.5
    difference, half = float(plain.difference), float(ndtri(0.975)) * se
    z = difference / se
    bounds = np.array(max(difference - half, -1)), np.array(min(difference + half, 1))
    return replace(
        plain, lower=bounds[0], upper=bounds[1], se=np.array(se), z=np.array(z), p=np.array(2 * ndtr(-abs(z)))
    )


def difference(found: Comparison, prefix: str, enough: bool) -> dict[str, float | None]:
    """A difference, its bounds and p as JSON has them; None where there are not `enough` of a class."""
    names = ("difference", "lower", "upper", "p")
    return {prefix + name: number(float(getattr(found, name))) if enough else None for name in names}

"""Do models agree with a test cohort's own model? Cohen's kappa of calls at Youden points (paper, Fig 3)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.results import Agreement
from xray.analyses import cells
from xray.analyses.analysis import Stored, analysis
from xray.analyses.parallel import flat_side_by_side
from xray.analyses.points import calls, points_at_home
from xray.analyses.resampled import has_repeated_patients
from xray.analyses.rows import number
from xray.analyses.stored import StoredStudy, TestSet
from xray.report import published
from xray.report.parts import agreement as parts
from xray.report.parts.part import Part
from xray.stats.agreement import (
    cross_table,
    kappa,
    kappa_inflation,
    mcnemar,
    mcnemar_by_patient,
    negative_agreement,
    pabak,
    positive_agreement,
)
from xray.stats.kendall import Ranks, ranked, tau_of_ranks
from xray.stats.roc import Youden

METHOD = (
    "Cohen's kappa of ensembles, score >= Youden point, profile likelihood, 95 %; Kendall's tau-b of scores"
)

CLUSTERED_METHOD = METHOD.replace("95 %;", "patients as units, 95 %;")


def show(result: Stored) -> Part:
    """The findings in words, and the figure."""
    return parts.agreement(result.rows, result.published)


@analysis(
    "agreement",
    "Do models agree with the test dataset's own? Cohen's kappa, Kendall's tau (Fig 3)",
    Agreement,
    order=30,
    unit=cells.MODEL_AGAINST_AT_HOME,
    show=show,
    metric=published.KAPPA,
)
def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `agreement`: per test cohort, task, configuration and rule, against the cohort's own model, or
    the first from elsewhere.

    The own model stands beside the others, with kappa 1, under the rule "target".
    """
    at_home = points_at_home(study, tests)
    for test in tests:
        reference = study.reference(test)
        if reference is None:
            continue
        work = ((test, reference, name, at_home.get(name)) for name in test.configurations)
        yield from flat_side_by_side(_rows, work)


def _rows(test: TestSet, reference: str, trained_on: str, at_home: Youden | None) -> list[dict[str, Any]]:
    tasks = sorted(test.labelled_tasks() & test.trained_tasks(reference) & test.trained_tasks(trained_on))
    taus = _taus(test, reference, trained_on, tasks)
    reference_points, target = test.youden(reference), test.youden(trained_on)
    rows = list(_compare(test, reference, trained_on, "target", reference_points, target, tasks, taus))
    if at_home is not None and trained_on != reference:
        rows += _compare(test, reference, trained_on, "own", reference_points, at_home, tasks, taus)
    return rows


def _taus(test: TestSet, reference: str, trained_on: str, tasks: Sequence[int]) -> NDArray[np.float64]:
    """Kendall's tau of two ensembles on the labelled images, per task."""
    taus = [
        tau_of_ranks(_ranks_of_reference(test, reference, task), _ranks(test, trained_on, task))
        for task in tasks
    ]
    return np.array([float(tau.value) for tau in taus])


def _ranks_of_reference(test: TestSet, reference: str, task: int) -> Ranks:
    """Cached in `test`, as those of all models are compared with them."""
    key = "ranks", reference, task
    if key not in test.cache:
        test.cache[key] = _ranks(test, reference, task)
    cached: Ranks = test.cache[key]
    return cached


def _ranks(test: TestSet, trained_on: str, task: int) -> Ranks:
    """Of the labelled images."""
    labelled = ~np.isnan(test.cohort.labels[:, task])
    return ranked(np.where(labelled, test.ensemble(trained_on)[:, task], np.nan))


def _compare(
    test: TestSet,
    reference: str,
    trained_on: str,
    rule: str,
    point: Youden,
    other: Youden,
    tasks: Sequence[int],
    taus: NDArray[np.float64],
) -> Iterator[dict[str, Any]]:
    labels = test.cohort.labels
    own_calls = calls(labels, test.ensemble(reference), point.threshold)
    other_calls = calls(labels, test.ensemble(trained_on), other.threshold)
    table = cross_table(own_calls[:, tasks], other_calls[:, tasks])
    clustered = has_repeated_patients(test)
    inflation = (
        kappa_inflation(own_calls[:, tasks], other_calls[:, tasks], test.cohort.patients)
        if clustered
        else 1.0
    )
    kappas, pabaks = kappa(table, inflation=inflation), pabak(table)
    of_rates = (
        mcnemar_by_patient(own_calls[:, tasks], other_calls[:, tasks], test.cohort.patients)[0]
        if clustered
        else mcnemar(table).p_exact
    )
    on_positives, on_negatives = positive_agreement(table), negative_agreement(table)
    for column, task in enumerate(tasks):
        reason, itself = str(kappas.reason[column]) or None, trained_on == reference
        for name, points in ((reference, point), (trained_on, other)):
            if np.isnan(points.threshold[task]):
                reason = f"{name}: {points.reason[task]}"
        yield {
            "cohort_id": test.cohort.id,
            "task_id": task,
            "reference": reference,
            "trained_on": trained_on,
            "rule": rule,
            "n": int(kappas.n[column]),
            "n_pos": int((labels[:, task] == 1).sum()),
            "kappa": number(kappas.value[column]),
            "lower": None if itself else number(kappas.lower[column]),
            "upper": None if itself else number(kappas.upper[column]),
            "pabak": number(pabaks.value[column]),
            "positive_agreement": number(on_positives.value[column]),
            "negative_agreement": number(on_negatives.value[column]),
            "mcnemar_p": number(of_rates[column]) if kappas.n[column] else None,
            "tau": number(taus[column]),
            "threshold_reference": number(point.threshold[task]),
            "threshold": number(other.threshold[task]),
            "method": CLUSTERED_METHOD if clustered else METHOD,
            "reason": reason,
            "evaluation_ids": test.ids(reference, trained_on),
        }

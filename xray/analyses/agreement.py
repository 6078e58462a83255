"""Do models agree with a test cohort's own model? Cohen's kappa of calls at Youden points (paper, Fig 3)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.schema import Agreement
from xray.analyses.performance import number
from xray.analyses.stored import StoredStudy, TestSet
from xray.stats.agreement import cross_table, kappa, pabak
from xray.stats.roc import Youden, youden
from xray.tasks import TASKS

NAME = "agreement"
VERSION = 1
TABLE = Agreement
METHOD = "Cohen's kappa of ensembles, score >= Youden point, interval of Fleiss et al. 1969, 95 %"

Scores = NDArray[np.float64]


def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `agreement`: per test cohort, task, configuration and rule, against the cohort's own model.

    The own model stands beside the others, with kappa 1, under the rule "target".
    """
    at_home = _points_at_home(study, tests)
    for test in tests:
        reference = study.trained_on_exactly((test.dataset,))
        if reference is None or reference not in test.trained_on:
            continue
        here = {name: youden(test.cohort.labels, test.ensemble(name)) for name in test.trained_on}
        for trained_on in test.trained_on:
            yield from _compare(test, reference, trained_on, "target", here[reference], here[trained_on])
            if trained_on in at_home and trained_on != reference:
                yield from _compare(test, reference, trained_on, "own", here[reference], at_home[trained_on])


def _points_at_home(study: StoredStudy, tests: Sequence[TestSet]) -> dict[str, Youden]:
    """Configuration → Youden points (n_tasks,) on the pooled test cohorts of the datasets that it was trained on."""
    by_dataset = {test.dataset: test for test in tests}
    points = {}
    for name, datasets in study.configurations.items():
        home = [by_dataset[d] for d in datasets if d in by_dataset and name in by_dataset[d].trained_on]
        if home:
            labels = np.concatenate([test.cohort.labels for test in home])
            points[name] = youden(labels, np.concatenate([test.ensemble(name) for test in home]))
    return points


def _compare(
    test: TestSet, reference: str, trained_on: str, rule: str, point: Youden, other: Youden
) -> Iterator[dict[str, Any]]:
    tasks = sorted(test.labelled_tasks() & test.trained_tasks(reference) & test.trained_tasks(trained_on))
    labels = test.cohort.labels
    calls = _calls(labels, test.ensemble(reference), point.threshold)
    other_calls = _calls(labels, test.ensemble(trained_on), other.threshold)
    table = cross_table(calls[:, tasks], other_calls[:, tasks])
    kappas, pabaks = kappa(table), pabak(table)
    for column, task in enumerate(tasks):
        reason = str(kappas.reason[column]) or None
        for name, found in ((reference, point), (trained_on, other)):
            if np.isnan(found.threshold[task]):
                reason = f"{name}: {found.reason[task]}"
        yield {
            "cohort_id": test.cohort.id,
            "task_id": task,
            "reference": reference,
            "trained_on": trained_on,
            "rule": rule,
            "n": int(kappas.n[column]),
            "n_pos": int((labels[:, task] == 1).sum()),
            "kappa": number(kappas.value[column]),
            "lower": number(kappas.lower[column]),
            "upper": number(kappas.upper[column]),
            "pabak": number(pabaks.value[column]),
            "threshold_reference": number(point.threshold[task]),
            "threshold": number(other.threshold[task]),
            "method": METHOD,
            "reason": reason,
            "evaluation_ids": [e.evaluation_id for name in (reference, trained_on) for e in test.of(name)],
        }


def _calls(labels: NDArray[np.float32], scores: Scores, thresholds: Scores) -> Scores:
    """1 where score >= threshold, 0 below, NaN without label, score or threshold; (n_images, n_tasks)."""
    called = np.where(scores >= thresholds, 1.0, 0.0)
    called[np.isnan(labels) | np.isnan(scores) | np.broadcast_to(np.isnan(thresholds), scores.shape)] = np.nan
    assert called.shape[1] == len(TASKS)
    return called

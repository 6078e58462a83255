"""How well does each configuration do on each test cohort? AUC with interval, per task (paper, Fig 1).

DeLong's interval where each patient has one image. Where patients have several, images are not independent: then ensembles
have a bootstrap over patients, the same draws for every model, and single seeds Obuchowski's form of DeLong.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from db.results import Auc
from xray.analyses import cells, results
from xray.analyses.analysis import Stored, analysis
from xray.analyses.parallel import flat_side_by_side
from xray.analyses.resampled import REPLICATES, Group, has_repeated_patients, replicates
from xray.analyses.rows import NOT_LABELLED, NOT_TRAINED, number
from xray.analyses.stored import Scored, StoredStudy, TestSet
from xray.report import published
from xray.report.parts import accuracy
from xray.report.parts.part import Part
from xray.stats.clustered import clustered_auc_interval
from xray.stats.delong import auc_interval
from xray.stats.estimates import Estimates

METHOD = "AUC of mean logits over seeds, DeLong, logit interval 95 %"
SEED_METHOD = "AUC, DeLong, logit interval 95 %"
CLUSTERED_METHOD = (
    f"AUC of mean logits over seeds, bootstrap over patients, {REPLICATES} replicates, percentile 95 %"
)
CLUSTERED_SEED_METHOD = "AUC, DeLong by patient (Obuchowski 1997), logit interval 95 %"
FOREIGN_METHOD = "AUC of one foreign model, DeLong, logit interval 95 %"
METHODS = {
    (False, False): METHOD,
    (False, True): CLUSTERED_METHOD,
    (True, False): FOREIGN_METHOD,
    (True, True): CLUSTERED_METHOD.replace("mean logits over seeds", "one foreign model"),
}
"""By whether the model is foreign, and whether patients have several images here."""


def show(result: Stored) -> Part:
    """The findings in words, and the figure."""
    frame = results.performance(result.connection, result.study)
    return accuracy.performance(frame, result.published)


@analysis(
    "performance",
    "How well does each model do on each test dataset? AUC with interval (Fig 1)",
    Auc,
    order=10,
    unit=cells.MODEL_WITH_FINDINGS,
    show=show,
    metric=published.AUC,
)
def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `auc`: per configuration, test cohort and task, the ensemble (seed None) and each seed.

    A foreign model is one network without a seed: one row, in the place of the ensemble's.
    """
    tasks = study.tasks(tests)
    for test in tests:
        clustered = has_repeated_patients(test)
        if clustered:
            replicates(test, [group for name in test.configurations for group in _defined(test, name)])
        work = ((test, trained_on, tasks, clustered) for trained_on in test.configurations)
        yield from flat_side_by_side(_configuration, work)


def _configuration(
    test: TestSet, trained_on: str, tasks: Sequence[int], clustered: bool
) -> list[dict[str, Any]]:
    seeds, labels = test.of(trained_on), test.cohort.labels[:, tasks]
    foreign = any(one.foreign for one in seeds)
    estimates = auc_interval(labels, test.ensemble(trained_on)[:, tasks])
    if clustered:
        estimates = _bootstrapped(test, trained_on, tasks, estimates)
    rows = list(_rows(test, seeds, None, tasks, estimates, METHODS[foreign, clustered]))
    for one in seeds if not foreign else ():
        scores = test.logits[one.evaluation_id].T[:, tasks]
        if clustered:
            estimates = clustered_auc_interval(labels, scores, test.cohort.patients)
        else:
            estimates = auc_interval(labels, scores)
        method = CLUSTERED_SEED_METHOD if clustered else SEED_METHOD
        rows += _rows(test, [one], one.seed, tasks, estimates, method)
    return rows


def _defined(test: TestSet, trained_on: str) -> list[Group]:
    """The tasks that the cohort is labelled for and a configuration was trained on."""
    tasks = sorted(test.labelled_tasks() & test.trained_tasks(trained_on))
    return [(task, (trained_on,)) for task in tasks]


def _bootstrapped(test: TestSet, trained_on: str, tasks: Sequence[int], estimates: Estimates) -> Estimates:
    """The same AUCs with the bootstrap's intervals in place of DeLong's."""
    lower, upper, se = (np.full(len(tasks), np.nan) for _ in range(3))
    reason = estimates.reason.copy()
    for (task, _), sample in replicates(test, _defined(test, trained_on)).items():
        column, bootstrap = tasks.index(task), sample.result.estimates
        lower[column], upper[column], se[column] = bootstrap.lower[0], bootstrap.upper[0], bootstrap.se[0]
        reason[column] = bootstrap.reason[0]
    return replace(estimates, lower=lower, upper=upper, se=se, reason=reason)


def _rows(
    test: TestSet,
    evaluations: Sequence[Scored],
    seed: int | None,
    tasks: Sequence[int],
    estimates: Estimates,
    method: str,
) -> Iterator[dict[str, Any]]:
    labels = test.cohort.labels[:, tasks]
    trained, labelled_tasks = frozenset.intersection(*(e.trained for e in evaluations)), test.labelled_tasks()
    for column, task in enumerate(tasks):
        reason = str(estimates.reason[column]) or None
        n, n_pos = int(estimates.n[column]), int(estimates.n_pos[column])
        if task not in labelled_tasks:
            reason = NOT_LABELLED
        elif task not in trained:
            reason = NOT_TRAINED
            n, n_pos = int((~np.isnan(labels[:, column])).sum()), int((labels[:, column] == 1).sum())
        yield {
            "trained_on": evaluations[0].trained_on,
            "cohort_id": test.cohort.id,
            "task_id": task,
            "seed": seed,
            "n": n,
            "n_pos": n_pos,
            "auc": number(estimates.value[column]),
            "lower": number(estimates.lower[column]),
            "upper": number(estimates.upper[column]),
            "method": method,
            "reason": reason,
            "evaluation_ids": [e.evaluation_id for e in evaluations],
        }

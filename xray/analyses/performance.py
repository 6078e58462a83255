"""How well does each configuration do on each test cohort? AUC with DeLong interval, per task (paper, Fig 1)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.schema import Auc
from xray.analyses.stored import Scored, StoredStudy, TestSet
from xray.stats.delong import auc_interval

NAME = "performance"
VERSION = 1
TABLE = Auc
METHOD = "AUC of mean logits over seeds, DeLong, logit interval 95 %"
SEED_METHOD = "AUC, DeLong, logit interval 95 %"
FOREIGN_METHOD = "AUC of one foreign model, DeLong, logit interval 95 %"


def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `auc`: per configuration, test cohort and task, the ensemble (seed None) and each seed.

    A foreign model is one network without a seed: one row, in the place of the ensemble's.
    """
    tasks = study.tasks(tests)
    for test in tests:
        for trained_on in test.trained_on:
            seeds = test.of(trained_on)
            foreign = any(one.foreign for one in seeds)
            method = FOREIGN_METHOD if foreign else METHOD
            yield from _rows(test, seeds, None, tasks, test.ensemble(trained_on), method)
            for one in seeds if not foreign else ():
                scores = test.logits[one.evaluation_id].T
                yield from _rows(test, [one], one.seed, tasks, scores, SEED_METHOD)


def _rows(
    test: TestSet,
    scored: Sequence[Scored],
    seed: int | None,
    tasks: Sequence[int],
    scores: NDArray[np.floating],
    method: str,
) -> Iterator[dict[str, Any]]:
    labels = test.cohort.labels[:, tasks]
    estimates = auc_interval(labels, scores[:, tasks])
    trained, labelled = frozenset.intersection(*(e.trained for e in scored)), test.labelled_tasks()
    for column, task in enumerate(tasks):
        reason = str(estimates.reason[column]) or None
        n, n_pos = int(estimates.n[column]), int(estimates.n_pos[column])
        if task not in labelled:
            reason = "not labelled"
        elif task not in trained:
            reason = "not trained"
            n, n_pos = int((~np.isnan(labels[:, column])).sum()), int((labels[:, column] == 1).sum())
        yield {
            "trained_on": scored[0].trained_on,
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
            "evaluation_ids": [e.evaluation_id for e in scored],
        }


def number(value: float) -> float | None:
    """A float for the database: NaN is NULL."""
    return None if np.isnan(value) else float(value)

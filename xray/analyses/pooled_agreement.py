"""Do models agree on everybody's images together? Kappa and tau of each pair over all test cohorts, symmetric.

For models of one dataset each, as in the paper. Images that several cohorts share (two labellers of one site) count once for
each cohort that labels them.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.results import PooledAgreement
from xray.analyses.parallel import side_by_side
from xray.analyses.points import calls, points_at_home
from xray.analyses.rows import number
from xray.analyses.stored import StoredStudy, TestSet
from xray.stats.agreement import cross_table, kappa, pabak
from xray.stats.kendall import kendall_tau
from xray.stats.roc import Youden

NAME = "pooled_agreement"
QUESTION = "Do models of one dataset each agree on all test images together? Kappa and tau, symmetric"
VERSION = 1
TABLE = PooledAgreement
METHOD = "Cohen's kappa of ensembles over all test cohorts, score >= Youden point, Fleiss et al. 1969, 95 %; Kendall's tau-b"
RULES = ("target", "own")


def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `pooled_agreement`: per task, pair of configurations and rule."""
    at_home = points_at_home(study, tests)
    single = [name for name, datasets in study.configurations.items() if len(datasets) == 1]
    work = ((tests, at_home, task, pair) for task in study.tasks(tests) for pair in combinations(single, 2))
    yield from chain(*side_by_side(_pair, work))


def _pair(
    tests: Sequence[TestSet], at_home: Mapping[str, Youden], task: int, pair: tuple[str, str]
) -> list[dict[str, Any]]:
    both = [
        test
        for test in tests
        if task in test.labelled_tasks()
        and all(name in test.trained_on and task in test.trained_tasks(name) for name in pair)
    ]
    if not both:
        return []
    tau = float(kendall_tau(*(np.concatenate([_scores(t, name, task) for t in both]) for name in pair)).value)
    rules = [rule for rule in RULES if rule == "target" or all(name in at_home for name in pair)]
    return [_row(both, task, pair, rule, at_home, tau) for rule in rules]


def _scores(test: TestSet, trained_on: str, task: int) -> NDArray[np.float64]:
    """The ensemble's scores of the labelled images."""
    return np.where(np.isnan(test.cohort.labels[:, task]), np.nan, test.ensemble(trained_on)[:, task])


def _row(
    tests: Sequence[TestSet],
    task: int,
    pair: tuple[str, str],
    rule: str,
    at_home: Mapping[str, Youden],
    tau: float,
) -> dict[str, Any]:
    points = [[test.youden(n) if rule == "target" else at_home[n] for n in pair] for test in tests]
    lacking = [
        f"{name}: {point.reason[task]}"
        for each in points
        for name, point in zip(pair, each, strict=True)
        if np.isnan(point.threshold[task])
    ]
    called = [
        np.concatenate([_called(t, name, task, each[place]) for t, each in zip(tests, points, strict=True)])
        for place, name in enumerate(pair)
    ]
    table = cross_table(*called)
    found, adjusted = kappa(table), pabak(table)
    return {
        "task_id": task,
        "trained_on_a": pair[0],
        "trained_on_b": pair[1],
        "rule": rule,
        "n": int(found.n),
        "n_pos": sum(int((test.cohort.labels[:, task] == 1).sum()) for test in tests),
        "kappa": number(float(found.value)),
        "lower": number(float(found.lower)),
        "upper": number(float(found.upper)),
        "pabak": number(float(adjusted.value)),
        "tau": number(tau),
        "cohort_ids": [test.cohort.id for test in tests],
        "method": METHOD,
        "reason": lacking[0] if lacking and found.n == 0 else str(found.reason) or None,
        "evaluation_ids": [e for test in tests for e in test.ids(*pair)],
    }


def _called(test: TestSet, trained_on: str, task: int, point: Youden) -> NDArray[np.float64]:
    """Calls of the labelled images; none where there is no threshold (one class in this cohort)."""
    return calls(test.cohort.labels[:, task], test.ensemble(trained_on)[:, task], point.threshold[task])

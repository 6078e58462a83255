"""Do models agree on everybody's images together? Kappa and tau of each pair over all test cohorts, symmetric.

For models of one dataset each, as in the paper. Images that several cohorts share (two labellers of one site) count once for
each cohort that labels them.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.results import PooledAgreement
from xray.analyses import cells
from xray.analyses.analysis import Stored, analysis
from xray.analyses.parallel import flat_side_by_side
from xray.analyses.points import calls, points_at_home
from xray.analyses.rows import number
from xray.analyses.shared import patients_of_all
from xray.analyses.stored import StoredStudy, TestSet
from xray.report import published
from xray.report.parts import agreement as parts
from xray.report.parts.part import Part
from xray.stats.agreement import CrossTable, cross_table, kappa, kappa_inflation, pabak
from xray.stats.kendall import Ranks, ranked, tau_of_ranks
from xray.stats.roc import Youden

METHOD = "Cohen's kappa of ensembles over all test cohorts, score >= Youden point, profile likelihood, 95 %; Kendall's tau-b"
CLUSTERED_METHOD = METHOD.replace("95 %;", "patients as units, 95 %;")
RULES = ("target", "own")


def show(result: Stored) -> Part:
    """The findings in words, and the figure."""
    return parts.pooled_agreement(result.rows, result.published)


@analysis(
    "pooled_agreement",
    "Do models of one dataset each agree on all test images together? Kappa and tau, symmetric",
    PooledAgreement,
    order=70,
    unit=cells.POOLED,
    show=show,
    metric=published.POOLED_KAPPA,
)
def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `pooled_agreement`: per task, pair of configurations and rule."""
    at_home = points_at_home(study, tests)
    single = cells.singles(study)
    for name in single:
        for test in tests:
            if name in test.trained_on:
                test.youden(name)  # once, before threads ask for it
    pairs = [pair for pair in combinations(single, 2) if study.whole is None or pair in study.whole.keys]
    work = ((tests, at_home, task, pairs) for task in study.tasks(tests))
    yield from flat_side_by_side(_of_task, work)


def _of_task(
    tests: Sequence[TestSet], at_home: Mapping[str, Youden], task: int, pairs: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Rows of one task; what a model says of some cohorts' images is gathered once for all its pairs."""
    single = dict.fromkeys(name for pair in pairs for name in pair)
    tests_of = {
        name: [
            index
            for index, test in enumerate(tests)
            if task in test.labelled_tasks() and name in test.trained_on and task in test.trained_tasks(name)
        ]
        for name in single
    }

    @cache
    def pooled(name: str, indices: tuple[int, ...]) -> Ranks:
        return ranked(np.concatenate([_scores(tests[index], name, task) for index in indices]))

    @cache
    def pooled_calls(name: str, indices: tuple[int, ...], rule: str) -> NDArray[np.float64]:
        return np.concatenate(
            [_calls(tests[p], name, task, _point(tests[p], name, rule, at_home)) for p in indices]
        )

    @cache
    def units(indices: tuple[int, ...]) -> NDArray[np.int64] | None:
        """Codes of the images' patients over all cohorts, which may share some; None where each has one image."""
        codes = patients_of_all([tests[index].cohort for index in indices])
        return codes if (np.bincount(codes) > 1).any() else None

    rows = []
    for pair in pairs:
        indices = tuple(index for index in tests_of[pair[0]] if index in tests_of[pair[1]])
        if not indices:
            continue
        tau = float(tau_of_ranks(*(pooled(name, indices) for name in pair)).value)
        pair_tests = [tests[index] for index in indices]
        for rule in RULES:
            if rule == "target" or all(name in at_home for name in pair):
                first, second = (pooled_calls(name, indices, rule) for name in pair)
                labels = np.concatenate([test.cohort.labels[:, task] for test in pair_tests])
                n_pos = int((labels[~np.isnan(first) & ~np.isnan(second)] == 1).sum())
                table, patients = cross_table(first, second), units(indices)
                inflation = 1.0 if patients is None else float(kappa_inflation(first, second, patients))
                row = _row(pair_tests, task, pair, rule, at_home, tau, table, n_pos, inflation)
                rows.append(row | {"method": METHOD if patients is None else CLUSTERED_METHOD})
    return rows


def _scores(test: TestSet, trained_on: str, task: int) -> NDArray[np.float64]:
    """The ensemble's scores of the labelled images."""
    return np.where(np.isnan(test.cohort.labels[:, task]), np.nan, test.ensemble(trained_on)[:, task])


def _point(test: TestSet, trained_on: str, rule: str, at_home: Mapping[str, Youden]) -> Youden:
    return test.youden(trained_on) if rule == "target" else at_home[trained_on]


def _row(
    tests: Sequence[TestSet],
    task: int,
    pair: tuple[str, str],
    rule: str,
    at_home: Mapping[str, Youden],
    tau: float,
    table: CrossTable,
    n_pos: int,
    inflation: float,
) -> dict[str, Any]:
    """n_pos: of the images that both models called, as n is. inflation: as of `kappa`."""
    points = [(name, _point(test, name, rule, at_home)) for test in tests for name in pair]
    lacking = [f"{name}: {point.reason[task]}" for name, point in points if np.isnan(point.threshold[task])]
    agreement, adjusted = kappa(table, inflation=inflation), pabak(table)
    return {
        "task_id": task,
        "trained_on_a": pair[0],
        "trained_on_b": pair[1],
        "rule": rule,
        "n": int(agreement.n),
        "n_pos": n_pos,
        "kappa": number(float(agreement.value)),
        "lower": number(float(agreement.lower)),
        "upper": number(float(agreement.upper)),
        "pabak": number(float(adjusted.value)),
        "tau": number(tau),
        "cohort_ids": [test.cohort.id for test in tests],
        "reason": lacking[0] if lacking and agreement.n == 0 else str(agreement.reason) or None,
        "evaluation_ids": [e for test in tests for e in test.ids(*pair)],
    }


def _calls(test: TestSet, trained_on: str, task: int, point: Youden) -> NDArray[np.float64]:
    """Calls of the labelled images; none where there is no threshold (one class in this cohort)."""
    return calls(test.cohort.labels[:, task], test.ensemble(trained_on)[:, task], point.threshold[task])

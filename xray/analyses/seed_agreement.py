"""How far do two trainings of one configuration agree, if only the seed differs? (paper, Fig A.1)"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from db.results import SeedAgreement
from xray.analyses import cells
from xray.analyses.analysis import Stored, analysis
from xray.analyses.parallel import flat_side_by_side
from xray.analyses.points import calls
from xray.analyses.resampled import has_repeated_patients
from xray.analyses.rows import number
from xray.analyses.stored import StoredStudy, TestSet
from xray.report.parts import agreement as parts
from xray.report.parts.part import Part
from xray.stats.agreement import cross_table, kappa, kappa_inflation, pabak
from xray.stats.roc import youden

METHOD = "Cohen's kappa of two seeds, each at its Youden point on the test cohort, profile likelihood, 95 %"
CLUSTERED_METHOD = f"{METHOD}, patients as units"


def show(result: Stored) -> Part:
    """The findings in words, and the figure."""
    return parts.seed_agreement(result.rows)


@analysis(
    "seed_agreement",
    "Do two trainings of one configuration agree? Cohen's kappa between seeds (Fig A.1)",
    SeedAgreement,
    order=80,
    unit=cells.MODEL,
    show=show,
)
def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `seed_agreement`: per test cohort, task, configuration and pair of seeds."""
    yield from flat_side_by_side(_agree, ((test, name) for test in tests for name in test.configurations))


def _agree(test: TestSet, trained_on: str) -> Iterator[dict[str, Any]]:
    labels, labelled_tasks = test.cohort.labels, test.labelled_tasks()
    seeds, clustered = [], has_repeated_patients(test)
    for one in test.of(trained_on):
        scores = test.logits[one.evaluation_id].T
        point = youden(labels, scores)
        seeds.append((one, point, calls(labels, scores, point.threshold)))
    for (a, point_a, calls_a), (b, point_b, calls_b) in combinations(seeds, 2):
        tasks = sorted(labelled_tasks & a.trained & b.trained)
        table = cross_table(calls_a[:, tasks], calls_b[:, tasks])
        two = calls_a[:, tasks], calls_b[:, tasks]
        inflation = kappa_inflation(*two, test.cohort.patients) if clustered else 1.0
        kappas, pabaks = kappa(table, inflation=inflation), pabak(table)
        for column, task in enumerate(tasks):
            reason = str(kappas.reason[column]) or None
            for seed, point in ((a.seed, point_a), (b.seed, point_b)):
                if np.isnan(point.threshold[task]):
                    reason = f"seed {seed}: {point.reason[task]}"
            yield {
                "cohort_id": test.cohort.id,
                "task_id": task,
                "trained_on": trained_on,
                "seed_a": a.seed,
                "seed_b": b.seed,
                "n": int(kappas.n[column]),
                "n_pos": int((labels[:, task] == 1).sum()),
                "kappa": number(kappas.value[column]),
                "lower": number(kappas.lower[column]),
                "upper": number(kappas.upper[column]),
                "pabak": number(pabaks.value[column]),
                "method": CLUSTERED_METHOD if clustered else METHOD,
                "reason": reason,
                "evaluation_ids": [a.evaluation_id, b.evaluation_id],
            }

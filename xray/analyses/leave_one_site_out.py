"""Does training on all other sites make up for not having a site's own data? (paper, Fig 2)

Three arms per test cohort: "own" (its dataset alone), "all-but-site" (every dataset of other sites), "all". Ensembles of the
seeds are compared on the same test images by DeLong's variance of the difference, patients as units, per task, Holm-adjusted
over the study.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, Final

import pandas as pd

from db.results import AucDifference
from xray.analyses import cells, results
from xray.analyses.analysis import Stored, analysis
from xray.analyses.arms import arms
from xray.analyses.families import Family
from xray.analyses.resampled import has_repeated_patients
from xray.analyses.rows import number
from xray.analyses.stored import StoredStudy, TestSet, load_study
from xray.report.parts import accuracy
from xray.report.parts.part import Part
from xray.stats.comparisons import compare_paired
from xray.stats.multiplicity import holm
from xray.stats.roc import auc

METHOD = "difference of AUCs of mean logits over seeds, DeLong paired, Student's t, 95 %, Holm over the study"
CLUSTERED_METHOD = METHOD.replace("DeLong", "DeLong by patient (Obuchowski 1997)")

FAMILY: Final = Family({"p_holm": holm})


def means_by_arm(study: StoredStudy, aucs: pd.DataFrame) -> pd.DataFrame:
    """Mean test AUC of each arm and seed, over the tasks that are defined in every arm.

    Columns site, test_dataset, arm, seed, n_tasks, auc. `aucs`: the frame of `results.performance`.
    """
    seeds = aucs[aucs["seed"].notna() & aucs["auc"].notna()]
    rows = []
    for dataset, site in study.datasets.items():
        playing = arms(study, dataset)
        rows_here = seeds[seeds["test_dataset"] == dataset]
        tasks = [set(rows_here.loc[rows_here["trained_on"] == name, "task"]) for name in playing.values()]
        common = set.intersection(*tasks) if tasks else set()
        for arm, name in playing.items():
            rows_of_model = rows_here[(rows_here["trained_on"] == name) & rows_here["task"].isin(common)]
            for seed, mean in rows_of_model.groupby("seed")["auc"].mean().items():
                rows.append((site, dataset, arm, int(str(seed).split(".")[0]), len(common), float(mean)))
    return pd.DataFrame(rows, columns=["site", "test_dataset", "arm", "seed", "n_tasks", "auc"])


def show(result: Stored) -> Part:
    """The findings in words, and the figure."""
    aucs = results.performance(result.connection, result.study)
    means = means_by_arm(load_study(result.connection, result.study), aucs)
    return accuracy.leave_one_site_out(results.comparison(result.connection, result.study), means)


@analysis(
    "leave_one_site_out",
    "Does training on all other sites make up for not having a site's own data? (Fig 2)",
    AucDifference,
    order=20,
    unit=cells.ARMS,
    show=show,
    family=FAMILY,
)
def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `auc_difference`: per test cohort, task and pair of arms."""
    rows = [row for test in tests for row in _compare(study, test)]
    FAMILY.fill(rows)
    yield from rows


def _compare(study: StoredStudy, test: TestSet) -> Iterator[dict[str, Any]]:
    playing = {arm: name for arm, name in arms(study, test.dataset).items() if name in test.trained_on}
    for (arm_a, a), (arm_b, b) in combinations(playing.items(), 2):
        tasks = sorted(test.labelled_tasks() & test.trained_tasks(a) & test.trained_tasks(b))
        labels = test.cohort.labels[:, tasks]
        scores_a, scores_b = test.ensemble(a)[:, tasks], test.ensemble(b)[:, tasks]
        auc_a, auc_b = auc(labels, scores_a), auc(labels, scores_b)
        clustered = has_repeated_patients(test)
        patients = test.cohort.patients if clustered else None
        differences = compare_paired(labels, scores_a, scores_b, patients=patients)
        for column, task in enumerate(tasks):
            yield {
                "cohort_id": test.cohort.id,
                "task_id": task,
                "arm_a": arm_a,
                "arm_b": arm_b,
                "trained_on_a": a,
                "trained_on_b": b,
                "n": int(differences.n[column]),
                "n_pos": int(differences.n_pos[column]),
                "auc_a": number(auc_a.value[column]),
                "auc_b": number(auc_b.value[column]),
                "difference": number(differences.difference[column]),
                "lower": number(differences.lower[column]),
                "upper": number(differences.upper[column]),
                "p": number(differences.p[column]),
                "p_holm": None,
                "method": CLUSTERED_METHOD if clustered else METHOD,
                "reason": str(differences.reason[column]) or None,
                "evaluation_ids": test.ids(a, b),
            }

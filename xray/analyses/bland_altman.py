"""How far apart are two models' scores of the same images? Limits of agreement of calibrated scores (paper, Fig 4).

Scores are the ensembles' probabilities, stretched by Eq. 1 so that each model's Youden point on the cohort lies at one half.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.results import BlandAltman
from xray.analyses import cells
from xray.analyses.analysis import Stored, analysis
from xray.analyses.pairs import with_pairs
from xray.analyses.parallel import flat_side_by_side
from xray.analyses.points import calibrated, calls
from xray.analyses.resampled import repeated_patients
from xray.analyses.rows import number
from xray.analyses.stored import StoredStudy, TestSet
from xray.report.parts import agreement as parts
from xray.report.parts.part import Part
from xray.stats.agreement import cross_table, kappa
from xray.stats.bland_altman import bland_altman
from xray.stats.roc import auc

METHOD = "limits of agreement (Bland and Altman 1999) of ensembles' probabilities, Youden point at 1/2 (Eq. 1), 95 %"

CLUSTERED_METHOD = f"{METHOD}, patients as units"


def show(result: Stored) -> Part:
    """The findings in words, and the figure."""
    pairs = parts.contrasting_pairs(result.rows)
    return with_pairs(parts.bland_altman(result.rows), result.connection, result.study, pairs)


@analysis(
    "bland_altman",
    "How far apart are two models' scores of one image? Limits of agreement (Fig 4)",
    BlandAltman,
    order=90,
    unit=cells.MODEL_AGAINST,
    show=show,
)
def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `bland_altman`: per test cohort, task and configuration, against the cohort's own model, or the
    first from elsewhere.
    """
    for test in tests:
        reference = study.reference(test)
        if reference is None:
            continue
        area = auc(test.cohort.labels, test.ensemble(reference)).value
        work = ((test, reference, area, name) for name in test.configurations if name != reference)
        yield from flat_side_by_side(_compare, work)


def _compare(
    test: TestSet, reference: str, auc_reference: NDArray[np.float64], trained_on: str
) -> Iterator[dict[str, Any]]:
    tasks = sorted(test.labelled_tasks() & test.trained_tasks(reference) & test.trained_tasks(trained_on))
    labels = test.cohort.labels[:, tasks]
    patients = repeated_patients(test)
    one, two = (calibrated(test, name, tasks) for name in (reference, trained_on))
    limits = bland_altman(one, two, patients=patients)
    calls_of = [
        calls(labels, test.ensemble(name)[:, tasks], test.youden(name).threshold[tasks])
        for name in (reference, trained_on)
    ]
    kappas = kappa(cross_table(*calls_of)).value
    areas = auc(labels, test.ensemble(trained_on)[:, tasks]).value
    for column, task in enumerate(tasks):
        reason = str(limits.reason[column]) or None
        for name in (reference, trained_on):
            if np.isnan(test.youden(name).threshold[task]):
                reason = f"{name}: {test.youden(name).reason[task]}"
        row: dict[str, Any] = {
            "cohort_id": test.cohort.id,
            "task_id": task,
            "reference": reference,
            "trained_on": trained_on,
            "n": int(limits.n[column]),
            "n_pos": int((labels[:, column] == 1).sum()),
            "sd": number(limits.sd[column]),
            "auc_reference": number(auc_reference[task]),
            "auc": number(areas[column]),
            "kappa": number(kappas[column]),
            "method": METHOD if patients is None else CLUSTERED_METHOD,
            "reason": reason,
            "evaluation_ids": test.ids(reference, trained_on),
        }
        for name in ("bias", "lower_limit", "upper_limit"):
            for ending, value in zip(("", "_from", "_to"), getattr(limits, name)[:, column], strict=True):
                row[name + ending] = number(value)
        yield row

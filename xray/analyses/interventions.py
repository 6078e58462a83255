"""What does a model lose on A's images once they look like B's? The image loss, measured and not inferred.

The same network scores the same images of A twice: as they are, and changed in a stated way (`xray.pixels.changes`), or
through B's own pipeline. Labels and patients are the same, so that the paired difference in AUC is what the change costs.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from db.results import Intervention
from xray.analyses.analysis import Stored, analysis
from xray.analyses.families import Family
from xray.analyses.intervened import CHANGED, Changed, Interventions, interventions, interventions_state
from xray.analyses.resampled import has_repeated_patients
from xray.analyses.rows import number
from xray.analyses.stored import StoredStudy, TestSet
from xray.report.parts import interventions as parts
from xray.report.parts.part import Part
from xray.stats.comparisons import compare_paired
from xray.stats.estimates import NO_VARIANCE, FloatArray
from xray.stats.multiplicity import benjamini_hochberg
from xray.stats.roc import auc

METHOD: Final = (
    "AUCs of mean logits over seeds on the same images as they are and changed, DeLong paired, Student's t, 95 %, "
    "Benjamini and Hochberg over the study"
)
CLUSTERED_METHOD: Final = METHOD.replace("DeLong", "DeLong by patient (Obuchowski 1997)")
NOTHING: Final = "nothing to change: the target's are not worse in this way"
SAME: Final = "the change moves no image past another"

FAMILY: Final = Family({"q": benjamini_hochberg})


def show(stored: Stored) -> Part:
    """What is said of the rows."""
    return parts.interventions(stored.rows)


@analysis(
    "interventions",
    "What does a model lose on images that are made to look like another site's? Image loss, measured",
    Intervention,
    order=42,
    unit=CHANGED,
    show=show,
    prepare=interventions,
    state=interventions_state,
    family=FAMILY,
)
def compute(
    study: StoredStudy, tests: Sequence[TestSet], stored: "Interventions | Sequence[Any]" = ()
) -> Iterator[dict[str, Any]]:
    """Rows of table `intervention`: per test cohort, configuration, task, target and kind of change."""
    if not isinstance(stored, Interventions):
        return
    rows = [
        row
        for test in tests
        for name in test.configurations
        for changed in stored.of.get((test.cohort.id, name), ())
        for row in _compare(test, name, changed, stored)
    ]
    FAMILY.fill(rows)
    yield from rows


def _compare(
    test: TestSet, trained_on: str, changed: Changed, stored: Interventions
) -> Iterator[dict[str, Any]]:
    tasks, before, after = before_and_after(test, trained_on, changed, stored)
    labels = test.cohort.labels[:, tasks]
    values = auc(labels, before), auc(labels, after)
    clustered = has_repeated_patients(test)
    compared = compare_paired(labels, before, after, patients=test.cohort.patients if clustered else None)
    for target in changed.targets:
        for column, task in enumerate(tasks):
            yield {
                "cohort_a_id": test.cohort.id,
                "cohort_b_id": target,
                "task_id": task,
                "trained_on": trained_on,
                "kind": changed.kind,
                "n": int(compared.n[column]),
                "n_pos": int(compared.n_pos[column]),
                "before": number(values[0].value[column]),
                "after": number(values[1].value[column]),
                "loss": number(compared.difference[column]),
                "lower": number(compared.lower[column]),
                "upper": number(compared.upper[column]),
                "p": number(compared.p[column]),
                "q": None,
                "changes": json.dumps(changed.changes, sort_keys=True),
                "method": CLUSTERED_METHOD if clustered else METHOD,
                "reason": _reason(changed, str(compared.reason[column])),
                "evaluation_ids": test.ids(trained_on),
            }


def before_and_after(
    test: TestSet, trained_on: str, changed: Changed, stored: Interventions
) -> tuple[list[int], FloatArray, FloatArray]:
    """Findings that are labelled and scored, and the ensemble's logits (n_images, n_tasks) of the images as they are and
    changed, in the order of the cohort; NaN in both where an image was not scored again.
    """
    logits = stored.logits(changed)
    scored = set(np.flatnonzero(~np.isnan(logits).all(axis=0)).tolist())
    tasks = sorted(test.labelled_tasks() & test.trained_tasks(trained_on) & scored)
    after = logits[:, tasks]
    return tasks, np.where(np.isnan(after), np.nan, test.ensemble(trained_on)[:, tasks]), after


def _reason(changed: Changed, undefined: str) -> str | None:
    """Why something is missing, or why nothing is lost."""
    nothing = not changed.changes and changed.kind != "pipeline"
    return NOTHING if nothing else SAME if undefined == NO_VARIANCE else undefined or None

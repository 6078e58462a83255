"""How well does a model rank where few healthy images may be called? Partial AUC up to a false positive rate of 10 %."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db.results import PartialAuc
from xray.analyses import cells
from xray.analyses.analysis import Stored, analysis
from xray.analyses.parallel import flat_side_by_side
from xray.analyses.resampled import has_repeated_patients
from xray.analyses.rows import NOT_TRAINED, number
from xray.analyses.stored import StoredStudy, TestSet
from xray.report import grids
from xray.report.parts.part import Part, plain
from xray.report.text import grid_table
from xray.report.words import number as shown
from xray.stats.partial_auc import partial_auc

MOST: Final = 0.1
"""The highest false positive rate: one healthy image of ten called."""
METHOD: Final = (
    "partial AUC of mean logits over seeds, false positive rate up to 0.1, McClish's scale, influences, 95 %"
)
CLUSTERED_METHOD: Final = METHOD.replace("influences", "influences by patient")
QUESTION: Final = (
    "How well does a model rank where few healthy images may be called? Partial AUC, specificity above 90 %"
)


def show(result: Stored) -> Part:
    """The worst cell in words, and every cell as a table."""
    rows = result.rows
    grid = grids.value_grid(rows, "partial_auc", "partial AUC")
    solid = {key: cell for key, cell in grid.cells.items() if cell.value is not None and not cell.few}
    part = plain("partial_auc", "How well do the models rank where few healthy images may be called?", rows)
    findings = ["No partial AUC is defined with ten images of either class."]
    if solid:
        (task, trained_on, dataset), worst = min(solid.items(), key=lambda item: item[1].value or 0)
        model = grid.models.phrase(trained_on)
        findings = [
            f"Lowest: {task}, {model}, tested on {dataset}: {shown(worst.value)} (0.5 is guessing), "
            "where at most one healthy image of ten is called."
        ]
    text = grid_table(grid, f"Partial AUC (95% interval); {grid.models.axes}")
    return Part(part.name, part.title, QUESTION, findings, rows, text)


@analysis("partial_auc", QUESTION, PartialAuc, order=105, unit=cells.MODEL, show=show)
def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `partial_auc`: per test cohort, task and configuration."""
    for test in tests:
        patients = test.cohort.patients if has_repeated_patients(test) else None
        yield from flat_side_by_side(_rows, ((test, patients, name) for name in test.configurations))


def _rows(test: TestSet, patients: NDArray[np.int64] | None, trained_on: str) -> Iterator[dict[str, Any]]:
    labels, trained = test.cohort.labels, test.trained_tasks(trained_on)
    areas = partial_auc(labels, test.ensemble(trained_on), MOST, patients)
    for task in sorted(test.labelled_tasks()):
        labelled = ~np.isnan(labels[:, task])
        yield {
            "cohort_id": test.cohort.id,
            "task_id": task,
            "trained_on": trained_on,
            "n": int(areas.n[task]) if task in trained else int(labelled.sum()),
            "n_pos": int(areas.n_pos[task]) if task in trained else int((labels[:, task] == 1).sum()),
            "partial_auc": number(areas.value[task]),
            "lower": number(areas.lower[task]),
            "upper": number(areas.upper[task]),
            "method": METHOD if patients is None else CLUSTERED_METHOD,
            "reason": (str(areas.reason[task]) or None) if task in trained else NOT_TRAINED,
            "evaluation_ids": test.ids(trained_on),
        }

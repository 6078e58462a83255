"""Do the readers of a dataset agree, and does a model agree with them? Cohen's kappa of calls, and other coefficients.

How far readers agree with each other is the human ceiling: a model can't be shown to agree better with their labels than
they do. Like is compared with like: pairs of two readers against pairs of the model and one reader. What the model has with
the dataset's label, which is a rule over all readers and less noisy than one of them, is shown beside it.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from db.results import ReaderAgreement
from xray.analyses import cells
from xray.analyses.analysis import Stored, analysis
from xray.analyses.parallel import flat_side_by_side
from xray.analyses.rows import number
from xray.analyses.stored import StoredStudy, TestSet
from xray.data.readers import Calls, read_calls
from xray.report.parts import readers as parts
from xray.report.parts.part import Part
from xray.stats.agreement import (
    CrossTable,
    cross_table,
    kappa,
    kappa_inflation,
    negative_agreement,
    pabak,
    positive_agreement,
)

METHOD: Final = "Cohen's kappa of calls, profile likelihood, patients as units, 95 %"
PAIR, READERS, MODEL, LABEL = "pair of readers", "readers", "model and readers", "model and label"
Both = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]
"""Calls of one and of another, (n_pairs,), and the image of each pair."""


def show(result: Stored) -> Part:
    """The findings in words."""
    return parts.reader_agreement(result.rows)


def read(connection: Connection, study: StoredStudy) -> Mapping[int, Calls]:
    """Test cohort → what the readers of its dataset call its images; none of cohorts with one label an image."""
    cohorts = sorted({evaluation.cohort_id for evaluation in study.evaluations})
    calls = {cohort: read_calls(connection, cohort, study.task_ids) for cohort in cohorts}
    return {cohort: evaluation for cohort, evaluation in calls.items() if evaluation is not None}


@analysis(
    "reader_agreement",
    "Do readers agree with each other, and models with them? Cohen's kappa beside the human ceiling",
    ReaderAgreement,
    order=35,
    unit=cells.MODEL_AND_READERS,
    show=show,
    prepare=read,
)
def compute(
    study: StoredStudy, tests: Sequence[TestSet], panels: Mapping[int, Calls]
) -> Iterator[dict[str, Any]]:
    """Rows of table `reader_agreement`: per test cohort with several readers, task, and what is compared."""
    for test in tests:
        panel = panels.get(test.cohort.id)
        if panel is not None:
            if test.itself:
                yield from _of_readers(test, panel)
            yield from flat_side_by_side(_of_model, ((test, panel, name) for name in test.configurations))


def _spoken_of(panel: Calls) -> list[int]:
    """Places of the findings that two or more readers called on any one image."""
    several = (~np.isnan(panel.calls)).sum(axis=0) > 1
    columns: list[int] = np.flatnonzero(several.any(axis=0)).tolist()
    return columns


def _of_readers(test: TestSet, panel: Calls) -> Iterator[dict[str, Any]]:
    for task in _spoken_of(panel):
        reads = panel.calls[:, :, task]
        pairs = {(a, b): _pairs(reads[a], reads[b]) for a, b in combinations(range(len(reads)), 2)}
        overlapping = {names: both for names, both in pairs.items() if len(both[0])}
        each_way = [*overlapping.values(), *((two, one, images) for one, two, images in overlapping.values())]
        yield _row(test, panel, task, READERS, _joined(each_way))
        for (a, b), both in overlapping.items():
            yield _row(test, panel, task, PAIR, both, readers=(panel.names[a], panel.names[b]))


def _of_model(test: TestSet, panel: Calls, trained_on: str) -> Iterator[dict[str, Any]]:
    """A model's calls with those of each reader, on the images that readers were compared on, and with the label.

    A model is called on images of uncertain label too: readers have called those.
    """
    scores, threshold = test.ensemble(trained_on), test.youden(trained_on).threshold
    model = np.where(np.isnan(scores) | np.isnan(threshold), np.nan, scores >= threshold).astype(np.float32)
    for task in sorted(test.trained_tasks(trained_on).intersection(_spoken_of(panel))):
        reads = panel.calls[:, :, task]
        model_calls = np.where((~np.isnan(reads)).sum(axis=0) > 1, model[:, task], np.nan).astype(np.float32)
        together = _joined([_pairs(model_calls, calls) for calls in reads])
        yield _row(test, panel, task, MODEL, together, trained_on)
        yield _row(test, panel, task, LABEL, _pairs(model[:, task], test.cohort.labels[:, task]), trained_on)


def _pairs(one: NDArray[np.float32], two: NDArray[np.float32]) -> Both:
    both = np.flatnonzero(~(np.isnan(one) | np.isnan(two)))
    return one[both], two[both], both


def _joined(several: Sequence[Both]) -> Both:
    one, two, images = zip(*several, strict=True)
    return np.concatenate(one), np.concatenate(two), np.concatenate(images)


def _row(
    test: TestSet,
    panel: Calls,
    task: int,
    compared: str,
    both: Both,
    trained_on: str | None = None,
    readers: tuple[str | None, str | None] = (None, None),
) -> dict[str, Any]:
    one, two, images = both
    table: CrossTable = cross_table(one, two)
    agreement = kappa(table, inflation=kappa_inflation(one, two, test.cohort.patients[images]))
    reason = str(agreement.reason) or None
    if trained_on is not None and np.isnan(test.youden(trained_on).threshold[task]):
        reason = f"{trained_on}: {test.youden(trained_on).reason[task]}"
    rows = np.unique(images)
    coefficients = (pabak(table), positive_agreement(table), negative_agreement(table))
    return {
        "cohort_id": test.cohort.id,
        "task_id": task,
        "trained_on": trained_on,
        "compared": compared,
        "reader_a": readers[0],
        "reader_b": readers[1],
        "rule": panel.rule,
        "n": len(rows),
        "n_pos": int((test.cohort.labels[rows, task] == 1).sum()),
        "n_calls": len(one),
        "kappa": number(float(agreement.value)),
        "lower": number(float(agreement.lower)),
        "upper": number(float(agreement.upper)),
        **{name: number(float(coefficient.value)) for name, coefficient in zip(
            ("pabak", "positive_agreement", "negative_agreement"), coefficients, strict=True)},
        "method": METHOD,
        "reason": reason,
        "evaluation_ids": test.ids(trained_on) if trained_on is not None else [],
    }  # fmt: skip

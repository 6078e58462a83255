"""For whom does a model work less well? AUC by age band, sex, view, or any column of the label files.

Each subgroup is compared with the rest of the same test cohort, patients as units (`xray.stats.differences`); p values are
adjusted over one declared family: all comparisons of one grouping in the study.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db.results import SubgroupAuc
from xray.analyses import cells
from xray.analyses.analysis import Stored, analysis
from xray.analyses.families import Family
from xray.analyses.parallel import flat_side_by_side
from xray.analyses.resampled import has_repeated_patients
from xray.analyses.rows import number
from xray.analyses.stored import OF_IMAGES, StoredStudy, TestSet
from xray.errors import AnalysisError
from xray.report.parts import accuracy
from xray.report.parts.part import Part
from xray.stats.comparisons import compare_unpaired
from xray.stats.groups import InOrder, in_order
from xray.stats.multiplicity import benjamini_hochberg, holm

COLUMNS = OF_IMAGES
METHOD = (
    "AUC of mean logits over seeds in the subgroup, DeLong, against the rest, bounds added in squares, "
    "adjusted over the grouping"
)
CLUSTERED_METHOD = METHOD.replace("DeLong", "DeLong by patient (Obuchowski 1997)")
UNKNOWN: Final = "unknown"
MOST: Final = 20
"""A column with more distinct values than this is no grouping."""
FEWEST: Final = 10
"""So many patients of either class, in the subgroup and in the rest, before it is tested or may be called the worst."""
AGE_BANDS: Final = ((18, "0-17"), (40, "18-39"), (65, "40-64"), (80, "65-79"), (np.inf, "80+"))
"""Ages below each bound, in years."""

FAMILY: Final = Family({"p_holm": holm, "q": benjamini_hochberg}, by="grouping")


def show(result: Stored) -> Part:
    """The findings in words, and the figure."""
    return accuracy.subgroups(result.rows)


@analysis(
    "subgroups",
    "For whom does a model work less well? AUC by age band, sex and view, or --by any column",
    SubgroupAuc,
    order=140,
    unit=cells.MODEL,
    show=show,
    columns=COLUMNS,
    family=FAMILY,
)
def compute(
    study: StoredStudy, tests: Sequence[TestSet], columns: Sequence[str] = COLUMNS
) -> Iterator[dict[str, Any]]:
    """Rows of table `subgroup_auc`: per test cohort, task, configuration, grouping and subgroup."""
    rows = [row for test in tests for row in _of_test(test, columns)]
    FAMILY.fill(rows)
    yield from rows


def by(column: str) -> partial[Iterator[dict[str, Any]]]:
    """`compute` for one column."""
    return partial(compute, columns=(column,))


def subgroups(column: str, values: NDArray[np.object_]) -> NDArray[np.object_]:
    """Each image's subgroup: an age band, or the value itself; "unknown" where there is none. (n_images,) texts.

    Raises `AnalysisError` for a column of too many distinct values.
    """
    present = np.array([value is not None for value in values], dtype=bool)
    groups = np.full(len(values), UNKNOWN, dtype=object)
    if column == "age":
        ages = np.array([np.nan if value is None else float(value) for value in values])
        present &= ~np.isnan(ages)
        bounds = [bound for bound, _ in AGE_BANDS[:-1]]
        bands = np.array([name for _, name in AGE_BANDS], dtype=object)
        groups[present] = bands[np.searchsorted(bounds, ages[present], side="right")]
    else:
        groups[present] = [str(value) for value in values[present]]
    distinct = set(groups)
    if len(distinct) > MOST:
        raise AnalysisError(
            f"column {column!r} has {len(distinct)} distinct values, which are no subgroups; choose one with at most {MOST}"
        )
    return groups


@dataclass(frozen=True)
class _Grouping:
    """How a column divides the images of a test cohort. codes: (n_images,), places in `names`."""

    column: str
    names: list[str]
    codes: NDArray[np.intp]


def _of_test(test: TestSet, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    groupings = [_grouping(column, test.columns[column]) for column in columns if column in test.columns]
    groupings = [grouping for grouping in groupings if len(grouping.names) > 1]
    clustered = has_repeated_patients(test)
    if groupings:
        work = ((test, groupings, trained_on, clustered) for trained_on in test.configurations)
        yield from flat_side_by_side(_of_model, work)


def _grouping(column: str, values: NDArray[np.object_]) -> _Grouping:
    member = subgroups(column, values)
    names = sorted(set(member))
    return _Grouping(column, names, np.searchsorted(names, member.astype(str)))


def _of_model(
    test: TestSet, groupings: Sequence[_Grouping], trained_on: str, clustered: bool
) -> Iterator[dict[str, Any]]:
    """Rows of a model's every grouping; its scores are sorted once."""
    tasks = sorted(test.labelled_tasks() & test.trained_tasks(trained_on))
    labels, scores = test.cohort.labels[:, tasks], test.ensemble(trained_on)[:, tasks]
    ordered = in_order(labels, scores, test.cohort.patients)
    for grouping in groupings:
        yield from _subgroups(test, grouping, trained_on, tasks, ordered, clustered)


def _subgroups(
    test: TestSet, grouping: _Grouping, trained_on: str, tasks: list[int], ordered: InOrder, clustered: bool
) -> list[dict[str, Any]]:
    names = grouping.names
    inside, outside, units = ordered.auc_by_group(grouping.codes, len(names), clustered)
    rows: dict[int, list[dict[str, Any]]] = {task: [] for task in tasks}
    differences = compare_unpaired(inside, outside, units=units)
    solid, enough = units[0].min(axis=0) >= FEWEST, units.min(axis=(0, 1)) >= FEWEST
    for code, name in enumerate(names):
        for column_of, task in enumerate(tasks):
            cell = code, column_of
            rows[task].append(
                {
                    "cohort_id": test.cohort.id,
                    "task_id": task,
                    "trained_on": trained_on,
                    "grouping": grouping.column,
                    "subgroup": name,
                    "n": int(inside.n[cell]),
                    "n_pos": int(inside.n_pos[cell]),
                    "auc": number(inside.value[cell]),
                    "lower": number(inside.lower[cell]),
                    "upper": number(inside.upper[cell]),
                    "auc_rest": number(outside.value[cell]),
                    "difference": number(differences.difference[cell]),
                    "difference_lower": number(differences.lower[cell]),
                    "difference_upper": number(differences.upper[cell]),
                    "p": number(differences.p[cell]) if enough[cell] else None,
                    "p_holm": None,
                    "q": None,
                    "is_worst": False,
                    "method": CLUSTERED_METHOD if clustered else METHOD,
                    "reason": str(inside.reason[cell]) or None,
                    "evaluation_ids": test.ids(trained_on),
                }
            )
    for column_of, task in enumerate(tasks):
        _mark_worst([row for row, is_solid in zip(rows[task], solid[:, column_of], strict=True) if is_solid])
    return list(chain(*rows.values()))


def _mark_worst(rows: Sequence[dict[str, Any]]) -> None:
    """Mark the subgroup with the lowest AUC, of those that have enough patients of either class; none where only one has."""
    if len(rows) > 1:
        min(rows, key=lambda row: row["auc"])["is_worst"] = True

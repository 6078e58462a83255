"""Analyses on any cut: of some images of the test cohorts, some models and findings, from scores alone; nothing is stored.

The rows are those that the analysis would have if no other image was there, by the same code, but for thresholds: a Youden
point is that of the whole test cohort, as it stands in the results. A cut is a mask over aligned vectors, which are kept in
memory from one question to the next (docs/decisions/0050).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from db.queries import query
from db.result_views import LEADING, TRAILING
from db.store import StoredCohort
from xray.analyses.analysis import Analysis
from xray.analyses.cells import Cell, home
from xray.analyses.declared import declared_points
from xray.analyses.kept import Cache, Column, Reading
from xray.analyses.points import points_at_home
from xray.analyses.stored import Scored, StoredStudy, TestSet, Whole, check_columns
from xray.analyses.where import Clause, Condition, parse
from xray.errors import AnalysisError
from xray.findings import match
from xray.names import unknown
from xray.stats.roc import Youden

DAY: Final = "StudyDate"
"""The column of label files that a range of days is of, unless another is named."""
_HIDDEN: Final = {"cohort_id", "task_id", "task_ids"}


@dataclass(frozen=True)
class Cut:
    """Which images: those that fit all conditions and, where names are given, are of these."""

    clauses: tuple[Condition, ...] = ()
    names: frozenset[str] | None = None

    def __str__(self) -> str:
        conditions = [str(clause) for clause in self.clauses]
        listed = [] if self.names is None else [f"{len(self.names)} images by name"]
        return " and ".join([*conditions, *listed]) or "all images"


def cut(
    where: str | None = None,
    since: str | None = None,
    until: str | None = None,
    day: str = DAY,
    images: Iterable[str] | None = None,
) -> Cut:
    """The cut of conditions (`where.parse`), of days from `since` to `until` in a column, and of images by name.

    Raises `AnalysisError` where a condition or a day is none.
    """
    clauses: list[Condition] = list(parse(where)) if where else []
    for operator, value in ((">=", since), ("<=", until)):
        if value is not None:
            clause = Clause(day, operator, value)
            if not clause.is_of_days:
                raise AnalysisError(f"{value!r} is no day: expected one such as 2024-01-31")
            clauses.append(clause)
    return Cut(tuple(clauses), None if images is None else frozenset(images))


@dataclass(frozen=True)
class Selection:
    """Of which models, test datasets and findings; none of a kind: all of them."""

    models: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()


def can_be_cut(analysis: Analysis) -> bool:
    """Whether each of its rows is of one model on one test cohort, and is made of scores and labels alone."""
    of_single = analysis.unit.columns == ("cohort_id", "trained_on") and analysis.partial is None
    return of_single and analysis.prepare in (None, declared_points)


class Cutting:
    """A cut of a study's test cohorts, of which several analyses can be asked."""

    def __init__(
        self,
        connection: Connection,
        study: str,
        images: Cut,
        selection: Selection | None = None,
        cache: Cache | None = None,
    ) -> None:
        """kept: what earlier questions have read. Raises `AnalysisError` where there is no such study, model, dataset or
        finding, no dataset has a column, an image by name is registered nowhere, or no image fits.
        """
        self._selection = selection or Selection()
        self._reading = Reading.now(connection, Cache() if cache is None else cache, study)
        whole = self._reading.study
        _check(whole, self._selection)
        datasets = [name for name in whole.cohorts if name in (self._selection.datasets or whole.cohorts)]
        self._masks = _masks(self._reading, images, datasets)
        self._study = _narrowed(self._reading, _places(whole, self._selection), self._masks)

    def rows(self, analysis: Analysis) -> list[dict[str, Any]]:
        """The rows that an analysis has on the cut, by names, in the order of its view. Raises `AnalysisError` where it
        can't be cut.
        """
        if not can_be_cut(analysis):
            raise AnalysisError(
                f"{analysis.name} is not of single models on single datasets: it can't be cut"
            )
        cells = [
            cell for cell in _cells(self._study, analysis, self._selection) if cell.key[0] in self._masks
        ]
        names = [cell.key[1] for cell in cells] if analysis.unit.at_home else []
        at_home = _points_at_home(self._reading, self._study, names)
        study = replace(self._study, whole=Whole(at_home, frozenset(cell.key for cell in cells)))
        prepared = () if analysis.prepare is None else (analysis.prepare(self._reading.connection, study),)
        rows: list[dict[str, Any]] = []
        for dataset in self._masks:
            own = [cell for cell in cells if cell.key[0] == dataset]
            test = self.test(dataset, _scored(study, dataset, own), analysis.columns)
            rows += analysis.compute(study, [test.asking([cell.key[1] for cell in own])], *prepared)
        if analysis.family is not None:
            rows = [analysis.family.blank(row) for row in rows]
            analysis.family.fill(rows)
        return list(_with_names(study, analysis, rows))

    def scores(self, dataset: str, name: str) -> TestSet:
        """The cut of one test cohort, with the scores of one configuration."""
        return self.test(dataset, self._study.scored(dataset, name))

    def test(self, dataset: str, scored: Sequence[Scored], columns: Iterable[str] = ()) -> TestSet:
        """The cut of one test cohort, with the scores of some evaluations, and these columns where the dataset has them."""
        test = _test(self._reading, self._study, dataset, scored)
        read = {name: self._reading.column(dataset, name) for name in columns}
        return _part(test, self._masks[dataset], {name: c for name, c in read.items() if c is not None})


def cut_frame(
    connection: Connection,
    study: str,
    analysis: Analysis,
    images: Cut,
    selection: Selection | None = None,
    cache: Cache | None = None,
) -> pd.DataFrame:
    """The rows of one analysis on a cut (`Cutting`), in columns of the types that stored rows have (`stored_rows`)."""
    frame = pd.DataFrame(Cutting(connection, study, images, selection, cache).rows(analysis))
    numbers = [name for name in analysis.numbers if name in frame]
    frame[numbers] = frame[numbers].astype(float)
    return frame


def _check(study: StoredStudy, selection: Selection) -> None:
    """Raises `AnalysisError` where the study has no such model or dataset."""
    for kind, names, members in (
        (f"model of study {study.name}", selection.models, study.names),
        (f"test dataset of study {study.name}", selection.datasets, tuple(study.cohorts)),
    ):
        for name in names:
            if name not in members:
                raise AnalysisError(unknown(kind, name, list(members)))


def _cells(study: StoredStudy, analysis: Analysis, selection: Selection) -> list[Cell]:
    """The cells that are asked for."""
    return [
        cell
        for cell in analysis.unit.of(study)
        if cell.key
        and cell.key[0] in (selection.datasets or study.cohorts)
        and cell.key[1] in (selection.models or study.names)
    ]


def _places(study: StoredStudy, selection: Selection) -> list[int]:
    """Places of the findings that are asked for, in the study's order."""
    places = set()
    for task in selection.tasks:
        finding = match(task, study.findings)
        if finding is None:
            raise AnalysisError(unknown("finding", task, study.findings))
        places.add(study.findings.index(finding))
    return sorted(places) if selection.tasks else list(range(len(study.findings)))


def _masks(reading: Reading, images: Cut, datasets: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Dataset → which images of its test cohort are of the cut, (n_images,), of those where any is."""
    masks, lacking = {}, {clause.column for clause in images.clauses}
    names = None if images.names is None else _ids(reading.connection, images.names)
    for dataset in datasets:
        ids = reading.cohort(dataset).images
        mask = np.ones(len(ids), dtype=bool) if names is None else np.isin(ids, names)
        for clause in images.clauses:
            column = reading.column(dataset, clause.column)
            if column is None:
                mask[:] = False
                continue
            lacking.discard(clause.column)
            mask &= clause.holds(column.cells)[column.codes]
        if mask.any():
            masks[dataset] = mask
    check_columns(reading.connection, reading.study, sorted(lacking))
    if not masks:
        raise AnalysisError(f"{images}: no image of the test cohorts fits")
    return masks


def _ids(connection: Connection, names: frozenset[str]) -> NDArray[np.int64]:
    """The images of some names. Raises `AnalysisError` where one is registered nowhere."""
    rows = connection.execute(text(query("images_of_names")), {"names": sorted(names)}).all()
    absent = sorted(names - {row.name for row in rows})
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise AnalysisError(
            f"no image {absent[0]!r}{more} is registered: expected names as datasets have them"
        )
    return np.array([row.image_id for row in rows], dtype=np.int64)


def _narrowed(reading: Reading, places: Sequence[int], masks: Mapping[str, NDArray[np.bool_]]) -> StoredStudy:
    """The study of some findings only; labelled for those of which any image of the cut has a label."""
    study = reading.study
    new = {task: position for position, task in enumerate(places)}
    labelled: set[int] = set()
    for dataset, mask in masks.items():
        labels = reading.cohort(dataset).labels[:, places][mask]
        labelled |= set(np.flatnonzero(~np.isnan(labels).all(axis=0)).tolist())
    trained = {
        before: frozenset(new[task] for task in before if task in new)
        for before in {evaluation.trained for evaluation in study.evaluations}
    }
    evaluations = tuple(
        Scored(e.evaluation_id, e.trained_on, e.seed, e.cohort_id, trained[e.trained], e.foreign)
        for e in study.evaluations
    )
    return replace(
        study,
        findings=tuple(study.findings[task] for task in places),
        task_ids=tuple(study.task_ids[task] for task in places),
        evaluations=evaluations,
        labelled=tuple(sorted(labelled)),
    )


def _scored(study: StoredStudy, dataset: str, cells: Sequence[Cell]) -> list[Scored]:
    """The evaluations on one test cohort that some cells come from, in the order of the study."""
    uses = {evaluation for cell in cells for evaluation in cell.uses}
    return [e for e in study.evaluations if e.cohort_id == study.cohorts[dataset] and e in uses]


def _test(reading: Reading, study: StoredStudy, dataset: str, scored: Sequence[Scored]) -> TestSet:
    """A whole test cohort, with the scores of some evaluations."""
    cohort = reading.cohort(dataset, study.task_ids)
    ids = [evaluation.evaluation_id for evaluation in scored]
    logits = reading.logits(ids, study.task_ids, len(cohort.images))
    return TestSet(dataset, study.datasets[dataset], cohort, tuple(scored), logits)


def _part(test: TestSet, mask: NDArray[np.bool_], columns: Mapping[str, Column]) -> TestSet:
    """Some images of a test cohort, as if there were no others; with what is known of them."""
    cohort = test.cohort
    identities = cohort.identities.of(mask)
    ranks = np.unique(identities.ranks, return_inverse=True)[1].astype(np.int64) + 1
    part = StoredCohort(
        cohort.id,
        cohort.image_list_id,
        cohort.images[mask],
        replace(identities, ranks=ranks),
        cohort.labels[mask],
    )
    logits = {evaluation: scores[:, mask] for evaluation, scores in test.logits.items()}
    of_part = {name: column.of(mask) for name, column in columns.items()}
    return replace(test, cohort=part, logits=logits, columns=of_part, cache={}, _ensembles={}, cut_of=test)


def _points_at_home(reading: Reading, study: StoredStudy, names: Iterable[str]) -> dict[str, Youden]:
    """Configuration → Youden points on the whole test cohorts of its own datasets."""
    points: dict[str, Youden] = {}
    for name in dict.fromkeys(names):
        datasets = home(study, name)
        tests = [_test(reading, study, dataset, study.scored(dataset, name)) for dataset in datasets]
        own = replace(study, configurations={name: study.configurations.get(name, ())})
        points |= points_at_home(own, tests)
    return points


def _with_names(
    study: StoredStudy, analysis: Analysis, rows: Iterable[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Rows as the view of their table has them: names in place of ids, in the study's order."""
    datasets = {cohort: dataset for dataset, cohort in study.cohorts.items()}
    places = {cohort: rank for rank, cohort in enumerate(datasets)}
    models = {name: rank for rank, name in enumerate(study.names)}
    own = [
        column.name for column in analysis.table.__table__.columns if column.name not in (*LEADING, *TRAILING)
    ]

    def order(row: Mapping[str, Any]) -> tuple[int, int, int]:
        return row.get("task_id", 0), places[row["cohort_id"]], models[row["trained_on"]]

    for row in sorted(rows, key=order):
        leading = {name: row[name] for name in LEADING if name in row}
        leading["test_dataset"] = datasets[row["cohort_id"]]
        if "task_id" in row:
            leading["task"] = study.findings[row["task_id"]]
        if "task_ids" in row:
            leading["tasks"] = [study.findings[task] for task in row["task_ids"]]
        yield leading | {name: row[name] for name in (*own, *TRAILING) if name in row and name not in _HIDDEN}

"""What every analysis loads: the stored scores of a study's models on its test cohorts, aligned, and ensembles of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from db.findings import finding_ids, read_list
from db.queries import query
from db.store import StoredCohort, read_cohort, read_logits
from xray.errors import AnalysisError
from xray.names import unknown
from xray.tasks import TASKS

if TYPE_CHECKING:
    from xray.analyses.shared_scores import SharedScores
    from xray.stats.roc import Youden

OF_IMAGES = ("age", "sex", "view")
"""Columns that every image has, known or not; others are native columns of label files."""


def study_meant(connection: Connection, name: str | None = None, protocol: str | None = None) -> str:
    """The one study that is meant, by name or protocol or because there is no other. Raises `AnalysisError` else."""
    rows = connection.execute(
        text("select name, definition ->> 'protocol' as protocol from study order by id")
    ).all()
    stored = ", ".join(f"{row.name} ({row.protocol})" for row in rows)
    fitting = [
        row.name
        for row in rows
        if name in (None, row.name) and protocol in (None, row.protocol, Path(row.protocol or "").stem)
    ]
    if len(fitting) == 1:
        return str(fitting[0])
    if not fitting:
        request = "study" + (f" {name!r}" if name else "") + (f" under {protocol!r}" if protocol else "")
        first = stored or "none, run one first: xray study run FILE"
        raise AnalysisError(f"there is no {request}; known: {first}")
    raise AnalysisError(f"several studies are there; choose one with --study: {stored}")


@dataclass(frozen=True)
class Scored:
    """One evaluation of a study: which model on which test cohort. trained: positions, in the study's list, of the findings
    that it learned. changed: whether its images were scored again, changed on purpose.

    A foreign model has no seed, and its own name for `trained_on`.
    """

    evaluation_id: int
    trained_on: str
    seed: int | None
    cohort_id: int
    trained: frozenset[int]
    foreign: bool = False
    changed: bool = False


@dataclass(frozen=True)
class TestSet:
    """A test cohort of a study and the evaluations of the study's models on it."""

    dataset: str
    site: str
    cohort: StoredCohort
    evaluations: tuple[Scored, ...]
    logits: dict[int, NDArray[np.float32]]
    """By evaluation id: (n_tasks, n_images)."""
    columns: dict[str, NDArray[np.object_]] = field(default_factory=dict)
    """By name, each image's value of a column: (n_images,), None where it is unknown."""
    cache: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    """What several analyses, or rows, need of this cohort, such as `resampled.replicates`."""
    _ensembles: dict[str, NDArray[np.float64]] = field(default_factory=dict, compare=False, repr=False)
    _points: dict[str, "Youden"] = field(default_factory=dict, compare=False, repr=False)
    selection: frozenset[str] | None = None
    """Configurations whose rows are asked for, "" for rows of the cohort itself; None is all of them."""
    cut_of: "TestSet | None" = None
    """The whole test cohort, where these are some of its images: thresholds are chosen on it, and not on the cut."""

    @property
    def configurations(self) -> list[str]:
        """The configurations whose rows are asked for, in the order of the study."""
        return [name for name in self.trained_on if self.selection is None or name in self.selection]

    @property
    def itself(self) -> bool:
        """Whether rows of the cohort itself are asked for, which are of no model."""
        return self.selection is None or "" in self.selection

    def asking(self, names: Collection[str]) -> "TestSet":
        """The same cohort, of which rows of these configurations are asked for; what was computed of it is shared."""
        return replace(self, selection=frozenset(names))

    def ensembles(self, names: Collection[str]) -> "TestSet":
        """The same cohort with nothing but the ensembles of some configurations: a seed's share of the memory."""
        evaluations = tuple(e for e in self.evaluations if e.trained_on in names)
        scores = {name: self.ensemble(name) for name in dict.fromkeys(e.trained_on for e in evaluations)}
        points = {name: point for name, point in self._points.items() if name in scores}
        return replace(self, evaluations=evaluations, logits={}, cache={}, _ensembles=scores, _points=points)

    @cached_property
    def trained_on(self) -> list[str]:
        """The configurations that were scored here, in the order of the study."""
        return list(dict.fromkeys(e.trained_on for e in self.evaluations))

    def of(self, trained_on: str) -> list[Scored]:
        """The evaluations of one configuration, a seed each."""
        return [e for e in self.evaluations if e.trained_on == trained_on]

    def ensemble(self, trained_on: str) -> NDArray[np.float64]:
        """Mean of the seeds' logits, (n_images, n_tasks): the ensemble's logit (protocol §8). Kept, so not to be changed."""
        if trained_on not in self._ensembles:
            seeds = [self.logits[e.evaluation_id] for e in self.of(trained_on)]
            self._ensembles[trained_on] = np.asarray(np.mean(seeds, axis=0, dtype=np.float64)).T
        return self._ensembles[trained_on]

    def youden(self, trained_on: str) -> "Youden":
        """The ensemble's Youden points (n_tasks,) on this very cohort, the whole of it."""
        if self.cut_of is not None:
            return self.cut_of.youden(trained_on)
        if trained_on not in self._points:
            from xray.stats.roc import youden  # compiled: what only asks how far a study is does without

            self._points[trained_on] = youden(self.cohort.labels, self.ensemble(trained_on))
        return self._points[trained_on]

    def ids(self, *trained_on: str) -> list[int]:
        """The evaluations behind the ensembles of some configurations."""
        return [e.evaluation_id for name in trained_on for e in self.of(name)]

    def trained_tasks(self, trained_on: str) -> frozenset[int]:
        """Places of the findings that every seed of a configuration was trained on."""
        return frozenset.intersection(*(e.trained for e in self.of(trained_on)))

    def labelled_tasks(self) -> frozenset[int]:
        """Places of the findings that any image here has a label of."""
        return frozenset(np.flatnonzero(~np.isnan(self.cohort.labels).all(axis=0)).tolist())


@dataclass(frozen=True)
class StoredStudy:
    """A study as the database has it: `datasets` (name → site) in order, configurations (name → its datasets).

    findings: what its results are of, in order. Everywhere in an analysis a task is its position in this list: columns of
    labels and of scores, and `task_id` of the rows that it gives; `run` makes ids of it.

    Foreign models are no configurations: what they were trained on is known from their cards, if at all.
    guests: those of its datasets that are not of its file: registered later, and tested on only.
    """

    id: int
    name: str
    datasets: dict[str, str]
    configurations: dict[str, tuple[str, ...]]
    evaluations: tuple[Scored, ...]
    guests: frozenset[str] = frozenset()
    partial: frozenset[str] = frozenset()
    """Configurations of only some images or tasks of their datasets: they count for themselves, not for the datasets."""
    findings: tuple[str, ...] = TASKS
    task_ids: tuple[int, ...] = ()
    """Ids of the findings in the database."""
    cohorts: dict[str, int] = field(default_factory=dict)
    """Dataset → its test cohort, of those that any model of the study scored, in order."""
    labelled: tuple[int, ...] = ()
    """Places of the findings that any of these cohorts is labelled for."""
    whole: "Whole | None" = None
    """Where an analysis is given some of the test cohorts, or of their scores: what it needs to know of all."""
    shared: "SharedScores | None" = field(default=None, compare=False, repr=False)
    """Where processes side by side read scores once for all of them."""

    @cached_property
    def _scored(self) -> dict[tuple[int, str], tuple[Scored, ...]]:
        by_cell: dict[tuple[int, str], list[Scored]] = {}
        for evaluation in self.evaluations:
            by_cell.setdefault((evaluation.cohort_id, evaluation.trained_on), []).append(evaluation)
        return {key: tuple(several) for key, several in by_cell.items()}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Everything that scored any of its images: configurations and models from elsewhere, in order."""
        return tuple(dict.fromkeys(evaluation.trained_on for evaluation in self.evaluations))

    def scored(self, dataset: str, trained_on: str | None) -> tuple[Scored, ...]:
        """The evaluations of a configuration on the test cohort of a dataset; none where there is no such thing."""
        cohort = self.cohorts.get(dataset)
        return () if cohort is None or trained_on is None else self._scored.get((cohort, trained_on), ())

    def scorers(self, dataset: str) -> list[str]:
        """The configurations that were scored on the test cohort of a dataset, in the order of the study."""
        return [name for name in self.names if self.scored(dataset, name)]

    def reference_at(self, dataset: str) -> str | None:
        """As `reference`, of a dataset."""
        candidates = (self.trained_on_exactly((dataset,)), *self.foreign)
        return next((name for name in candidates if self.scored(dataset, name)), None)

    @property
    def own(self) -> dict[str, str]:
        """The datasets of its file, name → site."""
        return {name: site for name, site in self.datasets.items() if name not in self.guests}

    @property
    def foreign(self) -> tuple[str, ...]:
        """Models from elsewhere that scored any test cohort, in the study's order."""
        return tuple(
            dict.fromkeys(evaluation.trained_on for evaluation in self.evaluations if evaluation.foreign)
        )

    def reference(self, test: TestSet) -> str | None:
        """What other models are compared with on a test cohort: its own model, else the first from elsewhere; None
        without.
        """
        candidates = (self.trained_on_exactly((test.dataset,)), *self.foreign)
        return next((name for name in candidates if name is not None and name in test.trained_on), None)

    def tasks(self, tests: Sequence[TestSet]) -> list[int]:
        """Places of the findings that any test cohort of the study is labelled for, in order."""
        if self.whole is not None:
            return list(self.labelled)
        return sorted(frozenset().union(*(test.labelled_tasks() for test in tests)))

    def trained_on_exactly(self, datasets: Sequence[str]) -> str | None:
        """The configuration that is trained on just these datasets, or None."""
        members = set(datasets)
        complete = {
            name: trained_on for name, trained_on in self.configurations.items() if name not in self.partial
        }
        return next((name for name, trained_on in complete.items() if set(trained_on) == members), None)


@dataclass(frozen=True)
class Whole:
    """Values over all test cohorts of a study, while only some cohorts are in memory.

    at_home: configuration → Youden points (n_tasks,) on the pooled test cohorts of its own datasets. asked: the cells whose
    rows are asked for (`cells.Key`).
    """

    at_home: Mapping[str, "Youden"]
    keys: frozenset[tuple[str, ...]] = frozenset()


def load_study(connection: Connection, name: str) -> StoredStudy:
    """The study of this name. Raises `AnalysisError` where there is none, or nothing of it is scored yet."""
    study_id = connection.scalar(text("select id from study where name = :name"), {"name": name})
    if study_id is None:
        names = connection.scalars(text("select name from study order by name")).all()
        raise AnalysisError(unknown("study", name, names, "none, run one first"))
    dataset_rows = connection.execute(text(query("study_datasets")), {"study_id": study_id}).all()
    datasets = {row.dataset: row.site for row in dataset_rows}
    guests = frozenset(row.dataset for row in dataset_rows if row.guest)
    rows = connection.execute(text(query("study_evaluations")), {"study_id": study_id}).all()
    if not rows:
        raise AnalysisError(f"study {name!r} has no scored test cohort yet: xray study run its file")
    findings = read_list(connection, "study", study_id) or TASKS
    task_ids = tuple(finding_ids(connection, findings))
    position_of = {number: position for position, number in enumerate(task_ids)}
    evaluations = tuple(
        Scored(
            r.evaluation_id,
            r.trained_on,
            r.seed,
            r.cohort_id,
            frozenset(position_of[number] for number in r.task_ids if number in position_of),
            r.kind == "foreign",
            r.changed,
        )
        for r in rows
    )
    order = {dataset: position for position, dataset in enumerate(datasets)}
    configurations = {
        r.trained_on: tuple(sorted(r.datasets, key=order.__getitem__)) for r in rows if r.kind == "trained"
    }
    partial = frozenset(r.trained_on for r in rows if r.partial)
    scored_cohorts = {evaluation.cohort_id for evaluation in evaluations}
    test_rows = connection.execute(text(query("study_test_cohorts")), {"study_id": study_id}).all()
    cohorts = {row.dataset: row.cohort_id for row in test_rows if row.cohort_id in scored_cohorts}
    numbers = connection.scalars(text(query("study_labelled")), {"cohorts": list(cohorts.values())}).all()
    labelled_tasks = tuple(sorted(position_of[number] for number in numbers if number in position_of))
    return StoredStudy(
        study_id,
        name,
        datasets,
        configurations,
        evaluations,
        guests,
        partial,
        findings,
        task_ids,
        cohorts,
        labelled_tasks,
    )


def load_tests(
    connection: Connection,
    study: StoredStudy,
    columns: Collection[str] = (),
    datasets: Collection[str] | None = None,
    trained_on: Collection[str] | None = None,
) -> list[TestSet]:
    """Every test cohort of the study with its scores, in the order of its datasets, and these columns of its images.

    columns: of `OF_IMAGES`, or native columns. datasets, trained_on: only these test datasets and configurations.
    Raises `AnalysisError` where no dataset of the study has one of the columns.
    """
    tests = []
    for dataset, cohort in study.cohorts.items():
        evaluations = [
            e
            for e in study.evaluations
            if e.cohort_id == cohort and (trained_on is None or e.trained_on in trained_on)
        ]
        if evaluations and (datasets is None or dataset in datasets):
            tests.append(load_test(connection, study, dataset, evaluations, columns))
    check_columns(connection, study, [c for c in columns if not any(c in test.columns for test in tests)])
    return tests


def load_test(
    connection: Connection,
    study: StoredStudy,
    dataset: str,
    evaluations: Sequence[Scored],
    columns: Collection[str] = (),
) -> TestSet:
    """The test cohort of one dataset with the scores of some evaluations, and those of these columns that it has."""
    numbers = [e.evaluation_id for e in evaluations]
    if study.shared is None:
        logits = {number: read_logits(connection, number, study.task_ids) for number in numbers}
    else:
        logits = study.shared.read(connection, numbers, study.task_ids)
    cohort = read_cohort(connection, study.cohorts[dataset], study.task_ids)
    cells = image_columns(connection, dataset, cohort, columns)
    return TestSet(dataset, study.datasets[dataset], cohort, tuple(evaluations), logits, cells)


def check_columns(connection: Connection, study: StoredStudy, columns: Collection[str]) -> None:
    """Raises `AnalysisError` where no dataset of the study has one of these columns of its images."""
    names = [] if set(columns) <= set(OF_IMAGES) else _native_names(connection, study)
    for column in columns:
        if column not in (*OF_IMAGES, *names):
            raise AnalysisError(
                f"no dataset of study {study.name!r} has a column {column!r}: {', '.join(OF_IMAGES)} "
                f"or one of {', '.join(names) or 'none (the label files have no other)'}"
            )


def image_columns(
    connection: Connection, dataset: str, cohort: StoredCohort, names: Collection[str]
) -> dict[str, NDArray[np.object_]]:
    """Those of these columns that a dataset has: what is known of each image of a cohort, (n_images,), or None."""
    cells_of: dict[str, NDArray[np.object_]] = {}
    if set(names) & set(OF_IMAGES):
        row = connection.execute(text(query("image_columns")), {"image_list_id": cohort.image_list_id}).one()
        cells_of = {
            name: np.array(cells, dtype=object)
            for name, cells in (("age", row.ages), ("sex", row.sexes), ("view", row.views))
            if name in names
        }
    for name in set(names) - set(OF_IMAGES):
        cells = connection.scalar(
            text(query("native_cells_of_list")),
            {"dataset": dataset, "native_column": name, "image_list_id": cohort.image_list_id},
        )
        if cells is not None:
            cells_of[name] = np.array(cells, dtype=object)
    return cells_of


def _native_names(connection: Connection, study: StoredStudy) -> list[str]:
    statement = text(
        "select distinct native_column.name from native_column join dataset on dataset.id = dataset_id"
        " where dataset.name = any(:datasets) order by native_column.name"
    )
    return list(connection.scalars(statement, {"datasets": list(study.datasets)}))

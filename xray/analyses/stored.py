"""What every analysis loads: the stored scores of a study's models on its test cohorts, aligned, and ensembles of them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from db.queries import query
from db.store import StoredCohort, read_cohort, read_logits
from xray.errors import AnalysisError
from xray.tasks import TASKS


@dataclass(frozen=True)
class Scored:
    """One evaluation of a study: which model on which test cohort. trained: ids of the tasks that its outputs learned."""

    evaluation_id: int
    trained_on: str
    seed: int
    cohort_id: int
    trained: frozenset[int]


@dataclass(frozen=True)
class TestSet:
    """A test cohort of a study and the evaluations of the study's models on it."""

    dataset: str
    site: str
    cohort: StoredCohort
    evaluations: tuple[Scored, ...]
    logits: dict[int, NDArray[np.float32]]
    """By evaluation id: (n_tasks, n_images)."""

    @cached_property
    def trained_on(self) -> list[str]:
        """The configurations that were scored here, in the order of the study."""
        return list(dict.fromkeys(e.trained_on for e in self.evaluations))

    def of(self, trained_on: str) -> list[Scored]:
        """The evaluations of one configuration, a seed each."""
        return [e for e in self.evaluations if e.trained_on == trained_on]

    def ensemble(self, trained_on: str) -> NDArray[np.float64]:
        """Mean of the seeds' logits, (n_images, n_tasks): the ensemble's logit (protocol §8)."""
        seeds = [self.logits[e.evaluation_id].astype(np.float64) for e in self.of(trained_on)]
        return np.mean(seeds, axis=0).T

    def trained_tasks(self, trained_on: str) -> frozenset[int]:
        """Ids of the tasks that every seed of a configuration was trained on."""
        return frozenset.intersection(*(e.trained for e in self.of(trained_on)))

    def labelled_tasks(self) -> frozenset[int]:
        """Ids of the tasks that any image here has a label of."""
        return frozenset(np.flatnonzero(~np.isnan(self.cohort.labels).all(axis=0)).tolist())


@dataclass(frozen=True)
class StoredStudy:
    """A study as the database has it: `datasets` (name → site) in order, configurations (name → its datasets)."""

    id: int
    name: str
    datasets: dict[str, str]
    configurations: dict[str, tuple[str, ...]]
    evaluations: tuple[Scored, ...]
    partial: frozenset[str] = frozenset()
    """Configurations of only some images or tasks of their datasets: they stand for themselves, not for the datasets."""

    def tasks(self, tests: Sequence[TestSet]) -> list[int]:
        """Ids of the tasks that any test cohort of the study is labelled for, in output order."""
        return sorted(frozenset().union(*(test.labelled_tasks() for test in tests)))

    def trained_on_exactly(self, datasets: Sequence[str]) -> str | None:
        """The configuration that is trained on just these datasets, or None."""
        wanted = set(datasets)
        whole = {name: own for name, own in self.configurations.items() if name not in self.partial}
        return next((name for name, own in whole.items() if set(own) == wanted), None)

    def fingerprint(self, analysis: str, version: int) -> str:
        """Content hash of all that an analysis of this study comes from."""
        parts: list[Any] = [analysis, version, list(self.datasets.items()), list(self.configurations.items())]
        parts.append(sorted((e.evaluation_id, e.cohort_id) for e in self.evaluations))
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def load_study(connection: Connection, name: str) -> StoredStudy:
    """The study of this name. Raises `AnalysisError` where there is none, or nothing of it is scored yet."""
    study_id = connection.scalar(text("select id from study where name = :name"), {"name": name})
    if study_id is None:
        known = connection.scalars(text("select name from study order by name")).all()
        raise AnalysisError(f"there is no study {name!r}; known: {', '.join(known) or 'none, run one first'}")
    datasets = {
        row.dataset: row.site
        for row in connection.execute(text(query("study_datasets")), {"study_id": study_id})
    }
    rows = connection.execute(text(query("study_evaluations")), {"study_id": study_id}).all()
    if not rows:
        raise AnalysisError(f"study {name!r} has no scored test cohort yet: xray study run its file")
    evaluations = tuple(
        Scored(r.evaluation_id, r.trained_on, r.seed, r.cohort_id, frozenset(r.task_ids)) for r in rows
    )
    order = {dataset: position for position, dataset in enumerate(datasets)}
    configurations = {r.trained_on: tuple(sorted(r.datasets, key=order.__getitem__)) for r in rows}
    partial = frozenset(r.trained_on for r in rows if r.partial)
    return StoredStudy(study_id, name, datasets, configurations, evaluations, partial)


def load_tests(connection: Connection, study: StoredStudy) -> list[TestSet]:
    """Every test cohort of the study with its scores, in the order of its datasets."""
    cohorts = connection.execute(text(query("study_test_cohorts")), {"study_id": study.id}).all()
    tests = []
    for row in cohorts:
        mine = tuple(e for e in study.evaluations if e.cohort_id == row.cohort_id)
        if not mine:
            continue
        logits = {e.evaluation_id: read_logits(connection, e.evaluation_id, len(TASKS)) for e in mine}
        cohort = read_cohort(connection, row.cohort_id, len(TASKS))
        tests.append(TestSet(row.dataset, row.site, cohort, mine, logits))
    return tests

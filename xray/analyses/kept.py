"""What was read of images and of scores, kept in memory from one question to the next, within a number of bytes.

Image lists, labels of cohorts and scores of an evaluation are never changed, so they are what they were. What is known of
images and of studies is: a count of changes stands in their key (sql/queries/changes_counted.sql).
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Protocol, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from db.queries import query
from db.store import StoredCohort, read_cohort, read_vectors
from xray.analyses.stored import StoredStudy, image_columns, load_study

MOST: Final = 256 * 2**20
"""Bytes that are kept: the scores of some 2,000 models for a finding of 31,000 images."""
_OF_AN_OBJECT: Final = 64
"""Bytes that a short text takes."""


class Sized(Protocol):
    """What can be kept: it says how many bytes it takes."""

    @property
    def nbytes(self) -> int:
        """Its bytes."""


Item = TypeVar("Item", bound=Sized)


@dataclass(frozen=True)
class Column:
    """What is known of each image in one column: cells[codes], cells distinct, None where it is not known."""

    cells: NDArray[np.object_]
    codes: NDArray[np.int32]

    @property
    def nbytes(self) -> int:
        """Its bytes."""
        return self.codes.nbytes + _OF_AN_OBJECT * len(self.cells)

    def of(self, mask: NDArray[np.bool_]) -> NDArray[np.object_]:
        """The cells of some images."""
        return self.cells[self.codes[mask]]


@dataclass(frozen=True)
class Absent:
    """A column that a dataset does not have."""

    nbytes: int = 1


@dataclass(frozen=True)
class Labelled:
    """A cohort with the labels of a study's findings."""

    cohort: StoredCohort

    @property
    def nbytes(self) -> int:
        """Its bytes."""
        of_images = self.cohort.identities
        identities = sum(getattr(of_images, part.name).nbytes for part in fields(of_images))
        return self.cohort.images.nbytes + self.cohort.labels.nbytes + int(identities)


@dataclass(frozen=True)
class Facts:
    """A study as the database has it."""

    study: StoredStudy

    @property
    def nbytes(self) -> int:
        """About its bytes."""
        return 16 * _OF_AN_OBJECT * len(self.study.evaluations)


class Cache:
    """The last things that were asked for, as many as `most` bytes hold. Several threads may ask."""

    def __init__(self, most: int = MOST) -> None:
        self._most, self._bytes = most, 0
        self._items: OrderedDict[Hashable, Sized] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept."""
        return self._bytes

    def get(self, key: Hashable) -> Sized | None:
        """What is kept under a key."""
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
            return self._items.get(key)

    def put(self, key: Hashable, item: Sized) -> None:
        """Keep something; what was not asked for longest goes, where there is no room."""
        with self._lock:
            before = self._items.pop(key, None)
            self._bytes += item.nbytes - (0 if before is None else before.nbytes)
            self._items[key] = item
            while self._bytes > self._most:
                self._bytes -= self._items.popitem(last=False)[1].nbytes

    def of(self, key: Hashable, read: Callable[[], Item]) -> Item:
        """What is kept under a key, read where it is not."""
        item = self.get(key)
        if item is not None:
            return item  # type: ignore[return-value]  # of one kind by its key
        fresh = read()
        self.put(key, fresh)
        return fresh


@dataclass(frozen=True)
class Reading:
    """Reads of the database what is not kept; not for a transaction that has written itself.

    study: whose findings labels are of. changes: what stands for all that was written of images.
    """

    connection: Connection
    cache: Cache
    study: StoredStudy
    changes: str

    @classmethod
    def now(cls, connection: Connection, cache: Cache, study: str) -> "Reading":
        """What is there now of a study. Raises `AnalysisError` where there is none of this name."""
        changes = connection.execute(text(query("changes_counted"))).one()
        stored = cache.of(
            ("study", study, changes.studies), lambda: Facts(load_study(connection, study))
        ).study
        return cls(connection, cache, stored, changes.images)

    def cohort(self, dataset: str, task_ids: Sequence[int] | None = None) -> StoredCohort:
        """The test cohort of a dataset with its labels, of all of the study's findings or of some (ids)."""
        cohort_id, all_ids = self.study.cohorts[dataset], self.study.task_ids
        key = ("cohort", cohort_id, all_ids, self.changes)
        cohort = self.cache.of(key, lambda: Labelled(read_cohort(self.connection, cohort_id, all_ids))).cohort
        if task_ids is None or tuple(task_ids) == all_ids:
            return cohort
        return replace(cohort, labels=cohort.labels[:, [all_ids.index(task) for task in task_ids]])

    def column(self, dataset: str, name: str) -> Column | None:
        """One column of a test cohort's images; None where the dataset has none of this name."""
        cohort = self.cohort(dataset)

        def read() -> Column | Absent:
            cells = image_columns(self.connection, dataset, cohort, [name])
            if name not in cells:
                return Absent()
            codes, distinct = pd.factorize(cells[name], use_na_sentinel=True)
            cells_with_none = np.append(np.asarray(distinct, dtype=object), np.array([None], dtype=object))
            return Column(cells_with_none, np.where(codes < 0, len(distinct), codes).astype(np.int32))

        key = ("column", cohort.image_list_id, dataset, name, self.changes)
        column = self.cache.of(key, read)
        return column if isinstance(column, Column) else None

    def logits(
        self, evaluation_ids: Collection[int], task_ids: Sequence[int], n_images: int
    ) -> dict[int, NDArray[np.float32]]:
        """Evaluation → logits (n_tasks, n_images) of some findings (ids); NaN for outputs never trained."""
        unscored = np.full(n_images, np.nan, np.float32)
        vectors = self._vectors(evaluation_ids, task_ids)
        return {
            evaluation: np.stack([vectors.get((evaluation, task), unscored) for task in task_ids])
            for evaluation in evaluation_ids
        }

    def _vectors(
        self, evaluation_ids: Collection[int], task_ids: Sequence[int]
    ) -> dict[tuple[int, int], NDArray[np.float32]]:
        """(evaluation, finding) → its scores (n_images,), of outputs that were trained."""
        vectors = {
            (evaluation, task): self.cache.get(("scores", evaluation, task))
            for evaluation in evaluation_ids
            for task in task_ids
        }
        missing = [key for key, vector in vectors.items() if vector is None]
        evaluations, tasks = (sorted({key[at] for key in missing}) for at in (0, 1))
        for key, vector in read_vectors(self.connection, evaluations, tasks).items():
            vectors[key] = vector
            self.cache.put(("scores", *key), vector)
        return {key: vector for key, vector in vectors.items() if isinstance(vector, np.ndarray)}

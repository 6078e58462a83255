"""The steps of a run: one test cohort after the other, then what compares several, then what is put together."""

import logging
import time
from collections.abc import Collection, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from xray.analyses.cells import Key
from xray.analyses.home import points_at_home
from xray.analyses.stored import StoredStudy, TestSet, Whole, check_columns, load_test
from xray.analyses.work import PartialWork, Work

_log = logging.getLogger(__name__)


def tell(work: Work | PartialWork) -> None:
    """Have the log say what is computed of an analysis."""
    part = f", {len(work.stale)} of {len(work.cells)} cells" if len(work.stale) < len(work.cells) else ""
    _log.info("computing %s%s", work.analysis.name, part)


@dataclass(frozen=True)
class Storing:
    """A thread that stores what was computed, while the next is, and its connection, which no other thread uses."""

    connection: Connection
    thread: Executor

    def submit(self, work: Work | PartialWork, keys: Sequence[Key], rows: list[Any]) -> Future[None]:
        """Store what was made of some cells, in a transaction of its own, after what was submitted before."""
        return self.thread.submit(self._store, work, keys, rows)

    def _store(self, work: Work | PartialWork, keys: Sequence[Key], rows: list[Any]) -> None:
        with self.connection.begin():
            work.store(self.connection, keys, rows)


def compute_stale(
    connection: Connection,
    study: StoredStudy,
    works: Sequence[Work],
    storing: Storing,
    logged: Collection[str],
) -> None:
    """Compute and store the stale cells of some analyses. Raises the first error that one of them met.

    logged: names of those of which the log says already that they are computed.
    """
    joins = [
        (work, PartialWork(connection, study, work.analysis, work.analysis.partial))
        for work in works
        if work.analysis.partial is not None
    ]
    alone = [work for work in works if work.analysis.partial is None]
    steps = _begun(connection, study, [*alone, *(partial for _, partial in joins)], storing, logged)
    for dataset in study.cohorts:
        steps.of_cohort(dataset)
    steps.of_several()
    for work, partial in joins:
        steps.of_parts(work, partial)
    steps.finish()


def compute_within(
    connection: Connection,
    study: StoredStudy,
    works: Sequence[Work | PartialWork],
    storing: Storing,
    logged: Collection[str],
) -> None:
    """Compute and store the stale cells of a part of the study. Raises the first error that an analysis met.

    logged: as of `compute_stale`.
    """
    steps = _begun(connection, study, works, storing, logged)
    for dataset in study.cohorts:
        steps.of_cohort(dataset)
    steps.of_several()
    steps.finish()


def _begun(
    connection: Connection,
    study: StoredStudy,
    works: Sequence[Work | PartialWork],
    storing: Storing,
    logged: Collection[str],
) -> "_Steps":
    check_columns(connection, study, {column for work in works for column in work.analysis.columns})
    at_home = {name for work in works if work.unit.at_home for name in _names(study, work)}
    study = replace(study, whole=Whole(points_at_home(connection, study, at_home)))
    return _Steps(connection, study, works, storing, logged)


def _names(study: StoredStudy, work: Work | PartialWork) -> set[str]:
    """The configurations that stale cells are of."""
    if () in work.stale:
        return set(study.names)
    return {name for key in work.stale for name in (key[1:] if work.unit.by_cohort else key)}


class _Steps:
    """What a run carries from one step to the next."""

    def __init__(
        self,
        connection: Connection,
        study: StoredStudy,
        works: Sequence[Work | PartialWork],
        storing: Storing,
        logged: Collection[str],
    ) -> None:
        self._connection, self._study, self._storing = connection, study, storing
        self._works = works
        self._prepared: dict[str, tuple[Any, ...]] = {}
        self._logged = set(logged)
        self._several: list[TestSet] = []
        self._stored: list[tuple[Work | PartialWork, Future[None]]] = []
        self._errors: dict[str, Exception] = {}
        several = [work for work in works if not work.unit.by_cohort and work.stale]
        self._later = {
            evaluation
            for work in several
            if self._preparation(work) != ([],)
            for evaluation in work.uses(work.stale)
        }

    def of_cohort(self, dataset: str) -> None:
        """Compute the stale cells of one test cohort, and keep what those need that are of several."""
        parts = [(work, keys) for work in self._works if (keys := work.keys(dataset))]
        cohort = self._study.cohorts[dataset]
        uses = self._later.union(*(work.uses(keys) for work, keys in parts))
        evaluations = [e for e in self._study.evaluations if e.cohort_id == cohort and e in uses]
        if not parts and not evaluations:
            return
        columns = {column for work in self._works for column in work.analysis.columns}
        test = load_test(self._connection, self._study, dataset, evaluations, columns)
        self._connection.commit()
        for work, keys in parts:
            subset = test.asking([key[-1] for key in keys] if len(keys[0]) > 1 else test.trained_on)
            self._try(work, keys, [subset])
        later = {e.trained_on for e in evaluations if e in self._later}
        if later:
            self._several.append(test.ensembles(later))

    def of_several(self) -> None:
        """Compute the stale cells that are of no single test cohort, and drop what is of the study no longer."""
        for work in self._works:
            keys = work.keys(None)
            if keys or not work.stale:
                self._try(work, keys, [] if work.unit.by_cohort else self._several)

    def of_parts(self, work: Work, partial: PartialWork) -> None:
        """Put rows together from values that are all there."""
        name = work.analysis.name
        if name in self._errors:
            return
        try:
            self._log(work)
            self._store(work, work.stale, partial.joined(self._asking(work.stale), self._preparation(work)))
        except Exception as error:  # as in _try
            self._errors[name] = error

    def finish(self) -> None:
        """Wait until all is stored. Raises the first error of any analysis."""
        for work, stored in self._stored:
            try:
                stored.result()
            except Exception as error:  # as in _try
                self._errors.setdefault(work.analysis.name, error)
        if self._errors:
            raise next(iter(self._errors.values()))

    def _try(self, work: Work | PartialWork, keys: Sequence[Key], tests: Sequence[TestSet]) -> None:
        """Compute some cells. An analysis that failed is done no further: its error is raised when the others are done."""
        if work.analysis.name in self._errors:
            return
        try:
            self._compute(work, keys, tests)
        except Exception as error:  # whatever it is
            self._errors[work.analysis.name] = error

    def _compute(self, work: Work | PartialWork, keys: Sequence[Key], tests: Sequence[TestSet]) -> None:
        self._log(work)
        start = time.perf_counter()
        rows: list[Any] = (
            list(work.compute(self._asking(keys), tests, self._preparation(work))) if keys else []
        )
        _log.debug("%s: %d rows in %.1f s", work.analysis.name, len(rows), time.perf_counter() - start)
        self._store(work, keys, rows)

    def _asking(self, keys: Sequence[Key]) -> StoredStudy:
        """The study, of which some cells are asked for."""
        whole = self._study.whole
        assert whole is not None
        return replace(self._study, whole=replace(whole, keys=frozenset(keys)))

    def _store(self, work: Work | PartialWork, keys: Sequence[Key], rows: list[Any]) -> None:
        self._stored.append((work, self._storing.submit(work, keys, rows)))

    def _log(self, work: Work | PartialWork) -> None:
        name = work.analysis.name
        if work.stale and name not in self._logged:
            self._logged.add(name)
            tell(work)

    def _preparation(self, work: Work | PartialWork) -> tuple[Any, ...]:
        """What the analysis prepares, once for all steps."""
        analysis = work.analysis
        if analysis.prepare is None:
            return ()
        if analysis.name not in self._prepared:
            self._prepared[analysis.name] = (analysis.prepare(self._connection, self._study),)
            self._connection.commit()
        return self._prepared[analysis.name]

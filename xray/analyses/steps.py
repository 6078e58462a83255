"""The steps of a run: one test cohort after the other, then what compares several."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine

from xray.analyses.cells import Key
from xray.analyses.home import points_at_home
from xray.analyses.stored import StoredStudy, TestSet, Whole, check_columns, load_test
from xray.analyses.work import Work

_log = logging.getLogger(__name__)


def compute_stale(
    engine: Engine, connection: Connection, study: StoredStudy, works: Sequence[Work], storing: Executor
) -> None:
    """Compute and store the stale cells of some analyses. Raises the first error that one of them met."""
    check_columns(connection, study, {column for work in works for column in work.analysis.columns})
    at_home = {name for work in works if work.analysis.unit.at_home for name in _names(study, work)}
    whole = Whole(points_at_home(connection, study, at_home))
    steps = _Steps(engine, connection, replace(study, whole=whole), works, storing)
    for dataset in study.cohorts:
        steps.of_cohort(dataset)
    steps.of_several()
    steps.finish()


def _names(study: StoredStudy, work: Work) -> set[str]:
    """The configurations that stale cells are of."""
    if () in work.stale:
        return set(study.names)
    return {name for key in work.stale for name in (key[1:] if work.analysis.unit.by_cohort else key)}


class _Steps:
    """What a run carries from one step to the next."""

    def __init__(
        self,
        engine: Engine,
        connection: Connection,
        study: StoredStudy,
        works: Sequence[Work],
        storing: Executor,
    ) -> None:
        self._engine, self._connection, self._study, self._storing = engine, connection, study, storing
        self._works = list(works)
        self._prepared: dict[str, tuple[Any, ...]] = {}
        self._begun: set[str] = set()
        self._several: list[TestSet] = []
        self._stored: list[tuple[Work, Future[None]]] = []
        self._errors: list[Exception] = []
        self._later = {
            each
            for work in works
            if not work.analysis.unit.by_cohort and not self._is_idle(work)
            for each in work.uses(work.keys(None))
        }

    def of_cohort(self, dataset: str) -> None:
        """Compute the stale cells of one test cohort, and keep what those need that are of several."""
        here = [(work, keys) for work in self._works if (keys := work.keys(dataset))]
        cohort = self._study.cohorts[dataset]
        uses = self._later.union(*(work.uses(keys) for work, keys in here))
        evaluations = [e for e in self._study.evaluations if e.cohort_id == cohort and e in uses]
        if not here and not evaluations:
            return
        columns = {column for work in self._works for column in work.analysis.columns}
        test = load_test(self._connection, self._study, dataset, evaluations, columns)
        self._connection.commit()
        for work, keys in here:
            asked = test.asking([key[-1] for key in keys] if len(keys[0]) > 1 else test.trained_on)
            self._compute(work, keys, [asked])
        later = {e.trained_on for e in evaluations if e in self._later}
        if later:
            self._several.append(test.ensembles(later))

    def of_several(self) -> None:
        """Compute the stale cells that are of no single test cohort, and drop what is of the study no longer."""
        for work in tuple(self._works):
            keys = work.keys(None)
            if keys or not work.stale:
                self._compute(work, keys, [] if work.analysis.unit.by_cohort else self._several)

    def finish(self) -> None:
        """Wait until all is stored. Raises the first error of any analysis."""
        for work, stored in self._stored:
            self._try(work, stored.result)
        if self._errors:
            raise self._errors[0]

    def _compute(self, work: Work, keys: Sequence[Key], tests: Sequence[TestSet]) -> None:
        self._try(work, lambda: self._computed(work, keys, tests))

    def _computed(self, work: Work, keys: Sequence[Key], tests: Sequence[TestSet]) -> None:
        analysis = work.analysis
        if keys and analysis.name not in self._begun:
            self._begun.add(analysis.name)
            part = (
                f", {len(work.stale)} of {len(work.cells)} cells" if len(work.stale) < len(work.cells) else ""
            )
            _log.info("computing %s%s", analysis.name, part)
        started = time.perf_counter()
        whole = self._study.whole
        assert whole is not None
        study = replace(self._study, whole=replace(whole, asked=frozenset(keys)))
        rows = list(analysis.compute(study, tests, *self._given(work))) if keys else []
        _log.debug("%s: %d rows in %.1f s", analysis.name, len(rows), time.perf_counter() - started)
        self._stored.append((work, self._storing.submit(self._store, work, keys, rows)))

    def _store(self, work: Work, keys: Sequence[Key], rows: Sequence[dict[str, Any]]) -> None:
        with self._engine.begin() as connection:
            work.store(connection, keys, rows)

    def _given(self, work: Work) -> tuple[Any, ...]:
        """What the analysis prepares, once for all steps."""
        analysis = work.analysis
        if analysis.prepare is None:
            return ()
        if analysis.name not in self._prepared:
            self._prepared[analysis.name] = (analysis.prepare(self._connection, self._study),)
            self._connection.commit()
        return self._prepared[analysis.name]

    def _is_idle(self, work: Work) -> bool:
        """Whether an analysis has nothing to compute: what it prepares is an empty list."""
        return self._given(work) == ([],)

    def _try(self, work: Work, step: Callable[[], None]) -> None:
        """Take an analysis that fails off the list, and go on with the others."""
        if work not in self._works:
            return
        try:
            step()
        except Exception as error:  # whatever an analysis raises is raised when the others are done
            self._works.remove(work)
            self._errors.append(error)

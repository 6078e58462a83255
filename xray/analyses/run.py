"""Brings result tables up to date: computes the cells that are stale, and leaves the others.

Stale is what was computed of other evaluations, or by other code. One test cohort is in memory at a time; of the others,
as much as analyses need that compare cohorts. A program with no other thread may have parts of it computed by processes side
by side, each with a test cohort of its own (docs/decisions/0059).
"""

import importlib
import logging
import pkgutil
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.pool import NullPool

import xray.analyses
from db.logs import about
from xray.analyses import subgroups
from xray.analyses.analysis import REGISTRY, Analysis
from xray.analyses.current import stored_cells
from xray.analyses.parallel import in_processes
from xray.analyses.parts import Part, divided, in_common, to_compute
from xray.analyses.shared_scores import SharedScores
from xray.analyses.steps import Storing, compute_stale, compute_within, tell
from xray.analyses.stored import load_study
from xray.analyses.work import Within, Work
from xray.errors import AnalysisError
from xray.names import unknown

_log = logging.getLogger(__name__)


def _registered() -> tuple[Analysis, ...]:
    """Every analysis of a module of this package, in order."""
    for module in pkgutil.iter_modules(xray.analyses.__path__):
        if module.name not in ("run", "report", "policies"):  # which stand on this list
            importlib.import_module(f"xray.analyses.{module.name}")
    return tuple(sorted(REGISTRY.values(), key=lambda entry: entry.order))


ANALYSES: Final = _registered()


def by_name(name: str) -> Analysis:
    """The analysis of this name. Raises `AnalysisError` where there is none."""
    for analysis in ANALYSES:
        if analysis.name == name:
            return analysis
    raise AnalysisError(unknown("analysis", name, [analysis.name for analysis in ANALYSES]))


def by_column(column: str) -> Analysis:
    """The analysis of subgroups by one column of the images, stored beside that of the usual ones.

    By one of the usual ones it is a part of that: the same rows, of which only these are shown.
    """
    usual = by_name("subgroups")
    if column in usual.columns:
        return replace(usual, groupings=(column,))
    return replace(
        usual,
        name=f"subgroups by {column}",
        compute=subgroups.by(column),
        columns=(column,),
        groupings=(column,),
    )


def run_all(engine: Engine, study_name: str) -> dict[str, bool]:
    """Analysis → whether any of it was computed now; False where the stored rows are those of the present evaluations."""
    return run(engine, study_name, ANALYSES)


def run(
    engine: Engine, study_name: str, analyses: Sequence[Analysis], in_parts: bool = False
) -> dict[str, bool]:
    """As `run_all`, of some analyses; the log says what is computed.

    in_parts: whether processes may compute, one for each core, where there is much to do: only for programs with no other
    thread. What a test cohort adds is stored when it is ready, while the next is computed, so that what was done before an
    error or a kill is kept. Where an analysis fails, the others are computed, and then its error is raised.
    """
    with about(study=study_name), engine.connect() as connection:
        computed = _compute_parts(connection, study_name, analyses) if in_parts else frozenset[str]()
        with _locked(connection, _Lock("analyses", study_name)):
            study = load_study(connection, study_name)
            stored = stored_cells(connection, study)
            works = [
                Work(connection, study, analysis, stored.get(analysis.name, {})) for analysis in analyses
            ]
            stale = [work for work in works if work.is_stale]
            if stale:
                with _storing(engine) as storing:
                    compute_stale(connection, study, stale, storing, computed)
    names = computed.union(work.analysis.name for work in stale)
    return {analysis.name: analysis.name in names for analysis in analyses}


def run_cohort(engine: Engine, study_name: str, dataset: str) -> dict[str, bool]:
    """Analysis → whether cells of it that are of one test cohort were computed now; several processes may take one each.

    `run_all` has to follow: it computes what is of the whole study, and what p values are adjusted with.
    """
    with about(study=study_name, dataset=dataset):
        names = _compute(engine, study_name, ANALYSES, lambda work: work.keys(dataset), dataset)
    return {analysis.name: analysis.name in names for analysis in ANALYSES}


def cohorts_to_compute(engine: Engine, study_name: str, little: bool = True) -> list[str]:
    """The test datasets of a study, of whose cells any are stale, for processes side by side; none where all are current.

    little: also where so little is to be computed that processes of one machine cost more than they gain.
    """
    with engine.connect() as connection:
        study = load_study(connection, study_name)
        works = to_compute(connection, study, ANALYSES, stored_cells(connection, study))
        if not little and not divided(connection, study, works):
            return []
        return [dataset for dataset in study.cohorts if any(work.keys(dataset) for work in works)]


def _compute_parts(connection: Connection, study_name: str, analyses: Sequence[Analysis]) -> frozenset[str]:
    """Have processes compute what is stale, if it is much, and nobody else so at that time; the analyses that it was of.

    What they leave, and what fails there, is left for a run over the whole study.
    """
    url = connection.engine.url

    def compute(part: Part) -> str:
        """Why it failed; "" where all is stored."""
        try:
            own = create_engine(url, poolclass=NullPool)
            _compute(own, study_name, analyses, part.of, part.title, part.keys, scores)
        except Exception as error:  # whatever it is: the run over the whole study meets it again
            return f"{type(error).__name__}: {error}"
        return ""

    with _locked(connection, _Lock("parts", study_name)):
        study = load_study(connection, study_name)
        works = to_compute(connection, study, analyses, stored_cells(connection, study))
        parts = divided(connection, study, works)
        scores = in_common(connection, study, parts) if parts else None
        connection.commit()
        if not parts:
            return frozenset()
        for work in works:
            tell(work)
        try:
            for part, fault in zip(parts, in_processes(compute, parts), strict=True):
                if fault:
                    _log.warning("%s is left for the end: %s", part.title, fault)
                else:
                    _log.info("computed %s", part.title)
        except (BrokenProcessPool, OSError) as error:  # one was killed or could not be started
            _log.warning("one process computes the rest, as not several can: %s", error)
        return frozenset(work.analysis.name for work in works)


def _compute(
    engine: Engine,
    study_name: str,
    analyses: Sequence[Analysis],
    within: Within,
    part: str,
    logged: Collection[str] = (),
    scores: SharedScores | None = None,
) -> frozenset[str]:
    """Compute a part of what is stale, while others compute others; the analyses that it was of.

    logged: as of `compute_stale`. scores: what others have read already, or read for this one.
    """
    locks = _Lock("analyses", study_name, shared=True), _Lock("part", f"{study_name}/{part}")
    with about(study=study_name), engine.connect() as connection, _locked(connection, *locks):
        study = replace(load_study(connection, study_name), shared=scores)
        stale = to_compute(connection, study, analyses, stored_cells(connection, study), within)
        if stale:
            with _storing(engine) as storing:
                compute_within(connection, study, stale, storing, logged)
    return frozenset(work.analysis.name for work in stale)


@contextmanager
def _storing(engine: Engine) -> Iterator[Storing]:
    with engine.connect() as connection, ThreadPoolExecutor(1) as thread:
        yield Storing(connection, thread)


class _Lock(NamedTuple):
    """A lock of the database: of what kind, of which study or part of one, and whether others may have it too."""

    kind: str
    name: str
    shared: bool = False


@contextmanager
def _locked(connection: Connection, *locks: _Lock) -> Iterator[None]:
    """Wait for these locks, one after the other, and have them."""
    for lock in locks:
        _call(connection, f"pg_advisory_lock{'_shared' * lock.shared}", lock)
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        for lock in locks:
            _call(connection, f"pg_advisory_unlock{'_shared' * lock.shared}", lock)
        connection.commit()


def _call(connection: Connection, function: str, lock: _Lock) -> None:
    names = {"kind": f"xray {lock.kind}", "name": lock.name}
    connection.execute(text(f"select {function}(hashtext(:kind), hashtext(:name))"), names)

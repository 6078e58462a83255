"""Brings result tables up to date: computes the cells that are stale, and leaves the others.

Stale is what was computed of other evaluations, or by other code. One test cohort is in memory at a time; of the others,
as much as analyses need that compare cohorts.
"""

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, Engine, text

import xray.analyses
from db.logs import about
from xray.analyses import subgroups
from xray.analyses.analysis import REGISTRY, Analysis
from xray.analyses.current import stored_cells
from xray.analyses.steps import Storing, compute_stale, compute_within
from xray.analyses.stored import load_study
from xray.analyses.work import PartialWork, Work
from xray.errors import AnalysisError
from xray.names import unknown


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


def run(engine: Engine, study_name: str, analyses: Sequence[Analysis]) -> dict[str, bool]:
    """As `run_all`, of some analyses; the log says what is computed.

    What a test cohort adds is stored when it is ready, while the next is computed, so that what was done before an error
    or a kill is kept. Where an analysis fails, the others are computed, and then its error is raised.
    """
    with about(study=study_name), engine.connect() as connection, _locked(connection, study_name):
        study = load_study(connection, study_name)
        stored = stored_cells(connection, study)
        works = [Work(connection, study, analysis, stored.get(analysis.name, {})) for analysis in analyses]
        stale = [work for work in works if work.is_stale]
        if stale:
            with _storing(engine) as storing:
                compute_stale(connection, study, stale, storing)
    return {work.analysis.name: work in stale for work in works}


def run_cohort(engine: Engine, study_name: str, dataset: str) -> dict[str, bool]:
    """Analysis → whether cells of it that are of one test cohort were computed now; several processes may take one each.

    `run_all` has to follow: it computes what is of the whole study, and what p values are adjusted with.
    """
    with (
        about(study=study_name, dataset=dataset),
        engine.connect() as connection,
        _locked(connection, study_name, dataset),
    ):
        study = load_study(connection, study_name)
        stored = stored_cells(connection, study)
        parts: list[Work | PartialWork] = []
        for analysis in ANALYSES:
            present = stored.get(analysis.name, {})
            if analysis.partial is None:
                parts.append(Work(connection, study, analysis, present, dataset))
            elif Work(connection, study, analysis, present).is_stale:
                parts.append(PartialWork(connection, study, analysis, analysis.partial, dataset))
        stale = [part for part in parts if part.is_stale]
        if stale:
            with _storing(engine) as storing:
                compute_within(connection, study, stale, dataset, storing)
    names = {part.analysis.name for part in stale}
    return {analysis.name: analysis.name in names for analysis in ANALYSES}


def cohorts_to_compute(engine: Engine, study_name: str) -> list[str]:
    """The test datasets of a study, of whose cells any may be stale; none where all results are current."""
    with engine.connect() as connection:
        study = load_study(connection, study_name)
        stored = stored_cells(connection, study)
        works = [Work(connection, study, analysis, stored.get(analysis.name, {})) for analysis in ANALYSES]
        keys = {key for work in works if work.is_stale for key in work.stale}
        whole = any(work.analysis.partial is not None for work in works if work.is_stale)
        return [dataset for dataset in study.cohorts if whole or any(key[:1] == (dataset,) for key in keys)]


@contextmanager
def _storing(engine: Engine) -> Iterator[Storing]:
    with engine.connect() as connection, ThreadPoolExecutor(1) as thread:
        yield Storing(connection, thread)


@contextmanager
def _locked(connection: Connection, study: str, dataset: str | None = None) -> Iterator[None]:
    """Alone with the results of a study, or, with others who have other cohorts, with those of one test cohort."""
    names = {"s": study, "d": f"{study}/{dataset}"}
    whole = "(hashtext('xray analyses'), hashtext(:s))"
    part = "(hashtext('xray cohorts'), hashtext(:d))"
    locks = [f"_shared{whole}", part] if dataset is not None else [whole]
    for lock in locks:
        connection.execute(text(f"select pg_advisory_lock{lock}"), names)
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        for lock in locks:
            connection.execute(text(f"select pg_advisory_unlock{lock}"), names)
        connection.commit()

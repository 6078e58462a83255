"""Brings result tables up to date: computes what is stale, leaves the rest, replaces each analysis as a whole.

Stale is what was computed of other evaluations, or by other code.
"""

import importlib
import logging
import pkgutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, text
from sqlalchemy.dialects.postgresql import insert

import xray.analyses
from db import results as tables
from db.copy import copy_rows
from db.logs import about
from xray.analyses import subgroups
from xray.analyses.analysis import REGISTRY, Analysis
from xray.analyses.current import fingerprint, is_current
from xray.analyses.stored import StoredStudy, load_study, load_tests
from xray.errors import AnalysisError
from xray.names import unknown
from xray.settings import provenance

_log = logging.getLogger(__name__)


def _registered() -> tuple[Analysis, ...]:
    """Every analysis of a module of this package, in order."""
    for module in pkgutil.iter_modules(xray.analyses.__path__):
        if module.name not in ("run", "report", "policies"):  # which stand on this list
            importlib.import_module(f"xray.analyses.{module.name}")
    return tuple(sorted(REGISTRY.values(), key=lambda each: each.place))


ANALYSES: Final = _registered()


def named(name: str) -> Analysis:
    """The analysis of this name. Raises `AnalysisError` where there is none."""
    for each in ANALYSES:
        if each.name == name:
            return each
    raise AnalysisError(unknown("analysis", name, [each.name for each in ANALYSES]))


def by_column(column: str) -> Analysis:
    """The analysis of subgroups by one column of the images, stored beside that of the usual ones.

    By one of the usual ones it is a part of that: the same rows, of which only these are shown.
    """
    usual = named("subgroups")
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
    """Analysis → whether it was computed now; False where the stored rows are those of the present evaluations."""
    return run(engine, study_name, ANALYSES)


def run(engine: Engine, study_name: str, wanted: Sequence[Analysis]) -> dict[str, bool]:
    """As `run_all`, of some analyses; the log says what is computed.

    Each is stored when it is ready, while the next is computed, so that what was done before an error or a kill is kept.
    """
    with about(study=study_name), engine.connect() as connection:
        lock = {"s": study_name}
        connection.execute(text("select pg_advisory_lock(hashtext('xray analyses'), hashtext(:s))"), lock)
        connection.commit()
        try:
            study = load_study(connection, study_name)
            stale = [each for each in wanted if not is_current(connection, study, each)]
            columns = sorted({column for each in stale for column in each.columns})
            tests = load_tests(connection, study, columns) if stale else []
            connection.commit()
            with ThreadPoolExecutor(1) as storing:
                stored = []
                for each in stale:
                    _log.info("computing %s", each.name)
                    started = time.perf_counter()
                    prepared = () if each.prepare is None else (each.prepare(connection, study),)
                    rows = list(each.compute(study, tests, *prepared))
                    _log.debug("%s: %d rows in %.1f s", each.name, len(rows), time.perf_counter() - started)
                    stored.append(storing.submit(_store, engine, study, each, rows))
                for each_stored in stored:
                    each_stored.result()
        finally:
            connection.rollback()
            connection.execute(
                text("select pg_advisory_unlock(hashtext('xray analyses'), hashtext(:s))"), lock
            )
            connection.commit()
    return {each.name: each in stale for each in wanted}


def _store(engine: Engine, study: StoredStudy, analysis: Analysis, rows: Sequence[dict[str, Any]]) -> None:
    with engine.begin() as connection:
        put_rows(connection, study, analysis, rows)


def put_rows(
    connection: Connection, study: StoredStudy, analysis: Analysis, rows: Sequence[dict[str, Any]]
) -> None:
    """Store rows that `analysis.compute` gave, in place of all that were stored of it."""
    connection.execute(
        delete(tables.Analysis).where(
            tables.Analysis.study_id == study.id, tables.Analysis.name == analysis.name
        )
    )
    analysis_id = connection.scalar(
        insert(tables.Analysis)
        .values(
            study_id=study.id,
            name=analysis.name,
            fingerprint=fingerprint(connection, study, analysis),
            provenance=provenance(),
        )
        .returning(tables.Analysis.id)
    )
    named = [{"analysis_id": analysis_id, **_with_ids(study, row)} for row in rows]
    copy_rows(connection, analysis.table.__tablename__, named)


def _with_ids(study: StoredStudy, row: dict[str, Any]) -> dict[str, Any]:
    """A row of an analysis, whose tasks are places in the study's list, with the ids that the database has for them."""
    stored = dict(row)
    if "task_id" in row:
        stored["task_id"] = study.task_ids[row["task_id"]]
    if "task_ids" in row:
        stored["task_ids"] = [study.task_ids[place] for place in row["task_ids"]]
    return stored

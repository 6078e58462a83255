"""Brings result tables up to date: computes what is stale, leaves the rest, replaces each analysis as a whole."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, select, text
from sqlalchemy.dialects.postgresql import insert

from db.schema import Agreement, Analysis, Auc, AucDifference
from xray.analyses import agreement, leave_one_site_out, performance
from xray.analyses.stored import StoredStudy, TestSet, load_study, load_tests
from xray.errors import AnalysisError
from xray.settings import provenance

Compute = Callable[[StoredStudy, Sequence[TestSet]], Iterator[dict[str, Any]]]


@dataclass(frozen=True)
class Definition:
    """An analysis: its name, the version of its code, its result table and the function that makes the rows."""

    name: str
    version: int
    table: type[Auc | AucDifference | Agreement]
    compute: Compute


ANALYSES = tuple(
    Definition(module.NAME, module.VERSION, module.TABLE, module.compute)
    for module in (performance, leave_one_site_out, agreement)
)


def run_all(engine: Engine, study_name: str) -> dict[str, bool]:
    """Analysis → whether it was computed now; False where the stored rows are those of the present evaluations."""
    with engine.begin() as connection:
        connection.execute(
            text("select pg_advisory_xact_lock(hashtext('xray analyses'), hashtext(:s))"), {"s": study_name}
        )
        study = load_study(connection, study_name)
        stale = [each for each in ANALYSES if not _is_current(connection, study, each)]
        tests = load_tests(connection, study) if stale else []
        for each in stale:
            _replace(connection, study, each, list(each.compute(study, tests)))
    return {each.name: each in stale for each in ANALYSES}


def count_current(connection: Connection, study_name: str) -> int:
    """How many analyses of a study are stored and come from its present evaluations; 0 where it has none."""
    try:
        study = load_study(connection, study_name)
    except AnalysisError:
        return 0
    return sum(_is_current(connection, study, each) for each in ANALYSES)


def _is_current(connection: Connection, study: StoredStudy, analysis: Definition) -> bool:
    stored = connection.scalar(
        select(Analysis.fingerprint).where(Analysis.study_id == study.id, Analysis.name == analysis.name)
    )
    return stored == study.fingerprint(analysis.name, analysis.version)


def _replace(
    connection: Connection, study: StoredStudy, analysis: Definition, rows: Sequence[dict[str, Any]]
) -> None:
    connection.execute(delete(Analysis).where(Analysis.study_id == study.id, Analysis.name == analysis.name))
    fingerprint = study.fingerprint(analysis.name, analysis.version)
    analysis_id = connection.scalar(
        insert(Analysis)
        .values(study_id=study.id, name=analysis.name, fingerprint=fingerprint, provenance=provenance())
        .returning(Analysis.id)
    )
    if rows:
        connection.execute(insert(analysis.table), [{"analysis_id": analysis_id, **row} for row in rows])

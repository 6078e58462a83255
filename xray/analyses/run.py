"""Brings result tables up to date: computes what is stale, leaves the rest, replaces each analysis as a whole.

An analysis is a module of this package with NAME, QUESTION, VERSION, TABLE and `compute(study, tests)`, which yields the
rows of TABLE; raise VERSION where the rows would differ. Its rows are read by names from the view `TABLE_results`.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, delete, select, text
from sqlalchemy.dialects.postgresql import insert

from db.copy import copy_rows
from db.results import Analysis
from db.schema import Base
from xray.analyses import (
    agreement,
    average_precision,
    bland_altman,
    calibration,
    classifier_distance,
    classifier_map,
    feature_map,
    images_or_labels,
    leave_one_site_out,
    mean_auc,
    net_benefit,
    operating_points,
    performance,
    pooled_agreement,
    seed_agreement,
    subgroups,
    threshold_transfer,
    view_classifier,
)
from xray.analyses.stored import StoredStudy, load_study, load_tests
from xray.errors import AnalysisError
from xray.settings import provenance

Compute = Callable[..., Iterator[dict[str, Any]]]
"""compute(study, tests), or compute(study, tests, prepared) where the module has PREPARE."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Definition:
    """An analysis: its name, the version of its code, its result table and the function that makes the rows.

    columns: what it needs to know of the images beside their labels (`stored.load_tests`). groupings: of a result with
    subgroups, those to be shown. prepare: what else it reads, given to `compute` last; state: what that depends on.
    """

    name: str
    version: int
    table: type[Base]
    compute: Compute
    question: str = ""
    columns: tuple[str, ...] = ()
    groupings: tuple[str, ...] = ()
    prepare: Callable[[Connection, StoredStudy], Any] | None = None
    state: Callable[[Connection, StoredStudy], Sequence[Any]] | None = None

    @property
    def view(self) -> str:
        """The view of its rows by names."""
        return f"{self.table.__tablename__}_results"


ANALYSES = tuple(
    Definition(
        module.NAME,
        module.VERSION,
        module.TABLE,
        module.compute,
        module.QUESTION,
        getattr(module, "COLUMNS", ()),
        prepare=getattr(module, "PREPARE", None),
        state=getattr(module, "STATE", None),
    )
    for module in (
        performance,
        mean_auc,
        leave_one_site_out,
        images_or_labels,
        threshold_transfer,
        agreement,
        pooled_agreement,
        seed_agreement,
        bland_altman,
        operating_points,
        average_precision,
        calibration,
        net_benefit,
        subgroups,
        classifier_map,
        classifier_distance,
        feature_map,
        view_classifier,
    )
)


def named(name: str) -> Definition:
    """The analysis of this name. Raises `AnalysisError` where there is none."""
    for each in ANALYSES:
        if each.name == name:
            return each
    raise AnalysisError(f"there is no analysis {name!r}; known: {', '.join(each.name for each in ANALYSES)}")


def by_column(column: str) -> Definition:
    """The analysis of subgroups by one column of the images, stored beside that of the usual ones.

    By one of the usual ones it is a part of that: the same rows, of which only these are shown.
    """
    if column in subgroups.COLUMNS:
        return replace(named(subgroups.NAME), groupings=(column,))
    name = f"{subgroups.NAME} by {column}"
    return Definition(
        name,
        subgroups.VERSION,
        subgroups.TABLE,
        subgroups.by(column),
        subgroups.QUESTION,
        (column,),
        (column,),
    )


def run_all(engine: Engine, study_name: str) -> dict[str, bool]:
    """Analysis → whether it was computed now; False where the stored rows are those of the present evaluations."""
    return run(engine, study_name, ANALYSES)


def run(
    engine: Engine, study_name: str, wanted: Sequence[Definition], tell: Tell = lambda name: None
) -> dict[str, bool]:
    """As `run_all`, of some analyses. `tell` is called with the name of each that is to be computed, before it is.

    Each is stored when it is ready, while the next is computed, so that what was done before an error or a kill is kept.
    """
    with engine.connect() as connection:
        lock = {"s": study_name}
        connection.execute(text("select pg_advisory_lock(hashtext('xray analyses'), hashtext(:s))"), lock)
        connection.commit()
        try:
            study = load_study(connection, study_name)
            stale = [each for each in wanted if not _is_current(connection, study, each)]
            columns = sorted({column for each in stale for column in each.columns})
            tests = load_tests(connection, study, columns) if stale else []
            connection.commit()
            with ThreadPoolExecutor(1) as storing:
                stored = []
                for each in stale:
                    tell(each.name)
                    prepared = () if each.prepare is None else (each.prepare(connection, study),)
                    rows = list(each.compute(study, tests, *prepared))
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


def is_current(connection: Connection, study_name: str, analysis: Definition) -> bool:
    """Whether the stored rows of an analysis come from the present evaluations of the study."""
    return _is_current(connection, load_study(connection, study_name), analysis)


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
    return stored == _fingerprint(connection, study, analysis)


def _fingerprint(connection: Connection, study: StoredStudy, analysis: Definition) -> str:
    """Content hash of all that the rows come from."""
    found = study.fingerprint(analysis.name, analysis.version)
    if analysis.state is None:
        return found
    return (
        f"{found} {hashlib.sha256(json.dumps(list(analysis.state(connection, study))).encode()).hexdigest()}"
    )


def _store(engine: Engine, study: StoredStudy, analysis: Definition, rows: Sequence[dict[str, Any]]) -> None:
    with engine.begin() as connection:
        _replace(connection, study, analysis, rows)


def _replace(
    connection: Connection, study: StoredStudy, analysis: Definition, rows: Sequence[dict[str, Any]]
) -> None:
    connection.execute(delete(Analysis).where(Analysis.study_id == study.id, Analysis.name == analysis.name))
    fingerprint = _fingerprint(connection, study, analysis)
    analysis_id = connection.scalar(
        insert(Analysis)
        .values(study_id=study.id, name=analysis.name, fingerprint=fingerprint, provenance=provenance())
        .returning(Analysis.id)
    )
    copy_rows(connection, analysis.table.__tablename__, [{"analysis_id": analysis_id, **row} for row in rows])

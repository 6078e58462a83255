"""Whether stored results are those of the present evaluations and of the present code, cell by cell."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, select

from db import results as tables
from xray.analyses.cells import Cell, Key, Unit
from xray.analyses.index import entries
from xray.analyses.stored import StoredStudy, load_study
from xray.errors import AnalysisError

State = Sequence[Any] | Mapping[str, Any]
"""What rows depend on beside scores and code; by configuration where it is a mapping."""


class Computed(Protocol):
    """What of an analysis says whether its results are current: of the registry, or of the index."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def code_hash(self) -> str:
        """Hash of the code that its rows come from."""

    @property
    def state(self) -> Callable[[Connection, StoredStudy], State] | None:
        """Reads what its rows depend on beside scores and code."""

    @property
    def unit(self) -> Unit:
        """How it falls apart into cells."""


def fingerprints(
    connection: Connection, study: StoredStudy, analysis: Computed, unit: Unit | None = None
) -> dict[Key, str]:
    """Cell → content hash of all that it comes from, in the order of the study. unit: another than that of the rows."""
    state = None if analysis.state is None else analysis.state(connection, study)
    return {
        cell.key: cell_fingerprint(study, [analysis.name, analysis.code_hash, _of(state, cell)], cell)
        for cell in (unit or analysis.unit).of(study)
    }


def cell_fingerprint(study: StoredStudy, about: Sequence[Any], cell: Cell) -> str:
    """Content hash of a cell's evaluations, in their order, of its cohorts, of its facts, and of what else is given."""
    sites = {cohort: [dataset, study.datasets[dataset]] for dataset, cohort in study.cohorts.items()}
    scores = [
        (evaluation.evaluation_id, evaluation.cohort_id, evaluation.trained_on) for evaluation in cell.uses
    ]
    cohorts = [[cohort, *sites[cohort]] for cohort in dict.fromkeys(e.cohort_id for e in cell.uses)]
    parts = [about, study.findings, cell.key, scores, cohorts, cell.facts]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _of(state: State | None, cell: Cell) -> Any:
    """The part of a state that a cell depends on."""
    if isinstance(state, Mapping):
        return [[name, of] for name, of in state.items() if not cell.key or name in cell.key]
    return state if state is None else list(state)


@dataclass(frozen=True)
class StoredCell:
    """A cell whose rows are stored: the id that they refer to, what they came from, and its place in the study."""

    id: int
    fingerprint: str
    order: int


def stored_cells(connection: Connection, study: StoredStudy) -> dict[str, dict[Key, StoredCell]]:
    """Analysis → cell → what is stored of it."""
    table = tables.Analysis
    rows = connection.execute(
        select(table.name, table.cell, table.id, table.fingerprint, table.place).where(
            table.study_id == study.id
        )
    )
    cells: dict[str, dict[Key, StoredCell]] = {}
    for row in rows:
        cells.setdefault(row.name, {})[tuple(row.cell)] = StoredCell(row.id, row.fingerprint, row.place)
    return cells


def is_current(connection: Connection, study: StoredStudy, analysis: Computed) -> bool:
    """Whether the stored rows of an analysis are of its present cells, and each comes from the present evaluations."""
    return _is_current(connection, study, analysis, stored_cells(connection, study))


def _is_current(
    connection: Connection,
    study: StoredStudy,
    analysis: Computed,
    cells_of: Mapping[str, Mapping[Key, StoredCell]],
) -> bool:
    present = {key: cell.fingerprint for key, cell in cells_of.get(analysis.name, {}).items()}
    return bool(present) and present == fingerprints(connection, study, analysis)


def count_current(connection: Connection, study_name: str) -> int:
    """How many analyses of a study are stored and come from its present evaluations; 0 where it has none."""
    try:
        study = load_study(connection, study_name)
    except AnalysisError:
        return 0
    cells_of = stored_cells(connection, study)
    return sum(_is_current(connection, study, entry, cells_of) for entry in entries())

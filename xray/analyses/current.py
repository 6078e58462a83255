"""Whether stored results are those of the present evaluations and of the present code."""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, select

from db import results as tables
from xray.analyses.index import entries
from xray.analyses.stored import StoredStudy, load_study
from xray.errors import AnalysisError


class Computed(Protocol):
    """What of an analysis says whether its results are current: of the registry, or of the index."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def code_hash(self) -> str:
        """Hash of the code that its rows come from."""

    @property
    def state(self) -> Callable[[Connection, StoredStudy], Sequence[Any]] | None:
        """Reads what its rows depend on beside scores and code."""


def fingerprint(connection: Connection, study: StoredStudy, analysis: Computed) -> str:
    """Content hash of all that the rows of an analysis come from."""
    base = study.fingerprint(analysis.name, analysis.code_hash)
    if analysis.state is None:
        return base
    state = json.dumps(list(analysis.state(connection, study)))
    return f"{base} {hashlib.sha256(state.encode()).hexdigest()}"


def is_current(connection: Connection, study: StoredStudy, analysis: Computed) -> bool:
    """Whether the stored rows of an analysis come from the present evaluations of the study."""
    stored = connection.scalar(
        select(tables.Analysis.fingerprint).where(
            tables.Analysis.study_id == study.id, tables.Analysis.name == analysis.name
        )
    )
    return stored == fingerprint(connection, study, analysis)


def count_current(connection: Connection, study_name: str) -> int:
    """How many analyses of a study are stored and come from its present evaluations; 0 where it has none."""
    try:
        study = load_study(connection, study_name)
    except AnalysisError:
        return 0
    return sum(is_current(connection, study, entry) for entry in entries())

"""An analysis: one question, how it is answered from stored scores, and how the answer is shown.

    @analysis("seed_agreement", "Do two trainings of one configuration agree?", SeedAgreement, order=80, show=show)
    def compute(study, tests): yield {…}

A module of this package with such a function is all that there is to it: the registry finds it, its result view follows
from the table, and `xray analyse`, the page and the tests of every analysis go through the registry.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
from sqlalchemy import REAL, Connection, Float, column, func, literal_column, select, table, text

from db import results as tables
from db.queries import query
from db.schema import Base, Cohort, Dataset, Study
from xray.analyses.cells import Key, Unit
from xray.analyses.code import code_hash
from xray.analyses.current import State
from xray.analyses.families import Family
from xray.analyses.stored import StoredStudy
from xray.report.parts.part import Part

ORDER: Final = ("task_position", "train_position", "dataset_position", "position")
HIDDEN: Final = ("study", "computed_at", *ORDER)
Compute = Callable[..., Iterator[dict[str, Any]]]
"""compute(study, tests), or compute(study, tests, prepared) where the analysis prepares something."""


@dataclass(frozen=True)
class Stored:
    """The stored rows of one analysis, and where more can be read.

    rows: of its view, by names, in the study's order. published: the paper's values for comparison, or None.
    """

    connection: Connection
    study: str
    rows: pd.DataFrame
    published: pd.DataFrame | None = None


@dataclass(frozen=True)
class Partial:
    """What an analysis puts its rows together from, where they are of the whole study: a value of each of many cells.

    compute: (cell, value as JSON has it) of the cells that are asked for, called as that of an analysis. join: the rows, of
    (study, cell → value, what is prepared).
    """

    unit: Unit
    compute: Callable[..., Iterator[tuple[Key, Any]]]
    join: Callable[..., Iterator[dict[str, Any]]]


@dataclass(frozen=True)
class Analysis:
    """One question. table: of its typed result rows. show: those as text, findings, tables and figure.

    code: the module that computes. order: its position in lists and on the page. unit: how it is divided into cells,
    each computed and stored on its own. columns: what it reads of the images besides their labels. groupings: of a
    result with subgroups, those to be shown. prepare: what else it reads, passed to `compute` last; an empty list says that
    there is nothing to compute. state: what that depends on. metric: the name of its published values
    (`report.published`). family: p values of its rows that are adjusted together.
    partial: values by cell that its rows are combined from.
    """

    name: str
    question: str
    table: type[Base]
    compute: Compute
    show: Callable[[Stored], Part]
    code: str
    unit: Unit
    order: int = 0
    columns: tuple[str, ...] = ()
    groupings: tuple[str, ...] = ()
    prepare: Callable[[Connection, StoredStudy], Any] | None = None
    state: Callable[[Connection, StoredStudy], State] | None = None
    metric: str | None = None
    family: Family | None = None
    partial: Partial | None = None

    @property
    def view(self) -> str:
        """The view of its rows by names."""
        return f"{self.table.__tablename__}_results"

    @property
    def numbers(self) -> list[str]:
        """Columns of its rows that are real numbers."""
        return [
            column.name for column in self.table.__table__.columns if isinstance(column.type, Float | REAL)
        ]

    @property
    def code_hash(self) -> str:
        """Hash of the code that its rows come from."""
        return code_hash(self.code)


def stored_rows(connection: Connection, study: str, analysis: Analysis) -> pd.DataFrame:
    """The stored rows of one analysis of a study by names, in the study's order; without columns that only sort.

    foreign: in studies that name models from elsewhere, whether a row is of one, or of two.

    Rows of subgroups by other columns than the analysis's own are left out.
    """
    frame = _view(connection, study, analysis)
    numbers = [
        name for name in analysis.numbers if name in frame
    ]  # also where there is no row, or none has a value
    frame[numbers] = frame[numbers].astype(float)
    if "grouping" in frame:
        frame = frame[frame["grouping"].isin(analysis.groupings or analysis.columns)]
    elsewhere = connection.scalars(text(query("study_foreign")), {"study": study}).all()
    models = [name for name in ("trained_on", "trained_on_a", "trained_on_b") if name in frame]
    if elsewhere and models:
        frame["foreign"] = frame[models].isin(elsewhere).all(axis=1)
    keys = [key for key in ORDER if key in frame]
    return frame.sort_values(keys, kind="stable", ignore_index=True).drop(
        columns=[c for c in HIDDEN if c in frame]
    )


def _view(connection: Connection, study: str, analysis: Analysis) -> pd.DataFrame:
    """All columns of the view. Where warnings are of rows of one test cohort, each is asked once, and not for every row."""
    stored = table(analysis.view, column("study"))
    names = list(connection.execute(select(literal_column("*")).select_from(stored).limit(0)).keys())
    of_cohort = {"cohort_id", "evaluation_ids"} <= set(analysis.table.__table__.columns.keys())
    read = [name for name in names if not (of_cohort and name == "warning")]
    rows = select(*(column(name) for name in read)).select_from(stored).where(stored.c.study == study)
    result = connection.execute(rows)
    assert result.cursor is not None
    frame = pd.DataFrame(
        result.cursor.fetchall(), columns=read
    )  # SQLAlchemy would make an object of each row
    if of_cohort:
        warnings = _warnings(connection, study, analysis)
        behind = zip(frame["evaluation_ids"], frame["test_dataset"], strict=True)
        frame["warning"] = [warnings[tuple(ids), dataset] for ids, dataset in behind]
    return frame[names]


def _warnings(
    connection: Connection, study: str, analysis: Analysis
) -> dict[tuple[tuple[int, ...], str], str | None]:
    """(evaluations, test dataset) → what these models saw of it in training, of all rows of an analysis."""
    rows = analysis.table.__table__
    behind = (
        select(rows.c.evaluation_ids, rows.c.cohort_id)
        .join(tables.Analysis, tables.Analysis.id == rows.c.analysis_id)
        .join(Study, Study.id == tables.Analysis.study_id)
        .where(Study.name == study)
        .distinct()
        .subquery()
    )
    leak = func.leak_warning(behind.c.evaluation_ids, behind.c.cohort_id)
    statement = (
        select(behind.c.evaluation_ids, Dataset.name, leak)
        .join(Cohort, Cohort.id == behind.c.cohort_id)
        .join(Dataset, Dataset.id == Cohort.dataset_id)
    )
    return {(tuple(ids), name): warning for ids, name, warning in connection.execute(statement)}


REGISTRY: dict[str, Analysis] = {}


def analysis(
    name: str,
    question: str,
    rows: type[Base],
    *,
    order: int,
    unit: Unit,
    show: Callable[[Stored], Part],
    columns: tuple[str, ...] = (),
    prepare: Callable[[Connection, StoredStudy], Any] | None = None,
    state: Callable[[Connection, StoredStudy], State] | None = None,
    metric: str | None = None,
    family: Family | None = None,
    partial: Partial | None = None,
) -> Callable[[Compute], Compute]:
    """Register the decorated function as an analysis. rows: the table of its result rows; the rest as in `Analysis`."""

    def register(compute: Compute) -> Compute:
        REGISTRY[name] = Analysis(
            name,
            question,
            rows,
            compute,
            show,
            compute.__module__,
            unit,
            order=order,
            columns=columns,
            prepare=prepare,
            state=state,
            metric=metric,
            family=family,
            partial=partial,
        )
        return compute

    return register

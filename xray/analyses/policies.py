"""Any analysis again with uncertain labels of the test cohorts left out, as positives and as negatives, side by side.

Labels are chosen anew from the stored states, by the study's own protocol with another word for uncertain (U-Ignore, U-Ones
and U-Zeros of Irvin et al., CheXpert, AAAI 2019). Nothing is stored: rows are put where they would be, read, and taken back.
What models were trained on stays as it was.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Connection, UniqueConstraint, text

from xray.analyses.analysis import Analysis, stored_rows
from xray.analyses.stored import StoredStudy, TestSet, load_study, load_tests
from xray.analyses.work import put_rows
from xray.data.protocol import Protocol, protocol_from
from xray.data.registered import read_named
from xray.data.selection import select
from xray.errors import AnalysisError

POLICIES: Final = ("missing", "positive", "negative")
COLUMN: Final = "uncertain"
_PROTOCOL: Final = (
    "select name, definition from protocol where id = (select protocol_id from study where id = :id)"
)


def under_each(
    connection: Connection, study_name: str, analysis: Analysis, policies: Sequence[str] = POLICIES
) -> pd.DataFrame:
    """The rows of an analysis under each policy, which their first column `uncertain` names; columns as in its view.

    Raises `AnalysisError` where the study's labels are not those that its protocol gives of the stored states.
    """
    study = load_study(connection, study_name)
    tests = load_tests(connection, study, analysis.columns)
    prepared = () if analysis.prepare is None else (analysis.prepare(connection, study),)
    relabelled = [_labels(connection, study, test, policies) for test in tests]
    frames = []
    for policy in policies:
        tests_of_policy = [
            _with(test, labels[policy]) for test, labels in zip(tests, relabelled, strict=True)
        ]
        trial = connection.begin_nested()
        try:
            put_rows(connection, study, analysis, list(analysis.compute(study, tests_of_policy, *prepared)))
            frame = stored_rows(connection, study_name, analysis)
        finally:
            trial.rollback()
        frame.insert(0, COLUMN, policy)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def side_by_side(frame: pd.DataFrame, analysis: Analysis) -> pd.DataFrame:
    """A row per result, a column per policy: the number that has bounds (else the first), positives of how many."""
    if frame.empty:
        return frame
    keys = [name for name in _keys(analysis) if name in frame and not frame[name].isna().all()]
    numbers = [name for name in analysis.numbers if name not in keys]
    main = numbers[numbers.index("lower") - 1] if "lower" in numbers else numbers[0]
    long = frame[keys].astype(object).where(frame[keys].notna(), "").assign(**{COLUMN: frame[COLUMN]})
    long["value"] = [_in_words(row, main) for row in frame.to_dict("records")]
    wide = long.pivot(index=keys, columns=COLUMN, values="value").reset_index()  # sorts the keys
    wide = long[keys].drop_duplicates().merge(wide, on=keys)
    policies = [policy for policy in POLICIES if policy in wide]
    return (
        wide[[*keys, *policies]]
        .rename(columns={policy: f"uncertain {policy}" for policy in policies})
        .fillna("")
    )


def _keys(analysis: Analysis) -> list[str]:
    """The columns of the view that tell one result from another: those of the table's constraint, by names."""
    names = {"analysis_id": "", "cohort_id": "test_dataset", "task_id": "task"}
    unique = [
        constraint
        for constraint in analysis.table.metadata.tables[analysis.table.__tablename__].constraints
        if isinstance(constraint, UniqueConstraint)
    ]
    columns = [names.get(column.name, column.name) for constraint in unique for column in constraint.columns]
    return [*dict.fromkeys(column for column in columns if column)]


def _in_words(row: dict[str, Any], name: str) -> str:
    value = "-" if pd.isna(row[name]) else f"{row[name]:.3f}"
    if not pd.isna(row.get("lower", np.nan)):
        value += f" [{row['lower']:.3f}, {row['upper']:.3f}]"
    return value + (f" ({row['n_pos']}/{row['n']})" if "n_pos" in row and "n" in row else "")


def _labels(
    connection: Connection, study: StoredStudy, test: TestSet, policies: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """Policy → labels (n_images, n_findings) of a test cohort, chosen anew from the dataset's stored states."""
    stored = connection.execute(text(_PROTOCOL), {"id": study.id}).one()
    protocol = protocol_from(stored.definition, f"protocol {stored.name}")
    dataset = read_named(connection, test.dataset)

    def labels_under(rules: Protocol) -> NDArray[np.float32]:
        selection = select(dataset.table, dataset.labeller, rules)
        of_image = {int(image): row for row, image in enumerate(dataset.image_ids[selection.index])}
        rows = [of_image[int(image)] for image in test.cohort.images]
        labels = np.full(test.cohort.labels.shape, np.nan, np.float32)
        for row, finding in enumerate(study.findings):
            if finding in selection.findings:
                labels[:, row] = selection.labels[rows, selection.findings.index(finding)]
        return labels

    if not np.array_equal(labels_under(protocol), test.cohort.labels, equal_nan=True):
        raise AnalysisError(
            f"{test.dataset}: labels of the study's test images are not those that protocol {stored.name} gives of what is "
            "registered: policies for uncertain labels can't be compared"
        )
    return {
        policy: labels_under(replace(protocol, labels=replace(protocol.labels, uncertain=policy)))
        for policy in policies
    }


def _with(test: TestSet, labels: NDArray[np.float32]) -> TestSet:
    """The same scores with other labels; nothing that was computed of the former ones."""
    return replace(test, cohort=replace(test.cohort, labels=labels), cache={}, _points={})

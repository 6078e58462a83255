"""Declared findings of a published dataset: columns of its label files that its reader does not count as findings.

CheXpert's `Support Devices` is one. Cells are read as its other labels are: 1, 0, -1 or u for uncertain, blank.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from xray.data.labels.rules import STATE_VALUES, UNKNOWN
from xray.data.sources.base import COLUMNS, NOT_MENTIONED, UNCERTAIN, Quarantined, SourceTable
from xray.errors import DataError
from xray.findings import columns, match

VALUES = {**STATE_VALUES, "u": UNCERTAIN, "U": UNCERTAIN}


def with_declared(table: SourceTable, findings: Sequence[str], file: str) -> SourceTable:
    """The table with declared findings that its reader does not speak of; rows with a cell that is no label are set aside.

    Findings that it speaks of, or has no column for, stay as they are. Raises `DataError` for two columns of one finding.
    """
    new = [finding for finding in findings if finding not in table.findings]
    column_of: dict[str, str] = {}
    of_readers = table.panel is not None  # whose labels are a reader's, and no column of the images
    for column in (str(name) for name in table.rows.columns if name not in COLUMNS and not of_readers):
        finding = match(column, new)
        if finding in column_of:
            raise DataError(f"{file}: columns {column_of[finding]!r} and {column!r} are both {finding!r}")
        if finding is not None:
            column_of[finding] = column
    all_findings = (*table.findings, *column_of)
    states = columns(table.states, table.findings, all_findings, NOT_MENTIONED)
    terms = columns(table.terms, table.findings, all_findings, NOT_MENTIONED)
    is_bad = np.zeros(len(states), dtype=bool)
    quarantine = []
    for index, (finding, column) in enumerate(column_of.items(), len(table.findings)):
        cells = table.rows[column].fillna("").astype(str).str.strip()
        states[:, index] = cells.map(VALUES).fillna(UNKNOWN).to_numpy(np.int8)
        terms[:, index] = None
        terms[states[:, index] != NOT_MENTIONED, index] = column
        for row in np.flatnonzero(states[:, index] == UNKNOWN):
            reason = (
                f"{column}: expected 1, 0, -1 (uncertain) or nothing for {finding}, found {cells.iloc[row]!r}"
            )
            quarantine.append(Quarantined(file, None, str(table.rows["image"].iloc[row]), reason))
        is_bad |= states[:, index] == UNKNOWN
    notes = [
        f"{file}: {finding!r} was declared as a finding, and no column has its name"
        for finding in new
        if finding not in column_of
    ]
    panel = None if table.panel is None else table.panel.of(table.findings, all_findings)
    complete = replace(
        table,
        states=states,
        terms=terms,
        notes=[*table.notes, *notes],
        findings=all_findings,
        panel=panel,
    )
    return complete.take(~is_bad, quarantine)

"""From a dataset's rows to those that a protocol selects: ordered rows and a 1/0/missing label matrix."""

import json
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xray.data.labels.rules import STORED, all_rules, apply_rules, differ, labelled_tasks, rules
from xray.data.protocol import DatasetRule, Protocol
from xray.data.sources.base import NEGATIVE, NOT_MENTIONED, POSITIVE, UNCERTAIN, SourceTable
from xray.errors import DataError
from xray.findings import columns
from xray.tasks import TASKS

CLEARED: Final = ("1", "1.0")
_UNCERTAIN_AS: Final = {"missing": np.nan, "positive": 1.0, "negative": 0.0}


@dataclass(frozen=True)
class Selection:
    """What a protocol takes of a dataset, in order.

    findings: names of the columns of states, labels and label_rows.
    index: int64 (n,), positions in `SourceTable.rows`; a position may stand several times (RSNA's boxes).
    states: int8 (n, n_tasks), the label state after the protocol's rules.
    labels: float32 (n, n_tasks), 1 positive, 0 negative, NaN missing.
    label_rows: int64 (n, n_tasks), the position of the row that each label was taken from; -1 where none was.
    cleared_by: int64 (n,), the position of the row whose No Finding made every finding negative; -1 for none.
    left_out: reason → number of rows.
    """

    index: NDArray[np.int64]
    states: NDArray[np.int8]
    labels: NDArray[np.float32]
    label_rows: NDArray[np.int64]
    cleared_by: NDArray[np.int64]
    left_out: dict[str, int]
    findings: tuple[str, ...] = TASKS

    def __len__(self) -> int:
        """Number of images, repeats counted."""
        return len(self.index)


def select(table: SourceTable, dataset: str, protocol: Protocol, labeller: str | None = None) -> Selection:
    """The rows and labels of `table` under `protocol`. Pure.

    dataset: names the protocol's rule. labeller: names the label rules; by default the dataset's.
    Raises `DataError` where a native column that a rule reads is not in the table.
    """
    labeller = labeller or dataset
    rule = protocol.rule(dataset)
    findings = protocol.findings(table.findings)
    states = columns(_states(table, labeller, protocol), table.findings, findings, NOT_MENTIONED)
    row_positions, left_out = _views(table.rows, rule, dataset)
    cleared, has_no_finding = _no_finding(table.rows, labeller, protocol)
    index, states, label_rows, cleared_by = _per_patient(
        table, states, cleared, has_no_finding, row_positions, rule
    )
    if len(row_positions) > len(index):
        left_out["another image of the same patient"] = len(row_positions) - len(index)
    healthy = cleared_by >= 0
    for finding in labelled_tasks(labeller, protocol.label_rules):
        states[healthy, findings.index(finding)] = NEGATIVE
        label_rows[healthy, findings.index(finding)] = cleared_by[healthy]
    if rule.repeat_file_rows and "file_rows" in table.rows.columns:
        repeats = _repeats(table.rows["file_rows"].iloc[index])
        index, states, label_rows = index[repeats], states[repeats], label_rows[repeats]
        cleared_by = cleared_by[repeats]
    labels = to_labels(states, protocol.labels.uncertain)
    return Selection(index, states, labels, label_rows, cleared_by, left_out, findings)


def to_labels(states: NDArray[np.int8], uncertain: str) -> NDArray[np.float32]:
    """Label states as 1, 0 or NaN, same shape; uncertain counts as `missing`, `positive` or `negative`."""
    labels = np.full(states.shape, np.nan, dtype=np.float32)
    labels[states == POSITIVE] = 1
    labels[states == NEGATIVE] = 0
    labels[states == UNCERTAIN] = _UNCERTAIN_AS[uncertain]
    return labels


def _states(table: SourceTable, labeller: str, protocol: Protocol) -> NDArray[np.int8]:
    """The stored states, or those of the protocol's own rules where the labeller's rules depend on it."""
    if protocol.label_rules == STORED or not differ(labeller):
        return table.states
    label_rules = rules(labeller, protocol.label_rules)
    for rule in label_rules:
        _native(table.rows, rule.column, f"the label rules of {labeller}")
    states = apply_rules(table.rows, label_rules, table.findings)[0]
    from_table = [finding not in labelled_tasks(labeller, protocol.label_rules) for finding in table.findings]
    states[:, from_table] = table.states[:, from_table]
    return states


def _native(rows: pd.DataFrame, column: str, wanted_by: str) -> pd.Series:
    if column not in rows.columns:
        raise DataError(f"native column {column!r} is not kept with the dataset, but {wanted_by} read it")
    return rows[column]


def _views(rows: pd.DataFrame, rule: DatasetRule, dataset: str) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Positions of the rows whose view counts, and why the others don't."""
    if not rule.views:
        return np.arange(len(rows), dtype=np.int64), {}
    values = _native(rows, rule.view_column, f"the view rule of {dataset}")
    codes, texts = pd.factorize(values.astype(object))
    accepted = np.array(
        [view_counts(str(value), rule) for value in texts] + [view_counts("", rule)], dtype=bool
    )
    is_taken = accepted[codes]
    unknown = values.isna().to_numpy() | (values == "").to_numpy(dtype=bool, na_value=False)
    reason_of_view = f"view is {'' if rule.view_match == 'not' else 'not '}{' or '.join(rule.views)}"
    counts = {
        reason_of_view: int((~is_taken & ~unknown).sum()),
        "view unknown": int((~is_taken & unknown).sum()),
    }
    return np.flatnonzero(is_taken), {reason: count for reason, count in counts.items() if count}


def view_counts(value: str, rule: DatasetRule) -> bool:
    """Does a picture of this view count under a rule that names views?"""
    plain, views = value.strip().lower(), [view.lower() for view in rule.views]
    if rule.view_match == "contains":
        return any(view in plain for view in views)
    return (plain in views) != (rule.view_match == "not")


def _no_finding(
    rows: pd.DataFrame, labeller: str, protocol: Protocol
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where No Finding is 1, and where it says anything, both bool (n_rows,)."""
    native = [rule.column for rule in all_rules(labeller) if rule.rule == "clears all"]
    if not native or not protocol.labels.no_finding:
        none_of_them = np.zeros(len(rows), dtype=bool)
        return none_of_them, none_of_them
    value = _native(rows, native[0], f"the label rules of {labeller}").str.strip()
    return value.isin(CLEARED).to_numpy(), (value != "").to_numpy(dtype=bool)


def _per_patient(
    table: SourceTable,
    states: NDArray[np.int8],
    cleared: NDArray[np.bool_],
    has_no_finding: NDArray[np.bool_],
    row_positions: NDArray[np.int64],
    rule: DatasetRule,
) -> tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]:
    """The images chosen: index, states, label_rows and cleared_by of a `Selection`."""
    if rule.per_patient == "all":
        index = row_positions
    else:
        group, n_groups = _patients(table, row_positions, in_order=rule.per_patient == "stitched")
        index = _first(np.ones(len(row_positions), dtype=bool), group, n_groups, row_positions)
    if rule.per_patient != "stitched":
        label_rows = np.where(states[index] != NOT_MENTIONED, index[:, None], -1)
        return index, states[index], label_rows, np.where(cleared[index], index, -1)
    label_rows = np.empty((len(index), states.shape[1]), dtype=np.int64)
    for task in range(states.shape[1]):
        label_rows[:, task] = _first(
            states[row_positions, task] != NOT_MENTIONED, group, n_groups, row_positions
        )
    stitched = np.take_along_axis(states, np.maximum(label_rows, 0), axis=0)
    stitched[label_rows < 0] = NOT_MENTIONED
    said_by = _first(has_no_finding[row_positions], group, n_groups, row_positions)
    clears = (said_by >= 0) & cleared[said_by]
    return index, stitched, label_rows, np.where(clears, said_by, -1)


def _patients(
    table: SourceTable, row_positions: NDArray[np.int64], in_order: bool
) -> tuple[NDArray[np.int64], int]:
    """Each selected row's patient as a number from 0, by first appearance. `in_order`: as the released code has it, by the
    dataset's own names alone, as pandas sorts them (by value where all are numbers of 64 bits, else as text). An unknown
    patient is one of its own.
    """
    if not in_order:
        codes, names = pd.factorize(table.patient_keys()[row_positions])
        return codes.astype(np.int64), len(names)
    patient = table.rows["patient"].iloc[row_positions]
    image_keys = "image " + table.rows["image"].iloc[row_positions].astype(object)
    codes, names = pd.factorize(patient.where(patient.notna(), image_keys).astype(object))
    numbers = [int(name) if str(name).isdigit() else -1 for name in names]
    fits = all(0 <= number < 2**64 for number in numbers)
    order = sorted(
        range(len(names)), key=numbers.__getitem__ if fits else [str(n) for n in names].__getitem__
    )
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    return rank[codes], len(names)


def _first(
    mask: NDArray[np.bool_], group: NDArray[np.int64], n_groups: int, positions: NDArray[np.int64]
) -> NDArray[np.int64]:
    """For every group the position of its first row where `mask`, -1 for none; int64 (n_groups,)."""
    first = np.full(n_groups, -1, dtype=np.int64)
    rows = np.flatnonzero(mask)[::-1]  # assigned backwards, so that the first row stays
    first[group[rows]] = positions[rows]
    return first


def _repeats(file_rows: pd.Series) -> NDArray[np.int64]:
    """Each image as often as it has rows in the file, in order of those rows: positions, (n_file_rows,)."""
    rows = [json.loads(value) for value in file_rows]
    images = np.repeat(np.arange(len(rows)), [len(its) for its in rows])
    lines = np.array([line for its in rows for line in its], dtype=np.int64)
    return images[np.argsort(lines, kind="stable")].astype(np.int64)

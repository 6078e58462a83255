"""Why an image has the labels it has: native term → rule → state, per task."""

from dataclasses import dataclass

import pandas as pd

from xray.data.labels.rules import RULES, SILENCE, Rule, apply_rules, rules
from xray.data.protocol import Protocol
from xray.data.selection import Selection
from xray.data.sources.base import NEGATIVE, NOT_MENTIONED, STATE_NAMES, SourceTable


@dataclass(frozen=True)
class Explanation:
    """One label of one image.

    state: a name of `STATE_NAMES`. label: what the protocol makes of it (1, 0, or None for missing).
    image: whose row the label comes from (its own, unless labels are stitched), None where no row speaks.
    column, value: the native cell. term: what was found there, None where nothing was. rule: how it speaks.
    source: where the rule comes from.
    """

    task: str
    state: str
    label: int | None
    image: str | None
    column: str | None
    value: str | None
    term: str | None
    rule: str
    source: str


def explain(
    table: SourceTable,
    selection: Selection,
    position: int,
    dataset: str,
    protocol: Protocol,
    labeller: str | None = None,
) -> list[Explanation]:
    """Every task's label of the image at `position` of what `select` gave for the same arguments."""
    label_rules = rules(labeller or dataset, protocol.label_rules)
    return [_explain(table, selection, position, task, label_rules) for task in table.findings]


def _explain(
    table: SourceTable, selection: Selection, position: int, task: str, label_rules: tuple[Rule, ...]
) -> Explanation:
    column = table.findings.index(task)
    state = int(selection.states[position, column])
    value = selection.labels[position, column]
    label = None if value != value else int(value)
    its_rules = [rule for rule in label_rules if rule.task == task]
    if state == NOT_MENTIONED:
        reason = _why_silent(table, int(selection.index[position]), column, its_rules, label_rules)
        native = its_rules[0].column if its_rules else None
        source = its_rules[0].source if its_rules else ""
        return Explanation(task, STATE_NAMES[state], label, None, native, None, None, reason, source)
    row = int(selection.label_rows[position, column])
    its_rules = [rule for rule in its_rules if rule.column in table.rows]  # not those of readers
    rule, term = _speaker(table, row, task, its_rules)
    if selection.cleared_by[position] >= 0 and state == NEGATIVE:
        rule, term = next(rule for rule in label_rules if rule.rule == "clears all"), None
    image = str(table.rows["image"].iloc[row])
    if rule is None:  # a manifest: the column is the task's own
        heading = str(table.terms[row, column])
        return Explanation(
            task, STATE_NAMES[state], label, image, heading, None, heading, "as written", "manifest"
        )
    cell = str(table.rows[rule.column].iloc[row])
    return Explanation(
        task, STATE_NAMES[state], label, image, rule.column, cell, term, RULES[rule.rule], rule.source
    )


def _why_silent(
    table: SourceTable, row: int, column: int, its_rules: list[Rule], label_rules: tuple[Rule, ...]
) -> str:
    """Why nothing is said of the task of a column. its_rules: those of `label_rules` for the task."""
    if its_rules:
        native = its_rules[0].column
        if native not in table.rows:
            return f"the label file has no column {native}"
        silent = any(rule.rule in SILENCE and rule.column == native for rule in label_rules)
        if silent and str(table.rows[native].iloc[row]).strip():
            return "no listed term speaks of a finding, or one excludes the image"
        return "the cell is blank"
    if label_rules:
        return "the labeller does not speak of this task"
    if (table.states[:, column] == NOT_MENTIONED).all():
        return "the file has no column for it, or only blank cells"
    return "the cell is blank"


def _speaker(
    table: SourceTable, row: int, task: str, its_rules: list[Rule]
) -> tuple[Rule | None, str | None]:
    """The rule that decided, and the term that it found; of several, the first that found its term."""
    if not its_rules:
        return None, None
    frame = pd.DataFrame({rule.column: [table.rows[rule.column].iloc[row]] for rule in its_rules})
    for rule in its_rules:
        term = apply_rules(frame, [rule], (task,))[1][0, 0]
        if term:
            return rule, str(term)
    return its_rules[0], None

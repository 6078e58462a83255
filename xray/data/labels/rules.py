"""Reading the rules, and applying them to native columns."""

import csv
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xray.data.sources.base import NEGATIVE, NOT_MENTIONED, POSITIVE, UNCERTAIN
from xray.errors import DataError
from xray.findings import in_order, name_of
from xray.tasks import TASKS

RULES: Final[dict[str, str]] = {
    "contains": "the column's text contains the term: positive, else negative",
    "is": "one of the terms listed in the column is exactly this one: positive, else negative",
    "equals": "the column's value is the term: positive, else negative",
    "state": "the column holds the state: 1 positive, 0 negative, -1 uncertain, blank not mentioned",
    "clears all": "where the column is 1, every task of this labeller is negative",
    "dropped": "known, and left out",
    "says nothing": "where no other term is listed, no task of this labeller is mentioned",
    "silences": "where this term is listed, no task of this labeller is mentioned",
}
STATE_VALUES: Final[dict[str, int]] = {
    "": NOT_MENTIONED,
    "1": POSITIVE,
    "1.0": POSITIVE,
    "0": NEGATIVE,
    "0.0": NEGATIVE,
    "-0.0": NEGATIVE,
    "-1": UNCERTAIN,
    "-1.0": UNCERTAIN,
}
STORED: Final = "corrected"
"""The rule set that a `SourceTable`'s states follow, where a labeller's rules depend on it."""

UNKNOWN: Final = 99
"""What stands for a label value that no rule knows: a reader sets such rows aside."""

SILENCE: Final = ("says nothing", "silences")
"""Rules of terms that speak of no finding, so that a list of them alone makes no finding negative."""

_RANK: Final = np.zeros(128, np.int8)
"""By state: where two columns speak of one finding, the higher one counts."""
for _rank, _state in enumerate((NOT_MENTIONED, NEGATIVE, UNCERTAIN, POSITIVE, UNKNOWN)):
    _RANK[_state] = _rank

_LABELLERS: Final = {"mimic_ch": "mimic", "mimic_nb": "mimic"}


@dataclass(frozen=True)
class Rule:
    """One row of a labeller's rules; see the package's docstring."""

    column: str
    term: str
    task: str
    rule: str
    protocol: str
    source: str


@functools.cache
def all_rules(labeller: str) -> tuple[Rule, ...]:
    """A labeller's rules of every protocol, in file order; none for a labeller without a file (a manifest's).

    Raises `DataError`, naming file and row, where a rule or a task is unknown.
    """
    folder = resources.files("xray.data.labels")
    file_name = f"{_LABELLERS.get(labeller, labeller)}.csv"
    file = next((entry for entry in folder.iterdir() if entry.name == file_name), None)
    if file is None:
        return ()
    entries = [Rule(**row) for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines())]
    for line, rule in enumerate(entries, start=2):
        if rule.rule not in RULES or (rule.task and name_of(rule.task) != rule.task):
            raise DataError(f"{file.name}, row {line}: unknown rule {rule.rule!r} or task {rule.task!r}")
    return tuple(entries)


def rules(labeller: str, rule_set: str) -> tuple[Rule, ...]:
    """The rules of one labeller in one rule set (`paper` or `corrected`)."""
    return tuple(rule for rule in all_rules(labeller) if rule.protocol in ("", rule_set))


def differ(labeller: str) -> bool:
    """Do the labeller's rules depend on the rule set?"""
    return any(rule.protocol for rule in all_rules(labeller))


def labelled_tasks(labeller: str, rule_set: str) -> tuple[str, ...]:
    """The findings that a labeller speaks of, those of the default list first."""
    return in_order(rule.task for rule in rules(labeller, rule_set) if rule.task)


def apply_rules(
    frame: pd.DataFrame, label_rules: Sequence[Rule], findings: Sequence[str] = TASKS
) -> tuple[NDArray[np.int8], NDArray[np.object_]]:
    """States int8 (n_rows, n_findings) and the term behind each, object (n_rows, n_findings), from native columns.

    A value that no rule knows gives `UNKNOWN`. The rule `clears all` is a protocol's to apply, and not
    applied here.
    """
    states = np.full((len(frame), len(findings)), NOT_MENTIONED, dtype=np.int8)
    terms = np.full(states.shape, None, dtype=object)
    column_of = {finding: column for column, finding in enumerate(findings)}
    by_column: dict[str, list[Rule]] = {}
    for rule in label_rules:
        if rule.task or rule.rule in SILENCE:
            by_column.setdefault(rule.column, []).append(rule)
    for column, its_rules in by_column.items():
        codes, values = pd.factorize(frame[column].astype(object))
        texts = [str(value).strip() for value in values]
        seen_states, seen_terms = _speak(texts, its_rules, column_of)
        tasks = sorted({column_of[rule.task] for rule in its_rules if rule.task})
        stronger = _RANK[seen_states[:, tasks][codes]] > _RANK[states[:, tasks]]
        states[:, tasks] = np.where(stronger, seen_states[:, tasks][codes], states[:, tasks])
        terms[:, tasks] = np.where(stronger, seen_terms[:, tasks][codes], terms[:, tasks])
    return states, terms


def _speak(
    texts: Sequence[str], its_rules: Sequence[Rule], column_of: Mapping[str, int]
) -> tuple[NDArray[np.int8], NDArray[np.object_]]:
    """What the rules of one column say of each distinct text: states and terms, (n_texts, n_findings)."""
    states = np.full((len(texts), len(column_of)), NOT_MENTIONED, dtype=np.int8)
    terms = np.full(states.shape, None, dtype=object)
    task_rules = [rule for rule in its_rules if rule.task]
    lists = any(rule.rule == "is" or rule.rule in SILENCE for rule in its_rules)
    for index, text in enumerate(texts):
        plain = text.lower()
        text_terms = set(listed_terms(plain)) if lists else set()
        if _silent(text_terms, its_rules):
            continue
        for rule in task_rules:
            task = column_of[rule.task]
            if rule.rule == "state":
                states[index, task] = STATE_VALUES.get(text, UNKNOWN)
                terms[index, task] = rule.column if text else None
                continue
            if rule.rule == "equals":
                is_match = text == rule.term
            elif rule.rule == "is":
                is_match = rule.term.lower() in text_terms
            else:
                is_match = rule.term.lower() in plain
            if is_match:
                states[index, task] = POSITIVE
                before = terms[index, task]
                terms[index, task] = f"{before}, {rule.term}" if before else rule.term
            elif states[index, task] == NOT_MENTIONED:
                states[index, task] = NEGATIVE
    return states, terms


def _silent(terms: set[str], its_rules: Sequence[Rule]) -> bool:
    """Do these terms say nothing of any finding? Where no rule is about silence, they always speak."""
    empty = {rule.term.lower() for rule in its_rules if rule.rule == "says nothing"}
    silencing = {rule.term.lower() for rule in its_rules if rule.rule == "silences"}
    return bool(terms & silencing) or (bool(empty) and terms <= empty)


def listed_terms(text: str) -> list[str]:
    """The terms of a list written as text: `['nodule', 'pleural effusion']` or `Mass|Nodule`."""
    inner = text.strip().removeprefix("[").removesuffix("]")
    parts = inner.replace("|", ",").split(",") if "|" in inner or "'" not in inner else inner.split("'")
    return [term for part in parts if (term := part.strip(" ,'\""))]

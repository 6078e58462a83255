"""How a label file was read, as tables for people: its columns, the labels of each finding, views, ages and patients."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd

from xray.data.labels.rules import all_rules
from xray.data.mapping.recognise import recognise
from xray.data.protocol import DatasetRule
from xray.data.selection import view_counts
from xray.data.sources.base import COLUMNS, NEGATIVE, NOT_MENTIONED, POSITIVE, UNCERTAIN, SourceTable
from xray.data.sources.panel import RULES, Panel, Votes, count_votes

_SHOWN: Final = 12
_STATES: Final = (POSITIVE, NEGATIVE, UNCERTAIN, NOT_MENTIONED)


@dataclass(frozen=True)
class Summary:
    """about: how the file was read. columns: column, what it is. findings: finding, column and counts of the four states.

    lines: views, ages, sexes, patients and readers in words. readers: of each finding the images that two or more readers
    called, those that they call otherwise, and those without a majority.
    """

    about: str
    columns: list[tuple[str, str]]
    findings: list[tuple[str, int, int, int, int]]
    lines: list[str]
    readers: list[Votes] = field(default_factory=list)


def summarise(table: SourceTable, rule: DatasetRule, protocol: str, source: str = "manifest") -> Summary:
    """What `table` holds, and how the rule of a protocol counts its views. source: the layout that it was read as."""
    columns = [str(column) for column in table.rows.columns if column not in COLUMNS]
    uses = table.uses or tuple(_native_uses(columns, source).items())
    counts = [
        (task, *(int((table.states[:, index] == state).sum()) for state in _STATES))
        for index, task in enumerate(table.findings)
        if (table.states[:, index] != NOT_MENTIONED).any() or task in dict(uses).values()
    ]
    lines = [
        _views(table, rule, protocol),
        _ages(table.rows["age"]),
        _sexes(table.rows["sex"]),
        _patients(table.rows),
    ]
    votes = []
    if table.panel is not None:
        lines.append(_readers(table.panel))
        votes = count_votes(table.panel, table.findings)
    return Summary(table.about, list(uses), counts, lines, votes)  # type: ignore[arg-type]


def _readers(panel: Panel) -> str:
    """Who read how much, and how the label follows."""
    has_read = (panel.states != NOT_MENTIONED).any(axis=2)
    counts = [(name, int(its.sum())) for name, its in zip(panel.names, has_read, strict=True)]
    per = has_read.sum(axis=0)
    about = RULES.get(panel.rule, f"what {panel.rule} says; what others say is kept, and counts for nothing")
    many = f"{per.min()} to {per.max()} an image" if len(per) else "none an image"
    return f"readers: {_in_words(counts)}; {many}; rule {panel.rule!r}: {about}"


def _native_uses(columns: Sequence[str], source: str) -> dict[str, str]:
    """What a published layout makes of its columns: labels where its rules name them, fields by their names, the rest."""
    findings: dict[str, list[str]] = {}
    for rule in all_rules(source):
        findings.setdefault(rule.column, []).extend([rule.task] if rule.task else [])
    fields = {column: field for field, column in recognise(columns, ()).fields.items()}
    other_use = (
        "kept as it is (no label)" if not findings else f"kept, and read where the layout of {source} says so"
    )
    return {
        column: _labels_of(findings[column]) if column in findings else fields.get(column, other_use)
        for column in columns
    }


def _labels_of(tasks: Sequence[str]) -> str:
    names = list(dict.fromkeys(tasks))
    if not names:
        return "that there is no finding"
    return ", ".join(names) if len(names) < 4 else f"labels of {len(names)} findings"


def _counts(column: "pd.Series[object]") -> list[tuple[str, int]]:
    texts = column.astype(object).where(column.notna(), None)
    return [(str(text), int(count)) for text, count in texts.value_counts(dropna=True).items()]


def _in_words(counts: Sequence[tuple[str, int]]) -> str:
    more = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    return ", ".join(f"{text!r} ({count})" for text, count in counts[:_SHOWN]) + more


def _views(table: SourceTable, rule: DatasetRule, protocol: str) -> str:
    """Each distinct view, and whether the protocol takes it."""
    column = table.rows[rule.view_column] if rule.view_column in table.rows.columns else table.rows["view"]
    counts = _counts(column.where(column != "", None))
    included = [(text, count) for text, count in counts if not rule.views or view_counts(text, rule)]
    left_out = [entry for entry in counts if entry not in included]
    unknown = len(column) - sum(count for _, count in counts)
    parts = [f"taken under {protocol}: {_in_words(included)}"] if included else []
    parts += [f"left out: {_in_words(left_out)}"] if left_out else []
    if unknown:
        parts.append(
            f"unknown: {unknown}, {'taken' if not rule.views or view_counts('', rule) else 'left out'}"
        )
    return f"views: {'; '.join(parts)}"


def _ages(ages: "pd.Series[float]") -> str:
    years = ages.dropna()
    unknown = f"{int(ages.isna().sum())} unknown"
    return f"age: {years.min():g} to {years.max():g} years, {unknown}" if len(years) else f"age: {unknown}"


def _sexes(sexes: "pd.Series[object]") -> str:
    return f"sex: {', '.join([*(f'{sex} {count}' for sex, count in _counts(sexes)), f'{int(sexes.isna().sum())} unknown'])}"


def _patients(rows: pd.DataFrame) -> str:
    counts = rows["patient"].value_counts()
    if not len(counts):
        return f"patients: unknown, each of the {len(rows)} images counts as one"
    per = f"{counts.min()} to {counts.max()} images each (median {np.median(counts):g})"
    return f"patients: {len(counts)}, {per}, {int(rows['patient'].isna().sum())} image(s) without one"

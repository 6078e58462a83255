"""Label states from a table's words: a column per finding, a row per finding, or a list of terms."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xray.data.labels.rules import UNKNOWN
from xray.data.mapping.model import Mapping, Words
from xray.data.mapping.recognise import Roles, finding_of
from xray.data.sources.base import NEGATIVE, NOT_MENTIONED, POSITIVE, UNCERTAIN, Quarantined
from xray.data.sources.panel import Panel
from xray.data.tables import Table
from xray.names import plain

_MEANING: Final = {
    "positive": POSITIVE,
    "negative": NEGATIVE,
    "uncertain": UNCERTAIN,
    "not_mentioned": NOT_MENTIONED,
}
_SHOWN: Final = 8


@dataclass(frozen=True)
class Labels:
    """Labels of the rows of `table`, one per image or study. unknown: bool (n, n_findings), cells whose word means nothing.

    findings: the columns of `states`, `terms` and `unknown`. aside: rows of the file that were set aside on the way.
    columns: place of a finding → the column with its words. present: findings that a column or a word stands for.
    panel: what each reader said, where there are several.
    """

    table: Table
    states: NDArray[np.int8]
    terms: NDArray[np.object_]
    unknown: NDArray[np.bool_]
    findings: tuple[str, ...]
    present: frozenset[str]
    aside: list[Quarantined] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    columns: dict[int, str] = field(default_factory=dict)
    panel: Panel | None = None

    def faults(self, mapping: Mapping) -> Iterator[tuple[int, str, str]]:
        """Each finding with a word that means nothing: its place, column, and what was expected."""
        for index in np.flatnonzero(self.unknown.any(axis=0)).tolist():
            yield index, self.columns.get(index, self.findings[index]), expected(mapping.words)


def expected(words: Words) -> str:
    """The words that are taken."""
    if words == Words():
        return "expected 1, 0, u (uncertain) or nothing; a mapping file takes other words (xray dataset draft FILE)"
    lists = [
        f"{', '.join(filter(None, texts))} ({meaning})"
        for meaning, texts in words
        if meaning != "not_mentioned" and any(texts)
    ]
    return f"expected {'; '.join(lists)}, or nothing"


def states_of(words: Words) -> dict[str, int]:
    """Word in lower case → state."""
    return {text.strip().lower(): _MEANING[meaning] for meaning, texts in words for text in texts} | {
        "": _state_of_nothing(words)
    }


def _state_of_nothing(words: Words) -> int:
    return next((_MEANING[meaning] for meaning, texts in words if "" in texts), NOT_MENTIONED)


def read_labels(
    table: Table, mapping: Mapping, roles: Roles, keys: Sequence[str], findings: tuple[str, ...]
) -> Labels:
    """The labels of a table, for these findings. keys: the column of images or of studies, then that of readers, if any."""
    if mapping.long is not None:
        return _long(table, mapping, keys, findings)
    if mapping.terms is not None:
        return _listed(table, mapping, findings)
    return _wide(table, mapping, roles, findings)


def _empty(n: int, findings: Sequence[str]) -> tuple[NDArray[np.int8], NDArray[np.object_]]:
    shape = (n, len(findings))
    return np.full(shape, NOT_MENTIONED, np.int8), np.full(shape, None, object)


def _wide(table: Table, mapping: Mapping, roles: Roles, findings: tuple[str, ...]) -> Labels:
    words = states_of(mapping.words)
    states, terms = _empty(len(table.frame), findings)
    columns = {findings.index(finding): column for finding, column in roles.findings.items()}
    for index, column in columns.items():
        states[:, index] = _column(table.frame[column], words)
        terms[states[:, index] != NOT_MENTIONED, index] = column
    unknown = states == UNKNOWN
    usable = np.where(unknown, np.int8(NOT_MENTIONED), states)
    return Labels(table, usable, terms, unknown, findings, frozenset(roles.findings), columns=columns)


def _column(cells: pd.Series, words: dict[str, int]) -> NDArray[np.int8]:
    codes, texts = pd.factorize(cells.astype(object))
    states = np.array([words.get(str(text).strip().lower(), UNKNOWN) for text in texts] + [UNKNOWN], np.int8)
    return states[codes]


def _by_term(
    terms: Sequence[str], mapping: Mapping, normal: Sequence[str], findings: tuple[str, ...]
) -> tuple[dict[str, int | None], Counter[str]]:
    """Term → place of its finding, None for one that says that there is nothing; and the terms that are none, counted."""
    normal_words = {plain(word) for word in normal}
    counts = Counter(terms)
    tasks: dict[str, int | None] = {}
    unmatched: Counter[str] = Counter()
    for term, count in counts.items():
        finding = finding_of(term, findings, mapping.findings)
        if plain(term) in normal_words:
            tasks[term] = None
        elif finding is not None:
            tasks[term] = findings.index(finding)
        else:
            unmatched[term] = count
    return tasks, unmatched


def _note_others(unmatched: Counter[str]) -> list[str]:
    if not unmatched:
        return []
    examples = ", ".join(f"{term!r} ({count})" for term, count in unmatched.most_common(_SHOWN))
    more = f" and {len(unmatched) - _SHOWN} more" if len(unmatched) > _SHOWN else ""
    return [f"{len(unmatched)} word(s) are no finding, and not taken as one: {examples}{more}"]


def _listed(table: Table, mapping: Mapping, findings: tuple[str, ...]) -> Labels:
    """A column with a list of terms. An empty cell says nothing of any finding."""
    assert mapping.terms is not None
    about = mapping.terms
    cells = [
        [term.strip() for term in str(cell).split(about.separator) if term.strip()]
        for cell in table.frame[about.column]
    ]
    silent = {plain(word) for word in about.others}
    tasks, unmatched = _by_term([term for cell in cells for term in cell], mapping, about.normal, findings)
    unmatched = Counter({term: count for term, count in unmatched.items() if plain(term) not in silent})
    present = sorted({task for task in tasks.values() if task is not None})
    states, terms = _empty(len(cells), findings)
    absent = NOT_MENTIONED if mapping.unmentioned == "not mentioned" else NEGATIVE
    for row, cell in enumerate(cells):
        if not any(term in tasks for term in cell):
            continue
        states[row, present] = absent
        terms[row, present] = str(table.frame[about.column].iloc[row]) if absent == NEGATIVE else None
        for term in cell:
            task = tasks.get(term)
            if task is not None:
                states[row, task], terms[row, task] = POSITIVE, term
    unknown = np.zeros(states.shape, dtype=bool)
    names = frozenset(findings[index] for index in present)
    return Labels(table, states, terms, unknown, findings, names, notes=_note_others(unmatched))


def _long(table: Table, mapping: Mapping, keys: Sequence[str], findings: tuple[str, ...]) -> Labels:
    """A row per image (and reader) and finding, gathered: one row per image (and reader), where its first row stands."""
    assert mapping.long is not None
    about, frame = mapping.long, table.frame
    values = (
        _column(frame[about.value], states_of(mapping.words))
        if about.value
        else np.full(len(frame), POSITIVE, np.int8)
    )
    codes, first, has_keys = _groups(frame, keys)
    names = frame[keys[0]].to_numpy(object)
    terms_in_table = [term for term in frame[about.finding].tolist() if term]
    tasks, unmatched = _by_term(terms_in_table, mapping, ("No Finding", "Normal"), findings)
    present = sorted({task for task in tasks.values() if task is not None})
    states, terms = _empty(len(first), findings)
    absent = {"negative": NEGATIVE, "not mentioned": NOT_MENTIONED}[
        mapping.unmentioned or ("not mentioned" if about.value else "negative")
    ]
    states[:, present] = absent
    csv, quarantine = table.as_csv(), []
    value_of: dict[tuple[int, int], int] = {}
    doubtful = np.zeros(states.shape, dtype=bool)
    of_this = "this image" if len(keys) == 1 else "this image and reader"
    for row in np.flatnonzero(has_keys).tolist():
        task, image = tasks.get(frame[about.finding].iloc[row]), int(codes[row])
        if task is None:
            continue
        name, value = str(names[row]), int(values[row])
        if value == UNKNOWN:
            reason = f"column {about.value!r}: {frame[about.value].iloc[row]!r}: {expected(mapping.words)}"
        elif value_of.get((image, task), value) != value:
            reason = f"another row of {of_this} disagrees on {findings[task]}"
        else:
            value_of[image, task] = value
            states[image, task], terms[image, task] = value, frame[about.finding].iloc[row]
            continue
        doubtful[image, task] = True
        quarantine.append(
            csv.set_aside(row, name, f"{reason}; {findings[task]} of {of_this} counts as not mentioned")
        )
    states[doubtful] = NOT_MENTIONED
    terms[doubtful | (states == NOT_MENTIONED)] = None
    for row in np.flatnonzero(~has_keys).tolist():
        blank = next(key for key in keys if not str(frame[key].iloc[row]).strip())
        quarantine.append(csv.set_aside(row, None, f"column {blank!r}: every row needs a name"))
    first_rows = np.sort(first[has_keys[first]]) if len(first) else first
    by_image = replace(
        table, frame=frame.iloc[first_rows].reset_index(drop=True), lines=table.lines[first_rows]
    )
    groups = codes[first_rows]
    return Labels(
        by_image,
        states[groups],
        terms[groups],
        np.zeros((len(first_rows), len(findings)), bool),
        findings,
        frozenset(findings[index] for index in present),
        quarantine,
        _note_others(unmatched),
    )


def _groups(
    frame: pd.DataFrame, keys: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """The group of each row by its keys, (n_rows,); the first row of each group; and which rows have every key."""
    cells = [frame[key].astype(str) for key in keys]
    group_keys = cells[0]
    for column_cells in cells[1:]:
        group_keys = group_keys + "\0" + column_cells
    codes, names = pd.factorize(group_keys.astype(object))
    first = np.full(len(names), -1, dtype=np.int64)
    backwards = np.arange(len(frame))[::-1]
    first[codes[backwards]] = backwards
    has_keys = np.logical_and.reduce([(column.str.strip() != "").to_numpy(bool) for column in cells])
    return codes, first, has_keys

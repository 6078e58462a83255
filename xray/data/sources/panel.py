"""Several readers of the same images: each one's states, and the named rule that makes the dataset's own label.

An image's votes are the states that its readers gave to a finding: positive, negative or uncertain.
Who said nothing has no vote.

| rule | positive | negative | else |
|---|---|---|---|
| majority | more than half of the votes are positive | more than half are negative | uncertain, ties too |
| any | one vote is positive | all are negative | uncertain |
| all | all votes are positive | one is negative | uncertain |
| a reader's name | that reader's own state | | |

Without a vote a finding is not mentioned.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xray.data.sources.base import NEGATIVE, NOT_MENTIONED, POSITIVE, UNCERTAIN, SourceTable
from xray.errors import DataError
from xray.findings import columns
from xray.names import unknown

MAJORITY: Final = "majority"
RULES: Final[dict[str, str]] = {
    MAJORITY: "what more than half of an image's readers say, else uncertain: a tie is uncertain",
    "any": "positive where any reader says so",
    "all": "positive where all of an image's readers say so",
}
MOST: Final = 200
"""Readers of a dataset; where there are more, the column is another one."""


@dataclass(frozen=True)
class Panel:
    """What each reader said. names: (n_readers,). states: int8 (n_readers, n_rows, n_findings), not mentioned where silent.

    rule: of `RULES`, or a reader's name.
    """

    names: tuple[str, ...]
    states: NDArray[np.int8]
    rule: str = MAJORITY

    def take(self, rows: NDArray[np.generic]) -> "Panel":
        """The states of these rows, by position or bool (n_rows,)."""
        return replace(self, states=self.states[:, rows])

    def of(self, findings: Sequence[str], chosen_findings: Sequence[str]) -> "Panel":
        """The states of `chosen_findings`, where the columns are `findings`; not mentioned for others."""
        per_reader = [columns(states, findings, chosen_findings, NOT_MENTIONED) for states in self.states]
        return replace(self, states=np.stack(per_reader))

    @property
    def votes(self) -> dict[int, NDArray[np.int64]]:
        """State → how many readers gave it, (n_rows, n_findings)."""
        return {
            state: (self.states == state).sum(axis=0, dtype=np.int64)
            for state in (POSITIVE, NEGATIVE, UNCERTAIN)
        }

    def label(self) -> NDArray[np.int8]:
        """The dataset's own states (n_rows, n_findings) by the rule."""
        if self.rule in self.names:
            return self.states[self.names.index(self.rule)]
        votes = self.votes
        yes, no, n = votes[POSITIVE], votes[NEGATIVE], sum(votes.values())
        positive, negative = {
            MAJORITY: (2 * yes > n, 2 * no > n),
            "any": (yes > 0, no == n),
            "all": (yes == n, no > 0),
        }[self.rule]
        states = np.where(positive, POSITIVE, np.where(negative, NEGATIVE, UNCERTAIN))
        return np.where(n > 0, states, NOT_MENTIONED).astype(np.int8)

    def terms(self) -> NDArray[np.object_]:
        """The votes behind each state of the label, in words, object (n_rows, n_findings); None where there is none."""
        votes, label = self.votes, self.label()
        terms = np.full(label.shape, None, dtype=object)
        has_label = label != NOT_MENTIONED
        if self.rule in self.names:
            terms[has_label] = f"reader {self.rule}"
            return terms
        yes, no, unsure = (votes[state][has_label] for state in (POSITIVE, NEGATIVE, UNCERTAIN))
        counts, index_of_count = np.unique(np.stack([yes, no, unsure]), axis=1, return_inverse=True)
        texts = [f"{self.rule}: {a} positive, {b} negative, {c} uncertain" for a, b, c in counts.T.tolist()]
        terms[has_label] = np.array(texts, dtype=object)[np.ravel(index_of_count)] if texts else None
        return terms


@dataclass(frozen=True)
class Votes:
    """How far an image's readers agree on a finding: images with two or more votes, of these not all alike, and those
    without a majority.
    """

    finding: str
    n: int
    disagree: int
    tied: int


def count_votes(panel: Panel, findings: Sequence[str]) -> list[Votes]:
    """The votes on each finding that any reader spoke of."""
    votes = np.stack(list(panel.votes.values()))
    n, most = votes.sum(axis=0), votes.max(axis=0)
    several = n > 1
    return [
        Votes(
            finding,
            int(several[:, column].sum()),
            int((several & (most < n))[:, column].sum()),
            int((several & (2 * most <= n))[:, column].sum()),
        )
        for column, finding in enumerate(findings)
        if n[:, column].any()
    ]


def with_label(table: SourceTable, rule: str | None, file: str) -> SourceTable:
    """The table with the labels that follow from its readers'. rule: None for that which its panel has.

    Raises `DataError` for a rule that there is not, or where the files have one label an image.
    """
    if table.panel is None:
        if rule is not None:
            raise DataError(
                f"{file}: has one label per image, so a rule over readers does not apply ({rule})"
            )
        return table
    panel = replace(table.panel, rule=table.panel.rule if rule is None else rule)
    if panel.rule not in (*RULES, *panel.names):
        raise DataError(f"{file}: {unknown('rule or reader', panel.rule, (*RULES, *panel.names))}")
    return replace(table, states=panel.label(), terms=panel.terms(), panel=panel)


def check_readers(names: Sequence[str], column: str, file: str) -> None:
    """Raise `DataError` where these can't be the readers of a dataset."""
    if len(names) > MOST:
        raise DataError(
            f"{file}: column {column!r} names {len(names)} readers; expected at most {MOST}: is it the right column?"
        )
    rule_names = [name for name in names if name in RULES]
    if rule_names:
        raise DataError(
            f"{file}: column {column!r}: a reader can't be called {rule_names[0]!r}, which names a rule over readers: "
            "rename the reader, or leave those rows out"
        )

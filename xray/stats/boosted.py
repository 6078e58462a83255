"""Gradient-boosted decision trees (Friedman, Annals of Statistics 29, 2001), shipped as text: numbers in, log odds out.

Each tree asks one number at a time whether it is above a limit, and its leaf adds to the log odds of one answer. A number
that is missing goes where those that were missing in the fit did best.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xray.compiled import compiled
from xray.stats.estimates import FloatArray, IntArray

LEAF: Final = -1


@dataclass(frozen=True)
class Trees:
    """All nodes (n_nodes,), each followed by its left branch. column: of the inputs, or LEAF; value: up to it an input goes
    left, or what the leaf adds; right: the node of the right branch; missing: whether a missing input goes left.

    roots: (n_trees,), first nodes. answers: (n_trees,), whose log odds a tree adds to; start: (n_answers,), with none.
    """

    column: IntArray
    value: FloatArray
    right: IntArray
    missing: NDArray[np.bool_]
    roots: IntArray
    answers: IntArray
    start: FloatArray

    def log_odds(self, inputs: FloatArray) -> FloatArray:
        """(n, n_answers) of inputs (n, p), NaN where one is missing."""
        sums = np.tile(self.start, (len(inputs), 1))
        rows = np.ascontiguousarray(inputs, dtype=np.float64)
        _add(rows, self.column, self.value, self.right, self.missing, self.roots, self.answers, sums)
        return sums

    def scaled(self, slope: FloatArray, intercept: FloatArray) -> "Trees":
        """With log odds stretched and moved, (n_answers,) each (Platt's scaling)."""
        of_node = self.answers[np.searchsorted(self.roots, np.arange(self.column.size), side="right") - 1]
        value = np.where(self.column == LEAF, self.value * slope[of_node], self.value)
        return Trees(
            self.column, value, self.right, self.missing, self.roots, self.answers,
            self.start * slope + intercept,
        )  # fmt: skip


@compiled
def _add(
    rows: FloatArray,
    column: IntArray,
    value: FloatArray,
    right: IntArray,
    missing: NDArray[np.bool_],
    roots: IntArray,
    answers: IntArray,
    sums: FloatArray,
) -> None:
    for i in range(rows.shape[0]):
        for tree in range(roots.size):
            node = roots[tree]
            while column[node] >= 0:
                number = rows[i, column[node]]
                goes_left = missing[node] if np.isnan(number) else number <= value[node]
                node = node + 1 if goes_left else right[node]
            sums[i, answers[tree]] += value[node]


def parse(trees: Iterable[list[str]], start: FloatArray) -> Trees:
    """From what `as_rows` gives."""
    roots, answers, nodes, n_nodes = [], [], [], 0
    for answer, *numbers in trees:
        table = np.array(numbers, dtype=np.float64).reshape(-1, 4)
        table[:, 2] += n_nodes
        roots.append(n_nodes)
        answers.append(int(answer))
        nodes.append(table)
        n_nodes += len(table)
    column, value, right, missing = np.concatenate(nodes).T if nodes else np.zeros((4, 0))
    return Trees(
        column.astype(np.int64), value.copy(), right.astype(np.int64), missing > 0, np.array(roots, dtype=np.int64),
        np.array(answers, dtype=np.int64), start,
    )  # fmt: skip


def as_rows(of: Trees) -> list[list[str]]:
    """A row for each tree: its answer, and of every node column, value with six digits, right branch, missing."""
    rows = []
    for root, end, answer in zip(of.roots, [*of.roots[1:], of.column.size], of.answers, strict=True):
        row = [str(answer)]
        for node in range(root, end):
            is_leaf = of.column[node] == LEAF
            right = 0 if is_leaf else of.right[node] - root
            row += [str(of.column[node]), f"{of.value[node]:.6g}", str(right), str(int(of.missing[node]))]
        rows.append(row)
    return rows

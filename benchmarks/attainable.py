"""Could another posterior do better on real pictures and labels? python -m benchmarks.attainable FOLDER [--json]

FOLDER holds the rows that `python -m benchmarks.semi_real --keep FOLDER` leaves. On the same cells, one finding of a pair:
    shipped     the posterior as it is, from scores and labels alone
    same        a forest of the same evidence and of that posterior's log odds, fitted to the plants of other networks of
                the same hospital (six folds): what knowing the hospital and what may happen there would be worth
    elsewhere   such a forest, fitted to the plants at the other hospitals
Nothing of this is used: it says what stands between the shipped posterior and the targets of `benchmarks.semi_real`.
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

from benchmarks._semi_real import NAMES
from benchmarks._simulated import Rows, load
from benchmarks._truth import CAUSES, Flags, Floats
from benchmarks.causes import Answers, answers, one_each, outcomes, rates
from xray.stats import posterior
from xray.stats.posterior import coefficients
from xray.stats.shipped import VARIANTS

FOLDS: Final = 6
RATIOS: Final = (1.0, 2.0, 4.0)
SHOWN: Final = ("exact", "false", "misdirected", "cannot tell")


@dataclass(frozen=True)
class Hospital:
    """Rows of a hospital's pairs, what is shipped says of them, and the evidence that a forest may use (n, p)."""

    rows: Rows
    shipped: Answers
    evidence: Floats

    @property
    def network(self) -> Floats:
        """The network that scored a row, (n,)."""
        return np.asarray(self.rows.world // 1_000_000)


def read(folder: Path, name: str) -> Hospital:
    """Evidence of scores and labels alone, which all hospitals have."""
    rows = load(folder.glob(f"{name}-*.npz"))
    c = coefficients(VARIANTS[False, False])
    raw = posterior.ordered(c, rows.columns)
    x, log_odds = posterior.standardised(c, raw), c.trees.log_odds(raw)
    return Hospital(rows, answers(rows, c), np.column_stack([x, log_odds]))


def fitted(x: Floats, counts: Flags, of: Floats) -> Floats:
    """Probabilities of the causes (n, 4) by forests fitted to x and to which causes count."""
    columns = []
    for cause in counts.T:
        forest = ExtraTreesClassifier(400, min_samples_leaf=5, max_features=0.4, random_state=0)
        forest.fit(x, cause)
        columns.append(forest.predict_proba(of)[:, 1] if cause.any() else np.zeros(len(of)))
    return np.column_stack(columns)


def same(of: Hospital) -> Floats:
    """Each row by forests that saw no row of its network's fold."""
    probability = np.zeros((len(of.rows), len(CAUSES)))
    fold = of.network % FOLDS
    for k in range(FOLDS):
        apart = fold == k
        probability[apart] = fitted(of.evidence[~apart], of.rows.counts[~apart], of.evidence[apart])
    return probability


def table(hospitals: dict[str, Hospital]) -> Iterator[dict[str, Any]]:
    """A row for each hospital, posterior and loss ratio."""
    for name, of in hospitals.items():
        others = [other for key, other in hospitals.items() if key != name]
        x = np.concatenate([other.evidence for other in others])
        counts = np.concatenate([other.rows.counts for other in others])
        alike = np.ones(len(of.rows), dtype=np.bool_)
        several = {
            "shipped": of.shipped,
            "same": replace(of.shipped, probability=same(of), alike=alike),
            "elsewhere": replace(of.shipped, probability=fitted(x, counts, of.evidence), alike=alike),
        }
        cells = one_each(of.rows)
        for by, answers_of in several.items():
            for ratio in RATIOS:
                outcome = list(outcomes(of.rows.take(cells), answers_of.take(cells), ratio))
                yield {"hospital": name, "by": by, "loss_ratio": ratio, "cells": len(cells)} | rates(outcome)


def show(rows: Iterable[dict[str, Any]], as_json: bool) -> None:
    """Print rows of a table, as text or as one JSON object each."""
    for row in rows:
        if as_json:
            print(json.dumps(row))
        else:
            shares = "".join(f"  {name} {row[name]:.1%}" for name in SHOWN)
            print(f"{row['hospital']:10} {row['by']:10} {row['loss_ratio']:g} {row['cells']:4} cells{shares}")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attainable")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    show(table({name: read(options.folder, name) for name in NAMES}), options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

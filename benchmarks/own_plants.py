"""Would a posterior that is fitted to changes of the hospital's own scores do better? python -m benchmarks.own_plants

On the pairs of `benchmarks.semi_real`, or with --strangers on fresh worlds of `_strangers`: --plants pairs of copies of each
pair's own A, in which none, one or two causes are planted (`_own_plants`: scores and labels alone, no picture). A forest is
fitted to their evidence and to the shipped posterior's log odds, and asked about the real pair, which it has not seen, nor
any change of `benchmarks._planted`. The same cells are judged by the shipped posterior, and by the mean of both. Nothing of
this is used by the product, whose posterior has learned from such plants in simulated hospitals' scores.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

from benchmarks._own_plants import pairs
from benchmarks._semi_real import DATA, hospital
from benchmarks._simulated import Rows, joined, rows, worlds
from benchmarks._truth import CAUSES, Flags, Floats, World
from benchmarks.attainable import RATIOS, show
from benchmarks.causes import Answers, answers, one_each, outcomes, rates
from benchmarks.semi_real import FROZEN, PAIRS, PICTURED
from benchmarks.semi_real import worlds as real_pairs
from xray.stats import posterior
from xray.stats.evidence import gather
from xray.stats.posterior import coefficients
from xray.stats.shipped import VARIANTS

STRANGERS: Final = 800_000
"""First seed of worlds that nothing else is fitted to or tested on."""
TREES: Final = 300


@dataclass(frozen=True)
class Judged:
    """A pair's rows, what is shipped says of them, and the probabilities (n, 4) of a forest of its own."""

    rows: Rows
    shipped: Answers
    own: Floats


def judge(world: World, plants: int, seed: int) -> Judged:
    """The verdicts of one pair, from scores and labels alone."""
    c = coefficients(VARIANTS[False, False])
    of = rows([world], seed)
    evidence, counts = planted(world, plants, seed)
    own = np.zeros((0, len(CAUSES)))
    if len(of):
        forest = ExtraTreesClassifier(TREES, min_samples_leaf=5, max_features=0.4, random_state=0)
        forest.fit(evidence, counts)
        own = np.column_stack(
            [
                of_cause[:, 1] if of_cause.shape[1] == 2 else np.full(len(of), float(classes[0]))
                for of_cause, classes in zip(
                    forest.predict_proba(inputs(of.columns)), forest.classes_, strict=True
                )
            ]
        )
    return Judged(of, answers(of, c), own)


def planted(world: World, plants: int, seed: int) -> tuple[Floats, Flags]:
    """What a forest is fitted to: evidence of planted copies of A (n, p), and which causes count there (n, 4)."""
    parts = []
    for pair in pairs(world.a, len(world.b.labels), seed, plants):
        evidence = gather(pair.a, pair.b)
        if evidence.tasks.size:
            parts.append((inputs(evidence.columns), pair.counts[evidence.tasks]))
    return np.concatenate([x for x, _ in parts]), np.concatenate([counts for _, counts in parts])


def inputs(columns: dict[str, Floats]) -> Floats:
    """Standardised evidence and the shipped posterior's log odds, (n, p)."""
    c = coefficients(VARIANTS[False, False])
    raw = posterior.ordered(c, columns)
    return np.column_stack([posterior.standardised(c, raw), c.trees.log_odds(raw)])


def table(name: str, several: Iterable[Judged]) -> Iterator[dict[str, Any]]:
    """A row for each posterior and loss ratio: one finding of each pair."""
    parts = [of for of in several if len(of.rows)]
    for number, part in enumerate(parts):
        part.rows.world[:] = number
    of = joined([part.rows for part in parts])
    shipped = Answers(
        *(
            np.concatenate([getattr(part.shipped, field) for part in parts])
            for field in Answers.__dataclass_fields__
        )
    )
    own = np.concatenate([part.own for part in parts])
    alike = np.ones(len(of), dtype=np.bool_)
    posteriors = {
        "shipped": shipped,
        "own plants": replace(shipped, probability=own, alike=alike),
        "their mean": replace(shipped, probability=(own + shipped.probability) / 2, alike=alike),
    }
    cells = one_each(of)
    for by, answers_of in posteriors.items():
        for ratio in RATIOS:
            outcome = list(outcomes(of.take(cells), answers_of.take(cells), ratio))
            yield {"hospital": name, "by": by, "loss_ratio": ratio, "cells": len(cells)} | rates(outcome)


def _of(name: str, choice: argparse.Namespace) -> Iterator[World]:
    if name == "strangers":
        yield from worlds(name, range(STRANGERS, STRANGERS + choice.strangers))
        return
    of = hospital(name)
    for seed in range(choice.first, choice.first + choice.networks):
        yield from real_pairs(name, seed, choice.pairs, of)


def _judgements(name: str, choice: argparse.Namespace) -> Iterator[Judged]:
    start = time.process_time()
    for number, world in enumerate(_of(name, choice)):
        yield judge(world, choice.plants, number)
        if number % PAIRS == 0:
            print(f"{name}: pair {number}, {time.process_time() - start:.0f} s of CPU", file=sys.stderr)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one network, 60 plants a pair")
    parser.add_argument("--json", action="store_true", help="print one JSON object per row")
    parser.add_argument("--first", type=int, default=FROZEN, help="first network")
    parser.add_argument("--networks", type=int, default=8, help="networks of each hospital")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs of sites for each network")
    parser.add_argument("--hospitals", nargs="*", choices=PICTURED, default=list(PICTURED))
    parser.add_argument("--strangers", type=int, default=0, help="worlds of strangers, too")
    parser.add_argument("--plants", type=int, default=300, help="planted copies of each pair's A")
    choice = parser.parse_args()
    if choice.quick:
        choice.networks, choice.plants = 1, 60
    if not DATA.is_dir() and choice.hospitals:
        print(f"{DATA} is not there: no real hospital was judged")
        choice.hospitals = []
    for name in [*choice.hospitals, *["strangers"] * (choice.strangers > 0)]:
        show(table(name, _judgements(name, choice)), choice.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

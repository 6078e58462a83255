"""Is the verdict right on real pictures and labels? Planted causes against verdicts.

python -m benchmarks.semi_real [--quick] [--json] [--keep FOLDER]

Both sites are halves, by patients, of one real hospital (`_semi_real`: nih and guangzhou with their pictures, and records
whose pictures are not here); then none, one or two things are changed at B (`_planted`): pictures, who comes, how many of
them are ill, who labels. The network was trained on other patients of the same hospital. Truth is what each change costs it
on all tested patients, judged as in simulated worlds: causes count by the same limits, outcomes are those of
`benchmarks.causes`, one finding of each pair with ENOUGH patients of the rarer class at both sites, one in which a cause
counts where there is one. The verdict is the shipped posterior's at the shipped loss ratio, from one model's scores, labels,
and age, sex and view where the hospital has them. Nothing of it was fitted to these pictures.

Rows of nih and guangzhou are what the targets are of. --reads FOLDER writes what `benchmarks.rereads FOLDER` and
`benchmarks.pipelines FOLDER` read: the same pairs with B's images read again by A's labels and A's pictures changed as B's.
"""

import argparse
import json
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import _reread
from benchmarks._planted import plant, thinned, world
from benchmarks._semi_real import DATA, NAMES, hospital, network
from benchmarks._simulated import Rows, joined, load, rows, save
from benchmarks._truth import CAUSES, Flags, World
from benchmarks.causes import OUTCOMES, Answers, as_shipped, one_each, outcomes, rates, report
from benchmarks.left_out import together_of
from xray.stats.causes import LOSS_RATIO

FROZEN: Final = 100
"""Networks from here on are for testing only; earlier ones served to see that what is planted is felt."""
NETWORKS: Final = 24
"""Of each hospital, each trained on other patients."""
PAIRS: Final = 16
"""Of sites, for each network."""
PICTURED: Final = ("nih", "guangzhou")
MIXED: Final = {"nih": True, "guangzhou": False, "records": True}
"""Whether age, sex and view are known."""
MECHANISMS: Final = {
    "image": (
        "blur", "noise", "gamma", "window", "inverted", "resolution", "borders", "other hospital's look"
    ),
    "population": ("age", "sex", "view", "follow-up", "severity", "healthy"),
    "prevalence": ("rarer", "commoner"),
    "label": ("redefined", "errors", "mild missed", "Google's rates", "Google's readers"),
}  # fmt: skip
HEAD: Final = (*OUTCOMES, "misdirected")


def worlds(name: str, seed: int, pairs: int, of: Any) -> Iterator[World]:
    """Pairs of sites of a hospital, whose network was trained with this seed."""
    rest, score = network(of, seed)
    for pair in range(pairs):
        rng = np.random.default_rng([31, NAMES.index(name), seed, pair])
        own = rest.take(thinned(rest, rng))
        yield world(own, plant(own, rng), score, rng)


def draw_rows(name: str, seeds: range, pairs: int, cache: Path | None, reads: Path | None) -> Rows:
    """Evidence and truth of a hospital's pairs. cache: a folder of rows, so that an interrupted run goes on."""
    parts, of = [], None
    for seed in seeds:
        path = None if cache is None else cache / f"{name}-{seed}.npz"
        if path is not None and path.exists():
            parts.append(load([path]))
            continue
        of = of or hospital(name)
        several = list(worlds(name, seed, pairs, of))
        table = rows(several, pairs * seed)
        if path is not None:
            save(table, path)
        if reads is not None:
            numbered = enumerate(several, pairs * seed)
            _reread.save(
                [_reread.findings(of_pair, at) for at, of_pair in numbered], reads / f"{name}-{seed}.npz"
            )
        parts.append(table)
        print(f"{name}: network {seed}", file=sys.stderr)
    for number, part in enumerate(parts):
        part.world[:] = part.world % 1_000_000 + 1_000_000 * number
    return joined(parts)


def planted(families: str) -> tuple[str, ...]:
    """The causes of some mechanisms, as `World.families` has them joined."""
    names = families.split(" + ")
    return tuple(cause for cause in CAUSES if any(name in MECHANISMS[cause] for name in names))


def table(of: Rows, outcome: NDArray[np.str_]) -> Iterator[tuple[str, int, float, dict[str, float]]]:
    """What was planted, cells, the share of them in which a cause counts, and outcomes. of: one finding of each pair."""
    causes = [" + ".join(planted(name)) or "nothing" for name in of.families]
    kinds = ["nothing", *CAUSES, *sorted({name for name in causes if " + " in name})]
    groups: list[tuple[str, Flags]] = [(kind, np.array([name == kind for name in causes])) for kind in kinds]
    names = [(cause, name) for cause in CAUSES for name in MECHANISMS[cause]]
    groups += [(f"  {cause}: {name}", np.asarray(of.families == name)) for cause, name in names]
    counts = np.asarray(of.counts.any(axis=1))
    every = np.ones(len(of), dtype=np.bool_)
    groups += [("a cause counts", counts), ("no cause counts", ~counts), ("all", every)]
    for name, at in groups:
        if at.any():
            yield name, int(at.sum()), float(counts[at].mean()), rates(list(outcome[at]))


def lines(title: str, of: Rows, answers: Answers, loss_ratio: float) -> Iterator[str]:
    """The table of some hospitals as text, with calibration and shares of all findings."""
    selection = one_each(of)
    outcome = outcomes(of.take(selection), answers.take(selection), loss_ratio)
    yield f"{title:32}{'cells':>7}{'counts':>9}" + "".join(f"{name:>13}" for name in HEAD)
    for name, cells, counting, shares in table(of.take(selection), outcome):
        yield f"{name:32}{cells:7}{counting:9.0%}" + "".join(f"{shares[outcome]:13.1%}" for outcome in HEAD)
    results = report(of, answers, loss_ratio)
    yield f"all {results['all findings']['findings']} findings: " + ", ".join(
        f"{outcome} {results['all findings'][outcome]:.1%}" for outcome in HEAD
    )
    for cause, line in results["calibration"].items():
        own = results["shares"][cause]
        yield (
            f"  {cause:12} slope {line['slope']:.2f}  ECE {line['ece']:.3f}  true {line['true']:.1%}  share held "
            f"{own.get('held', np.nan):.1%}, where it counts {own['where it counts'].get('held', np.nan):.1%}"
        )
    yield f"  like the simulated cases {results['alike']:.1%}"


def main() -> int:
    """Print the tables; exit code 1 where a target is missed."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--quick", action="store_true", help="two networks of each hospital")
    options.add_argument("--json", action="store_true", help="print one JSON object per finding")
    options.add_argument("--first", type=int, default=FROZEN, help="first network")
    options.add_argument("--networks", type=int, default=NETWORKS, help="networks of each hospital")
    options.add_argument("--pairs", type=int, default=PAIRS, help="pairs of sites for each network")
    options.add_argument("--hospitals", nargs="+", choices=NAMES, default=list(NAMES))
    options.add_argument("--loss-ratio", type=float, default=LOSS_RATIO)
    options.add_argument("--keep", type=Path, help="a folder of rows; what is there already stays")
    options.add_argument("--reads", type=Path, help="a folder for rows of re-reads and of pipelines")
    choice = options.parse_args()
    if not DATA.is_dir():
        print(
            f"{DATA} is not there: the real pictures and labels that this benchmark plants causes in; nothing was judged"
        )
        return 0
    for folder in (choice.keep, choice.reads):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    start = time.process_time()
    seeds = range(choice.first, choice.first + (2 if choice.quick else choice.networks))
    parts: dict[str, tuple[Rows, Answers]] = {}
    for name in choice.hospitals:
        of = draw_rows(name, seeds, choice.pairs, choice.keep, choice.reads)
        parts[name] = of, as_shipped(of, witness=False, covariates=MIXED[name])
    if choice.json:
        for of, answers_of in parts.values():
            for row in _plain(of, answers_of, choice.loss_ratio):
                print(json.dumps(row))
    else:
        for name, (of, answers_of) in parts.items():
            print("\n".join(lines(name, of, answers_of, choice.loss_ratio)), "\n")
    return _met([parts[name] for name in PICTURED if name in parts], choice, time.process_time() - start)


def _met(parts: list[tuple[Rows, Answers]], choice: argparse.Namespace, seconds: float) -> int:
    if not parts:
        return 0
    of, answers = _together(parts)
    if not choice.json:
        print("\n".join(lines("with pictures", of, answers, choice.loss_ratio)))
        print(f"{seconds:.0f} s of CPU")
    selection = one_each(of)
    shares = rates(list(outcomes(of.take(selection), answers.take(selection), choice.loss_ratio)))
    return int(shares["exact"] < 0.7 or shares["false"] > 0.03)


def _together(parts: list[tuple[Rows, Answers]]) -> tuple[Rows, Answers]:
    for number, (of, _) in enumerate(parts):
        of.world[:] = of.world + 1_000_000_000 * number
    return joined([of for of, _ in parts]), together_of([answers for _, answers in parts])


def _plain(of: Rows, answers: Answers, loss_ratio: float) -> Iterator[dict[str, Any]]:
    judged = set(one_each(of).tolist())
    for at, outcome in enumerate(outcomes(of, answers, loss_ratio)):
        yield {
            "hospital": str(of.generator[at]), "pair": int(of.world[at]), "planted": str(of.families[at]),
            "judged": at in judged, "patients": int(of.fewest[at]), "outcome": str(outcome),
            "drop": float(of.drop[at]), "drop_seen": float(of.drop_seen[at]), "alike": bool(answers.alike[at]),
            **{f"share_{cause}": float(of.shares[at, k]) for k, cause in enumerate(CAUSES)},
            **{f"drawn_{cause}": bool(of.drawn[at, k]) for k, cause in enumerate(CAUSES)},
            **{f"counts_{cause}": bool(of.counts[at, k]) for k, cause in enumerate(CAUSES)},
            **{f"probability_{cause}": float(answers.probability[at, k]) for k, cause in enumerate(CAUSES)},
        }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())

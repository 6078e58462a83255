"""Is the verdict right? Planted causes against verdicts in simulated worlds. python -m benchmarks.causes [--quick] [--json]

Two generators that share no code draw pairs of sites (`_worlds`, `_strangers`), a third changes the scores of their sites
(`_own_plants`, which have no network of B); truth is what swapping parts of sites does (`_truth`). The posterior was fitted
to seeds below FROZEN; later ones are what is tested here. One finding of each world is judged, one in which a cause counts
where there is one, by the sets of evidence that a user may have (`shipped.VARIANTS`):
    exact        names every cause that counts, and none that was not drawn
    part         names some of those that count, and none that was not drawn
    missed       says "none", or names other drawn causes only, where a cause counts
    false        names a cause that was not drawn; misdirected: and none of those that were, where one counts
    cannot tell
Calibration is of all findings: the slope of the logistic regression of truth on logit P (1 is right), and the mean
distance of P from the share that is true, over ten bins (ECE). Shares: how many 95 % intervals hold the truth, how wide they
are (median, and how many are narrower than NARROW), by patients of the rarer class and by images of the smaller site.
`--alone` cuts the pairs to one finding each, as of a model that was bought for one. `--time` prints the time of a finding.
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks._simulated import Rows, load, per_seed, rows, worlds
from benchmarks._truth import CAUSES, Flags, Floats
from xray.stats import posterior, shipped
from xray.stats.causes import FEWEST, LOSS_RATIO, judge
from xray.stats.evidence import Site
from xray.stats.logistic import fit_logistic
from xray.stats.posterior import Coefficients, Seen, coefficients

FROZEN: Final = 100_000
"""Seeds from here on are for testing only."""
ENOUGH: Final = 30
"""Patients of the rarer class at both sites."""
NARROW: Final = 0.1
"""Width of AUC below which an interval of a share says much."""
PATIENTS: Final = (10, 30, 60, 120)
IMAGES: Final = (200, 1000, 2000, 3500)
TIMED: Final = ((2_000, 14), (20_000, 14))
"""Images of each of two sites, and findings, that `--time` judges."""
OUTCOMES: Final = ("exact", "cannot tell", "part", "missed", "false")


@dataclass(frozen=True)
class Answers:
    """Of rows (n, 4): probabilities, shares with intervals; alike (n,)."""

    probability: Floats
    share: Floats
    lower: Floats
    upper: Floats
    alike: Flags

    def take(self, selection: NDArray[np.generic]) -> "Answers":
        """Those of the rows chosen, by flags or places."""
        return Answers(*(getattr(self, name)[selection] for name in self.__dataclass_fields__))


def answers(of: Rows, c: Coefficients) -> Answers:
    """What a posterior says of rows."""
    raw, observed = posterior.ordered(c, of.columns), Seen(of.drop_seen, of.drop_se, of.fewest)
    x = posterior.standardised(c, raw)
    return Answers(
        posterior.probabilities(c, raw),
        *posterior.shares(c, posterior.outputs(c, x), observed),
        posterior.unlikeness(c, x) <= c.limit,
    )


def as_shipped(of: Rows, witness: bool, covariates: bool) -> Answers:
    """What is said of rows where there is this evidence: as `posterior.causes` has it."""
    several = [
        answers(of, coefficients(variant))
        for has, variant in reversed(shipped.VARIANTS.items())
        if has[0] <= witness and has[1] <= covariates
    ]
    first, rows_of = np.argmax([of_variant.alike for of_variant in several], axis=0), np.arange(len(of))
    parts = {name: np.stack([getattr(a, name) for a in several]) for name in Answers.__dataclass_fields__}
    return Answers(**{name: part[first, rows_of] for name, part in parts.items()})


def outcomes(of: Rows, answers: Answers, loss_ratio: float = LOSS_RATIO) -> NDArray[np.str_]:
    """One of `OUTCOMES` per row, with "misdirected" for a false one that names no true cause."""
    claims = answers.probability >= loss_ratio / (1 + loss_ratio)
    doubtful = ~claims & (answers.probability > 1 / (1 + loss_ratio))
    silent = ~answers.alike | (of.fewest < FEWEST) | (~claims.any(axis=1) & doubtful.any(axis=1))
    false = (claims & ~of.drawn).any(axis=1)
    hit = (claims & of.counts).any(axis=1)
    exact = (claims | ~of.counts).all(axis=1)
    outcome = np.where(exact, "exact", np.where(hit, "part", "missed")).astype("U12")
    outcome[false] = "false"
    outcome[false & of.counts.any(axis=1) & ~(claims & of.drawn).any(axis=1)] = "misdirected"
    outcome[silent] = "cannot tell"
    return outcome


def one_each(of: Rows, seed: int = 0) -> NDArray[np.int64]:
    """A row of each world: one in which a cause counts, where there is one. Only rows with ENOUGH patients."""
    rng = np.random.default_rng(seed)
    rank = rng.random(len(of)) + ~of.counts.any(axis=1) + 10 * (of.fewest < ENOUGH)
    order = np.lexsort((rank, of.world))
    first = order[np.r_[True, of.world[order][1:] != of.world[order][:-1]]]
    return first[of.fewest[first] >= ENOUGH]


def rates(outcomes: Sequence[str]) -> dict[str, float]:
    """Shares of outcomes; "false" holds the misdirected ones too."""
    counts = Counter(outcomes)
    n = max(len(outcomes), 1)
    shares = {name: counts[name] / n for name in OUTCOMES}
    shares["false"] += counts["misdirected"] / n
    return shares | {"misdirected": counts["misdirected"] / n}


def calibration(probability: Floats, truth: Flags) -> dict[str, float]:
    """Slope, expected calibration error, and how often it is true."""
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    line = fit_logistic(np.column_stack([np.ones_like(p), np.log(p / (1 - p))]), truth.astype(np.float64))
    bins = np.minimum((p * 10).astype(int), 9)
    error = sum(abs((p - truth)[bins == k].sum()) for k in range(10)) / p.size
    return {"slope": float(line.coefficients[1]), "ece": float(error), "true": float(truth.mean())}


def shares(of: Rows, answers: Answers, selection: Flags) -> dict[str, Any]:
    """Of the chosen rows' intervals: held, their median width, and how many are narrow; all causes, and each."""
    covered, width = (
        (answers.lower <= of.shares) & (of.shares <= answers.upper),
        answers.upper - answers.lower,
    )

    def summary(flags: Flags, at: slice | int) -> dict[str, float]:
        if not flags.any():
            return {}
        return {
            "held": float(covered[flags, at].mean()),
            "width": float(np.median(width[flags, at])),
            "narrow": float((width[flags, at] < NARROW).mean()),
            "widest": float(width[flags, at].max()),
        }

    causes = {
        cause: summary(selection, k) | {"where it counts": summary(selection & of.counts[:, k], k)}
        for k, cause in enumerate(CAUSES)
    }
    return {"intervals": int(4 * selection.sum())} | summary(selection, slice(None)) | causes


def by_size(of: Rows, answers: Answers) -> dict[str, Any]:
    """Shares by patients of the rarer class, and by images of the smaller site."""
    images = np.minimum(
        *(np.exp(of.columns[f"log positives {s}"]) + np.exp(of.columns[f"log negatives {s}"]) for s in "ab")
    )
    groups = {}
    for name, size, edges in (("patients", of.fewest, PATIENTS), ("images", images, IMAGES)):
        for low, high in zip(edges, (*edges[1:], np.inf), strict=True):
            groups[f"{name} from {low}"] = shares(of, answers, np.asarray((low <= size) & (size < high)))
    return groups


def report(of: Rows, answers: Answers, loss_ratio: float = LOSS_RATIO) -> dict[str, Any]:
    """Everything that is counted, of one generator's rows."""
    selection, enough = one_each(of), of.fewest >= ENOUGH
    some = of.take(selection)
    outcome = outcomes(some, answers.take(selection), loss_ratio)
    every = outcomes(of, answers, loss_ratio)[enough]
    kinds = {
        kind: {"worlds": int(at.sum())} | rates(list(outcome[at]))
        for kind in sorted(set(some.families))
        for at in [some.families == kind]
    }
    return {
        "worlds": len(outcome),
        **rates(list(outcome)),
        "all findings": {"findings": int(enough.sum())} | rates(list(every)),
        "calibration": {
            cause: calibration(answers.probability[enough, k], of.counts[enough, k])
            for k, cause in enumerate(CAUSES)
        },
        "shares": shares(of, answers, np.asarray(enough)),
        "by size": by_size(of, answers),
        "alike": float(answers.alike[enough].mean()),
        "kinds": kinds,
    }


def lines(name: str, results: dict[str, Any], kinds: bool) -> Iterator[str]:
    """The report as text."""
    head = (*OUTCOMES, "misdirected")
    yield f"{name:46}{'worlds':>7}" + "".join(f"{of:>13}" for of in head)
    yield f"{'one finding of each world':46}{results['worlds']:7}" + "".join(
        f"{results[of]:13.1%}" for of in head
    )
    every = results["all findings"]
    yield f"{'all findings':46}{every['findings']:7}" + "".join(f"{every[of]:13.1%}" for of in head)
    if kinds:
        for kind, of_kind in results["kinds"].items():
            yield f"  {kind:44}{of_kind['worlds']:7}" + "".join(f"{of_kind[of]:13.1%}" for of in head)
    for cause, line in results["calibration"].items():
        yield f"  {cause:12} slope {line['slope']:.2f}  ECE {line['ece']:.3f}  true {line['true']:.1%}"
    for name, row in [
        ("shares", results["shares"]),
        *((c, results["shares"][c]) for c in CAUSES),
        *results["by size"].items(),
    ]:
        if "held" in row:
            counts = row.get("where it counts") or {}
            suffix = f", where it counts {counts['held']:.1%}, {counts['width']:.3f}" if counts else ""
            yield (
                f"  {name:20} held {row['held']:.1%}  width {row['width']:.3f}  narrow {row['narrow']:.1%}  "
                f"widest {row['widest']:.2f}{suffix}"
            )
    yield f"  like the simulated cases {results['alike']:.1%}"


def timed(images: int, findings: int, rounds: int = 3) -> dict[str, float]:
    """Seconds a finding, scores and labels alone: CPU and by the clock, the least of some rounds."""
    rng = np.random.default_rng(0)
    sites = []
    for at in (0, 1):
        severity = 0.9 * rng.normal(size=(images, findings)) + 0.5 * rng.normal(size=(images, 1))
        patients = np.array([f"{at}-{n // 2}" for n in range(images)])
        noisy = severity + (1 + 0.3 * at) * rng.normal(size=severity.shape)
        sites.append(Site((severity > 1.3).astype(np.float64), noisy, patients))
    spent = []
    for _ in range(rounds + 1):  # the first compiles, or reads what was compiled
        start = time.process_time(), time.perf_counter()
        judge(sites[0], sites[1])
        spent.append((time.process_time() - start[0], time.perf_counter() - start[1]))
    cpu, clock = np.min(spent[1:], axis=0) / findings
    return {"images": images, "findings": findings, "cpu": cpu, "clock": clock, "first": spent[0][1]}


def main() -> int:
    """Print the tables; exit code 1 where a target is missed."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--quick", action="store_true", help="20 worlds of each generator")
    options.add_argument("--json", action="store_true", help="print one JSON object per table")
    options.add_argument("--first", type=int, default=FROZEN, help="first seed")
    options.add_argument("--worlds", type=int, default=600, help="worlds of each generator")
    options.add_argument("--rows", type=Path, help="a folder of rows of such seeds (benchmarks._simulated)")
    options.add_argument("--loss-ratio", type=float, default=LOSS_RATIO)
    options.add_argument("--alone", action="store_true", help="one finding a pair")
    options.add_argument("--time", action="store_true", help="seconds a finding")
    choice = options.parse_args()
    if choice.time:
        for size in TIMED:
            print({name: round(float(value), 4) for name, value in timed(*size).items()})
        return 0
    if choice.rows and not any(choice.rows.glob("*.npz")):
        options.error(f"{choice.rows} holds no rows")
    n_worlds = 20 if choice.quick else choice.worlds
    missed = False
    for generator in ("strangers", "plants", "worlds"):
        seeds = n_worlds // per_seed(generator)
        if choice.rows:
            paths = list(choice.rows.glob(f"{generator}-*.npz"))
            if not paths:
                continue
            of = load(paths)
        else:
            start = time.process_time()
            of = rows(
                worlds(generator, range(choice.first, choice.first + seeds)), choice.first, choice.alone
            )
            print(f"{generator}: {time.process_time() - start:.0f} s to draw and gather")
        for (witness, covariates), variant in shipped.VARIANTS.items():
            if witness and generator == "plants":
                continue
            results = report(of, as_shipped(of, witness, covariates), choice.loss_ratio)
            if choice.json:
                print(json.dumps({"generator": generator, "evidence": variant, **results}))
            else:
                print(
                    "\n".join(lines(f"{generator}, {variant}", results, variant == "witness_covariates")),
                    "\n",
                )
            missed |= results["false"] > (0.02 if witness else 0.03)
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())

"""Is the verdict right on mechanisms it never saw? python -m benchmarks.left_out ROWS FRESH FITS

ROWS is what the posterior is fitted to, FRESH rows of seeds from `causes.FROZEN` on (`benchmarks._simulated`). The families
of mechanisms of both generators are dealt into GROUPS. For each group a posterior is fitted and tuned from the start without
any world that holds one of its families, and judges the fresh worlds that hold one. A family is so left out with the others
of its group, which is more than one at a time; a world that holds families of two groups is judged twice. The posterior that
saw all families stands beside it, on the same worlds.
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks._simulated import Rows, families_of, joined, load
from benchmarks._truth import Flags
from benchmarks.causes import OUTCOMES, Answers, answers, lines, one_each, outcomes, rates, report
from benchmarks.fit_posterior import fit
from xray.stats.causes import LOSS_RATIO
from xray.stats.posterior import Coefficients, coefficients, parse, written

GROUPS: Final = 6


def groups(rows: Rows) -> list[frozenset[str]]:
    """The families dealt by name, GROUPS of them."""
    every = sorted(frozenset().union(*families_of(rows)))
    return [frozenset(every[k::GROUPS]) for k in range(GROUPS)]


def holds(rows: Rows, names: frozenset[str]) -> Flags:
    """Rows of worlds that hold one of the families."""
    return np.array([bool(of & names) for of in families_of(rows)], dtype=np.bool_)


def judged(rows: Rows, fresh: Rows, variant: str, fits: Path) -> Iterator[tuple[Rows, Coefficients]]:
    """Per group: the fresh rows that hold one of its families, and the posterior that was fitted without them.

    fits: a folder that keeps what was fitted, so that an interrupted run goes on.
    """
    fits.mkdir(parents=True, exist_ok=True)
    for k, names in enumerate(groups(rows)):
        path = fits / f"{variant}-without-{k}.csv"
        if not path.exists():
            path.write_text(written(fit(rows.take(~holds(rows, names)), variant)), encoding="utf-8")
        yield fresh.take(holds(fresh, names)), parse(path.read_text(encoding="utf-8"))


def together_of(several: list[Answers]) -> Answers:
    """One after the other."""
    return Answers(
        *(np.concatenate([getattr(of, name) for of in several]) for name in Answers.__dataclass_fields__)
    )


def by_family(of: Rows, answers: Answers, loss_ratio: float) -> dict[str, dict[str, float]]:
    """Outcomes of one finding of each world that holds a family, per family that the rows hold."""
    rates_of = {}
    for name in sorted(frozenset().union(*families_of(of))):
        at = np.flatnonzero(holds(of, frozenset({name})))
        at = at[one_each(of.take(at))]
        if at.size:
            rates_of[name] = {"worlds": at.size} | rates(
                list(outcomes(of.take(at), answers.take(at), loss_ratio))
            )
    return rates_of


def main() -> None:
    """Print, for each generator, what is said without the families of a group, and with them."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("rows", type=Path)
    options.add_argument("fresh", type=Path)
    options.add_argument("fits", type=Path, help="a folder for what is fitted")
    options.add_argument("--variant", default="scores")
    options.add_argument("--loss-ratio", type=float, default=LOSS_RATIO)
    options.add_argument("--out", type=Path, help="a file that takes the tables as JSON, one a line")
    choice = options.parse_args()
    rows, fresh = load(choice.rows.glob("*.npz")), load(choice.fresh.glob("*.npz"))
    whole = coefficients(choice.variant)
    parts = list(judged(rows, fresh, choice.variant, choice.fits))
    tables = []
    for generator in ("strangers", "worlds"):
        for name, shipped in (("left out", False), ("seen", True)):
            judged_rows, answers_of = [], []
            for k, (of, c) in enumerate(parts):
                own = of.take(of.generator == generator)
                judged_rows.append(replace(own, world=own.world * GROUPS + k))
                answers_of.append(answers(own, whole if shipped else c))
            together, answer = joined(judged_rows), together_of(answers_of)
            results = report(together, answer, choice.loss_ratio)
            print("\n".join(lines(f"{generator}, families {name}", results, kinds=False)))
            results["families"] = by_family(together, answer, choice.loss_ratio)
            for family, of_family in results["families"].items():
                columns = "".join(f"{of_family[of]:13.1%}" for of in (*OUTCOMES, "misdirected"))
                print(f"  {family:44}{of_family['worlds']:7}{columns}")
            tables.append(json.dumps({"generator": generator, "families are": name, **results}))
    if choice.out:
        choice.out.write_text("\n".join(tables) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The verdict on drawn radiographs, whose differences are known: planted causes against verdicts over several data seeds.

python -m benchmarks.phantom_verdict [--seeds 1 2 3 4] [--home FOLDER] [--quick] [--json]

Each seed draws the four phantom sites anew (other patients, other pictures), trains two models per site as the demo does and
asks for a verdict on every task of every ordered pair of sites. About 150 CPU seconds a seed; what is in FOLDER
already stays.
"""

import argparse
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xray.data.phantom.sites import PhantomSite, load_sites
from xray.tasks import TASKS

PROJECT = Path(__file__).resolve().parents[1]
HEAD = """name = "phantom-seed-{seed}"
title = "Four drawn hospitals, data seed {seed}"
configurations = ["each"]
seeds = [0, 1]
"""
DATASET = """
[[datasets]]
name = "{site}-{seed}"
phantom = {{ site = "{site}", patients = 1200, size = 48, seed = {seed} }}
"""


def planted(a: PhantomSite, b: PhantomSite, task: str) -> frozenset[str]:
    """Causes that differ between two sites for a task, from what was drawn."""
    one, two = a.labelling, b.labelling
    labels = (
        one.redefined.get(task, task) != two.redefined.get(task, task)
        or (task in one.inverted) != (task in two.inverted)
        or one.flipped.get(task, 0.0) != two.flipped.get(task, 0.0)
        or (task == "Cardiomegaly" and one.cardiothoracic_threshold != two.cardiothoracic_threshold)
    )
    found = {
        "image": a.images != b.images,
        "prevalence": a.prevalence_of(task) != b.prevalence_of(task),
        "label": labels,
    }
    return frozenset(cause for cause, differs in found.items() if differs)


def study_file(folder: Path, seed: int) -> Path:
    """The demo's study on sites drawn from a seed, one model per site and training seed."""
    demo = (PROJECT / "studies" / "phantom.toml").read_text(encoding="utf-8")
    rest = "\n" + demo[demo.index("[network]") :]
    path = folder / f"phantom-seed-{seed}.toml"
    datasets = "".join(DATASET.format(site=site, seed=seed) for site in load_sites())
    path.write_text(HEAD.format(seed=seed) + datasets + rest, encoding="utf-8")
    return path


def cells(home: Path, seed: int) -> Iterator[dict[str, Any]]:
    """Verdict rows of one seed, with the planted causes."""
    from sqlalchemy import create_engine

    from db.connection import databases
    from xray.analyses.images_or_labels import compute
    from xray.analyses.stored import load_study, load_tests

    sites = load_sites()
    with databases(home) as found, create_engine(found.xray).connect() as connection:
        study = load_study(connection, f"phantom-seed-{seed}")
        tests = load_tests(connection, study)
        for row in compute(study, tests):
            a, b = (re.sub(r"-\d+$", "", row[key]) for key in ("trained_on_a", "trained_on_b"))
            task = TASKS[row["task_id"]]
            yield {**row, "a": a, "b": b, "task": task, "planted": planted(sites[a], sites[b], task)}


def outcome(causes: frozenset[str], verdict: str) -> str:
    """exact; part (some of the causes); false (a cause that is not there); no claim ("none" of some); cannot tell."""
    if verdict == "cannot tell":
        return "cannot tell"
    claimed = frozenset(verdict.split(" + ")) - {"none"}
    if claimed == causes:
        return "exact"
    return "false" if claimed - causes else "part" if claimed else "no claim"


def main() -> int:
    """Print the confusion table; exit code 1 where more than 5 % of the claims are false."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4])
    options.add_argument("--home", type=Path, default=Path(".xray") / "phantom_verdict")
    options.add_argument("--quick", action="store_true", help="one seed")
    options.add_argument("--json", action="store_true", help="print one JSON object per line")
    given = options.parse_args()
    given.home.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in given.seeds[:1] if given.quick else given.seeds:
        file = study_file(given.home, seed)
        run = "import sys; from flows.cli import main; sys.argv[0] = 'xray'; main()"
        subprocess.run(
            [sys.executable, "-c", run, "study", "run", str(file)],
            env=_environment(given.home),
            stdout=subprocess.DEVNULL,
            check=True,
            cwd=PROJECT,
        )
        for row in cells(given.home, seed):
            rows.append((seed, row))
            if given.json:
                shown = {k: v for k, v in row.items() if k != "planted"}
                print(json.dumps({"seed": seed, "planted": sorted(row["planted"]), **shown}, default=str))
    table: dict[str, Counter[str]] = {}
    outcomes: Counter[str] = Counter()
    for seed, row in rows:
        name = " + ".join(c for c in ("image", "prevalence", "label") if c in row["planted"]) or "none"
        table.setdefault(name, Counter())[row["verdict"]] += 1
        outcomes[outcome(row["planted"], row["verdict"])] += 1
        if not given.json and outcome(row["planted"], row["verdict"]) == "false":
            print(
                f"false: seed {seed} {row['a']} → {row['b']} {row['task']}: planted {name}, verdict {row['verdict']}; "
                f"drop {row['auc_drop']:.2f}, transfer {row['transfer']:.2f}, excess {row['excess']:.2f}"
            )
    if not given.json:
        for name, counts in sorted(table.items()):
            print(
                f"{name:28} {sum(counts.values()):4}  "
                + ", ".join(f"{v} {n}" for v, n in counts.most_common())
            )
        total = sum(outcomes.values())
        print(
            f"{total} cells: "
            + ", ".join(f"{name} {n} ({n / total:.0%})" for name, n in outcomes.most_common())
        )
    claims = outcomes["exact"] + outcomes["part"] + outcomes["false"]
    return int(outcomes["false"] > 0.05 * max(claims, 1))


def _environment(home: Path) -> dict[str, str]:
    import os

    return {
        **os.environ,
        "XRAY_HOME": str(home.resolve()),
        "PYTHONPATH": str(PROJECT),
        "OMP_NUM_THREADS": "1",
    }


if __name__ == "__main__":
    raise SystemExit(main())

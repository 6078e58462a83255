"""Interventions on drawn radiographs, where the truth can be drawn: what pictures cost once they look like another site's.

python -m benchmarks.interventions [--seeds 1] [--sites alpha echo] [--home FOLDER] [--patients 800] [--json]

A network is trained at each of some phantom sites (default: all six). Patients whom it has not seen are drawn by its own
site's detector; their pictures are changed to look like each other site's, as `xray intervene run` does. The truth is the
same patients drawn anew: by the other site's gamma and contrast (histogram), blur (resolution), noise, or borders, or all
of these. What the network loses is measured both ways. Differences in which the other site is better are left out: what
pictures lack is not made up.

Printed per kind: cells, mean true loss, error of the measured one (mean, root mean square), the share of paired 95 %
intervals that hold the truth, and, where the detectors are the same, the share that hold 0. A CPU minute a site and seed;
what is in FOLDER stays.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import create_engine, select

from benchmarks.phantom_verdict import DATASET, HEAD, PATIENTS
from xray.data.phantom.generate import draw_site
from xray.data.phantom.sites import PHANTOM_TASKS, Images, PhantomSite, load_sites
from xray.pixels.changes import KINDS, change
from xray.stats.comparisons import compare_paired
from xray.tasks import TASK_INDEX

PROJECT: Final = Path(__file__).resolve().parents[1]
SIZE: Final = 48
"""Pixels, as in benchmarks.phantom_verdict."""
FIRST: Final = 10_000
"""Patients from here on are of no study."""
SAMPLE: Final = 400
Floats = NDArray[np.float64]


def as_drawn(kind: str, own: Images, other: Images) -> Images:
    """A site's detector with what a change of this kind takes over from another's; what is better there stays."""
    parts: dict[str, dict[str, float]] = {
        "histogram": {"gamma": other.gamma, "contrast": other.contrast},
        "resolution": {"blur": max(own.blur, other.blur)},
        "noise": {"noise": max(own.noise, other.noise)},
        "borders": {"border": max(own.border, other.border)},
    }
    parts["all"] = {name: value for part in parts.values() for name, value in part.items()}
    return replace(own, **parts[kind])


def cells(
    site: PhantomSite, others: Sequence[PhantomSite], network: Any, n: int, seed: int, size: int = SIZE
) -> Iterator[dict[str, Any]]:
    """Rows of one site's network: per other site, kind and finding, the true and the measured loss."""
    unseen = range(FIRST, FIRST + n)
    own = draw_site(site, patients=unseen, size=size, seed=seed)
    patients = own.cases.patient
    keys = np.arange(len(own.pixels), dtype=np.uint64)
    before = scores(network, own.pixels)
    for other in others:
        sample = draw_site(other, patients=SAMPLE, size=size, seed=seed).pixels
        for kind in KINDS:
            images = as_drawn(kind, site.images, other.images)
            truth = draw_site(replace(site, images=images), patients=unseen, size=size, seed=seed).pixels
            changed = change(kind, own.pixels[:SAMPLE], sample)
            lost = compare_paired(own.labels, before, scores(network, truth), patients=patients)
            measured = compare_paired(
                own.labels, before, scores(network, changed.apply(own.pixels, keys, seed)), patients=patients
            )
            for column, task in enumerate(PHANTOM_TASKS):
                yield {
                    "seed": seed, "a": site.name, "b": other.name, "kind": kind, "task": task,
                    "differs": images != site.images, "changed": bool(changed.steps), "same": site.images == other.images,
                    "truth": float(lost.difference[column]), "loss": float(measured.difference[column]),
                    "lower": float(measured.lower[column]), "upper": float(measured.upper[column]),
                }  # fmt: skip


def scores(network: Any, pixels: NDArray[np.uint8]) -> Floats:
    """Logits (n, n_phantom_tasks)."""
    from xray.learning.infer import score

    columns = [TASK_INDEX[task] for task in PHANTOM_TASKS]
    return np.asarray(score(network, pixels, np.arange(len(pixels)))[:, columns], dtype=np.float64)


def study_file(folder: Path, sites: Sequence[str], seed: int) -> Path:
    """The demo's network and training at these sites, drawn from a seed."""
    demo = (PROJECT / "studies" / "phantom.toml").read_text(encoding="utf-8")
    head = HEAD.format(seed=seed).replace("seeds = [0, 1]", "seeds = [0]")
    datasets = [DATASET.format(site=site, seed=seed, patients=PATIENTS, size=SIZE) for site in sites]
    path = folder / f"phantom-seed-{seed}.toml"
    path.write_text(head + "".join(datasets) + "\n" + demo[demo.index("[network]") :], encoding="utf-8")
    return path


def networks(home: Path, seed: int) -> dict[str, Any]:
    """The networks of a study by the site that they were trained on."""
    from db.connection import databases
    from db.schema import Model
    from xray import settings
    from xray.learning.network import load
    from xray.learning.tracking import Tracker

    with databases(home) as urls, create_engine(urls.xray).connect() as connection:
        tracker = Tracker(urls.mlflow, settings.artifacts())
        rows = connection.execute(select(Model.trained_on, Model.mlflow_model, Model.mlflow_version)).all()
        return {
            row.trained_on.removesuffix(f"-{seed}"): load(
                tracker.weights(row.mlflow_model, row.mlflow_version)
            )
            for row in rows
            if row.trained_on.endswith(f"-{seed}")
        }


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Lines of the table."""
    yield f"{'':12}{'cells':>6}{'true loss':>11}{'mean error':>12}{'rms error':>11}{'held':>8}"
    for kind in KINDS:
        own = [row for row in rows if row["kind"] == kind and row["differs"] and not np.isnan(row["loss"])]
        truth, loss = (np.array([row[name] for row in own]) for name in ("truth", "loss"))
        covered = np.mean([row["lower"] <= row["truth"] <= row["upper"] for row in own])
        yield (
            f"{kind:12}{len(own):6}{truth.mean():11.3f}{(loss - truth).mean():12.4f}"
            f"{np.sqrt(((loss - truth) ** 2).mean()):11.4f}{covered:8.1%}"
        )
    same = [row for row in rows if row["same"] and not np.isnan(row["loss"])]
    none = np.mean([row["lower"] <= 0 <= row["upper"] for row in same])
    largest = max(abs(row["loss"]) for row in same)
    yield f"detectors alike: {len(same)} cells, {none:.1%} hold 0, largest loss {largest:.3f}"


def main() -> int:
    """Print the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seeds", type=int, nargs="+", default=[1])
    options.add_argument("--sites", nargs="+", help="where networks are trained")
    options.add_argument("--home", type=Path, default=Path(".xray") / "interventions")
    options.add_argument("--patients", type=int, default=800)
    options.add_argument("--json", action="store_true", help="print one JSON object per line")
    choice = options.parse_args()
    choice.home.mkdir(parents=True, exist_ok=True)
    os.environ.update(XRAY_HOME=str(choice.home.resolve()), PYTHONPATH=str(PROJECT), OMP_NUM_THREADS="1")
    rows = []
    for seed in choice.seeds:
        sites = load_sites()
        file = study_file(choice.home, choice.sites or list(sites), seed)
        run = "import sys; from flows.cli import main; sys.argv[0] = 'xray'; main()"
        subprocess.run(
            [sys.executable, "-c", run, "study", "run", str(file)],
            stdout=subprocess.DEVNULL,
            check=True,
            cwd=PROJECT,
        )
        for name, network in networks(choice.home, seed).items():
            others = [other for other in sites.values() if other.name != name]
            rows += list(cells(sites[name], others, network, choice.patients, seed))
    if choice.json:
        for row in rows:
            print(json.dumps(row))
    else:
        print("\n".join(table(rows)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

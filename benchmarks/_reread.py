"""Worlds whose second site is read again by the rules of the first, as rows: what was inferred before, and what is measured.

    python -m benchmarks._reread GENERATOR FIRST LAST FOLDER    the worlds of these seeds, into files of the folder

Seeds from TRAINED on are for fitting what reads mean (`benchmarks.rereads fit`), from JUDGED on for judging alone.
"""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks._simulated import PIECE, per_seed, worlds
from benchmarks._truth import Flags, Floats, World
from xray.stats import pipelines, posterior, reread_design, rereads, shipped
from xray.stats.causes import FEWEST
from xray.stats.evidence import gather

TRAINED: Final = 301_000
JUDGED: Final = 305_000
BUDGETS: Final = (50, 100, 200, 400)
PIPED: Final = (200, 10**9)
"""Images of A that are scored through B's pipeline: planned, or all."""
MEASURED: Final = tuple(field.name for field in fields(rereads.Measured) if field.name != "reason")


@dataclass(frozen=True)
class Findings:
    """A finding a row. probability: (n, variants, 4) before any read, by `shipped.VARIANTS`; share, lower, upper: likewise;
    alike (n, variants). measured: (n, budgets, MEASURED). drop, drop_se: in the sample. prevalence, prevalence_se: log of
    labelled positives at B per A, as shares of images. shares, drawn, counts (n, 4), relabelled (n,): the truth. planned:
    standard error that the design expects (n, budgets). piped: (n, PIPED, `pipelines.NAMES`) A's images through B's
    pipeline; left: probabilities of the causes between these and B, (n, PIPED, without and with covariates, 4);
    piped_cost: the truth.
    """

    probability: Floats
    share: Floats
    lower: Floats
    upper: Floats
    alike: Flags
    measured: Floats
    planned: Floats
    drop: Floats
    drop_se: Floats
    prevalence: Floats
    prevalence_se: Floats
    shares: Floats
    drawn: Flags
    counts: Flags
    relabelled: Floats
    sampled: Floats
    fewest: NDArray[np.int64]
    world: NDArray[np.int64]
    generator: NDArray[np.str_]
    families: NDArray[np.str_]
    piped: Floats
    left: Floats
    piped_cost: Floats

    def __len__(self) -> int:
        return len(self.world)

    def take(self, rows: NDArray[np.generic]) -> "Findings":
        """The rows chosen, by flags or places."""
        return Findings(*(getattr(self, field.name)[rows] for field in fields(self)))


def findings(world: World, number: int) -> Findings:
    """Every finding of a world that can be judged, read again at each budget."""
    evidence = gather(world.a, world.b)
    usable = (evidence.fewest >= FEWEST) & np.isfinite(world.shares[evidence.tasks]).all(axis=1)
    causes = [posterior.causes_by(evidence, name) for name in shipped.VARIANTS.values()]
    places = [
        at
        for at in np.flatnonzero(usable)
        if _positives(world, int(evidence.tasks[at])) >= reread_design.FEWEST
    ]
    tasks = evidence.tasks[places]
    read = [_read(world, int(task), number) for task in tasks]
    before = [
        np.stack([getattr(of, name)[places] for of in causes], axis=1)
        for name in ("probability", "share", "lower", "upper")
    ]
    ratio, ratio_se = _prevalence(world, tasks)
    many = len(tasks)
    probability, share, lower, upper = before
    return Findings(
        probability, share, lower, upper,
        np.stack([of.alike[places] for of in causes], axis=1),
        np.array([m for m, _, _ in read]).reshape(many, len(BUDGETS), len(MEASURED)),
        np.array([p for _, p, _ in read]).reshape(many, len(BUDGETS)),
        evidence.parts.drop.value[tasks], evidence.parts.drop.se[tasks], ratio, ratio_se,
        world.shares[tasks], world.drawn[tasks], world.counts[tasks], world.relabelled[tasks],
        np.array([s for _, _, s in read]).reshape(many), evidence.fewest[places],
        np.full(many, number), np.full(many, world.generator),
        np.full(many, " + ".join(world.families) or "none"),
        *_piped(world, tasks, number), world.piped_cost[tasks],
    )  # fmt: skip


def _piped(world: World, tasks: NDArray[np.int64], number: int) -> tuple[Floats, Floats]:
    measured = np.full((len(tasks), len(PIPED), len(pipelines.NAMES)), np.nan)
    left = np.full((len(tasks), len(PIPED), 2, 4), np.nan)
    every = np.arange(len(world.a.labels))
    of_all = _left(world, every)
    for at, task in enumerate(tasks.tolist()):
        rng = np.random.default_rng([28, number, task])
        for column, budget in enumerate(PIPED):
            images = pipelines.draw(world.a.labels[:, task], budget, rng)
            of = pipelines.measure(
                world.a.labels[images, task], world.a.scores[images, task], world.piped[images, task],
                world.a.patients[images],
            )  # fmt: skip
            measured[at, column] = of.numbers
            others = of_all if budget > every.size else _left(world, images)
            left[at, column] = others.get(task, np.full((2, 4), np.nan))
    return measured, left


def _left(world: World, images: NDArray[np.int64]) -> dict[int, Floats]:
    """Probabilities of the causes between A's images through B's pipeline and B, by task: (2, 4)."""
    features = []
    for mixed in (False, True):
        rescored = replace(world.a.take(images), scores=world.piped[images])
        a, b = (
            replace(site, witness=None, covariates=site.covariates if mixed else None)
            for site in (rescored, world.b)
        )
        evidence = gather(a, b)
        of = posterior.causes_by(evidence, shipped.VARIANTS[False, mixed])
        features.append(dict(zip(evidence.tasks.tolist(), of.probability, strict=True)))
    return {
        task: np.stack([features[0][task], features[1][task]]) for task in features[0] if task in features[1]
    }


def _positives(world: World, task: int) -> int:
    labels = world.b.labels[:, task]
    return int(min((labels == 1).sum(), (labels == 0).sum()))


def _read(world: World, task: int, number: int) -> tuple[list[list[float]], list[float], float]:
    scores, labels, again = world.b.scores[:, task], world.b.labels[:, task], world.by_a[:, task]
    rng = np.random.default_rng([23, number, task])
    measured, planned = [], []
    for budget in BUDGETS:
        design = reread_design.plan(scores, labels, budget)
        assert design is not None
        read = reread_design.draw(design, rng)
        of = rereads.measure(scores, labels, world.b.patients, design, read, again[read])
        measured.append([float(value) for value in astuple(of)[: len(MEASURED)]])
        planned.append(rereads.expected_se(scores, labels, design))
    every = np.flatnonzero(np.isfinite(labels))
    whole = reread_design.Design(
        np.where(np.isfinite(labels), 0, -1), np.array([every.size]), np.array([every.size])
    )
    full = rereads.measure(scores, labels, world.b.patients, whole, every, again[every])
    return measured, planned, full.difference


def _prevalence(world: World, tasks: NDArray[np.int64]) -> tuple[Floats, Floats]:
    counts = [
        (np.nansum(site.labels[:, tasks], axis=0), (~np.isnan(site.labels[:, tasks])).sum(axis=0))
        for site in (world.a, world.b)
    ]
    (xa, na), (xb, nb) = counts
    return np.log(xb / nb) - np.log(xa / na), np.sqrt(1 / xa - 1 / na + 1 / xb - 1 / nb)


def save(several: Iterable[Findings], path: Path) -> None:
    """Into one file."""
    np.savez_compressed(path, allow_pickle=False, **_joined(list(several)))


def _joined(parts: list[Findings]) -> dict[str, NDArray[Any]]:
    return {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Findings)
    }


def load(paths: Iterable[Path]) -> Findings:
    """What files of `main` hold, worlds numbered through."""
    parts = []
    for path in sorted(paths):
        with np.load(path) as stored:
            parts.append(Findings(**{name: stored[name] for name in stored.files}))
    return Findings(**_joined(parts))


def main() -> None:
    """See the module. Seeds whose file is there already are left out."""
    generator, first, last, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    step = PIECE // per_seed(generator)
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(first, last, step):
        path = folder / f"{generator}-{start}.npz"
        if not path.exists():
            numbered = enumerate(
                worlds(generator, range(start, min(start + step, last))), per_seed(generator) * start
            )
            save([findings(world, number) for number, world in numbered], path)


if __name__ == "__main__":
    main()

"""Rows of evidence with their truth, from three generators of worlds: what a posterior is fitted to and judged on.

    python -m benchmarks._simulated GENERATOR FIRST LAST FOLDER [--alone] [--large]

The worlds of these seeds, into files of the folder. A seed of `worlds` is a world of each of its kinds; one of `strangers`
is a world of mechanisms drawn by the seed; one of `plants` is a site of either, and a copy with changes in its scores. With
--alone a pair of sites has one finding: of each world one in which a cause counts, where there is one, and another. With
--large as many images are tested as the large public archives hold out.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import _own_plants, _strangers, _worlds
from benchmarks._truth import AS_ARCHIVES, Flags, Floats, Sizes, World
from xray.stats.evidence import Site, gather

PIECE: Final = 40
"""Worlds in a file: what is lost when a run is ended."""
SHARED: Final = ("none", "prevalence")
"""Families that are never left out: without them there is no other like them."""


@dataclass(frozen=True)
class Rows:
    """A finding a row. columns: evidence by name (n,); shares, drawn, counts: (n, 4); drop: in a large sample.

    world: number of the world. generator, families: (n,) texts. fewest: patients of the rarer class.
    drop_seen: the drop in the sample; drop_se: its standard error.
    """

    columns: dict[str, Floats]
    shares: Floats
    drawn: Flags
    counts: Flags
    drop: Floats
    drop_seen: Floats
    drop_se: Floats
    world: NDArray[np.int64]
    generator: NDArray[np.str_]
    families: NDArray[np.str_]
    fewest: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.world)

    def take(self, selection: NDArray[np.generic]) -> "Rows":
        """The rows chosen, by flags or places."""
        fields = {
            name: getattr(self, name)[selection] for name in self.__dataclass_fields__ if name != "columns"
        }
        return Rows(columns={name: of[selection] for name, of in self.columns.items()}, **fields)


def worlds(generator: str, seeds: Iterable[int], images: Sizes | None = None) -> Iterator[World]:
    """The worlds of some seeds. images: how many are tested at a site; None as the generator has it."""
    for seed in seeds:
        if generator == "strangers":
            yield _strangers.draw_world(seed, images=images)
        elif generator == "plants":
            yield _own_plants.draw_world(seed, images)
        else:
            yield from (_worlds.mixed_world(kind, seed, images) for kind in _worlds.KINDS)


def per_seed(generator: str) -> int:
    """How many worlds a seed is."""
    return len(_worlds.KINDS) if generator == "worlds" else 1


def one_finding(world: World, seed: int) -> Iterator[World]:
    """The world as if a single finding had been labelled: one that a cause counts for, if any, and one of the others."""
    order = np.random.default_rng(seed).permutation(len(world.drop))
    for task in order[np.argsort(~world.counts[order].any(axis=1), kind="stable")][[0, -1]]:
        at = [int(task)]

        def cut(site: Site, at: list[int] = at) -> Site:
            witness = None if site.witness is None else site.witness[:, at]
            return replace(site, labels=site.labels[:, at], scores=site.scores[:, at], witness=witness)

        yield replace(
            world, a=cut(world.a), b=cut(world.b), by_a=world.by_a[:, at], piped=world.piped[:, at],
            **{name: getattr(world, name)[at] for name in ("drop", "shares", "drawn", "counts", "relabelled", "piped_cost")},
        )  # fmt: skip


def families_of(rows: Rows) -> list[frozenset[str]]:
    """Per row, the families that can be left out, with their generator before them: of plants, those that they resemble."""
    return [
        frozenset().union(
            *(_families(generator, name) for name in families.split(" + ") if name not in SHARED)
        )
        for generator, families in zip(rows.generator.tolist(), rows.families.tolist(), strict=True)
    ]


def _families(generator: str, name: str) -> tuple[str, ...]:
    return _own_plants.RESEMBLED[name] if generator == "plants" else (f"{generator}: {name}",)


def rows(worlds: Iterable[World], first: int = 0, alone: bool = False) -> Rows:
    """Evidence and truth of every finding that has both; alone: of some, each the only one of its pair."""
    parts: list[dict[str, NDArray[Any]]] = []
    for number, world in _numbered(worlds, first, alone):
        evidence = gather(world.a, world.b)
        tasks = evidence.tasks
        defined = np.isfinite(world.shares[tasks]).all(axis=1)
        tasks = tasks[defined]
        parts.append(
            {
                **{f"x {name}": of[defined] for name, of in evidence.columns.items()},
                "shares": world.shares[tasks],
                "drawn": world.drawn[tasks],
                "counts": world.counts[tasks],
                "drop": world.drop[tasks],
                "drop_seen": evidence.parts.drop.value[tasks],
                "drop_se": evidence.parts.drop.se[tasks],
                "world": np.full(tasks.size, number),
                "generator": np.full(tasks.size, world.generator),
                "families": np.full(tasks.size, " + ".join(world.families) or "none"),
                "fewest": evidence.fewest[defined],
            }
        )
    return _joined(parts)


def _numbered(worlds: Iterable[World], first: int, alone: bool) -> Iterator[tuple[int, World]]:
    for number, world in enumerate(worlds, first):
        yield from ((number, part) for part in (one_finding(world, number) if alone else [world]))


def load(paths: Iterable[Path]) -> Rows:
    """What files of `main` hold, worlds numbered through."""
    parts = []
    for number, path in enumerate(sorted(paths)):
        with np.load(path) as stored:
            part = {name: stored[name] for name in stored.files}
        part["world"] = part["world"] + 1_000_000 * number
        parts.append(part)
    return _joined(parts)


def joined(several: Sequence[Rows]) -> Rows:
    """One after the other; evidence that some lack is NaN there."""
    return _joined([_fields(of) for of in several])


def _fields(of: Rows) -> dict[str, NDArray[Any]]:
    fields = {name: getattr(of, name) for name in Rows.__dataclass_fields__ if name != "columns"}
    return {f"x {name}": column for name, column in of.columns.items()} | fields


def _joined(parts: list[dict[str, NDArray[Any]]]) -> Rows:
    names = dict.fromkeys(
        name for part in parts for name in part
    )  # a pair with one finding has no evidence of others
    every = {
        name: np.concatenate([part.get(name, np.full(len(part["world"]), np.nan)) for part in parts])
        for name in names
    }
    columns = {name[2:]: every.pop(name) for name in list(every) if name.startswith("x ")}
    return Rows(columns=columns, **every)


def save(table: Rows, path: Path) -> None:
    """Into one file."""
    fields = {
        name: of.astype(np.float32) if name.startswith("x ") else of for name, of in _fields(table).items()
    }
    np.savez_compressed(path, allow_pickle=False, **fields)


def main() -> None:
    """See the module. Seeds whose file is there already are left out."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("generator", choices=("strangers", "plants", "worlds"))
    options.add_argument("first", type=int)
    options.add_argument("last", type=int)
    options.add_argument("folder", type=Path)
    options.add_argument("--alone", action="store_true")
    options.add_argument("--large", action="store_true")
    choice = options.parse_args()
    choice.folder.mkdir(parents=True, exist_ok=True)
    step = PIECE // per_seed(choice.generator)
    for start in range(choice.first, choice.last, step):
        path = choice.folder / f"{choice.generator}-{start}.npz"
        if not path.exists():
            seeds = range(start, min(start + step, choice.last))
            drawn = worlds(choice.generator, seeds, AS_ARCHIVES if choice.large else None)
            save(rows(drawn, start, choice.alone), path)


if __name__ == "__main__":
    main()

"""What truth is in a simulated pair of sites: acquisition, population, prevalences and labeller can be swapped.

A's model has an AUC in each of the sixteen mixtures of A's and B's. The share of the drop that a part takes is
Shapley's: its mean over the orders in which A's parts are replaced by B's; the four shares sum to the drop. Prevalence here
is how common disease is; population is everything else about who comes, is imaged and is verified. A cause counts
    image, population    where its share is at least COUNTS_FROM
    prevalence           where the finding is RATIO times as common, or rare, at B, by A's labeller, whatever that costs
    label                where its share is at least COUNTS_FROM, or B's labeller calls RATIO times as many, or few, of B's
It is drawn where the sites differ in it at all; what is drawn and does not count may be named, and need not be.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xray.stats.evidence import Site

CAUSES: Final = ("image", "population", "prevalence", "label")
COUNTS_FROM: Final = 0.03
RATIO: Final = 1.5
FELT_RATIO: Final = 1.15

Sizes = tuple[int, int]
"""Fewest and most images of a tested site; drawn between them, evenly in logarithms."""
AS_ARCHIVES: Final[Sizes] = (5_000, 40_000)
"""What is held out of the large public archives."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Mixture = tuple[int, int, int, int]
"""By `CAUSES`, 0 for A's and 1 for B's."""
MIXTURES: Final[list[Mixture]] = [
    (image, population, prevalence, label)
    for image in (0, 1)
    for population in (0, 1)
    for prevalence in (0, 1)
    for label in (0, 1)
]


@dataclass(frozen=True)
class World:
    """Two sites and the truth per finding. shares: (n_tasks, 4) of the drop.

    generator, families: where it is from. drawn, counts: (n_tasks, 4). All by `CAUSES`. by_a: what A's labeller says of B's
    images where these are read a second time, (n_images, n_tasks): with an error of the hand of its own, and NaN where B's
    images have no label. relabelled: what the AUC at B would gain by A's labeller, in a large sample (n_tasks,). piped:
    scores of A's images through B's pipeline, (n_images of A, n_tasks), piped_cost: AUC that this
    costs in a large sample (n_tasks,).
    """

    generator: str
    families: tuple[str, ...]
    a: Site
    b: Site
    drop: Floats
    shares: Floats
    drawn: Flags
    counts: Flags
    by_a: Floats
    relabelled: Floats
    piped: Floats
    piped_cost: Floats


@dataclass(frozen=True)
class Truth:
    """shares, drawn, counts, relabelled as in `World`; drop: (n_tasks,)."""

    drop: Floats
    shares: Floats
    drawn: Flags
    counts: Flags
    relabelled: Floats


def truth(
    value: Mapping[Mixture, Floats],
    calls: tuple[Floats, Floats, Floats],
    planted: Mapping[str, bool | Flags],
) -> Truth:
    """value: AUC of A's model (n_tasks,) by mixture. calls: share of positives at A, at B by A's labeller, at B (n_tasks,).

    planted: by cause (image, population, label), whether the sites differ in it, for all tasks or each.
    """
    shares = np.mean([_losses(value, order) for order in permutations(range(4))], axis=0).T
    more = _ratio(calls[1], calls[0])
    image, population, _, label = shares.T
    counts = np.column_stack(
        [
            image >= COUNTS_FROM,
            population >= COUNTS_FROM,
            more >= RATIO,
            (label >= COUNTS_FROM) | (_ratio(calls[2], calls[1]) >= RATIO),
        ]
    )
    every = np.ones(len(shares), dtype=np.bool_)
    causes = np.column_stack(
        [
            every & planted["image"],
            every & planted["population"],
            more >= FELT_RATIO,
            every & planted["label"],
        ]
    )
    full = value[1, 1, 1, 1]
    return Truth(value[0, 0, 0, 0] - full, shares, causes | counts, counts, value[1, 1, 1, 0] - full)


def _losses(value: Mapping[Mixture, Floats], order: tuple[int, ...]) -> Floats:
    """What each part takes, (4, n_tasks), where B's replace A's in this order."""
    at = [0, 0, 0, 0]
    total = np.zeros((4, value[0, 0, 0, 0].size))
    for part in order:
        before = value[at[0], at[1], at[2], at[3]]
        at[part] = 1
        total[part] = before - value[at[0], at[1], at[2], at[3]]
    return total


def _ratio(one: Floats, two: Floats) -> Floats:
    return np.asarray(np.exp(np.abs(np.log((one + 1e-4) / (two + 1e-4)))))

"""Do the intervals of a chosen threshold hold? Share of simulations in which they cover the truth, which should be 93–97 %.

    python benchmarks/thresholds.py [simulations] [--world NAME] [--seed N] [--json]

Worlds in which what a threshold does on further images is known exactly (`WORLDS`): two normals, other distributions of
scores, other areas, a rarer finding, scores in steps, patients whose images are more or less alike. A line for each world,
number of positives, images of each patient and goal: the coverage of the threshold's own interval (of the threshold that the
whole population would give) and of sensitivity, specificity, PPV, NPV and positive rate at the threshold that was chosen. At
the end how many of these lie in 93–97 %, and how many do within two standard errors of their own.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import expon, gamma, norm
from scipy.stats import t as student

from xray.stats.chosen import MEASURES, Goal, choose_each

Floats = NDArray[np.float64]

ASKED: tuple[tuple[Goal, float], ...] = (
    ("sensitivity", 0.9),
    ("specificity", 0.9),
    ("ppv", 0.5),
    ("positive rate", 0.2),
    ("youden", 0.0),
)
CELLS = ((30, 1), (100, 1), (300, 1), (100, 3), (300, 3))
"""Positives, about, and images of each patient."""
HIGHER, STANDARD = norm(1.5), norm()
WITHIN = (0.93, 0.97)


@dataclass(frozen=True)
class World:
    """Scores of positive and negative images (scipy's frozen distributions).

    used: prevalence where the threshold is used, if not that of the images. alike: correlation of a patient's images, of the
    normal scores behind. mixed: a patient has positive and negative images. steps: so many scores to a unit; 0: any.
    """

    positive: Any = HIGHER
    negative: Any = STANDARD
    prevalence: float = 0.2
    prevalence_of_use: float | None = None
    alike: float = 0.5
    mixed: bool = False
    steps: int = 0

    def truth(self, threshold: "float | Floats") -> Floats:
        """`MEASURES` of a threshold in the population, (n_measures, …)."""
        if self.steps:
            threshold = np.ceil(np.asarray(threshold) * self.steps - 1e-6) / self.steps - 0.5 / self.steps
        share = self.prevalence_of_use or self.prevalence
        sensitivity, share_of_negatives = self.positive.sf(threshold), self.negative.sf(threshold)
        hit, false = share * sensitivity, (1 - share) * share_of_negatives
        miss, right = share - hit, 1 - share - false
        with np.errstate(invalid="ignore"):
            return np.array(
                [
                    sensitivity,
                    1 - share_of_negatives,
                    hit / (hit + false),
                    right / (right + miss),
                    hit + false,
                ]
            )

    def best(self, goal: Goal, value: float) -> float:
        """The threshold that the population would give: the highest for a sensitivity, else the lowest that serves."""
        low, high = float(self.negative.ppf(1e-4)), float(self.positive.ppf(1 - 1e-4))
        grid = np.linspace(low, high, 20_001)
        if self.steps:
            grid = np.arange(np.floor(low * self.steps), np.ceil(high * self.steps) + 1) / self.steps
        values = self.truth(grid)
        if goal == "youden":
            return float(grid[np.argmax(values[0] + values[1])])
        gap = (values[MEASURES.index(goal)] - value) * (-1 if goal == "positive rate" else 1)
        serves = np.flatnonzero(gap >= -1e-12)
        if goal == "sensitivity":
            index = int(serves[-1])
            pair = index, index + 1
        else:
            index = int(serves[0])
            pair = index - 1, index
        if self.steps:
            return float(grid[index])
        measure = MEASURES.index(goal)
        return float(brentq(lambda t: float(self.truth(t)[measure]) - value, grid[pair[0]], grid[pair[1]]))

    def draw(
        self, random: np.random.Generator, n_pos: int, images: int
    ) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """Labels, scores and patients, `n_pos` positive images on average."""
        patients = round(n_pos / self.prevalence / images)
        once = 1 if self.mixed else images
        positive = np.repeat(random.random(patients * images // once) < self.prevalence, once)
        alike = self.alike if images > 1 else 0.0
        z = np.sqrt(alike) * np.repeat(random.normal(size=patients), images)
        u = ndtr(z + np.sqrt(1 - alike) * random.normal(size=len(z)))
        score = np.where(positive, self.positive.ppf(u), self.negative.ppf(u))
        if self.steps:
            score = np.round(score * self.steps) / self.steps
        return positive.astype(float), score, np.repeat(np.arange(patients), images)


WORLDS = {
    "normal": World(),
    "auc .75": World(norm(0.954)),
    "auc .95": World(norm(2.326)),
    "skewed": World(gamma(3.0), expon()),
    "heavy tails": World(student(4, loc=1.8), student(4)),
    "rare": World(prevalence=0.05),
    "used where rarer": World(prevalence_of_use=0.1),
    "steps": World(steps=4),
    "alike .2": World(alike=0.2),
    "mixed patients": World(alike=0.6, mixed=True),
    "alike .8, wider positives": World(norm(1.5, 1.3), alike=0.8),
}


def coverage(
    name: str, n_pos: int, images: int, simulations: int, seed: int, replicates: int = 400
) -> Iterator[tuple[Goal, int, Floats]]:
    """Of each goal the simulations in which it was reached, and shares of them in which intervals cover the truth."""
    world, random = WORLDS[name], np.random.default_rng([seed, n_pos, images, crc32(name.encode())])
    best = {goal: world.best(goal, value) for goal, value in ASKED}
    covered: dict[Goal, list[list[bool]]] = {goal: [] for goal, _ in ASKED}
    for number in range(simulations):
        choices = choose_each(
            *world.draw(random, n_pos, images), ASKED, world.prevalence_of_use, replicates, number
        )
        for (goal, _), choice in zip(ASKED, choices, strict=True):
            if not choice.reason:
                real = world.truth(choice.threshold)
                own = choice.lower - 1e-9 <= best[goal] <= choice.upper + 1e-9
                covered[goal].append([own, *((choice.value_lower <= real) & (real <= choice.value_upper))])
    for goal, rows in covered.items():
        yield goal, len(rows), np.mean(rows, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("simulations", nargs="?", type=int, default=400)
    parser.add_argument("--world", choices=WORLDS, action="append", help="repeatable; default: normal")
    parser.add_argument("--positives", type=int, action="append", help="only these numbers of positives")
    parser.add_argument("--images", type=int, action="append", help="only so many images of each patient")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    inside = nearly = total = 0
    for name in options.world or ["normal"]:
        for n_pos, images in CELLS:
            if n_pos not in (options.positives or [n_pos]) or images not in (options.images or [images]):
                continue
            for goal, n, shares in coverage(name, n_pos, images, options.simulations, options.seed):
                error = 2 * np.sqrt(0.05 * 0.95 / n)
                inside += int(((shares >= WITHIN[0]) & (shares <= WITHIN[1])).sum())
                nearly += int(((shares >= WITHIN[0] - error) & (shares <= WITHIN[1] + error)).sum())
                total += len(shares)
                row = dict(zip(("threshold", *MEASURES), map(float, np.round(shares, 3)), strict=True))
                results = {
                    "world": name,
                    "positives": n_pos,
                    "images": images,
                    "goal": goal,
                    "simulations": n,
                    **row,
                }
                print(
                    json.dumps(results)
                    if options.json
                    else "  ".join(f"{k} {v}" for k, v in results.items()),
                    flush=True,
                )
    counts = {"intervals": total, "in 93-97 %": inside, "within two standard errors": nearly}
    print(json.dumps(counts) if options.json else "  ".join(f"{k} {v}" for k, v in counts.items()))


if __name__ == "__main__":
    main()

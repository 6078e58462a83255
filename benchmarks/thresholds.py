"""Do the intervals of a chosen threshold hold? Share of simulations in which they cover the truth, which should be 93–97 %.

    python benchmarks/thresholds.py [simulations] [--json]

Two normals a shift apart, so that what a threshold does on further images is known exactly. Each line says what was asked
for, how many positives and how many images of each patient there are, and the coverage of the threshold's own interval (of
the threshold that the whole population would give) and of sensitivity, specificity, PPV, NPV and positive rate at the
threshold that was chosen.
"""

import json
import sys

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from xray.stats.chosen import MEASURES, Goal, choose

Floats = NDArray[np.float64]

SHIFT, PREVALENCE = 1.5, 0.2
ASKED: tuple[tuple[Goal, float], ...] = (
    ("sensitivity", 0.9),
    ("specificity", 0.9),
    ("ppv", 0.5),
    ("positive rate", 0.2),
    ("youden", 0.0),
)


def truth(threshold: float, shift: float = SHIFT) -> Floats:
    """`MEASURES` of a threshold in the population."""
    sensitivity, called = norm.sf(threshold - shift), norm.sf(threshold)
    hit, false = PREVALENCE * sensitivity, (1 - PREVALENCE) * called
    miss, right = PREVALENCE - hit, 1 - PREVALENCE - false
    return np.array([sensitivity, 1 - called, hit / (hit + false), right / (right + miss), hit + false])


def threshold_of(goal: Goal, wanted: float) -> float:
    """The threshold that the population would give."""
    if goal == "youden":
        return SHIFT / 2
    return float(brentq(lambda t: truth(t)[MEASURES.index(goal)] - wanted, -6, 8))


def draw(random: np.random.Generator, n_pos: int, images: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Labels, scores and patients, `n_pos` positive images on average.

    Patients are positive or not as a whole, and their images share half of the variance.
    """
    patients = round(n_pos / PREVALENCE / images)
    positive = random.random(patients) < PREVALENCE
    label = np.repeat(positive, images)
    shared = 0.5 if images > 1 else 0.0
    noise = np.sqrt(shared) * np.repeat(random.normal(size=patients), images)
    score = noise + np.sqrt(1 - shared) * random.normal(size=len(label)) + SHIFT * label
    return label.astype(float), score, np.repeat(np.arange(patients), images)


def coverage(
    goal: Goal, wanted: float, n_pos: int, images: int, simulations: int, replicates: int = 400
) -> tuple[int, Floats]:
    """Shares of simulations in which the threshold's interval and those of `MEASURES` cover the truth."""
    random, best = np.random.default_rng(n_pos * 10 + images), threshold_of(goal, wanted)
    covered = []
    for number in range(simulations):
        label, score, patients = draw(random, n_pos, images)
        made = choose(label, score, patients, goal, wanted, replicates=replicates, seed=number)
        if made.reason:
            continue
        real = truth(made.threshold)
        covered.append(
            [made.lower <= best <= made.upper, *((made.value_lower <= real) & (real <= made.value_upper))]
        )
    return len(covered), np.mean(covered, axis=0)


def main() -> None:
    numbers = [word for word in sys.argv[1:] if word.isdigit()]
    simulations = int(numbers[0]) if numbers else 400
    for goal, wanted in ASKED:
        for n_pos, images in ((30, 1), (100, 1), (300, 1), (100, 3)):
            n, shares = coverage(goal, wanted, n_pos, images, simulations)
            row = dict(zip(("threshold", *MEASURES), map(float, np.round(shares, 3)), strict=True))
            told = {
                "goal": goal,
                "wanted": wanted,
                "positives": n_pos,
                "images": images,
                "simulations": n,
                **row,
            }
            print(
                json.dumps(told) if "--json" in sys.argv else "  ".join(f"{k} {v}" for k, v in told.items())
            )


if __name__ == "__main__":
    main()

"""Do the intervals of calibration hold, before and after? Share of simulations that cover the truth: 93–97 % is right.

    python -m benchmarks.recalibration [simulations] [--json]

Logits are too high and too extreme by a planted line. Before: what is planted. After: what the map that was fitted on all
images does on further ones, against the interval of the cross-fitted judgement. Each line says the method, how many
positives there are, how many images of each patient, and the coverage of calibration in the large, Cox's intercept and
slope, Brier's score and ECE (whose interval after is wide: it holds at least as often).
"""

import json
import sys

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from xray.stats.calibration_intervals import MEASURES, calibration_measures
from xray.stats.recalibration import METHODS, Method, cross_fitted, in_the_large, recalibrate

Floats = NDArray[np.float64]

INTERCEPT, SLOPE, PREVALENCE = -1.0, 0.7, 0.185
FURTHER = 20_000


def draw(random: np.random.Generator, patients: int, images: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Labels, logits, patients; a patient's images share half of what is not the logit, and half of the logit's variance."""
    shared = 0.5 if images > 1 else 0.0

    def noise() -> Floats:
        own, common = random.normal(size=patients * images), np.repeat(random.normal(size=patients), images)
        return np.asarray(np.sqrt(shared) * common + np.sqrt(1 - shared) * own)

    logits = -1.2 + 1.8 * noise()
    labels = (norm.cdf(noise()) < expit(INTERCEPT + SLOPE * logits)).astype(np.float64)
    return labels, logits, np.repeat(np.arange(patients), images)


def truth(probability: Floats, logits: Floats) -> Floats:
    """`MEASURES` of logits whose true probabilities are these: fits to the probabilities themselves."""
    risk = expit(logits)
    design = np.stack([np.ones(len(logits)), logits], axis=1)
    line = np.array([0.0, 1.0])
    for _ in range(10):
        mean = expit(design @ line)
        information = design.T @ (design * (mean * (1 - mean))[:, None])
        line = line + np.linalg.solve(information, design.T @ (probability - mean))
    brier = np.mean(probability * (1 - risk) ** 2 + (1 - probability) * risk**2)
    order = np.argsort(risk, kind="stable")
    gaps = [abs((probability[part] - risk[part]).sum()) for part in np.array_split(order, 10)]
    return np.array([in_the_large(probability, logits), *line, brier, sum(gaps) / len(risk)])


def coverage(method: Method | None, n_pos: int, images: int, simulations: int) -> tuple[int, Floats]:
    """Share of simulations whose intervals hold the truth; method None: before."""
    random = np.random.default_rng(n_pos * 10 + images)
    _, further, _ = draw(np.random.default_rng(0), FURTHER, 1)
    real = expit(INTERCEPT + SLOPE * further)
    covered = []
    for _ in range(simulations):
        labels, logits, patients = draw(random, round(n_pos / PREVALENCE / images), images)
        judged, target = logits, further
        if method is not None:
            fitted = recalibrate(labels, logits, method)
            judged, reason = cross_fitted(labels, logits, patients, method)
            if fitted.reason or reason:
                continue
            target = fitted.apply(further)
        measures = calibration_measures(labels, judged, patients, fitted_here=method is not None)
        if measures.reason:
            continue
        values = truth(real, target)
        bounds = [(measures.measures[name].lower, measures.measures[name].upper) for name in MEASURES]
        covered.append([low <= value <= high for value, (low, high) in zip(values, bounds, strict=True)])
    return len(covered), np.mean(covered, axis=0)


def main() -> None:
    numbers = [word for word in sys.argv[1:] if word.isdigit()]
    simulations = int(numbers[0]) if numbers else 300
    for method in (None, *METHODS):
        for n_pos, images in ((30, 1), (100, 1), (300, 1), (100, 3)):
            n, shares = coverage(method, n_pos, images, simulations)
            row: dict[str, object] = {
                "method": method or "before",
                "positives": n_pos,
                "images": images,
                "simulations": n,
            }
            row |= dict(zip(MEASURES, np.round(shares, 3).tolist(), strict=True))
            print(
                json.dumps(row) if "--json" in sys.argv else "  ".join(f"{k} {v}" for k, v in row.items()),
                flush=True,
            )


if __name__ == "__main__":
    main()

"""Do 95 % intervals hold the truth in 95 % of samples? python -m benchmarks.coverage [--quick] [--json]

Scores of known AUC and average precision, drawn again and again. `rate` is the share of intervals that hold the truth,
`error` its Monte Carlo standard error. Of average precision, which depends on prevalence, the prevalence is fixed and the
number of positives drawn. Clustered: patients with six images each, whose scores have the patient in common; there the
interval that takes images as independent must fail, and those with the patient as unit must hold.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr, ndtri

from benchmarks.report import arguments
from xray.stats.bootstrap import bootstrap_auc
from xray.stats.clustered import clustered_auc_interval
from xray.stats.delong import auc_interval
from xray.stats.precision_recall import average_precision_interval

Sample = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]
"""Labels, scores, patients."""
Bounds = tuple[float, float]
LEVEL = 0.95


@dataclass(frozen=True)
class Row:
    """One claim: an interval in a setting. holds: whether `rate` is no lower than the nominal one by more than a point
    and two and a half errors; None where an interval is shown for comparison."""

    interval: str
    setting: str
    rate: float
    error: float
    width: float
    samples: int
    holds: bool | None


def independent(rng: np.random.Generator, area: float, n_pos: int, n_neg: int) -> Sample:
    """One image per patient."""
    labels = np.repeat([1.0, 0.0], [n_pos, n_neg])
    scores = rng.normal(size=labels.size) + np.sqrt(2) * ndtri(area) * labels
    return labels, scores, np.arange(labels.size)


def skewed(rng: np.random.Generator, area: float, n_pos: int, n_neg: int) -> Sample:
    """One image per patient; exponential scores, whose AUC is r / (1 + r) with r the ratio of means."""
    labels = np.repeat([1.0, 0.0], [n_pos, n_neg])
    return (
        labels,
        rng.exponential(size=labels.size) * np.where(labels == 1, area / (1 - area), 1),
        np.arange(labels.size),
    )


def clustered(rng: np.random.Generator, area: float, n_ill: int, n_well: int, images: int = 6) -> Sample:
    """`images` per patient, of one label, 70 % of the variance of scores between patients."""
    ill = np.repeat([1.0, 0.0], [n_ill, n_well])
    patients = np.repeat(np.arange(ill.size), images)
    scores = np.sqrt(0.7) * rng.normal(size=ill.size)[patients] + np.sqrt(0.3) * rng.normal(
        size=patients.size
    )
    return ill[patients], scores + np.sqrt(2) * ndtri(area) * ill[patients], patients


def drawn_positives(rng: np.random.Generator, area: float, n: int, prevalence: float) -> Sample:
    """One image per patient; at least two positives."""
    n_pos = max(2, int(rng.binomial(n, prevalence)))
    return independent(rng, area, n_pos, n - n_pos)


def clustered_positives(rng: np.random.Generator, area: float, n: int, prevalence: float) -> Sample:
    """Six images of each of n patients; at least two patients with positives."""
    n_ill = max(2, int(rng.binomial(n, prevalence)))
    return clustered(rng, area, n_ill, n - n_ill)


def precision_area(area: float, prevalence: float) -> float:
    """Average precision of normal scores in all images: the integral of precision over recall."""
    gap = np.sqrt(2) * ndtri(area)
    cuts = np.linspace(-9, 9 + gap, 200_001)
    recall, alarms = ndtr(gap - cuts), ndtr(-cuts)
    precision = prevalence * recall / (prevalence * recall + (1 - prevalence) * alarms)
    return float(np.trapezoid(precision[::-1], recall[::-1]))


def delong(sample: Sample) -> Bounds:
    """`auc_interval`: DeLong on the logit scale, widened to Newcombe's where next to nothing is misplaced."""
    estimate = auc_interval(*sample[:2], LEVEL)
    return float(estimate.lower), float(estimate.upper)


def with_patients(sample: Sample) -> Bounds:
    """DeLong with the patient as unit (Obuchowski)."""
    estimate = clustered_auc_interval(*sample, LEVEL)
    return float(estimate.lower), float(estimate.upper)


def bootstrap(sample: Sample) -> Bounds:
    """Percentile bootstrap over patients, 500 replicates."""
    estimate = bootstrap_auc(*sample, n_replicates=500, level=LEVEL).estimates
    return float(estimate.lower[0]), float(estimate.upper[0])


def precision_recall(sample: Sample) -> Bounds:
    """`average_precision_interval`, images as units."""
    estimate = average_precision_interval(*sample[:2], level=LEVEL)
    return float(estimate.lower), float(estimate.upper)


def precision_recall_with_patients(sample: Sample) -> Bounds:
    """`average_precision_interval`, patients as units."""
    estimate = average_precision_interval(*sample, LEVEL)
    return float(estimate.lower), float(estimate.upper)


def boyd(sample: Sample) -> Bounds:
    """The logit interval of Boyd et al. (2013), average precision taken as a share of the positives, for comparison."""
    estimate = average_precision_interval(*sample[:2], level=LEVEL)
    value = min(float(estimate.value), 1 - 1e-12)
    half = ndtri(0.5 + LEVEL / 2) / np.sqrt(estimate.n_pos * value * (1 - value))
    return float(expit(logit(value) - half)), float(expit(logit(value) + half))


def logit_alone(sample: Sample) -> Bounds:
    """DeLong on the logit scale whatever the sample, for comparison."""
    estimate = auc_interval(*sample[:2], LEVEL)
    if not estimate.se > 0:
        return float(estimate.lower), float(estimate.upper)
    half = ndtri(0.5 + LEVEL / 2) * estimate.se / (estimate.value * (1 - estimate.value))
    return float(expit(logit(estimate.value) - half)), float(expit(logit(estimate.value) + half))


def wald(sample: Sample) -> Bounds:
    """The textbook interval, AUC ± 1.96 se, for comparison."""
    estimate = auc_interval(*sample[:2], LEVEL)
    half = ndtri(0.5 + LEVEL / 2) * float(estimate.se)
    return float(estimate.value) - half, float(estimate.value) + half


def rows(quick: bool) -> Iterator[Row]:
    """All settings, each as soon as it is simulated."""
    many, few = (400, 150) if quick else (2000, 600)
    for kind, name in ((independent, "normal"), (skewed, "skewed")):
        for area in (0.75, 0.9, 0.98):
            for n_pos, n_neg in ((10, 200), (30, 300), (100, 1000)):
                setting = f"{name} scores, AUC {area}, {n_pos} positives of {n_pos + n_neg}"
                draw = _draws(kind, area, n_pos, n_neg)
                yield _simulate("DeLong", delong, setting, draw, area, many, tested=True)
                yield _simulate("bootstrap", bootstrap, setting, draw, area, few, tested=True)
                if kind is independent:
                    yield _simulate(
                        "(DeLong, logit alone)", logit_alone, setting, draw, area, many, tested=False
                    )
                    yield _simulate("(DeLong, Wald)", wald, setting, draw, area, many, tested=False)
    for area, n_ill, n_well in ((0.85, 30, 200), (0.85, 100, 600), (0.98, 30, 200)):
        setting = f"AUC {area}, six images of each of {n_ill} patients with and {n_well} without"
        draw = _draws(clustered, area, n_ill, n_well)
        yield _simulate("(DeLong, images as units)", delong, setting, draw, area, few, tested=False)
        yield _simulate("DeLong, patients as units", with_patients, setting, draw, area, few, tested=True)
        yield _simulate("bootstrap over patients", bootstrap, setting, draw, area, few, tested=True)
    yield from precision_rows(many, few)


def precision_rows(many: int, few: int) -> Iterator[Row]:
    """Average precision: near one, of rare findings, and of patients with several images."""
    for area in (0.75, 0.9, 0.98, 0.998, 0.9999):
        for n, prevalence in ((200, 0.05), (300, 0.1), (1000, 0.1), (1000, 0.4), (2000, 0.01)):
            truth = precision_area(area, prevalence)
            setting = f"AP {truth:.3f} (AUC {area}), {n} images, prevalence {prevalence}"
            draw = _draws(drawn_positives, area, n, prevalence)
            yield _simulate("AP", precision_recall, setting, draw, truth, many, tested=True)
            yield _simulate("(AP, Boyd)", boyd, setting, draw, truth, many, tested=False)
    for area, n, prevalence in ((0.85, 230, 0.13), (0.85, 700, 0.14), (0.98, 230, 0.13)):
        truth = precision_area(area, prevalence)
        setting = f"AP {truth:.3f} (AUC {area}), six images of each of {n} patients"
        draw = _draws(clustered_positives, area, n, prevalence)
        yield _simulate("(AP, images as units)", precision_recall, setting, draw, truth, few, tested=False)
        yield _simulate(
            "AP, patients as units", precision_recall_with_patients, setting, draw, truth, few, tested=True
        )


def _draws(kind: Callable[..., Sample], *arguments: float) -> Callable[[np.random.Generator], Sample]:
    return lambda rng: kind(rng, *arguments)


def _simulate(
    name: str,
    interval: Callable[[Sample], Bounds],
    setting: str,
    draw: Callable[[np.random.Generator], Sample],
    truth: float,
    samples: int,
    tested: bool,
) -> Row:
    rng = np.random.default_rng(list(f"{name} {setting}".encode()))
    bounds = np.array([interval(draw(rng)) for _ in range(samples)])
    rate = float(((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])).mean())
    error = float(np.sqrt(LEVEL * (1 - LEVEL) / samples))
    holds = rate >= LEVEL - 0.01 - 2.5 * error if tested else None
    width = float(np.mean(bounds[:, 1] - bounds[:, 0]))
    return Row(name, setting, rate, error, width, samples, holds)


def main() -> int:
    """Print every rate; exit code 1 where an interval that should hold does not."""
    options = arguments(__doc__)
    good = True
    for row in rows(options.quick):
        good &= row.holds is not False
        if options.json:
            print(json.dumps(asdict(row), ensure_ascii=False), flush=True)
        else:
            verdict = {True: "holds", False: "FAILS", None: ""}[row.holds]
            print(
                f"{row.rate:6.1%} ± {row.error:.1%}  width {row.width:.3f}  {row.interval:27} {row.setting:66} {verdict}",
                flush=True,
            )
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())

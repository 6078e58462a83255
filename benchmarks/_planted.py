"""Causes planted between two halves of one real hospital, whose truth is then what they cost on all of its tested patients.

A `Hospital` is real pictures (or records), labels and patients. Site A is half of its patients as they are. Site B is the
other half with one or two things changed: pictures (an operation), who comes (a chance to be kept per image), how many of
them are ill (the same, by label alone), or who labels (a chance to be called positive per image and finding). Truth comes
from the weighted AUC of the network on all patients of both halves, in each of the sixteen mixtures of what was and what was
not changed (`benchmarks._truth`): nothing is sampled there, so what was not planted costs nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks._truth import CAUSES, MIXTURES, Flags, Floats, Mixture, Truth, World, truth
from xray.pixels.changes import Blur, Edges, Greys, Noise, change
from xray.pixels.looks import Pictures
from xray.pixels.resize import resize
from xray.stats.casemix import weighted_auc
from xray.stats.evidence import Site

Inputs = NDArray[Any]
Operation = Callable[[Pictures], Pictures]
NUMBER: Final = (0.12, 0.58, 0.30)
"""Chance that none, one or two causes are planted, as in `_strangers`."""
FEWER: Final = (0.15, 0.7)
"""Share of one class that is left where prevalence changes, by its logarithm."""
BLACK: Final = 0


@dataclass(frozen=True)
class Hospital:
    """Of n images: labels (n, n_tasks), 1 or 0; patients (n,); inputs: pictures, uint8 (n, size, size), or, of records,
    numbers (n, k) that a model reads.

    covariates (n, k), or None. groups: by name, pairs of flags (n,), of which a site may see fewer of either. mild: by task,
    flags (n,) of its mild positives. healthy (n,): no finding at all. readers: by name, how likely another reader calls
    images positive (n, n_tasks), NaN for findings that he has no other word for. looks: pictures of another hospital.
    ill: between which shares of ill a site is drawn, where healthy and ill were collected apart. alone: a site labels
    one finding only.
    """

    name: str
    tasks: tuple[str, ...]
    labels: Floats
    patients: NDArray[np.int64]
    inputs: Inputs
    covariates: Floats | None
    groups: Mapping[str, tuple[Flags, Flags]]
    mild: Mapping[str, Flags]
    healthy: Flags
    readers: Mapping[str, Floats]
    targets: tuple[str, ...]
    looks: Pictures | None = None
    ill: tuple[float, float] | None = None
    alone: bool = False

    def take(self, at: NDArray[np.int64]) -> "Hospital":
        """The hospital with these images alone."""
        return replace(
            self,
            labels=self.labels[at],
            patients=self.patients[at],
            inputs=self.inputs[at],
            covariates=None if self.covariates is None else self.covariates[at],
            groups={name: (one[at], two[at]) for name, (one, two) in self.groups.items()},
            mild={task: of[at] for task, of in self.mild.items()},
            healthy=self.healthy[at],
            readers={name: of[at] for name, of in self.readers.items()},
        )


@dataclass(frozen=True)
class Planted:
    """What is changed at B. weight (n,): chance that an image comes; calls (n, n_tasks): that it is called positive.

    target: the finding's column. names: the mechanisms, by cause. operation: None where pictures stay as they are.
    """

    target: int
    names: Mapping[str, str]
    weight: Floats
    calls: Floats
    operation: Operation | None = None


def thinned(of: Hospital, rng: np.random.Generator) -> NDArray[np.int64]:
    """Images of the hospital of one pair: all of the healthy, and a share of the ill."""
    if of.ill is None:
        return np.arange(len(of.labels))
    share, odds = rng.uniform(*of.ill), of.healthy.mean() / (1 - of.healthy.mean())
    return np.flatnonzero(of.healthy | (rng.random(len(of.labels)) < share / (1 - share) * odds))


def plant(of: Hospital, rng: np.random.Generator) -> Planted:
    """Causes and mechanisms drawn at random, with strengths from hardly to plainly felt; weak ones stay in."""
    possible = [cause for cause in CAUSES if cause != "image" or of.inputs.ndim == 3]
    mechanisms = rng.permutation(possible)[: rng.choice(len(NUMBER), p=NUMBER)]
    target = of.tasks.index(str(rng.choice(of.targets)))
    weights_of_images, calls = np.ones(len(of.labels)), of.labels.copy()
    operation = None
    names: dict[str, str] = {}
    for cause in CAUSES:  # in this order, whatever was drawn first: prevalence is of those who come
        if cause not in mechanisms:
            continue
        if cause == "image":
            names[cause], operation = _operation(of, rng)
        elif cause == "population":
            names[cause], weights_of_images = _population(of, target, rng)
        elif cause == "prevalence":
            rarer = bool(rng.random() < 0.5)
            fewer = np.exp(rng.uniform(*np.log(FEWER)))
            weights_of_images = weights_of_images * np.where((of.labels[:, target] == 1) == rarer, fewer, 1.0)
            names[cause] = "rarer" if rarer else "commoner"
        else:
            names[cause], calls = _labeller(of, target, rng)
    return Planted(target, names, weights_of_images, calls, operation)


def _operation(of: Hospital, rng: np.random.Generator) -> tuple[str, Operation]:
    size, keys = of.inputs.shape[1], np.arange(len(of.inputs), dtype=np.uint64)
    names = ["blur", "noise", "gamma", "window", "inverted", "resolution", "borders"]
    name = str(rng.choice(names if of.looks is None else [*names, "other hospital's look"]))
    greys = np.arange(256) / 255
    if name == "resolution":
        return name, _coarse(int(rng.integers(size // 8, size // 2)))
    if name == "gamma":
        step: Blur | Noise | Greys | Edges = Greys(
            _table(greys ** np.exp(rng.choice([-1, 1]) * rng.uniform(0.3, 1)))
        )
    elif name == "window":
        low, high = rng.uniform(0, 0.35), rng.uniform(0.55, 0.9)
        step = Greys(_table((greys - low) / (high - low)))
    elif name == "inverted":
        step = Greys(_table(1 - greys))
    elif name == "blur":
        step = Blur(float(rng.uniform(0.5, 3)))
    elif name == "noise":
        step = Noise(float(np.exp(rng.uniform(np.log(5), np.log(50)))))
    elif name == "borders":
        widths = rng.integers(0, size // 5, (40, 4))
        step = Edges(float(rng.uniform(0.5, 1)), widths, np.full(40, BLACK, np.uint8), widths[:0], widths[:0])
    else:
        assert of.looks is not None
        changed = change("all", of.inputs, of.looks)
        return name, lambda pictures: changed.apply(pictures, keys[: len(pictures)], 0)
    return name, lambda pictures: step.apply(pictures, keys[: len(pictures)], 0)


def _table(greys: Floats) -> NDArray[np.uint8]:
    return np.rint(255 * np.clip(greys, 0, 1)).astype(np.uint8)


def _coarse(side: int) -> Operation:
    """Pictures made with fewer pixels, and enlarged again."""

    def apply(pictures: Pictures) -> Pictures:
        size = pictures.shape[1]
        coarse = [resize(np.rint(resize(of, side)).astype(np.uint8), size) for of in pictures]
        return np.rint(np.clip(coarse, 0, 255)).astype(np.uint8)

    return apply


def _population(of: Hospital, target: int, rng: np.random.Generator) -> tuple[str, Floats]:
    """Fewer, or none, of one group; and the target as common as before."""
    ill, task = of.labels[:, target] == 1, of.tasks[target]
    groups = dict(of.groups)
    if task in of.mild:
        groups["severity"] = of.mild[task], ill & ~of.mild[task]
    if (of.healthy & ~ill).any() and (~of.healthy & ~ill).any():
        groups["healthy"] = of.healthy, np.zeros_like(ill)
    name = str(rng.choice(list(groups)))
    fewer = groups[name][int(rng.random() < 0.5)]
    fewer = fewer if fewer.any() else groups[name][0]
    weight = np.where(fewer, rng.choice([0.0, 1.0], p=[0.3, 0.7]) * rng.uniform(0.05, 0.4), 1.0)
    shares = np.array([weight[ill].mean(), weight[~ill].mean()])
    return name, weight * np.where(ill, *(shares.min() / shares))


def _labeller(of: Hospital, target: int, rng: np.random.Generator) -> tuple[str, Floats]:
    """Another reader's rule for the target, or errors of the reader's hand."""
    task, calls = of.tasks[target], of.labels.copy()
    names = [name for name, by in of.readers.items() if not np.isnan(by[:, target]).any()]
    names += ["errors"] + ["mild missed"] * (task in of.mild)
    name = str(rng.choice(names))
    if name == "errors":
        missed, invented = rng.uniform(0.1, 0.4), rng.uniform(0.02, 0.2)
        calls[:, target] = np.where(calls[:, target] == 1, 1 - missed, invented)
    elif name == "mild missed":
        calls[of.mild[task], target] = 1 - rng.uniform(0.4, 1)
    else:
        calls[:, target] = of.readers[name][:, target]
    return name, calls


def world(
    of: Hospital, planted: Planted, score: Callable[[Inputs], Floats], rng: np.random.Generator
) -> World:
    """Two sites and their truth. score: logits (n, n_tasks) by a network that saw none of these patients."""
    columns = [planted.target] if of.alone else list(range(len(of.tasks)))
    own = score(of.inputs)[:, columns]
    changed = own if planted.operation is None else score(planted.operation(of.inputs))[:, columns]
    calls, truly = planted.calls[:, columns], of.labels[:, columns]
    by_a, by_b = split(of.patients, rng)
    by_b = by_b[rng.random(by_b.size) < planted.weight[by_b]]
    labels = (rng.random((by_b.size, len(columns))) < calls[by_b]).astype(np.float64)
    value = values(truly, calls, planted.weight, (own, changed))
    real = costs(truly, calls, planted.weight, planted.operation is not None, value)

    def site(labels: Floats, scores: Floats, at: NDArray[np.int64]) -> Site:
        mixed = None if of.covariates is None else of.covariates[at]
        return Site(labels, scores[at], of.patients[at], None, mixed)

    return World(
        of.name, tuple(planted.names.values()), site(truly[by_a], own, by_a), site(labels, changed, by_b),
        real.drop, real.shares, real.drawn, real.counts, truly[by_b], real.relabelled, changed[by_a],
        value[0, 0, 0, 0] - value[1, 0, 0, 0],
    )  # fmt: skip


def split(
    patients: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Images of two halves of the patients."""
    names, index = np.unique(patients, return_inverse=True)
    first = (rng.permutation(names.size) < names.size // 2)[index]
    return np.flatnonzero(first), np.flatnonzero(~first)


def values(
    labels: Floats, calls: Floats, image_weight: Floats, scores: tuple[Floats, Floats]
) -> dict[Mixture, Floats]:
    """AUC (n_tasks,) by mixture of what is as at A (0) and as at B (1). scores: of the pictures as they are, and changed."""

    def auc(mixture: Mixture, k: int) -> float:
        image, population, prevalence, label = mixture
        weight = weights(labels[:, k], image_weight, population, prevalence)
        return _auc(scores[image][:, k], (calls if label else labels)[:, k], weight)

    return {mixture: np.array([auc(mixture, k) for k in range(labels.shape[1])]) for mixture in MIXTURES}


def weights(ill: Floats, weight: Floats, population: int, prevalence: int) -> Floats:
    """Of images (n,), summing to 1: who comes within either class, and how many are ill, as at A (0) or as at B (1).

    NaN in a class of which nobody is left.
    """
    new, share = (
        (weight if population else np.ones_like(weight)).copy(),
        weight if prevalence else np.ones_like(weight),
    )
    for of in (ill == 1, ill == 0):
        if of.any():
            total = new[of].sum()
            new[of] *= share[of].sum() / share.sum() / total if total > 0 else np.nan
    return new


def costs(
    labels: Floats, calls: Floats, weight: Floats, pictures: bool, value: Mapping[Mixture, Floats]
) -> Truth:
    """What each cause takes of the drop, and whether it was planted and counts, for every finding."""
    tasks = range(labels.shape[1])
    at_a, at_b = (np.stack([weights(labels[:, k], weight, b, b) for k in tasks], axis=1) for b in (0, 1))
    others = np.array([apart(weight, labels[:, k]) for k in tasks])
    return truth(
        value,
        ((at_a * labels).sum(axis=0), (at_b * labels).sum(axis=0), (at_b * calls).sum(axis=0)),
        {"image": pictures, "population": others, "label": (calls != labels).any(axis=0)},
    )


def apart(weight: Floats, ill: Floats) -> bool:
    """Whether others come, within either class: a finding whose own label alone decides sees the same patients."""
    return any(np.ptp(weight[ill == value]) > 1e-9 for value in (0, 1) if (ill == value).any())


def _auc(scores: Floats, calls: Floats, weight: Floats) -> float:
    """AUC where an image is positive with a chance: it counts in both classes, by halves of its weight."""
    twice = np.concatenate([scores, scores])
    is_positive = np.repeat([1.0, 0.0], len(scores))
    share = np.concatenate([weight * calls, weight * (1 - calls)])
    some = share > 0
    return weighted_auc(twice[some], is_positive[some], share[some]).auc

"""Pairs of sites made of numbers, with a known cause planted between them, for the verdict to find.

Findings are hidden severities, an image is a vector of features of them and of a patient's nuisances, a label is a
severity read with error and cut at a threshold. Each site trains its own model (a small network with random first
layer) on its own training half; only held-out scores, labels and patients leave a world.

Drawn anew in every world: sizes (500–4,000 images for testing, 500–4,000 for training, apart from each other), prevalences
(4–30 %), how visible each finding is, how findings go together, patients with one or with several images, the finding
that the cause is planted in, and its severity. A cause that does next to nothing is no cause: severities are drawn until,
in 20,000 images, the model of A loses at least .05 of AUC through an image cause or label noise, .10 where labels are
redefined, or the prevalence changes by a factor of 1.5 (prevalence, threshold).
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri

from benchmarks._pipelines import Pipeline, drawn_pipeline
from benchmarks._truth import Sizes, Truth, truth
from benchmarks._truth import World as Mixed
from xray.stats.evidence import Site
from xray.stats.roc import auc
from xray.stats.transfer import SiteScores

KINDS: Final[dict[str, frozenset[str]]] = {
    "none": frozenset(),
    "image, invertible": frozenset({"image"}),
    "image, destroys": frozenset({"image"}),
    "prevalence": frozenset({"prevalence"}),
    "label threshold": frozenset({"label"}),
    "label redefined": frozenset({"label"}),
    "label noise": frozenset({"label"}),
    "image + prevalence": frozenset({"image", "prevalence"}),
    "image + redefined": frozenset({"image", "label"}),
    "prevalence + redefined": frozenset({"prevalence", "label"}),
}
"""Kind of world → the causes planted in its finding."""

N_TASKS: Final = 6
N_FINDINGS: Final = 8
"""Two findings are shown by the images and named by nobody; a redefined label may mean one of them."""
N_FEATURES: Final = 24
LEAST_DROP: Final = 0.05
LEAST_REDEFINED: Final = 0.10
LEAST_RATIO: Final = 1.5
LARGE: Final = 20_000
IMAGES: Final[Sizes] = (500, 4000)
"""Images of a site, for training and for testing, where nothing else is asked for."""
SWAPPED: Final = 12_000
"""Images on which parts of sites are swapped."""

Floats = NDArray[np.float64]
Images = Callable[[Floats, np.random.Generator], Floats]
Read = Callable[[Floats, Floats, np.random.Generator], Floats]
"""(severities (n, N_FINDINGS), A's labels of the task (n,)) → labels of the task (n,)."""


@dataclass(frozen=True)
class World:
    """One pair of sites. task: the finding that the cause is planted in; image causes hit every finding.

    auc: (N_TASKS, 2, 2) AUC [task, model, site] in a large sample. by_a: what A's labeller says of B's images where
    these are read a second time, with an error of the hand of its own. piped, piped_cost: as in `_truth.World`.
    """

    kind: str
    task: int
    a: SiteScores
    b: SiteScores
    auc: Floats
    truth: Truth
    by_a: Floats
    piped: Floats
    piped_cost: Floats

    @property
    def planted(self) -> frozenset[str]:
        """The causes planted in the finding."""
        return KINDS[self.kind]

    @property
    def n_pos(self) -> int:
        """Positives of the finding at the site that has fewer."""
        return int(min((site.labels[:, self.task] == 1).sum() for site in (self.a, self.b)))


@dataclass(frozen=True)
class _Nature:
    """What both sites share: how findings go together and how they look."""

    loading: Floats
    signal: Floats
    nuisance: Floats
    noise: float
    images_per_patient: float
    reading_error: float


@dataclass(frozen=True)
class _Site:
    """A site: how common findings are, where readers cut, how images are taken, which task is read otherwise."""

    prevalence: Floats
    threshold: Floats
    images: Images = lambda features, rng: features
    read: dict[int, Read] = field(default_factory=dict)


class _NothingMattersError(Exception):
    """A finding that no severity of a cause hurts: its model is hardly better than chance to begin with."""


def draw_world(kind: str, seed: int, images: Sizes | None = None) -> World:
    """The world of a kind under a seed: the same arguments, the same world. images: how many are tested; None as IMAGES."""
    key = [seed, list(KINDS).index(kind)]
    while True:
        with suppress(_NothingMattersError):
            return _draw_world(kind, np.random.default_rng(key), images or IMAGES)
        key.append(1)


def _draw_world(kind: str, rng: np.random.Generator, images: Sizes) -> World:
    nature = _Nature(
        loading=rng.uniform(0.0, 0.6, N_FINDINGS),
        signal=rng.normal(size=(N_FINDINGS, N_FEATURES)) * rng.uniform(0.15, 0.6, (N_FINDINGS, 1)),
        nuisance=rng.normal(size=(6, N_FEATURES)) * 0.5,
        noise=rng.uniform(0.6, 1.2),
        images_per_patient=float(rng.choice([0.0, 0.0, 0.5, 1.0])),
        reading_error=rng.uniform(0.1, 0.4),
    )
    prevalence = np.exp(rng.uniform(np.log(0.04), np.log(0.3), N_FINDINGS))
    a = _Site(prevalence, rng.uniform(1.0, 1.5, N_TASKS))
    task = int(rng.integers(N_TASKS))
    low, high = np.log([IMAGES, IMAGES, images, images]).T
    sizes = np.exp(rng.uniform(low, high)).astype(int)
    model_a = _train(nature, a, sizes[0], rng)
    b = a
    for cause in kind.split(" + "):
        b = _plant(cause, nature, b, task, model_a, rng)
    model_b = _train(nature, b, sizes[1], rng)
    scored, features_of = [], []
    for site, n in ((a, sizes[2]), (b, sizes[3])):
        features, labels, patient, severity = _sample(nature, site, int(n), rng)
        scored.append(SiteScores(labels, model_a(features), model_b(features), patient))
        features_of.append(features)
    by_a = _read_again(nature, a, severity)
    large = [_score(nature, site, LARGE, model_a, model_b, rng) for site in (a, b)]
    true = [
        auc(site.labels, scores).value
        for scores_of in ("of_a", "of_b")
        for site in large
        for scores in [getattr(site, scores_of)]
    ]
    seed = int(rng.integers(2**31))
    truth = _truth(nature, a, b, model_a, kind, task, seed)
    pipeline = drawn_pipeline(seed)
    piped = model_a(_through(features_of[0], b, pipeline, seed))
    cost = _piped_cost(nature, a, b, model_a, pipeline, seed)
    values = np.stack(true, axis=1).reshape(N_TASKS, 2, 2)
    return World(kind, task, scored[0], scored[1], values, truth, by_a, piped, cost)


def _through(features: Floats, b: _Site, pipeline: Pipeline, seed: int) -> Floats:
    """Images of A, whose features are as they are, through B's pipeline."""
    return pipeline(features, b.images(features, np.random.default_rng([26, seed])), seed)


def _piped_cost(
    nature: _Nature, a: _Site, b: _Site, model: "_Model", pipeline: Pipeline, seed: int
) -> Floats:
    """AUC of A's model at A less that of A's images through B's pipeline, in a large sample."""
    features, labels, _ = _draw(nature, a, SWAPPED, np.random.default_rng([25, seed]))
    piped = _through(features, b, pipeline, seed)
    return np.asarray(auc(labels, model(features)).value - auc(labels, model(piped)).value)


def _truth(nature: _Nature, a: _Site, b: _Site, model: "_Model", kind: str, task: int, seed: int) -> Truth:
    """By swapping images, prevalences and readers, on the same random numbers."""
    value, calls_of = {}, {}
    for p, population in enumerate((a, b)):
        for r, reader in enumerate((a, b)):
            for i, site in enumerate((a, b)):
                mixed = _Site(population.prevalence, reader.threshold, site.images, reader.read)
                features, labels, _ = _draw(nature, mixed, SWAPPED, np.random.default_rng(seed))
                value[i, 0, p, r] = value[i, 1, p, r] = auc(labels, model(features)).value
                calls_of[p, r] = labels.mean(axis=0)
    calls = calls_of[0, 0], calls_of[1, 0], calls_of[1, 1]
    own = np.arange(N_TASKS) == task
    causes = KINDS[kind]
    return truth(
        value, calls, {"image": "image" in causes, "population": False, "label": own & ("label" in causes)}
    )


def mixed_world(kind: str, seed: int, images: Sizes | None = None) -> Mixed:
    """The world of a kind under a seed with the truth of all its findings; covariates say nothing in these worlds."""
    world = draw_world(kind, seed, images)
    rng = np.random.default_rng([7, seed])
    sites = [
        Site(
            at.labels,
            at.of_a,
            at.patients + number * len(world.a.patients),
            at.of_b,
            rng.normal(size=(len(at.labels), 2)),
        )
        for number, at in enumerate((world.a, world.b))
    ]
    truth = world.truth
    parts = truth.drop, truth.shares, truth.drawn, truth.counts
    others = world.by_a, truth.relabelled, world.piped, world.piped_cost
    return Mixed("worlds", (kind,), sites[0], sites[1], *parts, *others)


def _draw(
    nature: _Nature, site: _Site, n: int, rng: np.random.Generator
) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """n images: features, labels, patients."""
    return _sample(nature, site, n, rng)[:3]


def _sample(
    nature: _Nature, site: _Site, n: int, rng: np.random.Generator
) -> tuple[Floats, Floats, NDArray[np.intp], Floats]:
    """As `_draw`, and the severities (n, N_FINDINGS)."""
    patient = np.repeat(np.arange(n), 1 + rng.poisson(nature.images_per_patient, n))[:n]
    n_patients = int(patient[-1]) + 1
    common, own = rng.normal(size=(n_patients, 1)), rng.normal(size=(n_patients, N_FINDINGS))
    lies = 0.93 * own[patient] + 0.37 * rng.normal(size=(n, N_FINDINGS))
    disposition = nature.loading * common[patient] + np.sqrt(1 - nature.loading**2) * lies
    ill = disposition > -ndtri(site.prevalence)
    severity = 0.45 * rng.normal(size=(n, N_FINDINGS)) + ill * (
        1.0 + 0.7 * rng.exponential(size=(n_patients, N_FINDINGS))[patient]
    )
    read_as = severity[:, :N_TASKS] + nature.reading_error * rng.normal(size=(n, N_TASKS))
    labels = (read_as > site.threshold).astype(np.float64)
    for task, read in site.read.items():
        labels[:, task] = read(severity, labels[:, task], rng)
    about = rng.normal(size=(n_patients, 6))[patient]
    features = np.tanh(
        0.5
        * (
            severity @ nature.signal
            + about @ nature.nuisance
            + nature.noise * rng.normal(size=(n, N_FEATURES))
        )
    )
    return site.images(features, rng), labels, patient, severity


def _read_again(nature: _Nature, site: _Site, severity: Floats) -> Floats:
    """What a site's reader says of images on another day: the same severities, another error of the hand."""
    rng = np.random.default_rng([20, *severity[0].view(np.uint32)[:2].tolist()])
    hand = nature.reading_error * rng.normal(size=(len(severity), N_TASKS))
    return (severity[:, :N_TASKS] + hand > site.threshold).astype(np.float64)


def _plant(
    cause: str, nature: _Nature, site: _Site, task: int, model: "_Model", rng: np.random.Generator
) -> _Site:
    """The site with a cause added, of a severity that matters."""
    if cause == "none":
        return site
    before = _effect(nature, site, task, model, rng)
    for _ in range(200):
        changed = _CAUSES[cause](nature, site, task, rng)
        after = _effect(nature, changed, task, model, rng)
        if cause in ("prevalence", "label threshold"):
            ratio = after[1] / before[1]
            if LEAST_RATIO <= max(ratio, 1 / max(ratio, 1e-9)) <= 4 and 0.015 < after[1] < 0.6:
                return changed
        elif (
            before[0] - after[0] >= (LEAST_REDEFINED if "redefined" in cause else LEAST_DROP)
            and after[1] > 0.01
        ):
            return changed
    raise _NothingMattersError


def _effect(
    nature: _Nature, site: _Site, task: int, model: "_Model", rng: np.random.Generator
) -> tuple[float, float]:
    """(AUC of the model of A, prevalence) of the task in many images of the site."""
    features, labels, _ = _draw(nature, site, LARGE, rng)
    value = auc(labels[:, task], model(features)[:, task])
    return float(value.value), float(labels[:, task].mean())


def _invertible(nature: _Nature, site: _Site, task: int, rng: np.random.Generator) -> _Site:
    """Channels mixed, amplified and moved: a model trained on such images loses nothing."""
    strength = rng.uniform(0.2, 1.2)
    mixing = np.eye(N_FEATURES) + strength * rng.normal(size=(N_FEATURES, N_FEATURES)) / np.sqrt(N_FEATURES)
    offset = rng.uniform(0, 0.6) * strength * rng.normal(size=N_FEATURES)
    gain = np.exp(rng.normal(0, 0.3))
    return replace(site, images=lambda features, rng: gain * features @ mixing + offset)


def _destroying(nature: _Nature, site: _Site, task: int, rng: np.random.Generator) -> _Site:
    """Noise, lost contrast or lost channels: no model can see as well as before."""
    channels = (rng.random(N_FEATURES) > rng.uniform(0, 0.5)).astype(np.float64)
    gain, noise = rng.uniform(0.4, 1.0), rng.uniform(0.0, 0.9)
    return replace(
        site,
        images=lambda features, rng: gain * channels * features + noise * rng.normal(size=features.shape),
    )


def _prevalence(nature: _Nature, site: _Site, task: int, rng: np.random.Generator) -> _Site:
    """The finding is more or less common; in half of the worlds so are some others, a little."""
    odds = site.prevalence / (1 - site.prevalence)
    factor = np.ones(N_FINDINGS)
    if rng.random() < 0.5:
        factor = np.exp(rng.normal(0, 0.25, N_FINDINGS))
    factor[task] = np.exp(rng.choice([-1, 1]) * rng.uniform(0.4, 1.6))
    return replace(site, prevalence=odds * factor / (1 + odds * factor))


def _threshold(nature: _Nature, site: _Site, task: int, rng: np.random.Generator) -> _Site:
    """The same finding, called from another severity on."""
    threshold = site.threshold.copy()
    threshold[task] += rng.choice([-1, 1]) * rng.uniform(0.15, 1.2)
    return replace(site, threshold=threshold)


def _redefined(nature: _Nature, site: _Site, task: int, rng: np.random.Generator) -> _Site:
    """The label means, more or less, a finding without a name; in one of eight worlds its own opposite."""
    if rng.random() < 0.125:
        return replace(site, read={**site.read, task: lambda severity, label, rng: 1 - label})
    share, other = rng.uniform(0, 0.8), int(rng.integers(N_TASKS, N_FINDINGS))
    cut = site.threshold[task] + rng.uniform(-0.3, 0.1)

    def read(severity: Floats, label: Floats, rng: np.random.Generator) -> Floats:
        mixture = share * severity[:, task] + (1 - share) * severity[:, other]
        error = nature.reading_error * rng.normal(size=len(mixture))
        return (mixture + error > cut * np.hypot(share, 1 - share)).astype(np.float64)

    return replace(site, read={**site.read, task: read})


def _noise(nature: _Nature, site: _Site, task: int, rng: np.random.Generator) -> _Site:
    """Labels turned over at random: among all images alike, or as many positives as negatives."""
    share, balanced = rng.uniform(0.05, 0.6), bool(rng.random() < 0.5)

    def read(severity: Floats, label: Floats, rng: np.random.Generator) -> Floats:
        prevalence = label.mean()
        rate = share if balanced else 0.5 * share
        of_negatives = rate * prevalence / (1 - prevalence) if balanced else rate
        flipped = rng.random(label.size) < np.where(label == 1, rate, of_negatives)
        return np.where(flipped, 1 - label, label)

    return replace(site, read={**site.read, task: read})


_CAUSES: Final = {
    "image": _invertible,
    "image, invertible": _invertible,
    "image, destroys": _destroying,
    "prevalence": _prevalence,
    "label threshold": _threshold,
    "label redefined": _redefined,
    "redefined": _redefined,
    "label noise": _noise,
}


@dataclass(frozen=True)
class _Model:
    """A network with one hidden layer of random weights; only its output layer was trained."""

    hidden: Floats
    centre: Floats
    scale: Floats
    weights: Floats

    def __call__(self, features: Floats) -> Floats:
        """Logits (n, N_TASKS)."""
        return _expand(features, self.hidden, self.centre, self.scale) @ self.weights


def _expand(features: Floats, hidden: Floats, centre: Floats, scale: Floats) -> Floats:
    units = np.column_stack([features, np.maximum(features @ hidden, 0)])
    return np.column_stack([np.ones(len(units)), (units - centre) / scale])


def _train(nature: _Nature, site: _Site, n: int, rng: np.random.Generator) -> _Model:
    features, labels, _ = _draw(nature, site, n, rng)
    hidden = rng.normal(size=(N_FEATURES, N_FEATURES)) / np.sqrt(N_FEATURES)
    units = np.column_stack([features, np.maximum(features @ hidden, 0)])
    centre, scale = units.mean(axis=0), units.std(axis=0) + 1e-6
    x = _expand(features, hidden, centre, scale)
    weights = np.column_stack([_ridge_logistic(x, labels[:, task]) for task in range(N_TASKS)])
    return _Model(hidden, centre, scale, weights)


def _ridge_logistic(x: Floats, y: Floats, penalty: float = 5.0) -> Floats:
    beta = np.zeros(x.shape[1])
    ridge = np.full(x.shape[1], penalty)
    ridge[0] = 1e-3
    for _ in range(12):
        mean = expit(x @ beta)
        information = (x * (mean * (1 - mean))[:, None]).T @ x
        information[np.diag_indices_from(information)] += ridge
        beta = beta + np.linalg.solve(information, x.T @ (y - mean) - ridge * beta)
    return beta


def _score(
    nature: _Nature, site: _Site, n: int, model_a: _Model, model_b: _Model, rng: np.random.Generator
) -> SiteScores:
    features, labels, patient = _draw(nature, site, n, rng)
    return SiteScores(labels, model_a(features), model_b(features), patient)

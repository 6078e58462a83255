"""Pairs of sites from a population model: the second generator of worlds, with mechanisms that `_worlds` does not have.

A patient has age, sex, a ward and a frailty; findings follow from these and from each other (a network of comorbidity),
wards decide the view and, with findings, who carries a device. Severity given disease is exponential. An image is a
vector of severities, device, view, age and noise; a label is what a reader makes of the severity. Each site is three
things, a population, an acquisition and a labeller, and each can be swapped for the other site's on the same random
numbers. Truth comes from these swaps, on LARGE images: how much of the drop of A's model goes with each (Shapley's
mean over the orders of swapping), how common the finding is by A's reader in both populations, and how many of B's
patients each reader calls positive.

A site B is A with one or two mechanisms of `FAMILIES` added; what a mechanism does to a finding is left to chance, and
weak effects stay in. Sizes, clusters of patients, tails and levels of scores, and training sets vary in every world.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from benchmarks._pipelines import Pipeline, drawn_pipeline
from benchmarks._truth import CAUSES, Flags, Floats, Mixture, Sizes, Truth, World, truth
from xray.stats.evidence import Site
from xray.stats.roc import auc

Numbers = NDArray[np.floating]

N_HIDDEN: Final = 2
"""Findings that images show and nobody names."""
N_FEATURES: Final = 14
LARGE: Final = 10_000
IMAGES: Final[Sizes] = (400, 5000)
"""Images tested at a site, where nothing else is asked for."""
BOUNDS: Final = (0.003, 0.9)
ALIKE: Final = 0.1
"""Log odds below which two populations count as equally prevalent when they are swapped."""


@dataclass(frozen=True)
class Population:
    """Who comes: demography, wards, disease (log odds), severity, devices; who is imaged, and who is verified."""

    age: float
    female: float
    wards: Floats
    frailty: float
    intercept: Floats
    by_person: Floats
    comorbidity: Floats
    severity: Floats
    device_by: Floats
    device: float
    ap_by_ward: Floats
    imaged: float = 0.0
    verified: Floats = field(default_factory=lambda: np.zeros(0))
    verified_at_random: float = 1.0


@dataclass(frozen=True)
class Acquisition:
    """How a picture becomes features. Where `only_ap`, the change is in AP views alone. lost: a direction that is dulled."""

    mixing: Floats
    offset: Floats
    noise: float = 0.0
    clip: float = np.inf
    levels: float = 0.0
    only_ap: bool = False


@dataclass(frozen=True)
class Labeller:
    """How severities become labels; arrays (n_tasks,). other: index of the finding meant instead, by `share_of_other`."""

    threshold: Floats
    error: Floats
    flip_positive: Floats
    flip_negative: Floats
    miss_mild: Floats
    other: NDArray[np.int64]
    share_of_other: Floats
    companion: NDArray[np.int64]
    hidden_by: Floats
    called_with: Floats
    by_device: Floats
    unverified: Floats
    inverted: Flags


@dataclass(frozen=True)
class _Nature:
    n_tasks: int
    signal: Floats
    other_signal: Floats
    noise: float
    heavy: bool
    bent: float
    cluster: float


@dataclass(frozen=True)
class _Draw:
    """Random numbers of n images, the same whoever the site is."""

    patient: NDArray[np.int64]
    uniform: Numbers
    normal: Numbers
    severity: Numbers
    picture: Numbers
    reading: Numbers
    chance: Numbers
    extra: Numbers


@dataclass(frozen=True)
class _People:
    age: Numbers
    sex: Numbers
    ward: NDArray[np.int64]
    ap: Numbers
    device: Numbers
    frailty: Numbers
    severity: Numbers
    verified: Flags


def _draw(nature: _Nature, n: int, rng: np.random.Generator, clustered: bool) -> _Draw:
    if clustered and nature.cluster > 0:
        sizes = np.minimum(1 + rng.pareto(1.3, n) * nature.cluster, 15).astype(int)
        patient = np.repeat(np.arange(n), sizes)[:n]
    else:
        patient = np.arange(n)
    findings, single = nature.n_tasks + N_HIDDEN, np.float32
    n_patients = int(patient[-1]) + 1
    picture: Numbers = rng.standard_normal((n, N_FEATURES), dtype=single)
    if nature.heavy:  # Student's t with four degrees of freedom, variance 1
        picture = picture / np.sqrt(rng.standard_gamma(2.0, (n, 1), dtype=single))
    return _Draw(
        patient,
        rng.random((n_patients, findings + 5), dtype=single)[patient],
        rng.standard_normal((n_patients, 2), dtype=single)[patient],
        0.4 * rng.standard_normal((n, findings), dtype=single),
        picture,
        rng.standard_normal((n, nature.n_tasks), dtype=single),
        rng.random((n, 3 * nature.n_tasks), dtype=single),
        rng.standard_exponential((n_patients, findings), dtype=single)[patient],
    )


def _people(nature: _Nature, population: Population, draw: _Draw) -> _People:
    uniform, normal = draw.uniform, draw.normal
    age = population.age + normal[:, 0]
    sex = (uniform[:, -1] < population.female).astype(np.float64)
    ward = np.minimum(np.searchsorted(np.cumsum(population.wards), uniform[:, -2]), 2)
    frailty = population.frailty + normal[:, 1]
    person = np.column_stack([age, sex - 0.5, ward == 1, ward == 2, frailty])
    odds = person @ population.by_person + population.intercept
    findings = odds.shape[1]
    ill = np.zeros((len(age), findings))
    for k in range(findings):
        total = odds[:, k] + ill[:, :k] @ population.comorbidity[:k, k]
        ill[:, k] = uniform[:, k] < expit(total)
    severity = draw.severity + ill * (1.0 + 0.8 * draw.extra) * population.severity
    ap = (uniform[:, -3] < population.ap_by_ward[ward]).astype(np.float64)
    device = (
        uniform[:, -4] < expit(population.device + 1.2 * (ward == 2) + ill @ population.device_by)
    ).astype(np.float64)
    own = severity[:, : nature.n_tasks]
    suspicion = own + 0.6 * (severity.sum(axis=1, keepdims=True) - own) + 0.5 * draw.reading
    strength = population.verified if population.verified.size else np.zeros(nature.n_tasks)
    chance = np.where(strength > 0, expit(2 * strength * (suspicion - 1.2)), population.verified_at_random)
    verified = draw.chance[:, : nature.n_tasks] < np.maximum(chance, 0.03)
    return _People(age, sex, ward, ap, device, frailty, severity, verified)


def _imaged(population: Population, people: _People, draw: _Draw) -> Flags:
    """Who of those is imaged: the more likely, the sicker, where that is the site's habit."""
    if population.imaged == 0:
        return np.ones(len(people.age), dtype=np.bool_)
    ill = np.maximum(people.severity, 0).sum(axis=1)
    return draw.uniform[:, -5] < expit(population.imaged * (ill - np.median(ill)))


def _picture(nature: _Nature, acquisition: Acquisition, people: _People, draw: _Draw) -> Floats:
    rest = np.column_stack([people.device, people.ap - 0.5, people.age, people.frailty])
    features = people.severity @ nature.signal + rest @ nature.other_signal + nature.noise * draw.picture
    if nature.bent:
        features = np.tanh(nature.bent * features) / nature.bent
    changed = features @ acquisition.mixing + acquisition.offset
    if acquisition.noise:
        changed = changed + acquisition.noise * np.roll(draw.picture, 7, axis=0)[:, ::-1]
    changed = np.clip(changed, -acquisition.clip, acquisition.clip)
    if acquisition.levels:
        changed = np.round(changed / acquisition.levels) * acquisition.levels
    return np.where(people.ap[:, None] == 1, changed, features) if acquisition.only_ap else changed


def _read(nature: _Nature, reader: Labeller, people: _People, draw: _Draw) -> Floats:
    n = nature.n_tasks
    own = people.severity[:, :n]
    severity = (1 - reader.share_of_other) * own + reader.share_of_other * people.severity[:, reader.other]
    severity = severity / np.hypot(1 - reader.share_of_other, reader.share_of_other)
    label = severity + reader.error * draw.reading > reader.threshold
    first, second, third = (draw.chance[:, ::-1][:, part * n : (part + 1) * n] for part in range(3))
    mild = np.exp(-2.0 * np.maximum(severity - reader.threshold, 0))
    companion = people.severity[:, reader.companion] > 1.0
    flip = np.where(
        label,
        reader.flip_positive,
        reader.flip_negative * label.mean(axis=0) / (1 - label.mean(axis=0) + 1e-9),
    )
    label = label ^ (first < flip)
    label = label & ~(second < reader.miss_mild * mild) & ~(companion & (third < reader.hidden_by))
    label = label | (companion & (third > 1 - reader.called_with))
    label = label | ((people.device[:, None] == 1) & (second > 1 - reader.by_device))
    label = label & ~(first > 1 - reader.unverified * expit(-2 * (own - 2.0)))
    return np.where(reader.inverted, 1 - label, label).astype(np.float64)


@dataclass(frozen=True)
class _Model:
    hidden: Floats
    weights: Floats

    def __call__(self, features: Floats) -> Floats:
        units = np.column_stack([np.ones(len(features)), features, np.maximum(features @ self.hidden, 0)])
        return np.asarray(units @ self.weights)


def _train(features: Floats, labels: Floats, rng: np.random.Generator) -> _Model:
    """Ridge-regularised discriminant on random hidden units; missing labels carry no weight."""
    hidden = rng.normal(size=(N_FEATURES, 10)) / np.sqrt(N_FEATURES)
    units = np.column_stack([np.ones(len(features)), features, np.maximum(features @ hidden, 0)])
    labelled = ~np.isnan(labels)
    share = np.nansum(labels, axis=0) / np.maximum(labelled.sum(axis=0), 1)
    rest = np.where(labelled, labels - share, 0) / np.sqrt(share * (1 - share) + 1e-3)
    inner = units.T @ units + np.diag([1e-3, *[8.0] * (units.shape[1] - 1)])
    return _Model(hidden, np.linalg.solve(inner, units.T @ rest))


@dataclass(frozen=True)
class _Hospital:
    population: Population
    acquisition: Acquisition
    labeller: Labeller


Plant = Callable[[_Nature, _Hospital, NDArray[np.int64], np.random.Generator], _Hospital]


def _with(hospital: _Hospital, **parts: object) -> _Hospital:
    """The hospital with fields of its parts replaced, by name of the part and the field."""
    values: dict[str, Any] = {}
    for name in ("population", "acquisition", "labeller"):
        own = {key.split("__")[1]: value for key, value in parts.items() if key.startswith(name)}
        values[name] = replace(getattr(hospital, name), **own)
    return _Hospital(**values)


def _replaced(array: NDArray[Any], at: NDArray[np.int64], value: Any) -> NDArray[Any]:
    changed = array.copy()
    changed[at] = value
    return changed


def _recalibrated(
    nature: _Nature, population: Population, target: Floats, rng: np.random.Generator
) -> Population:
    """The population with intercepts such that every finding that has a name is as common as told."""
    draw, tasks = _draw(nature, 2000, rng, clustered=False), np.arange(nature.n_tasks)
    result = population
    for _ in range(3):
        moved = logit(target) - logit(_ill(nature, result, draw))
        result = replace(
            result, intercept=_replaced(result.intercept, tasks, (result.intercept + moved)[tasks])
        )
    return result


def _ill(nature: _Nature, population: Population, draw: _Draw) -> Floats:
    """How common each finding is."""
    return np.asarray(
        (_people(nature, population, draw).severity - draw.severity > 0).mean(axis=0).clip(*BOUNDS)
    )


def _image_mixed(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    strength = rng.uniform(0.15, 1.2)
    mixing = np.eye(N_FEATURES) + strength * rng.normal(size=(N_FEATURES, N_FEATURES)) / np.sqrt(N_FEATURES)
    offset = rng.uniform(0, 0.8) * strength * rng.normal(size=N_FEATURES)
    return _with(
        hospital, acquisition__mixing=mixing * np.exp(rng.normal(0, 0.25)), acquisition__offset=offset
    )


def _image_noisy(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    channels = (rng.random(N_FEATURES) > rng.uniform(0, 0.4)).astype(np.float64)
    return _with(
        hospital,
        acquisition__mixing=np.diag(channels * rng.uniform(0.5, 1)),
        acquisition__noise=rng.uniform(0.2, 1.6),
    )


def _image_clipped(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    return _with(
        hospital,
        acquisition__offset=rng.uniform(-1, 1) * np.ones(N_FEATURES),
        acquisition__clip=rng.uniform(0.4, 1.5),
        acquisition__levels=rng.uniform(0, 1.0),
    )


def _image_local(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    """What shows one finding is dulled; others are hurt as far as they look alike."""
    mixing = np.eye(N_FEATURES)
    for task in tasks:
        direction = nature.signal[task] / np.linalg.norm(nature.signal[task])
        mixing = mixing @ (np.eye(N_FEATURES) - rng.uniform(0.4, 1.1) * np.outer(direction, direction))
    return _with(hospital, acquisition__mixing=mixing)


def _image_ap(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    changed = (_image_mixed, _image_noisy)[int(rng.integers(2))](nature, hospital, tasks, rng)
    return _with(changed, acquisition__only_ap=True)


def _spectrum(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    """Milder (mostly) or more severe disease, of the findings or of all."""
    factor = np.exp(rng.choice([-1, -1, 1]) * rng.uniform(0.2, 0.9))
    at = tasks if rng.random() < 0.5 else np.arange(hospital.population.severity.size)
    return _with(
        hospital,
        population__severity=_replaced(
            hospital.population.severity, at, hospital.population.severity[at] * factor
        ),
    )


def _comorbidity(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    old = hospital.population.comorbidity
    return _with(
        hospital,
        population__comorbidity=np.where(rng.random(old.shape) < 0.6, rng.normal(0, 2.2, old.shape), old),
    )


def _shortcut(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    """A device that went with the finding at A goes with nothing, or with another, at B."""
    turned = hospital.population.device_by * rng.choice([0.0, -0.7])
    return _with(hospital, population__device_by=turned, population__device=rng.uniform(-3.0, 1.0))


def _wards(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    return _with(
        hospital,
        population__wards=rng.dirichlet(np.ones(3)),
        population__ap_by_ward=rng.random(3),
        population__frailty=rng.normal(0, 1.2),
    )


def _people_other(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    return _with(
        hospital,
        population__age=hospital.population.age + rng.choice([-1, 1]) * rng.uniform(0.5, 1.8),
        population__female=rng.uniform(0.2, 0.8),
    )


def _verification(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    """Only suspicious images have a label of the finding, or of all findings."""
    at = tasks if rng.random() < 0.5 else np.arange(nature.n_tasks)
    return _with(
        hospital, population__verified=_replaced(np.zeros(nature.n_tasks), at, rng.uniform(0.5, 2.5))
    )


def _symptomatic(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    return _with(hospital, population__imaged=rng.choice([-1, 1]) * rng.uniform(0.5, 2.5))


def _mimic(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    """Something that looks like a finding, and that nobody names, is common at B."""
    hidden = nature.n_tasks + int(rng.integers(N_HIDDEN))
    return _with(
        hospital,
        population__intercept=_replaced(
            hospital.population.intercept, np.array([hidden]), rng.uniform(-1.5, 1.5)
        ),
    )


def _prevalence(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    at = tasks if rng.random() < 0.7 else np.arange(nature.n_tasks)
    moved = rng.choice([-1, 1], at.size) * rng.uniform(0.4, 1.5, at.size)
    return _with(
        hospital,
        population__intercept=_replaced(
            hospital.population.intercept, at, hospital.population.intercept[at] + moved
        ),
    )


def _threshold(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    moved = rng.choice([-1, 1], tasks.size) * rng.uniform(0.2, 1.2, tasks.size)
    return _with(
        hospital,
        labeller__threshold=_replaced(
            hospital.labeller.threshold, tasks, hospital.labeller.threshold[tasks] + moved
        ),
    )


def _redefined(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    if rng.random() < 0.1:
        return _with(hospital, labeller__inverted=_replaced(hospital.labeller.inverted, tasks, True))
    other = rng.integers(nature.n_tasks + N_HIDDEN, size=tasks.size)
    return _with(
        hospital,
        labeller__other=_replaced(hospital.labeller.other, tasks, other),
        labeller__share_of_other=_replaced(
            hospital.labeller.share_of_other, tasks, rng.uniform(0.2, 1.0, tasks.size)
        ),
    )


def _noise(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    kind = rng.integers(3)
    share, other = rng.uniform(0.05, 0.6), rng.uniform(0.05, 0.8)
    return _with(
        hospital,
        labeller__flip_positive=_replaced(hospital.labeller.flip_positive, tasks, share if kind != 1 else 0),
        labeller__flip_negative=_replaced(hospital.labeller.flip_negative, tasks, other if kind != 0 else 0),
    )


def _noise_mild(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    """Mild disease is missed, and hands are less steady."""
    return _with(
        hospital,
        labeller__miss_mild=_replaced(hospital.labeller.miss_mild, tasks, rng.uniform(0.2, 1.0)),
        labeller__error=_replaced(hospital.labeller.error, tasks, rng.uniform(0.3, 1.3)),
    )


def _noise_others(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    """The finding is left out of reports, or called, where another is there, or called with a device."""
    companion = (tasks + 1 + rng.integers(nature.n_tasks + N_HIDDEN - 1, size=tasks.size)) % (
        nature.n_tasks + N_HIDDEN
    )
    kind = rng.integers(3)
    return _with(
        hospital,
        labeller__companion=_replaced(hospital.labeller.companion, tasks, companion),
        labeller__hidden_by=_replaced(
            hospital.labeller.hidden_by, tasks, rng.uniform(0.3, 1) if kind == 0 else 0
        ),
        labeller__called_with=_replaced(
            hospital.labeller.called_with, tasks, rng.uniform(0.1, 0.8) if kind == 1 else 0
        ),
        labeller__by_device=_replaced(
            hospital.labeller.by_device, tasks, rng.uniform(0.1, 0.8) if kind == 2 else 0
        ),
    )


def _unverified(
    nature: _Nature, hospital: _Hospital, tasks: NDArray[np.int64], rng: np.random.Generator
) -> _Hospital:
    """Whoever was not worked up counts as negative."""
    return _with(
        hospital, labeller__unverified=_replaced(hospital.labeller.unverified, tasks, rng.uniform(0.3, 1.2))
    )


FAMILIES: Final[dict[str, tuple[str, Plant]]] = {
    "mixed channels": ("image", _image_mixed),
    "noise, lost channels": ("image", _image_noisy),
    "clipped, coarse": ("image", _image_clipped),
    "one finding dulled": ("image", _image_local),
    "one view": ("image", _image_ap),
    "spectrum": ("population", _spectrum),
    "comorbidity": ("population", _comorbidity),
    "lost shortcut": ("population", _shortcut),
    "wards and views": ("population", _wards),
    "age and sex": ("population", _people_other),
    "verification": ("population", _verification),
    "who is imaged": ("population", _symptomatic),
    "mimic": ("population", _mimic),
    "prevalence": ("prevalence", _prevalence),
    "threshold": ("label", _threshold),
    "redefined": ("label", _redefined),
    "noise": ("label", _noise),
    "noise by severity": ("label", _noise_mild),
    "noise by others": ("label", _noise_others),
    "unverified negative": ("label", _unverified),
}
"""Mechanism → the cause that it belongs to, and how it is planted."""


def draw_world(seed: int, families: tuple[str, ...] | None = None, images: Sizes | None = None) -> World:
    """The world of a seed. families: what is planted; left out, it is drawn: nothing, one mechanism, or two.

    images: how many are tested at a site, None as IMAGES; hospitals and models of a seed are the same whatever they are.

    In three of four worlds sites are drawn again, four times at most, until everything planted counts in some finding.
    """
    rng = np.random.default_rng([18, seed])
    names = families if families is not None else _random_families(rng)
    groups = {FAMILIES[name][0] for name in names} if rng.random() < 0.75 else set()
    for _ in range(5):
        pair = _pair(names, rng)
        truth = _truth(pair, names, rng)
        if all(truth.counts[:, CAUSES.index(cause)].any() for cause in groups):
            break
    pipeline = drawn_pipeline(seed)
    a, b, by_a, piped = _tested(pair, rng, seed, pipeline, images or IMAGES)
    parts = truth.drop, truth.shares, truth.drawn, truth.counts
    cost = _piped_cost(pair, pipeline, seed)
    return World("strangers", names, a, b, *parts, by_a, truth.relabelled, piped, cost)


@dataclass(frozen=True)
class _Pair:
    """Two hospitals with their models; scale: how scores are given out."""

    nature: _Nature
    a: _Hospital
    b: _Hospital
    model_a: _Model
    model_b: _Model
    scale: Callable[[Floats], Floats]


def _pair(families: tuple[str, ...], rng: np.random.Generator) -> _Pair:
    nature, a = _nature(rng)
    tasks = _hit(nature, rng)
    b = a
    for name in families:
        b = FAMILIES[name][1](nature, b, tasks, rng)
    if b.population is not a.population and rng.random() < 0.7:
        b = _as_common(nature, a, b, rng)
    trained = np.exp(rng.uniform(np.log(400), np.log(8000), 2)).astype(int)
    model_a, model_b = (
        _train(*_sample(nature, hospital, int(n), rng)[:2], rng)
        for hospital, n in ((a, trained[0]), (b, trained[1]))
    )
    return _Pair(nature, a, b, model_a, model_b, _showing(rng))


def _tested(
    pair: _Pair, rng: np.random.Generator, seed: int, pipeline: Pipeline, images: Sizes
) -> tuple[Site, Site, Floats, Floats]:
    """Both sites, what A's labeller says of B's images, and scores of A's images through B's pipeline."""
    low, high = np.log(images)
    sites: list[Site] = []
    piped = np.zeros(0)
    for hospital, n in zip((pair.a, pair.b), np.exp(rng.uniform(low, high, 2)).astype(int), strict=True):
        features, labels, people, patient, pictures = _sample(pair.nature, hospital, int(n), rng)
        if not sites:
            piped = pair.scale(pair.model_a(pipeline(features, pictures(pair.b.acquisition), seed)))
        columns = np.column_stack([people.age, people.sex, people.ap]).astype(np.float64)
        home, other = pair.scale(pair.model_a(features)), pair.scale(pair.model_b(features))
        sites.append(Site(labels, home, patient + len(sites) * images[1], other, columns))
    by_a = _read_again(pair.nature, pair.a.labeller, people, np.random.default_rng([19, seed]))
    return sites[0], sites[1], np.where(np.isnan(labels), np.nan, by_a), piped


def _piped_cost(pair: _Pair, pipeline: Pipeline, seed: int) -> Floats:
    """AUC of A's model at A less that of A's images through B's pipeline, in a large sample."""
    rng = np.random.default_rng([25, seed])
    features, labels, _, _, pictures = _sample(pair.nature, pair.a, LARGE, rng, clustered=False)
    piped = pipeline(features, pictures(pair.b.acquisition), seed)
    own, other = (auc(labels, pair.scale(pair.model_a(of))).value for of in (features, piped))
    return np.asarray(own - other)


def _read_again(nature: _Nature, reader: Labeller, people: _People, rng: np.random.Generator) -> Floats:
    """What a reader says of the same images on another day: the same severities, another error of the hand."""
    n, none = len(people.age), np.zeros((0, 0))
    hand, chance = rng.standard_normal((n, nature.n_tasks)), rng.random((n, 3 * nature.n_tasks))
    draw = _Draw(np.arange(n), none, none, none, none, hand, chance, none)
    return _read(nature, reader, people, draw)


def _random_families(rng: np.random.Generator) -> tuple[str, ...]:
    number = rng.choice([0, 1, 2], p=[0.12, 0.58, 0.30])
    causes = rng.permutation(CAUSES)[:number]
    return tuple(
        str(rng.choice([name for name, (of, _) in FAMILIES.items() if of == cause])) for cause in causes
    )


def _hit(nature: _Nature, rng: np.random.Generator) -> NDArray[np.int64]:
    """The findings that a mechanism of single findings hits: one, some or all."""
    number = rng.choice([1, max(2, nature.n_tasks // 3), nature.n_tasks], p=[0.6, 0.25, 0.15])
    return rng.permutation(nature.n_tasks)[:number]


def _as_common(nature: _Nature, a: _Hospital, b: _Hospital, rng: np.random.Generator) -> _Hospital:
    """B with findings as common as at A, but for what was planted: another case mix need not change how common they are."""
    draw = _draw(nature, 3000, rng, clustered=False)
    ill = _ill(nature, a.population, draw)
    moved = b.population.intercept - a.population.intercept
    return replace(b, population=_recalibrated(nature, b.population, expit(logit(ill) + moved), rng))


def _nature(rng: np.random.Generator) -> tuple[_Nature, _Hospital]:
    n = int(rng.choice([3, 4, 6, 8, 12], p=[0.25, 0.15, 0.25, 0.25, 0.1]))
    findings = n + N_HIDDEN
    signal = rng.normal(size=(findings, N_FEATURES)) * np.exp(
        rng.uniform(np.log(0.08), np.log(0.45), (findings, 1))
    )
    alike = rng.normal(size=(2, N_FEATURES)) * rng.uniform(0, 0.6)
    signal[:n] += rng.normal(size=(n, 2)) @ alike / np.sqrt(2)
    signal[n:] = rng.uniform(0.5, 1.3) * signal[rng.integers(n, size=N_HIDDEN)] + 0.4 * signal[n:]
    other = (
        rng.normal(size=(4, N_FEATURES))
        * np.array([0.9, 0.6, 0.5, 0.5])[:, None]
        * rng.uniform(0, 1.5, (4, 1))
    )
    nature = _Nature(
        n,
        signal,
        other,
        rng.uniform(0.5, 1.1),
        bool(rng.random() < 0.3),
        float(rng.choice([0.0, 0.5])),
        float(rng.choice([0.0, 0.0, 0.5, 2.0])),
    )
    population = Population(
        age=0.0, female=0.5, wards=rng.dirichlet(3 * np.ones(3)), frailty=0.0, intercept=np.full(findings, -2.0),
        by_person=rng.normal(0, rng.uniform(0.2, 1.1), (5, findings)),
        comorbidity=np.where(rng.random((findings, findings)) < 0.4, rng.normal(0, 1.0, (findings, findings)), 0),
        severity=np.exp(rng.normal(0, 0.15, findings)),
        device_by=np.where(rng.random(findings) < 0.35, rng.uniform(1.0, 5.0, findings), 0), device=rng.uniform(-4, -2),
        ap_by_ward=np.sort(rng.random(3)), verified_at_random=float(rng.choice([1.0, 1.0, 0.7])),
    )  # fmt: skip
    target = np.exp(rng.uniform(np.log(0.04), np.log(0.3), findings))
    zeros, ones = np.zeros(n), np.ones(n)
    reader = Labeller(
        threshold=rng.uniform(0.8, 1.3, n), error=rng.uniform(0.1, 0.4, n), flip_positive=zeros, flip_negative=zeros,
        miss_mild=zeros, other=np.arange(n), share_of_other=zeros, companion=np.arange(n), hidden_by=zeros,
        called_with=zeros, by_device=zeros, unverified=zeros, inverted=ones < 0,
    )  # fmt: skip
    hospital = _Hospital(
        _recalibrated(nature, population, target, rng),
        Acquisition(np.eye(N_FEATURES), np.zeros(N_FEATURES)),
        reader,
    )
    return nature, hospital


def _sample(
    nature: _Nature, hospital: _Hospital, n: int, rng: np.random.Generator, clustered: bool = True
) -> tuple[Floats, Floats, _People, NDArray[np.int64], Callable[[Acquisition], Floats]]:
    """Features, labels, people and patients of n images at a hospital; and their features by another acquisition."""
    draw = _draw(nature, n, rng, clustered)
    people = _people(nature, hospital.population, draw)
    imaged = _imaged(hospital.population, people, draw)
    labels = np.where(people.verified, _read(nature, hospital.labeller, people, draw), np.nan)
    features = _picture(nature, hospital.acquisition, people, draw)
    patients = _People(*(getattr(people, name)[imaged] for name in _People.__dataclass_fields__))
    return (
        features[imaged],
        labels[imaged],
        patients,
        draw.patient[imaged],
        lambda acquisition: _picture(nature, acquisition, people, draw)[imaged],
    )


def _showing(rng: np.random.Generator) -> Callable[[Floats], Floats]:
    """How scores are given out: as they are, with heavy tails, in steps, or as probabilities."""
    kind, step = rng.integers(4), float(rng.choice([0.1, 0.5]))
    return (
        lambda s: s,
        lambda s: np.sinh(2 * s),
        lambda s: np.round(s / step) * step,
        lambda s: expit(3 * s),
    )[kind]


def _truth(pair: _Pair, families: tuple[str, ...], rng: np.random.Generator) -> Truth:
    nature, a, b = pair.nature, pair.a, pair.b
    draw = _draw(nature, LARGE, rng, clustered=False)
    value: dict[Mixture, Floats] = {}
    calls_of: dict[tuple[int, int, int], Floats] = {}
    cache: dict[int, tuple[dict[tuple[int, int], Floats], list[Floats]]] = {}
    for (p, q), population in _populations(nature, a.population, b.population, rng).items():
        if id(population) not in cache:
            cache[id(population)] = _values(pair, population, draw)
        values, calls = cache[id(population)]
        value |= {(i, p, q, r): of for (i, r), of in values.items()}
        calls_of |= {(p, q, r): of for r, of in enumerate(calls)}
    causes = {FAMILIES[name][0] for name in families}
    differs = np.array([_differs(a.labeller, b.labeller, task) for task in range(nature.n_tasks)])
    return truth(
        value,
        (calls_of[0, 0, 0], calls_of[1, 1, 0], calls_of[1, 1, 1]),
        {"image": "image" in causes, "population": "population" in causes, "label": differs},
    )


def _populations(
    nature: _Nature, a: Population, b: Population, rng: np.random.Generator
) -> dict[tuple[int, int], Population]:
    """By (all but prevalence, prevalence), 0 for A's and 1 for B's: the populations that mix both sites."""
    alike = all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in Population.__dataclass_fields__
        if name != "intercept"
    ) and np.array_equal(a.intercept[nature.n_tasks :], b.intercept[nature.n_tasks :])
    if alike:
        return {(0, 0): a, (1, 0): a, (0, 1): b, (1, 1): b}
    draw = _draw(nature, 3000, rng, clustered=False)
    common = [_ill(nature, population, draw) for population in (a, b)]
    if np.abs(logit(common[0]) - logit(common[1]))[: nature.n_tasks].max() < ALIKE:
        return {(0, 0): a, (1, 0): b, (0, 1): a, (1, 1): b}
    return {
        (0, 0): a,
        (1, 0): _recalibrated(nature, b, common[0], rng),
        (0, 1): _recalibrated(nature, a, common[1], rng),
        (1, 1): b,
    }


def _values(
    pair: _Pair, population: Population, draw: _Draw
) -> tuple[dict[tuple[int, int], Floats], list[Floats]]:
    """AUC of the model by (acquisition, labeller), and the share of positives by labeller, of one population."""
    nature, places = pair.nature, (pair.a, pair.b)
    people = _people(nature, population, draw)
    imaged = _imaged(population, people, draw)
    reads = [_read(nature, hospital.labeller, people, draw) for hospital in places]
    reads = [np.where(people.verified, read, np.nan)[imaged] for read in reads]
    scores = [
        pair.scale(pair.model_a(_picture(nature, hospital.acquisition, people, draw)[imaged]))
        for hospital in places
    ]
    values = {(i, r): auc(read, of).value for i, of in enumerate(scores) for r, read in enumerate(reads)}
    return values, [np.nanmean(read, axis=0) for read in reads]


def _differs(one: Labeller, two: Labeller, task: int) -> bool:
    return any(getattr(one, name)[task] != getattr(two, name)[task] for name in Labeller.__dataclass_fields__)

"""What each cause would look like in A's own scores: changes planted in copies of A, whose truth is therefore known.

A's patients are drawn twice, with replacement. The first draw is A again. In the second none, one or two things are changed:
    image        every score gets noise, its own or one that findings share; or pictures are lost, findings read as each
                 other, noise grows with the score, ranks turn round; and any monotone change of the scale on top
    population   patients come by severity, by health, by a covariate, by another finding, or by what scores have in common
    prevalence   one class comes more rarely, of one finding or of each
    label        errors of the hand, a broader or narrower rule (in part by severity), another threshold, another finding too
Severity is what the score says of it, and noise of its own. No picture is needed. What a change costs is known of all of A's
images, and counts by the definitions of `_truth`.

With sites of the two other generators as A this is a third one (`draw_world`): cut to one finding or a few, to some of the
patients, or to fewer without a finding, so that it may be commoner than it is in their worlds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from benchmarks import _strangers, _worlds
from benchmarks._planted import apart, weights
from benchmarks._truth import CAUSES, MIXTURES, Flags, Floats, Sizes, Truth, World, truth
from xray.stats.evidence import Site

NUMBER: Final = (0.12, 0.55, 0.33)
"""Chance that none, one or two causes are planted."""
RAREST: Final = 0.02
"""Chance to come of those who come least, against those who come most."""
MOST: Final = 8
"""Patients drawn for B are at most as many times A's: of the rarest there are no more."""

IMAGES: Final[Sizes] = (200, 5000)
"""Images of the second site, where nothing else is asked for."""
OF_STRANGERS: Final = 0.75
"""Share of sites that are of `_strangers`."""
OTHER_SEEDS: Final = 2_000_000
"""Sites have seeds of the other generators from here on, of which no world is fitted to or judged."""

KINDS: Final = {
    **dict.fromkeys(("noisy", "mixed", "lost", "noisy by score", "inverted"), "image"),
    **dict.fromkeys(("by ill", "by healthy", "by common", "by covariate", "by finding"), "population"),
    "prevalence": "prevalence",
    **dict.fromkeys(("errors", "broader", "narrower", "other threshold", "other finding"), "label"),
}
"""Kind of change → the cause that it belongs to."""
RESEMBLED: Final = {
    "noisy": ("strangers: noise, lost channels", "worlds: image, destroys", "worlds: image"),
    "mixed": ("strangers: mixed channels", "worlds: image, destroys", "worlds: image"),
    "lost": ("strangers: one view", "strangers: one finding dulled"),
    "noisy by score": ("strangers: noise, lost channels", "worlds: image, destroys"),
    "inverted": ("strangers: mixed channels", "worlds: image, destroys"),
    "by ill": ("strangers: spectrum",),
    "by healthy": ("strangers: spectrum", "strangers: mimic"),
    "by common": ("strangers: who is imaged", "strangers: verification"),
    "by covariate": ("strangers: age and sex", "strangers: wards and views"),
    "by finding": ("strangers: comorbidity", "strangers: lost shortcut"),
    "errors": ("strangers: noise", "worlds: label noise"),
    "broader": ("strangers: redefined", "strangers: noise by severity", "worlds: label redefined", "worlds: redefined"),
    "narrower": (
        "strangers: noise by severity", "strangers: unverified negative", "worlds: label redefined", "worlds: redefined",
    ),
    "other threshold": ("strangers: threshold", "worlds: label threshold"),
    "other finding": ("strangers: redefined", "strangers: noise by others", "worlds: label redefined", "worlds: redefined"),
}  # fmt: skip
"""Kind of change → families of the other generators that it resembles: where one is left out, the change is too."""

Ints = NDArray[np.int64]
Draws = np.random.Generator


@dataclass(frozen=True)
class Planted:
    """Of A's images: scores (n, n_tasks) at B; weight (n,), how likely an image comes; calls (n, n_tasks), that it is called
    positive, NaN without a label. names: kinds of change."""

    scores: Floats
    weight: Floats
    calls: Floats
    names: tuple[str, ...]

    @property
    def pictures(self) -> bool:
        """Whether scores were changed."""
        return "image" in [KINDS[name] for name in self.names]


def draw_world(seed: int, images: Sizes | None = None) -> World:
    """The world of a seed: a site of another generator, cut, and a copy of it with changes.

    In three of four worlds changes are drawn again, four times at most, until everything planted counts in some finding.
    """
    rng = np.random.default_rng([28, seed])
    if rng.random() < OF_STRANGERS:
        site = _strangers.draw_world(OTHER_SEEDS + seed, (), images).a
    else:
        site = _worlds.mixed_world("none", OTHER_SEEDS + seed, images).a
    low, high = np.log(images or IMAGES)
    site, n = _cut(site, rng), int(np.exp(rng.uniform(low, high)))
    for world in pairs(site, n, seed, 5 if rng.random() < 0.75 else 1):
        counting = {CAUSES[at] for at in np.flatnonzero(world.counts.any(axis=0))}
        if {KINDS[name] for name in world.families} <= counting:
            break
    return world


def _cut(site: Site, rng: Draws) -> Site:
    """Some of the findings, patients, and images without a finding."""
    n, tasks = site.labels.shape
    of_tasks = np.sort(rng.permutation(tasks)[: rng.choice([1, min(3, tasks), tasks], p=[0.35, 0.2, 0.45])])
    names, unit = np.unique(site.patients, return_inverse=True)
    stays = (rng.random(names.size) < np.exp(rng.uniform(np.log(0.4), 0)))[unit]
    if rng.random() < 0.4:
        ill = site.labels[:, rng.choice(of_tasks)] == 1
        share, prevalence = ill.mean(), rng.uniform(0.15, 0.6)
        odds = share / (1 - share) * (1 - prevalence) / prevalence
        stays &= ill | (rng.random(n) < odds) | (not ill.any())
    at = np.flatnonzero(stays)
    some = site.take(at)
    return replace(some, labels=some.labels[:, of_tasks], scores=some.scores[:, of_tasks], witness=None)


def pairs(site: Site, images: int, seed: int, n: int) -> Iterator[World]:
    """n pairs of copies of a site, the second of about so many images. The first n of a seed are always the same."""
    for number in range(n):
        rng = np.random.default_rng([seed, number])
        planted = plant(site, rng)
        real, cost = costs(site, planted)
        patients = np.unique(site.patients).size
        at_a, draw_a = _copied(site.patients, patients, rng)
        come = planted.weight / planted.weight.max()
        draws = int(np.ceil(images / (len(come) / patients * come.mean())))
        at_b, draw_b = _copied(site.patients, max(1, min(draws, MOST * patients)), rng)
        comes = rng.random(at_b.size) < come[at_b]
        at_b, draw_b = at_b[comes], draw_b[comes]
        calls = planted.calls[at_b]
        labels = np.where(np.isnan(calls), np.nan, rng.random(calls.shape) < calls)
        mixed = [None if site.covariates is None else site.covariates[at] for at in (at_a, at_b)]
        origins = [site.patients[at] for at in (at_a, at_b)]
        yield World(
            "plants", planted.names,
            Site(site.labels[at_a], site.scores[at_a], draw_a, None, mixed[0], origins[0]),
            Site(labels, planted.scores[at_b], patients + draw_b, None, mixed[1], origins[1]),
            real.drop, real.shares, real.drawn, real.counts, site.labels[at_b], real.relabelled, planted.scores[at_a], cost,
        )  # fmt: skip


def _copied(patients: NDArray[np.generic], n: int, rng: Draws) -> tuple[Ints, Ints]:
    """Images of n patients drawn with replacement, and the number of the draw that each is of."""
    names, unit = np.unique(patients, return_inverse=True)
    order, sizes = np.argsort(unit, kind="stable"), np.bincount(unit)
    starts = np.cumsum(sizes) - sizes
    drawn_units = rng.integers(names.size, size=n)
    number = np.repeat(np.arange(n), sizes[drawn_units])
    within = np.arange(number.size) - np.repeat(
        np.cumsum(sizes[drawn_units]) - sizes[drawn_units], sizes[drawn_units]
    )
    return order[np.repeat(starts[drawn_units], sizes[drawn_units]) + within], number


def plant(site: Site, rng: Draws) -> Planted:
    """Changes drawn at random, of one finding or of all, from hardly to plainly felt."""
    labels, scores = site.labels, site.scores
    z = _standardised(scores)
    target = int(rng.integers(labels.shape[1]))
    causes = set(rng.permutation(CAUSES)[: rng.choice(len(NUMBER), p=NUMBER)].tolist())
    weight, changed, calls = np.ones(len(labels)), scores, labels.astype(np.float64)
    names: list[str] = []
    if "image" in causes:
        spread = np.nanstd(scores, axis=0) + 1e-9
        name, z_changed = _pictures(z, rng)
        changed = z_changed * spread + np.nanmean(scores, axis=0)
        names.append(name)
    if "population" in causes:
        name, weight = _patients(site, z, target, rng)
        names.append(name)
    if "prevalence" in causes:
        weight = weight * _commonness(labels, target, rng)
        names.append("prevalence")
    if "label" in causes:
        others = [task for task in range(labels.shape[1]) if task != target]
        wide = rng.random() < 0.4
        for task in [target, *(task for task in others if wide and rng.random() < 0.5)]:
            name, calls[:, task] = _labeller(labels, z[:, task], task, rng)
            names += [name] * (name not in names)
    return Planted(changed, np.maximum(weight, RAREST * weight.max()), calls, tuple(names))


def _standardised(scores: Floats) -> Floats:
    return np.asarray((scores - np.nanmean(scores, axis=0)) / (np.nanstd(scores, axis=0) + 1e-9))


def _pictures(z: Floats, rng: Draws) -> tuple[str, Floats]:
    """How pictures were changed, and their standardised scores (n, n_tasks)."""
    n, tasks = z.shape
    own = np.exp(rng.uniform(np.log(0.1), np.log(3)) + rng.normal(0, rng.choice([0, 0.3, 0.7]), tasks))
    common = rng.uniform(0, 0.9)
    noise = np.sqrt(common) * rng.normal(size=(n, 1)) + np.sqrt(1 - common) * rng.normal(size=(n, tasks))
    remaining = 1 / np.sqrt(1 + own**2)
    kind = str(
        rng.choice(["noisy", "mixed", "lost", "noisy by score", "inverted"], p=[0.4, 0.2, 0.2, 0.15, 0.05])
    )
    if kind == "noisy":
        z = remaining * z + np.sqrt(1 - remaining**2) * noise
    elif kind == "mixed":
        others = z @ rng.normal(size=(tasks, tasks)) / np.sqrt(tasks)
        z = remaining * z + np.sqrt(1 - remaining**2) * (0.6 * others + 0.8 * noise)
    elif kind == "lost":
        is_lost = rng.random((n, 1)) < rng.uniform(0.05, 0.8)
        z = np.where(is_lost, rng.uniform(0, 0.5) * z + rng.normal(0, 0.5) + 0.5 * noise, z)
    elif kind == "noisy by score":
        z = z + 1.5 * own * expit(rng.uniform(-2, 2) * z) * noise
    else:
        z = -rng.uniform(0.2, 1) * z + rng.uniform(0.3, 1) * noise
    shift = rng.normal(0, rng.choice([0, 0.5, 1.5])) + rng.normal(0, rng.choice([0, 0.4]), tasks)
    stretch = np.exp(rng.normal(0, rng.choice([0, 0.3, 0.8])) + rng.normal(0, rng.choice([0, 0.2]), tasks))
    return kind, np.asarray(z * stretch + shift)


def _severity(z: Floats, rng: Draws) -> Floats:
    """What the score says of how ill someone is, and what it does not say (n,)."""
    share = rng.uniform(0.5, 1)
    return np.asarray(share * np.nan_to_num(z) + np.sqrt(1 - share**2) * rng.normal(size=z.size))


def _patients(site: Site, z: Floats, target: int, rng: Draws) -> tuple[str, Floats]:
    """Who comes more rarely, and how likely each image comes (n,); the target stays as common as it was."""
    labels, ill = site.labels, site.labels[:, target] == 1
    slope, sign = rng.uniform(0.5, 3), rng.choice([-1, 1])
    others = [task for task in range(labels.shape[1]) if task != target]
    kinds = ["ill", "ill", "healthy", "common"] + ["covariate"] * (site.covariates is not None)
    kind = str(rng.choice(kinds + ["finding"] * (len(others) > 0)))
    severity = _severity(z[:, target], rng)
    if kind == "ill" and ill.any():
        weight = np.where(ill, _more(severity, severity[ill], sign * slope, rng), 1.0)
    elif kind == "healthy" and not ill.all():
        weight = np.where(ill, 1.0, _more(severity, severity[~ill], sign * slope, rng))
    elif kind == "covariate" and site.covariates is not None:
        column = site.covariates[:, rng.integers(site.covariates.shape[1])]
        weight = expit(sign * 1.5 * slope * np.nan_to_num(_standardised(column[:, None])[:, 0]))
    elif kind == "finding":
        weight = np.where((labels[:, rng.choice(others)] == 1) == (sign > 0), rng.uniform(0, 0.5), 1.0)
    else:
        along = rng.normal(size=z.shape[1])
        weight = expit(sign * slope * (np.nan_to_num(z) @ along) / np.linalg.norm(along))
    weight = np.clip(weight, RAREST, 1)
    if ill.any() and not ill.all():
        of_ill, of_others = weight[ill].mean(), weight[~ill].mean()
        weight = weight * np.where(ill, *(min(of_ill, of_others) / np.array([of_ill, of_others])))
    return f"by {kind}", weight


def _more(severity: Floats, of: Floats, slope: float, rng: Draws) -> Floats:
    """How likely those come who are milder, or more severe, than others (n,): by degrees, or few below or above a limit."""
    if rng.random() < 0.5:
        return np.asarray(expit(slope * (severity - np.median(of))))
    limit = np.quantile(of, rng.uniform(0.2, 0.8))
    return np.where((severity - limit) * slope > 0, 1.0, rng.uniform(0, 0.4))


def _commonness(labels: Floats, target: int, rng: Draws) -> Floats:
    """How likely an image comes (n,) where findings are rarer or commoner."""
    rarer, weight = bool(rng.random() < 0.5), np.ones(len(labels))
    tasks = [target] if rng.random() < 0.6 else range(labels.shape[1])
    for task in tasks:
        fewer = np.exp(rng.uniform(np.log(0.15 if task == target else 0.3), np.log(0.8)))
        weight = weight * np.where((labels[:, task] == 1) == rarer, fewer, 1.0)
    return weight


def _labeller(labels: Floats, z: Floats, task: int, rng: Draws) -> tuple[str, Floats]:
    """Another labeller's rule, and how likely each image is called positive (n,), NaN where there is no label."""
    own = labels[:, task]
    ill, severity = own == 1, _severity(z, rng)
    others = [other for other in range(labels.shape[1]) if other != task]
    kind = str(
        rng.choice(
            [
                "errors",
                "broader",
                "narrower",
                "other threshold",
                *(["other finding"] if others else ["errors"]),
            ]
        )
    )
    if kind == "broader":
        chance = np.where(ill, 1.0, _some(severity, ~ill, rng.uniform(0.05, 0.6), rng.uniform(-0.5, 3)))
    elif kind == "narrower":
        chance = np.where(ill, 1 - _some(severity, ill, rng.uniform(0.15, 0.7), -rng.uniform(-1, 3)), 0.0)
    elif kind == "other threshold" and ill.any() and not ill.all():
        is_mild = severity < np.median(severity[ill])
        is_near = severity > np.quantile(severity[~ill], rng.uniform(0.7, 0.98))
        chance = np.where(ill, 1 - rng.uniform(0.1, 0.6) * is_mild, rng.uniform(0.2, 0.8) * is_near)
    elif kind == "other finding":
        other = labels[:, rng.choice(others)] == 1
        chance = np.where(ill, 1.0, rng.uniform(0.3, 1) * other)
        if rng.random() < 0.5:
            chance = np.where(ill & (other == (rng.random() < 0.5)), 1 - rng.uniform(0.2, 0.9), chance)
    else:
        chance = np.where(ill, 1 - rng.uniform(0, 0.5), rng.uniform(0, 0.25))
    return kind, np.where(np.isnan(own), np.nan, chance)


def _some(severity: Floats, of: Flags, share: float, slope: float) -> Floats:
    """Chances (n,) with this mean over some images, that rise with severity by a slope."""
    if not of.any():
        return np.zeros(severity.size)
    odds = np.exp(slope * (severity - severity[of].mean()))
    return np.minimum(1, share * odds / odds[of].mean())


def costs(site: Site, planted: Planted) -> tuple[Truth, Floats]:
    """What each cause takes of every finding's drop, on all of the site's images, and what the pictures alone cost.

    NaN, and nothing counts, where a finding is called for all or for nobody.
    """
    of_tasks = [_costs(site, planted, task) for task in range(site.labels.shape[1])]
    parts = [[getattr(real, name) for real, _ in of_tasks] for name in Truth.__dataclass_fields__]
    return Truth(*(np.concatenate(part) for part in parts)), np.array([cost for _, cost in of_tasks])


def _costs(site: Site, planted: Planted, task: int) -> tuple[Truth, float]:
    usable = ~np.isnan(site.labels[:, task]) & ~np.isnan(site.scores[:, task])
    labels, calls, weight = site.labels[usable, task], planted.calls[usable, task], planted.weight[usable]
    if labels.all() or not labels.any():
        nothing, unknown = np.zeros((1, len(CAUSES)), dtype=np.bool_), np.full((1, len(CAUSES)), np.nan)
        return Truth(unknown[0, :1], unknown, nothing, nothing, unknown[0, :1]), np.nan
    orders = [_ordered(of[usable, task]) for of in (site.scores, planted.scores)]
    weighted = bool(np.ptp(weight) > 0)
    moved = planted.pictures, weighted, weighted, bool((calls != labels).any())

    @cache
    def auc(image: int, population: int, prevalence: int, label: int) -> Floats:
        of_images = weights(labels, weight, population, prevalence)
        return np.array([_auc(orders[image], calls if label else labels, of_images)])

    value = {
        mixture: auc(*(int(part and moves) for part, moves in zip(mixture, moved, strict=True)))
        for mixture in MIXTURES
    }
    at_b = weights(labels, weight, 1, 1)
    at_a, by_a, by_b = (np.array([share]) for share in (labels.mean(), at_b @ labels, at_b @ calls))
    is_moved = {"image": moved[0], "population": apart(weight, labels), "label": moved[3]}
    return truth(value, (at_a, by_a, by_b), is_moved), float(
        auc(0, 0, 0, 0)[0] - auc(int(moved[0]), 0, 0, 0)[0]
    )


def _ordered(scores: Floats) -> tuple[Ints, Ints]:
    """Images by score, and where each tie begins."""
    order = np.argsort(scores, kind="stable")
    return order, np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])


def _auc(ordered: tuple[Ints, Ints], calls: Floats, weight: Floats) -> float:
    """AUC where an image is positive with a chance: it counts in both classes, by halves of its weight."""
    order, starts = ordered
    positive, negative = (np.add.reduceat((weight * of)[order], starts) for of in (calls, 1 - calls))
    return float(positive @ (np.cumsum(negative) - 0.5 * negative) / (positive.sum() * negative.sum()))

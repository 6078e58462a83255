"""All that speaks on why a model does worse at B than at A, as one vector of numbers per finding.

Scores of the judged model and labels of both sites are enough. Scores are taken as normal scores: the normal quantile of
their rank among A's, so that nothing depends on a scale (logits, probabilities, steps, heavy tails). What is compared:
    the finding    AUC; mean, spread and far tail of its positives' and negatives' scores; B's scores against a mixture of
                   A's classes; its prevalence, odds ratios with other labels, and how its labels go with others' scores
    its controls   the same of the other findings of the pair, and the finding's distance from them
    case mix       the loss that remains when A's images are weighted to B's co-labels (and age, sex, view where stored)
    a witness      scores of a network that was trained at B, where there is one: what it loses at A, and both together
Patients are the units of every standard error. z = estimate / se is kept as asinh(z), which is z when small and its
logarithm when large. NaN where something can't be had; the posterior says what it does without.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from xray.stats.accompanied import across, companions, unaccompanied, within
from xray.stats.casemix import odds_of_site, weighted_auc_in_order
from xray.stats.concept import meaning_changed
from xray.stats.estimates import DEFINED, FloatArray, IntArray
from xray.stats.mixtures import mixtures
from xray.stats.part import Part
from xray.stats.transfer import (
    Decomposition,
    Patients,
    SiteScores,
    influences,
    joint_units,
    medians_of_others,
)


@dataclass(frozen=True)
class Site:
    """Held-out images of one site: labels (n_images, n_tasks), 1/0/NaN; scores of the judged model, likewise, NaN = none.

    patients: (n_images,), names that both sites share where they share patients. witness: scores of a network that was
    trained at B, or None. covariates: (n_images, n_columns) age, sex, view and the like as numbers, NaN = unknown, or None.
    """

    labels: FloatArray
    scores: FloatArray
    patients: NDArray[np.generic]
    witness: FloatArray | None = None
    covariates: FloatArray | None = None


@dataclass(frozen=True)
class Evidence:
    """Of the tasks that both sites label and the model scores: tasks (n,), columns by name (n,), and the drop in parts.

    images_p: that B's scores are a mixture of A's two classes; images_all_p: of all tasks. prevalence_p, companions_p: that
    prevalence, or odds ratios with other labels, are the same. implied, implied_se: the prevalence of the mixture.
    Each p is of one test, conservative at its level.
    """

    tasks: IntArray
    columns: dict[str, FloatArray]
    parts: Decomposition
    images_p: FloatArray
    images_all_p: float
    prevalence_p: FloatArray
    companions_p: FloatArray
    meaning_p: FloatArray
    implied: FloatArray
    implied_se: FloatArray
    witness: bool
    covariates: bool
    fewest: IntArray
    """Patients of the rarer class at the site that has fewer, (n,)."""


def gather(a: Site, b: Site) -> Evidence:
    """The evidence on every task that both sites label (two patients of both classes) and score."""
    (unit_a, unit_b), _ = joint_units(a, b)
    a, b = (_by_column(of, unit) for of, unit in ((a, unit_a), (b, unit_b)))
    parts = influences(_scored(a), _scored(b)).decompose()
    tasks = np.flatnonzero(parts.reason == DEFINED)
    witness = a.witness is not None and b.witness is not None
    mixed = a.covariates is not None and b.covariates is not None
    columns = _sizes(a, b, parts, tasks)
    one, two = _normal(a, a, tasks), _normal(a, b, tasks)
    columns |= _of_scores(one, two, "")
    columns |= _of_prevalence(one, two)
    ratios, companions_p = companions(one, two)
    columns |= ratios | across(one, two) | within(one, two) | _known(one, two)
    columns |= unaccompanied(one, two)
    if tasks.size > 1:
        columns |= _weighted(a, b, one, two, parts, tasks, covariates=False)
    meaning = np.full(tasks.size, np.nan)
    if mixed:
        columns |= _weighted(a, b, one, two, parts, tasks, covariates=True) | _by_covariates(a, b, one, two)
    if witness:
        columns |= _witness(a, b, one, two, parts, tasks)
        meaning = meaning_changed(_scored(a), _scored(b), tasks)[tasks]
        columns["witness meaning"] = _as_z(meaning)
    columns |= _beside(columns, tasks.size)
    images_p = columns.pop("images p")
    implied, implied_se = columns.pop("implied"), columns.pop("implied se")
    prevalence_p = columns.pop("prevalence p")
    columns |= sizes(columns)
    every = float(min(1.0, tasks.size * np.nanmin(images_p))) if tasks.size else np.nan
    return Evidence(
        tasks, columns, parts, images_p, every, prevalence_p, companions_p, meaning, implied, implied_se,
        witness, mixed, _fewest(one, two),
    )  # fmt: skip


def _by_column(site: Site, unit: IntArray) -> Site:
    """The site as it is read fastest: each task's numbers side by side, patients as numbers."""
    labels, scores = np.asfortranarray(site.labels), np.asfortranarray(site.scores)
    witness = None if site.witness is None else np.asfortranarray(site.witness)
    return replace(site, labels=labels, scores=scores, patients=unit, witness=witness)


def _scored(site: Site) -> SiteScores:
    return SiteScores(
        site.labels, site.scores, site.scores if site.witness is None else site.witness, site.patients
    )


def _normal(a: Site, site: Site, tasks: IntArray, witness: bool = False) -> Part:
    """A site with its scores, or its witness's, as normal quantiles of their ranks among A's."""
    reference, scores = (of.witness if witness and of.witness is not None else of.scores for of in (a, site))
    found = np.full((len(scores), tasks.size), np.nan, order="F")
    for place, task in enumerate(tasks):
        ordered = np.sort(reference[np.isfinite(reference[:, task]), task])
        finite = np.flatnonzero(np.isfinite(scores[:, task]))
        finite = finite[
            np.argsort(scores[finite, task])
        ]  # in order, so that each search begins near the last
        own = scores[finite, task]
        rank = 0.5 * (np.searchsorted(ordered, own) + np.searchsorted(ordered, own, "right"))
        found[finite, place] = ndtri((rank + 0.5) / (ordered.size + 1))
    patients = Patients(site.patients)
    effect = float((patients.sizes @ patients.sizes) / patients.sizes.sum())
    return Part(np.asfortranarray(site.labels[:, tasks]), found, patients, effect)


def _fewest(one: Part, two: Part) -> IntArray:
    """Patients of the rarer class, at the site that has fewer."""
    counts = [
        [
            np.count_nonzero(np.bincount(part.patients.unit[part.known[:, k] & (part.labels[:, k] == value)]))
            for part in (one, two)
            for value in (0, 1)
        ]
        for k in range(one.labels.shape[1])
    ]
    return np.array([min(of_task) for of_task in counts], dtype=np.int64)


def _z(value: FloatArray, se: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.arcsinh(value / se)


def _as_z(p: FloatArray) -> FloatArray:
    return np.arcsinh(-ndtri(np.clip(p, 1e-300, 1 - 1e-12)))


def _sizes(a: Site, b: Site, parts: Decomposition, tasks: IntArray) -> dict[str, FloatArray]:
    counts = {"positives": parts.n_pos[tasks], "negatives": parts.n_neg[tasks]}
    found = {
        f"log {name} {site}": np.log(of[:, place])
        for name, of in counts.items()
        for place, site in enumerate("ab")
    }
    aa, ab = parts.auc[tasks, 0, 0], parts.auc[tasks, 0, 1]
    found |= {
        "auc a": aa,
        "auc b": ab,
        "drop": aa - ab,
        "drop se": np.log(parts.drop.se[tasks]),
        "drop z": _z(aa - ab, parts.drop.se[tasks]),
        "tasks": np.full(tasks.size, np.log(max(tasks.size, 1))),
    }
    return found


def _moments(part: Part, k: int, value: int) -> tuple[FloatArray, FloatArray]:
    """Of the scores of one class: mean, log spread, share in the other class's far side; and their variances. (3,), (3,)."""
    chosen = part.known[:, k] & (part.labels[:, k] == value)
    scores = part.scores[chosen, k]
    n = scores.size
    rest = part.scores[part.known[:, k] & (part.labels[:, k] == 1 - value), k]
    middle = float(np.median(rest))
    mean = scores.mean()
    spread = max(float(scores.var()), 1e-4)
    beyond = (scores < middle if value == 1 else scores > middle).astype(np.float64)
    influence = np.stack(
        [scores - mean, ((scores - mean) ** 2 - spread) / (2 * spread), beyond - beyond.mean()]
    )
    if part.patients.n < part.patients.unit.size:
        unit = part.patients.unit[chosen]
        influence = np.stack([np.bincount(unit, row) for row in influence])
    variance = (influence**2).sum(axis=1) / n**2 + np.array([0.02, 0.1, 0.02]) / n**1.5
    return np.array([mean, 0.5 * np.log(spread), beyond.mean()]), variance


def _of_scores(one: Part, two: Part, name: str) -> dict[str, FloatArray]:
    """How positives' and negatives' scores differ between the sites, and B's scores from mixtures of A's classes."""
    n = one.labels.shape[1]
    found: dict[str, FloatArray] = {}
    for value, of in ((1, "positives"), (0, "negatives")):
        moments = [[_moments(part, k, value) for k in range(n)] for part in (one, two)]
        here, there = (np.array([m for m, _ in of_site]).reshape(n, 3) for of_site in moments)
        se = np.sqrt(sum(np.array([v for _, v in of_site]).reshape(n, 3) for of_site in moments))
        for place, what in enumerate(("mean", "spread", "beyond")):
            found[f"{name}{of} {what}"] = there[:, place] - here[:, place]
            found[f"{name}{of} {what} z"] = _z(there[:, place] - here[:, place], se[:, place])
    return found | mixtures(one, two, name)


def _of_prevalence(one: Part, two: Part) -> dict[str, FloatArray]:
    counts = [(np.nansum(part.labels, axis=0), (~np.isnan(part.labels)).sum(axis=0)) for part in (one, two)]
    odds = [np.log((x + 0.5) / (n - x + 0.5)) for x, n in counts]
    variances = [
        part.effect * (1 / (x + 0.5) + 1 / (n - x + 0.5))
        for part, (x, n) in zip((one, two), counts, strict=True)
    ]
    z = (odds[1] - odds[0]) / np.sqrt(variances[0] + variances[1])
    return {
        "log odds a": odds[0],
        "prevalence": odds[1] - odds[0],
        "prevalence z": np.arcsinh(z),
        "prevalence p": 2 * ndtr(-np.abs(z)),
    }


def _known(one: Part, two: Part) -> dict[str, FloatArray]:
    """Whether it depends on the score if an image has a label: who is verified."""
    found: list[FloatArray] = []
    for part in (one, two):
        labelled = ~np.isnan(part.labels)
        share = labelled.mean(axis=0)
        scores = np.nan_to_num(part.scores)
        gap = ((labelled - share) * scores).mean(axis=0)
        se = np.sqrt(part.effect * (share * (1 - share) + 1e-9) * scores.var(axis=0) / len(scores))
        found += [share, np.where(share < 1, np.arcsinh(gap / se), 0.0)]
    return {"labelled a": found[0], "labelled b": found[2], "verified a": found[1], "verified b": found[3]}


def _weighted(
    a: Site, b: Site, one: Part, two: Part, parts: Decomposition, tasks: IntArray, covariates: bool
) -> dict[str, FloatArray]:
    """What of the drop goes away at equal case mix: A's images weighted to B's mix, B's to A's, with effective shares."""
    name = "case mix " if covariates else "co-labels "
    of_a, of_b = one.labels, two.labels
    if covariates and a.covariates is not None and b.covariates is not None:
        of_a, of_b = (
            np.column_stack([labels, c, (c - np.nanmean(c, axis=0)) ** 2])
            for labels, c in ((of_a, a.covariates), (of_b, b.covariates))
        )
    weights = odds_of_site(of_a, of_b)
    se = parts.auc_se[tasks, 0]
    found: dict[str, FloatArray] = {}
    for place, (part, weight, site) in enumerate(zip((one, two), weights, "ab", strict=True)):
        values = []
        for k in range(tasks.size):
            order = part.ordered(k)
            values.append(weighted_auc_in_order(part.scores[order, k], part.labels[order, k], weight[order]))
        sign = 1 if place == 0 else -1
        moved = sign * (parts.auc[tasks, 0, place] - np.array([v.auc for v in values]))
        effective = np.array([v.effective for v in values])
        found[f"{name}{site}"] = moved
        found[f"{name}{site} z"] = _z(moved, se[:, place] * np.sqrt(np.maximum(1 / effective - 1, 0.02)))
        found[f"{name}overlap {site}"] = effective
    found[name + "rest z"] = _z(
        parts.drop.value[tasks] - 0.5 * (found[name + "a"] + found[name + "b"]), parts.drop.se[tasks]
    )
    return found


def _by_covariates(a: Site, b: Site, one: Part, two: Part) -> dict[str, FloatArray]:
    """How far covariates differ, and how differently labels, and scores within classes, go with them."""
    n = one.labels.shape[1]
    if a.covariates is None or b.covariates is None:
        return {}
    given = (a.covariates, b.covariates)
    means = [np.nanmean(covariates, axis=0) for covariates in given]
    columns = [np.nan_to_num(covariates - mean) for covariates, mean in zip(given, means, strict=True)]
    spread = np.sqrt(sum(c.var(axis=0) for c in columns) / 2) + 1e-9
    apart = np.abs(means[1] - means[0]) / spread
    with_labels: list[FloatArray] = []
    with_scores: list[FloatArray] = []
    for part, c in zip((one, two), columns, strict=True):
        scaled = c / (c.std(axis=0) + 1e-9)
        labels = np.where(part.known, part.labels - np.nanmean(part.labels, axis=0), 0)
        scores = np.nan_to_num(part.scores)
        for value in (0, 1):
            chosen = part.known & (part.labels == value)
            scores = np.where(
                chosen, scores - (scores * chosen).sum(axis=0) / np.maximum(chosen.sum(axis=0), 1), scores
            )
        scores = np.where(part.known, scores, 0)
        for found, values in ((with_labels, labels), (with_scores, scores)):
            unit = values / (np.sqrt((values**2).sum(axis=0)) + 1e-9)
            found.append(np.arctanh(np.clip(unit.T @ scaled / np.sqrt(len(scaled)), -0.999, 0.999)))
    size = sum(part.effect / len(part.labels) for part in (one, two))
    label_z, score_z = (np.abs(f[1] - f[0]) / np.sqrt(size) for f in (with_labels, with_scores))
    return {
        "covariates apart": np.full(n, np.log(np.nanmax(apart) + 0.02)),
        "covariates apart mean": np.full(n, np.log(np.nanmean(apart) + 0.02)),
        "covariates and label": np.arcsinh(label_z.max(axis=1)),
        "covariates and score": np.arcsinh(score_z.max(axis=1)),
    }


def _witness(
    a: Site, b: Site, first: Part, second: Part, parts: Decomposition, tasks: IntArray
) -> dict[str, FloatArray]:
    """What the network of B says beside the judged one."""
    one, two = (_normal(a, site, tasks, witness=True) for site in (a, b))
    found = _of_scores(one, two, "witness ")
    for name, part in (("intrinsic", parts.intrinsic), ("transfer", parts.transfer)):
        found[f"witness {name}"] = part.value[tasks]
        found[f"witness {name} z"] = _z(part.value[tasks], part.se[tasks])
    found["witness auc a"], found["witness auc b"] = parts.auc[tasks, 1, 0], parts.auc[tasks, 1, 1]
    together = []
    for own, other in ((first, one), (second, two)):
        negative = own.known & (own.labels == 0)
        x, y = (np.where(negative, part.scores, np.nan) for part in (own, other))
        x, y = x - np.nanmean(x, axis=0), y - np.nanmean(y, axis=0)
        r = np.nansum(x * y, axis=0) / np.sqrt(np.nansum(x * x, axis=0) * np.nansum(y * y, axis=0) + 1e-9)
        together.append(
            (np.arctanh(np.clip(r, -0.999, 0.999)), own.effect / np.maximum(negative.sum(axis=0), 4))
        )
    change = together[1][0] - together[0][0]
    found["witness together a"], found["witness together"] = together[0][0], change
    found["witness together z"] = _z(change, np.sqrt(together[0][1] + together[1][1]))
    return found


BESIDE: Final = (
    "drop", "drop z", "positives mean", "positives mean z", "negatives mean", "negatives mean z",
    "positives spread z", "negatives spread z", "positives beyond z", "negatives beyond z", "images z",
    "implied - observed z", "implied - a z", "positives mixed z", "positives misfit", "negatives mixed z",
    "negatives misfit", "positives by labels mean", "negatives by labels mean", "prevalence z", "other scores mean",
    "residuals", "co-labels a z", "co-labels b z", "co-labels rest z", "case mix a z", "case mix b z",
    "case mix rest z", "covariates and label", "covariates and score", "witness intrinsic", "witness intrinsic z",
    "witness transfer", "witness transfer z", "witness images z", "witness implied - observed z",
    "witness negatives mean z", "witness positives mean z", "witness meaning", "witness together z",
)  # fmt: skip
"""Columns of which the other findings' median, and of some the mean size, stand beside the finding's own."""


SIZED: Final = (
    "drop", "drop z", "prevalence", "prevalence z", "implied - observed z", "implied - a z", "positives mean",
    "positives mean z", "negatives mean", "negatives mean z", "positives spread", "positives spread z",
    "negatives spread", "negatives spread z", "positives beyond z", "negatives beyond z", "witness transfer z",
    "witness intrinsic z", "witness positives mean z", "witness negatives mean z", "witness positives spread z",
    "witness negatives spread z", "witness implied - observed z", "witness implied - a z", "witness together z",
    "verified a", "verified b", "implied / observed", "implied / a",
)  # fmt: skip
"""Columns of which the size is a column too: a prevalence that changed counts up or down."""


def sizes(columns: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Absolute values of the columns that have a direction."""
    return {f"size of {name}": np.abs(columns[name]) for name in SIZED if name in columns}


def _beside(columns: dict[str, FloatArray], n: int) -> dict[str, FloatArray]:
    """The other findings' median of each column of BESIDE, and their root mean square; NaN where there is no other."""
    names = [name for name in BESIDE if name in columns]
    own = np.array([columns[name] for name in names]).reshape(len(names), n)
    medians, sizes = np.full(own.shape, np.nan), np.full(own.shape, np.nan)
    if n > 1:
        whole = ~np.isnan(own).any(axis=1)
        medians[whole] = medians_of_others(own[whole])
        sizes[whole] = np.sqrt(own[whole] ** 2 @ (1 - np.eye(n)) / (n - 1))
        for row in np.flatnonzero(~whole):
            for k in range(n):
                others = np.delete(own[row], k)
                medians[row, k], sizes[row, k] = np.median(others), np.sqrt(np.mean(others**2))
    return {
        f"others' {what}{name}": of
        for what, values in (("", medians), ("size of ", sizes))
        for name, of in zip(names, values, strict=True)
    }

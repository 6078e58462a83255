"""All evidence on why a model does worse at B than at A, as one vector of numbers per finding.

Scores of the judged model and labels of both sites are enough. Scores are taken as normal scores: the normal quantile of
their rank among A's, so that nothing depends on a scale (logits, probabilities, steps, heavy tails). What is compared:
    the finding    AUC; mean, spread and far tail of its positives' and negatives' scores; B's scores against a mixture of
                   A's classes; its prevalence, odds ratios with other labels, and how its labels go with others' scores
    its controls   the same of the other findings of the pair, and the finding's distance from them
    all scores     linear models of all findings' scores, of each site, as further models of the finding (`stacked`)
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
from xray.stats.part import Part, asinh_z, together
from xray.stats.stacked import stacked
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
    origins: (n_images,), where patients are copies of others (a bootstrap), of whom: nothing is judged by a model that was
    fitted to a copy. None: of nobody.
    """

    labels: FloatArray
    scores: FloatArray
    patients: NDArray[np.generic]
    witness: FloatArray | None = None
    covariates: FloatArray | None = None
    origins: NDArray[np.generic] | None = None

    def take(self, images: NDArray[np.generic]) -> "Site":
        """The images chosen, by flags or places."""
        return replace(self, **{name: of[images] for name, of in vars(self).items() if of is not None})


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
    units, _ = joint_units(a, b)
    origins = _origins(a, b, units)
    a, b = (_by_column(of, unit) for of, unit in zip((a, b), units, strict=True))
    parts = influences(_scored(a), _scored(b)).decompose()
    tasks = np.flatnonzero(parts.reason == DEFINED)
    witness = a.witness is not None and b.witness is not None
    has_covariates = a.covariates is not None and b.covariates is not None
    columns = _sizes(a, b, parts, tasks)
    one, two = _normal(a, a, tasks), _normal(a, b, tasks)
    columns |= _of_scores(one, two, "")
    columns |= _of_prevalence(one, two)
    ratios, companions_p = companions(one, two)
    columns |= ratios | across(one, two) | within(one, two) | _verification(one, two)
    columns |= unaccompanied(one, two)
    if tasks.size > 1:
        columns |= _weighted(a, b, one, two, parts, tasks, covariates=False)
        columns |= stacked((one, two), units, origins, parts, tasks)
    meaning = np.full(tasks.size, np.nan)
    if has_covariates:
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
        witness, has_covariates, _fewest(one, two),
    )  # fmt: skip


def _origins(a: Site, b: Site, units: tuple[IntArray, IntArray]) -> tuple[IntArray, IntArray]:
    """As units, but copies of a patient have one number."""
    if a.origins is None and b.origins is None:
        return units
    return joint_units(*(of if of.origins is None else replace(of, patients=of.origins) for of in (a, b)))[0]


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
    quantiles = np.full((len(scores), tasks.size), np.nan, order="F")
    orders = []
    for column, task in enumerate(tasks):
        ordered = np.sort(reference[np.isfinite(reference[:, task]), task])
        finite = np.flatnonzero(np.isfinite(scores[:, task]))
        # in order, so that each search begins near the last
        finite = finite[np.argsort(scores[finite, task], kind="stable")]
        orders.append(finite)
        values = scores[finite, task]
        rank = 0.5 * (np.searchsorted(ordered, values) + np.searchsorted(ordered, values, "right"))
        quantiles[finite, column] = ndtri((rank + 0.5) / (ordered.size + 1))
    patients = Patients(site.patients)
    effect = float((patients.sizes @ patients.sizes) / patients.sizes.sum())
    return Part(np.asfortranarray(site.labels[:, tasks]), quantiles, patients, effect, tuple(orders))


def _fewest(one: Part, two: Part) -> IntArray:
    """Patients of the rarer class, at the site that has fewer."""
    counts = [
        [
            np.count_nonzero(
                np.bincount(part.patients.unit[part.usable[:, k] & (part.labels[:, k] == value)])
            )
            for part in (one, two)
            for value in (0, 1)
        ]
        for k in range(one.labels.shape[1])
    ]
    return np.array([min(of_task) for of_task in counts], dtype=np.int64)


def _as_z(p: FloatArray) -> FloatArray:
    return np.arcsinh(-ndtri(np.clip(p, 1e-300, 1 - 1e-12)))


def _sizes(a: Site, b: Site, parts: Decomposition, tasks: IntArray) -> dict[str, FloatArray]:
    counts = {"positives": parts.n_pos[tasks], "negatives": parts.n_neg[tasks]}
    columns = {
        f"log {name} {site}": np.log(of[:, index])
        for name, of in counts.items()
        for index, site in enumerate("ab")
    }
    aa, ab = parts.auc[tasks, 0, 0], parts.auc[tasks, 0, 1]
    columns |= {
        "auc a": aa,
        "auc b": ab,
        "drop": aa - ab,
        "drop se": np.log(parts.drop.se[tasks]),
        "drop z": asinh_z(aa - ab, parts.drop.se[tasks]),
        "tasks": np.full(tasks.size, np.log(max(tasks.size, 1))),
    }
    return columns


def _moments(part: Part, k: int, value: int) -> tuple[FloatArray, FloatArray]:
    """Of the scores of one class: mean, log spread, share in the other class's far side; and their variances. (3,), (3,)."""
    in_class = part.usable[:, k] & (part.labels[:, k] == value)
    scores = part.scores[in_class, k]
    n = scores.size
    other_class = part.scores[part.usable[:, k] & (part.labels[:, k] == 1 - value), k]
    middle = float(np.median(other_class))
    mean = scores.mean()
    spread = max(float(scores.var()), 1e-4)
    beyond = (scores < middle if value == 1 else scores > middle).astype(np.float64)
    influence = np.stack(
        [scores - mean, ((scores - mean) ** 2 - spread) / (2 * spread), beyond - beyond.mean()]
    )
    if part.patients.n < part.patients.unit.size:
        unit = part.patients.unit[in_class]
        influence = np.stack([np.bincount(unit, row) for row in influence])
    variance = (influence**2).sum(axis=1) / n**2 + np.array([0.02, 0.1, 0.02]) / n**1.5
    return np.array([mean, 0.5 * np.log(spread), beyond.mean()]), variance


def _of_scores(one: Part, two: Part, name: str) -> dict[str, FloatArray]:
    """How positives' and negatives' scores differ between the sites, and B's scores from mixtures of A's classes."""
    n = one.labels.shape[1]
    columns: dict[str, FloatArray] = {}
    for value, of in ((1, "positives"), (0, "negatives")):
        moments = [[_moments(part, k, value) for k in range(n)] for part in (one, two)]
        moments_a, moments_b = (np.array([m for m, _ in of_site]).reshape(n, 3) for of_site in moments)
        se = np.sqrt(sum(np.array([v for _, v in of_site]).reshape(n, 3) for of_site in moments))
        for column, moment in enumerate(("mean", "spread", "beyond")):
            columns[f"{name}{of} {moment}"] = moments_b[:, column] - moments_a[:, column]
            columns[f"{name}{of} {moment} z"] = asinh_z(
                moments_b[:, column] - moments_a[:, column], se[:, column]
            )
    return columns | mixtures(one, two, name)


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


def _verification(one: Part, two: Part) -> dict[str, FloatArray]:
    """Whether having a label depends on the score: verification."""
    columns: list[FloatArray] = []
    for part in (one, two):
        is_labelled = ~np.isnan(part.labels)
        share = is_labelled.mean(axis=0)
        scores = np.nan_to_num(part.scores)
        gap = ((is_labelled - share) * scores).mean(axis=0)
        se = np.sqrt(part.effect * (share * (1 - share) + 1e-9) * scores.var(axis=0) / len(scores))
        columns += [share, np.where(share < 1, asinh_z(gap, se), 0.0)]
    return {
        "labelled a": columns[0],
        "labelled b": columns[2],
        "verified a": columns[1],
        "verified b": columns[3],
    }


def _weighted(
    a: Site, b: Site, one: Part, two: Part, parts: Decomposition, tasks: IntArray, covariates: bool
) -> dict[str, FloatArray]:
    """The part of the drop that goes at equal case mix: A's images weighted to B's mix, B's to A's; effective shares."""
    name = "case mix " if covariates else "co-labels "
    of_a, of_b = one.labels, two.labels
    if covariates and a.covariates is not None and b.covariates is not None:
        of_a, of_b = (
            np.column_stack([labels, c, (c - np.nanmean(c, axis=0)) ** 2])
            for labels, c in ((of_a, a.covariates), (of_b, b.covariates))
        )
    weights = odds_of_site(of_a, of_b)
    se = parts.auc_se[tasks, 0]
    columns: dict[str, FloatArray] = {}
    for index, (part, weight, site) in enumerate(zip((one, two), weights, "ab", strict=True)):
        values = []
        for k in range(tasks.size):
            order = part.ordered(k)
            values.append(weighted_auc_in_order(part.scores[order, k], part.labels[order, k], weight[order]))
        sign = 1 if index == 0 else -1
        explained = sign * (parts.auc[tasks, 0, index] - np.array([v.auc for v in values]))
        effective = np.array([v.effective for v in values])
        columns[f"{name}{site}"] = explained
        columns[f"{name}{site} z"] = asinh_z(
            explained, se[:, index] * np.sqrt(np.maximum(1 / effective - 1, 0.02))
        )
        columns[f"{name}overlap {site}"] = effective
    columns[name + "rest z"] = asinh_z(
        parts.drop.value[tasks] - 0.5 * (columns[name + "a"] + columns[name + "b"]), parts.drop.se[tasks]
    )
    return columns


def _by_covariates(a: Site, b: Site, one: Part, two: Part) -> dict[str, FloatArray]:
    """How far covariates differ, and how their associations with labels, and with scores within classes, differ."""
    n = one.labels.shape[1]
    if a.covariates is None or b.covariates is None:
        return {}
    covariates_of = (a.covariates, b.covariates)
    means = [np.nanmean(covariates, axis=0) for covariates in covariates_of]
    columns = [
        np.nan_to_num(covariates - mean) for covariates, mean in zip(covariates_of, means, strict=True)
    ]
    spread = np.sqrt(sum(c.var(axis=0) for c in columns) / 2) + 1e-9
    distances = np.abs(means[1] - means[0]) / spread
    with_labels: list[FloatArray] = []
    with_scores: list[FloatArray] = []
    for part, c in zip((one, two), columns, strict=True):
        scaled = c / (c.std(axis=0) + 1e-9)
        labels = np.where(part.usable, part.labels - np.nanmean(part.labels, axis=0), 0)
        scores = np.nan_to_num(part.scores)
        for value in (0, 1):
            in_class = part.usable & (part.labels == value)
            scores = np.where(
                in_class,
                scores - (scores * in_class).sum(axis=0) / np.maximum(in_class.sum(axis=0), 1),
                scores,
            )
        scores = np.where(part.usable, scores, 0)
        for products, values in ((with_labels, labels), (with_scores, scores)):
            unit = values / (np.sqrt((values**2).sum(axis=0)) + 1e-9)
            products.append(np.arctanh(np.clip(unit.T @ scaled / np.sqrt(len(scaled)), -0.999, 0.999)))
    size = sum(part.effect / len(part.labels) for part in (one, two))
    label_z, score_z = (np.abs(f[1] - f[0]) / np.sqrt(size) for f in (with_labels, with_scores))
    return {
        "covariates apart": np.full(n, np.log(np.nanmax(distances) + 0.02)),
        "covariates apart mean": np.full(n, np.log(np.nanmean(distances) + 0.02)),
        "covariates and label": np.arcsinh(label_z.max(axis=1)),
        "covariates and score": np.arcsinh(score_z.max(axis=1)),
    }


def _witness(
    a: Site, b: Site, first: Part, second: Part, parts: Decomposition, tasks: IntArray
) -> dict[str, FloatArray]:
    """The network of B (the witness) compared with the judged one."""
    one, two = (_normal(a, site, tasks, witness=True) for site in (a, b))
    columns = _of_scores(one, two, "witness ")
    for name, part in (("intrinsic", parts.intrinsic), ("transfer", parts.transfer)):
        columns[f"witness {name}"] = part.value[tasks]
        columns[f"witness {name} z"] = asinh_z(part.value[tasks], part.se[tasks])
    columns["witness auc a"], columns["witness auc b"] = parts.auc[tasks, 1, 0], parts.auc[tasks, 1, 1]
    agree, variance = [], np.zeros(tasks.size)
    for own, of_witness in ((first, one), (second, two)):
        negative = own.usable & (own.labels == 0)
        agree.append(together(own.scores, of_witness.scores, negative))
        variance += own.effect / np.maximum(negative.sum(axis=0), 4)
    columns["witness together a"], columns["witness together"] = agree[0], agree[1] - agree[0]
    columns["witness together z"] = asinh_z(agree[1] - agree[0], np.sqrt(variance))
    return columns


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
    table = np.array([columns[name] for name in names]).reshape(len(names), n)
    medians, sizes = np.full(table.shape, np.nan), np.full(table.shape, np.nan)
    if n > 1:
        complete = np.isfinite(table).all(axis=1)  # infinity times nothing is not a number
        medians[complete] = medians_of_others(table[complete])
        sizes[complete] = np.sqrt(table[complete] ** 2 @ (1 - np.eye(n)) / (n - 1))
        for row in np.flatnonzero(~complete):
            for k in range(n):
                of_others = np.delete(table[row], k)
                with np.errstate(invalid="ignore"):  # between two opposite infinities there is no median
                    medians[row, k] = np.median(of_others)
                sizes[row, k] = np.sqrt(np.mean(of_others**2))
    return {
        f"others' {prefix}{name}": of
        for prefix, values in (("", medians), ("size of ", sizes))
        for name, of in zip(names, values, strict=True)
    }

"""Linear models of all findings' scores, one of each site, as further models of a finding (stacking; Wolpert 1992).

The scores of other findings say of a patient what a finding's own score leaves out. For each finding Fisher's linear
discriminant of all scores is fitted to the labels of A and to those of B, so that a bought model alone has what else takes a
network of each site. Every model is fitted to half of the patients, drawn by lot, and judged on the other half, at both
sites, so that nothing is judged by what it was fitted to, and both are of half of a site. What is read off them:
    in parts     AUCs of both at both sites, with what both lose at B and what each is better at home (`xray.stats.transfer`)
    together     how far they agree among negatives
    apart        AUC of telling the sites apart by scores and their squares: of all images, of negatives, of positives
    foretold     the drop and the prevalence if a label went by P(y | stacked score) of one site at both
All of it is had twice: from scores, and from scores and labels, of which a finding's models have the others'.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xray.stats.estimates import FloatArray, IntArray
from xray.stats.part import Part, asinh_z, together
from xray.stats.placements import half_pairs
from xray.stats.transfer import Decomposition, SiteScores, influences

RIDGE: Final = 8.0
"""Penalty of standardised inputs, in images: that many patients of no finding and every score, as it were."""
_INTERCEPT: Final = 1e-3
"""Penalty of the intercept, which any half with an image can carry."""
_FLAT: Final = 1e-3
"""Added to variances of labels: a finding that nobody has, or everybody, has one."""
GROUPS: Final = 20
"""Equal shares of stacked scores in each of which P(y) is one number."""
RARE: Final = 0.002
"""Added to prevalences before their logarithms are taken."""
FEWEST: Final = 2
"""Images of a group at each site and half, without which it is not asked whether the sites are told apart."""


class _Stack(NamedTuple):
    """Both sites' inputs (n_images, p), first of them ones; excluded: (n_tasks, p), what a task's model is not given."""

    inputs: tuple[FloatArray, FloatArray]
    squares: tuple[FloatArray, FloatArray]
    excluded: NDArray[np.bool_]


def stacked(
    parts: tuple[Part, Part],
    units: tuple[IntArray, IntArray],
    origins: tuple[IntArray, IntArray],
    judged: Decomposition,
    tasks: IntArray,
) -> dict[str, FloatArray]:
    """Columns of every task, (n_tasks,) each. units: whose images they are, a number for each patient of either site.

    origins: likewise, but one number for all copies of a patient, who are in one half. judged: the judged model's drop in
    parts, of whose tasks these are.
    """
    halves = _halves(origins)
    columns: dict[str, FloatArray] = {}
    for name, stack in _stacks(parts).items():
        scores = _stacked(parts, stack, halves)
        of_stack = (
            _in_parts(parts, units, scores, judged, tasks)
            | _together(parts, scores)
            | _apart(parts, stack, halves)
            | _foretold(parts, scores, judged.drop.value[tasks], judged.drop.se[tasks])
        )
        columns |= {f"{name} {of}": value for of, value in of_stack.items()}
    return columns


def _halves(origins: tuple[IntArray, IntArray]) -> tuple[IntArray, IntArray]:
    """0 or 1 of each image, (n_images,) of both sites. By lot: files may list the ill and the healthy in turn."""
    n_origins = int(np.concatenate(origins).max()) + 1
    half = np.random.default_rng(0).permutation(n_origins) % 2
    return half[origins[0]], half[origins[1]]


def _stacks(parts: tuple[Part, Part]) -> dict[str, _Stack]:
    """By the beginning of its columns' names, what the linear models are given."""
    scores = [np.nan_to_num(part.scores) for part in parts]
    share = np.nanmean(parts[0].labels, axis=0)
    spread = np.sqrt(share * (1 - share) + _FLAT)
    labels = [np.nan_to_num((part.labels - share) / spread) for part in parts]
    ones = [np.ones((len(of_site), 1)) for of_site in scores]
    squares = tuple(np.nan_to_num(part.scores**2 - 1) for part in parts)
    by_scores, by_both = (
        (np.hstack([of[0] for of in columns]), np.hstack([of[1] for of in columns]))
        for columns in ((ones, scores), (ones, scores, labels))
    )
    n_tasks, n_inputs = share.size, 1 + share.size
    nothing, own = np.zeros((n_tasks, n_inputs), dtype=np.bool_), np.eye(n_tasks, dtype=np.bool_)
    return {
        "stacked": _Stack(by_scores, (squares[0], squares[1]), nothing),
        "stacked by labels": _Stack(by_both, (squares[0], squares[1]), np.hstack([nothing, own])),
    }


def _solved(inner: FloatArray, cross: FloatArray) -> FloatArray:
    penalty = np.full(inner.shape[-1], RIDGE)
    penalty[0] = _INTERCEPT
    return np.asarray(np.linalg.solve(inner + np.diag(penalty), cross), dtype=np.float64)


def _stacked(parts: tuple[Part, Part], stack: _Stack, halves: tuple[IntArray, ...]) -> list[list[FloatArray]]:
    """Scores of A's and of B's models at A and at B, each image's by those of the other half: (n_images, n_tasks)."""
    scores = []
    for part, inputs, half in zip(parts, stack.inputs, halves, strict=True):
        share = np.where(part.usable, part.labels, 0).sum(axis=0) / part.usable.sum(axis=0)
        rest = np.where(part.usable, part.labels - share, 0)
        by_half = []
        for of in (1, 0):
            x = inputs[half == of]
            inner, cross = x.T @ x, x.T @ rest[half == of]
            if stack.excluded.any():
                weights = np.zeros_like(cross)
                for k, excluded in enumerate(stack.excluded):
                    allowed = np.flatnonzero(~excluded)
                    weights[allowed, k] = _solved(inner[np.ix_(allowed, allowed)], cross[allowed, k])
            else:
                weights = _solved(inner, cross)
            by_half.append(weights)
        scores.append([_read(x, at, by_half) for x, at in zip(stack.inputs, halves, strict=True)])
    return scores


def _read(inputs: FloatArray, half: IntArray, by_half: list[FloatArray]) -> FloatArray:
    """Scores of a site's images by the models (p, n_tasks) of both halves, (n_images, n_tasks).

    Each model's mean at the site is the mean of both: what differs between them says nothing of the images of one half, and
    where one half has more positives by chance its model would lift the other, which has fewer.
    """
    means = [inputs.mean(axis=0) @ weights for weights in by_half]
    scores = np.empty((len(inputs), means[0].size), order="F")
    for of, weights in enumerate(by_half):
        at = half == of
        scores[at] = inputs[at] @ weights + (means[1 - of] - means[of]) / 2
    return scores


def _in_parts(
    parts: tuple[Part, Part],
    units: tuple[IntArray, IntArray],
    scores: list[list[FloatArray]],
    judged: Decomposition,
    tasks: IntArray,
) -> dict[str, FloatArray]:
    sites = [
        SiteScores(np.where(part.usable, part.labels, np.nan), scores[0][s], scores[1][s], units[s])
        for s, part in enumerate(parts)
    ]
    both = influences(*sites)
    columns: dict[str, FloatArray] = {}
    for name, part in zip(("drop", "intrinsic", "transfer"), both.parts(), strict=True):
        columns[name], columns[f"{name} z"] = part.value, asinh_z(part.value, part.se)
    of_a, of_b = both.value[:, 0, 0], both.value[:, 1, 1]
    columns["gain a"], columns["gain b"] = of_a - judged.auc[tasks, 0, 0], of_b - judged.auc[tasks, 0, 1]
    columns["gain"] = columns["gain b"] - columns["gain a"]
    columns["auc b"] = of_b
    return columns


def _together(parts: tuple[Part, Part], scores: list[list[FloatArray]]) -> dict[str, FloatArray]:
    return {
        f"together {site}": together(scores[0][s], scores[1][s], part.usable & (part.labels == 0))
        for s, (part, site) in enumerate(zip(parts, "ab", strict=True))
    }


def _apart(parts: tuple[Part, Part], stack: _Stack, halves: tuple[IntArray, ...]) -> dict[str, FloatArray]:
    """AUC of the linear discriminant of the sites, fitted to each half and judged on the other: of all images, and of each
    task's negatives and positives. With z in units of independent images; as halves share both fits, its deviation is 1.4.
    """
    n_tasks = parts[0].labels.shape[1]
    effect = max(part.effect for part in parts)
    sites = [_groups(*of) for of in zip(parts, stack.inputs, stack.squares, halves, strict=True)]
    several = _told_apart(sites, effect)
    columns: dict[str, FloatArray] = {}
    for name, at in (
        ("site", [0] * n_tasks),
        ("site negatives", slice(1, None, 2)),
        ("site positives", slice(2, None, 2)),
    ):
        columns[name], columns[f"{name} z"] = several[:, at]
    return columns


class _Half(NamedTuple):
    """Half of a site's images. rows: (n, p). members: (n, n_groups), which images are in which group.

    counts: (n_groups,); means: (n_groups, p) and inner: (n_groups, p, p), mean products, of their rows.
    """

    rows: FloatArray
    members: NDArray[np.bool_]
    counts: IntArray
    means: FloatArray
    inner: FloatArray


def _groups(part: Part, inputs: FloatArray, squares: FloatArray, half: IntArray) -> tuple[_Half, ...]:
    """Of both halves: all images, and each task's negatives and positives in turn."""
    by_half = []
    for of in (0, 1):
        at = half == of
        rows = np.hstack([inputs[at], squares[at]])
        labels = np.where(part.usable[at], part.labels[at], np.nan)
        members = np.ones((len(rows), 1 + 2 * labels.shape[1]), dtype=np.bool_)
        members[:, 1::2], members[:, 2::2] = labels == 0, labels == 1
        counts = members.sum(axis=0)
        inner = _inner(rows, labels) / np.maximum(counts, 1)[:, None, None]
        by_half.append(_Half(rows, members, counts, inner[:, 0], inner))
    return tuple(by_half)


def _inner(rows: FloatArray, labels: FloatArray) -> FloatArray:
    """Products (p, p) summed over all rows, and over each task's negatives and positives. Negatives are most: they are what
    the others leave of all.
    """
    every = rows.T @ rows
    products = [every]
    for of_task in labels.T:
        positive, missing = (rows[at] for at in (of_task == 1, np.isnan(of_task)))
        of_positives = positive.T @ positive
        products += [every - of_positives - missing.T @ missing, of_positives]
    return np.array(products)


def _told_apart(sites: list[tuple[_Half, ...]], effect: float) -> FloatArray:
    """AUC and asinh z of each group, (2, n_groups). sites: A and B."""
    counts = np.array([[half.counts for half in of_site] for of_site in sites])
    aucs = np.full((2, counts.shape[2]), np.nan)
    for of in (0, 1):
        a, b = (of_site[1 - of] for of_site in sites)
        n_a, n_b = counts[:, 1 - of]
        n = (n_a * n_b / np.maximum(n_a + n_b, 1))[:, None, None]
        weights = _solved(n * (a.inner + b.inner), n * (b.means - a.means)[..., None])[..., 0].T
        scores = [of_site[of].rows @ weights for of_site in sites]
        for group in np.flatnonzero(counts.min(axis=(0, 1)) >= FEWEST):
            at_a, at_b = (
                of_site[at[of].members[:, group], group] for of_site, at in zip(scores, sites, strict=True)
            )
            aucs[of, group] = half_pairs(at_b, at_a) / (2.0 * at_a.size * at_b.size)
    value = aucs.mean(axis=0)
    with np.errstate(divide="ignore"):
        se = np.sqrt(effect * (1 / counts.sum(axis=1)).sum(axis=0) / 12)
    return np.stack([value, np.arcsinh((value - 0.5) / se)])


def _foretold(
    parts: tuple[Part, Part], scores: list[list[FloatArray]], drop: FloatArray, se: FloatArray
) -> dict[str, FloatArray]:
    """What the judged model's drop, and the prevalence, would be if labels at both sites went by one site's P(y | score)."""
    n_tasks = parts[0].labels.shape[1]
    columns: dict[str, FloatArray] = {}
    for home, site in enumerate("ab"):
        several = np.array([_by_rule(parts, scores[home], home, k) for k in range(n_tasks)]).reshape(
            n_tasks, 3
        )
        columns[f"foretold {site}"], columns[f"beyond {site}"] = several[:, 0], drop - several[:, 0]
        columns[f"foretold {site} z"], columns[f"beyond {site} z"] = (
            asinh_z(several[:, 0], se),
            asinh_z(drop - several[:, 0], se),
        )
        columns[f"prevalence / home {site}"], columns[f"prevalence / away {site}"] = (
            several[:, 1],
            several[:, 2],
        )
    return columns


def _by_rule(
    parts: tuple[Part, Part], scores: list[FloatArray], home: int, k: int
) -> tuple[float, float, float]:
    """Foretold drop; logarithm of the foretold prevalence away from home, over that at home and over that seen there."""
    order = [part.ordered(k) for part in parts]
    labels = [part.labels[at, k] for part, at in zip(parts, order, strict=True)]
    values = [of[at, k] for of, at in zip(scores, order, strict=True)]
    places = np.arange(1, GROUPS) * values[home].size // GROUPS
    edges = np.partition(values[home], places)[places]
    groups = [np.searchsorted(edges, of, side="right") for of in values]
    n = np.bincount(groups[home], minlength=GROUPS)
    share = float(labels[home].mean())
    rate = (np.bincount(groups[home], labels[home], minlength=GROUPS) + share) / (n + 1)
    expected = [rate[of] for of in groups]
    aucs = [_expected_auc(part.tied(k), of) for part, of in zip(parts, expected, strict=True)]
    away = 1 - home
    foretold = np.log(expected[away].mean() + RARE)
    return (
        aucs[0] - aucs[1],
        float(foretold - np.log(share + RARE)),
        float(foretold - np.log(labels[away].mean() + RARE)),
    )


def _expected_auc(starts: IntArray, probability: FloatArray) -> float:
    """AUC of ascending scores whose images are positive with these probabilities (n,), ties by half.

    starts: where a score that is higher than the one before begins.
    """
    yes, no = probability, 1 - probability
    if starts.size < yes.size:
        yes, no = np.add.reduceat(yes, starts), np.add.reduceat(no, starts)
    below = np.cumsum(no) - 0.5 * no
    return float(yes @ below / (yes.sum() * no.sum()))

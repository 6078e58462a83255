"""Evidence → the probability of each cause of a drop, and what share of the drop it takes.

Fitted to simulated pairs of sites whose truth is known by swapping parts of the sites; benchmarks/fit_posterior.py makes
`posterior_*.csv`. Probabilities are boosted trees' (`xray.stats.boosted`), who learned how sure they may be from worlds that
they had not seen (Platt's scaling).

Shares are the mean of small networks (a hidden layer each), each fitted without some kinds of mechanism. A share of the drop
is a multiple of the drop that was seen plus an offset, with a .025 and a .975 quantile in units of the drop's size and error
(quantile regression; Koenker and Bassett 1978): an interval is as wide as this case makes it. Both
sides are stretched by a factor per cause and number of patients, such that 95 % of worlds that no network saw are held
(conformalised; Romano, Patterson and Candès 2019). Shares are of the drop in a large sample; what they leave of the drop
that was seen is chance. A case unlike those that were simulated is said to be so: its probabilities mean nothing. Where
that is so of all the evidence there is, but not without the witness or the covariates, these are left out (decision 57).
"""

import csv
from dataclasses import dataclass, fields
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from xray.stats import boosted
from xray.stats.boosted import Trees
from xray.stats.estimates import FloatArray, IntArray
from xray.stats.evidence import Evidence
from xray.stats.shipped import VARIANTS, shipped

CAUSES: Final = ("image", "population", "prevalence", "label")
WIDEST: Final = 5.0
"""Standardised evidence is cut here: beyond it, more is not more."""
OUTPUTS: Final = 16
"""Of a network, four for each cause's share: multiple of the drop, offset, and what lies below and above."""
OFFSET: Final = 0.1
"""Unit of offsets."""
NARROW: Final = 2.0
"""Sides begin at softplus(−NARROW), about an eighth of their unit."""
BY_PATIENTS: Final = (20, 40, 80, 160)
"""Patients of the rarer class at which another factor of the intervals begins."""
REACH: Final = 1.0
"""No share is larger: it is a mean of differences of AUCs."""


@dataclass(frozen=True)
class Seen:
    """What shares are measured by, (n,) each: the drop in the sample, its standard error, patients of the rarer class."""

    drop: FloatArray
    se: FloatArray
    fewest: IntArray

    @property
    def unit(self) -> FloatArray:
        """Of a share: the size of the drop and two standard errors, (n, 1)."""
        return (np.abs(self.drop) + 2 * self.se)[:, None]


@dataclass(frozen=True)
class Causes:
    """Per task: probability of each of `CAUSES` (n, 4); shares of the drop with 95 % intervals (n, 4); whether it is like
    the simulated cases, with its distance in units of the limit (n,). contributions: by group of evidence, (n, 4), how far
    the probability would fall without it. variants: (n,) of which evidence, by `VARIANTS`.
    """

    probability: FloatArray
    share: FloatArray
    lower: FloatArray
    upper: FloatArray
    alike: NDArray[np.bool_]
    distance: FloatArray
    contributions: dict[str, FloatArray]
    variants: NDArray[np.str_]


@dataclass(frozen=True)
class Coefficients:
    """names: of the evidence, (p,), with centre and scale (p,). trees: log odds of each cause by it, as it is.

    Of standardised evidence: first: (networks, p, hidden), first_bias: (networks, hidden), second: (networks, hidden,
    OUTPUTS), second_bias: (networks, OUTPUTS). widen: (patients, 4), a factor of intervals by BY_PATIENTS and cause. axes:
    (p, k) principal axes, with their variances (k,), the variance of the rest, and the limit of the distance.
    """

    names: tuple[str, ...]
    centre: FloatArray
    scale: FloatArray
    trees: Trees
    first: FloatArray
    first_bias: FloatArray
    second: FloatArray
    second_bias: FloatArray
    widen: FloatArray
    axes: FloatArray
    variances: FloatArray
    rest: float
    limit: float


GROUPS: Final = {
    "how both classes are scored": ("positives", "negatives"),
    "the drop": ("drop", "auc"),
    "the distribution of scores": ("images", "implied", "residuals"),
    "prevalences": ("prevalence", "log odds"),
    "odds ratios with other labels": ("companions", "other scores"),
    "linear models of all findings' scores": ("stacked",),
    "the case mix": ("co-labels", "case mix", "covariates", "labelled", "verified"),
    "the network of the other site": ("witness",),
}
"""Words → the evidence that begins so, its controls' included."""


@cache
def coefficients(variant: str) -> Coefficients:
    """Those shipped."""
    return parse(shipped(variant).decode("utf-8"))


def parse(text: str) -> Coefficients:
    """Coefficients from CSV: lines `what, name, number …`; written by `written`."""
    lines: dict[str, list[tuple[str, list[float]]]] = {}
    trees: list[list[str]] = []
    for what, name, *numbers in csv.reader(text.splitlines()):
        if what == "tree":
            trees.append([name, *numbers])
        else:
            lines.setdefault(what, []).append((name, [float(number) for number in numbers]))
    table = {what: np.array([numbers for _, numbers in rows]) for what, rows in lines.items()}
    networks, p = int(table["size"][0, 0]), len(lines["input"])
    first = table["first"].reshape(p, networks, -1).transpose(1, 0, 2)
    return Coefficients(
        names=tuple(name for name, _ in lines["input"]),
        centre=table["input"][:, 0],
        scale=table["input"][:, 1],
        trees=boosted.parse(trees, table["start"][0]),
        first=first,
        first_bias=table["first bias"].reshape(networks, -1),
        second=table["second"].reshape(networks, first.shape[2], -1),
        second_bias=table["second bias"].reshape(networks, -1),
        widen=table["widen"],
        axes=table["axes"],
        variances=table["variances"][0],
        rest=float(table["rest"][0, 0]),
        limit=float(table["limit"][0, 0]),
    )


def written(c: Coefficients) -> str:
    """As text, four digits each and six of trees: a line per input, hidden unit and tree."""
    networks, _, hidden = c.first.shape
    rows: list[tuple[str, str, FloatArray]] = [("size", "networks", np.array([float(networks)]))]
    rows += [("input", name, np.array([c.centre[i], c.scale[i]])) for i, name in enumerate(c.names)]
    rows += [("first", name, c.first[:, i].ravel()) for i, name in enumerate(c.names)]
    rows += [("first bias", str(n), c.first_bias[n]) for n in range(networks)]
    rows += [("second", f"{n} {h}", c.second[n, h]) for n in range(networks) for h in range(hidden)]
    rows += [("second bias", str(n), c.second_bias[n]) for n in range(networks)]
    rows += [("widen", str(n), of) for n, of in enumerate(c.widen)] + [("variances", "", c.variances)]
    rows += [("axes", name, c.axes[i]) for i, name in enumerate(c.names)]
    rows += [("rest", "", np.array([c.rest])), ("limit", "", np.array([c.limit]))]
    rows += [("start", "", c.trees.start)]
    lines = [[what, name, *(f"{number:.4g}" for number in numbers)] for what, name, numbers in rows]
    lines += [["tree", *of_tree] for of_tree in boosted.as_rows(c.trees)]
    return "".join(",".join(line) + "\n" for line in lines)


def causes(evidence: Evidence) -> Causes:
    """What the evidence of a pair of sites says, per task: the most of it with which the case is like the simulated ones.

    Covariates are left out before the witness; where the case is unlike them by any of it, it is all that there is.
    """
    several = [
        causes_by(evidence, variant)
        for (witness, covariates), variant in reversed(VARIANTS.items())
        if witness <= evidence.witness and covariates <= evidence.covariates
    ]
    first = np.argmax([of.alike for of in several], axis=0)
    rows, nothing = np.arange(first.size), np.zeros((first.size, len(CAUSES)))
    contributions = {
        words: np.stack([of.contributions.get(words, nothing) for of in several])[first, rows]
        for words in several[0].contributions
    }
    arrays = [part.name for part in fields(Causes) if part.name != "contributions"]
    parts = {name: np.stack([getattr(of, name) for of in several])[first, rows] for name in arrays}
    return Causes(contributions=contributions, **parts)


def causes_by(evidence: Evidence, variant: str, of: Coefficients | None = None) -> Causes:
    """What the part of the evidence says that a variant was learned of, per task. of: its coefficients, if others."""
    c = coefficients(variant) if of is None else of
    raw = ordered(c, evidence.columns)
    x = standardised(c, raw)
    drop = evidence.parts.drop
    seen = Seen(drop.value[evidence.tasks], drop.se[evidence.tasks], evidence.fewest)
    probability, distance = probabilities(c, raw), unlikeness(c, x) / c.limit
    share, lower, upper = shares(c, outputs(c, x), seen)
    return Causes(
        probability,
        share,
        lower,
        upper,
        distance <= 1,
        distance,
        _contributions(c, raw, probability),
        np.full(len(x), variant),
    )


def ordered(c: Coefficients, columns: dict[str, FloatArray]) -> FloatArray:
    """The evidence as it is, by `names`, (n, p); NaN where it is missing or infinite."""
    n = len(next(iter(columns.values()))) if columns else 0
    raw = np.column_stack([columns.get(name, np.full(n, np.nan)) for name in c.names])
    return np.where(np.isfinite(raw), raw, np.nan)


def standardised(c: Coefficients, raw: FloatArray) -> FloatArray:
    """Evidence of `ordered` in units of the simulated worlds, (n, p); what is missing is 0, their mean."""
    return np.clip(np.nan_to_num((raw - c.centre) / c.scale), -WIDEST, WIDEST)


def outputs(c: Coefficients, x: FloatArray) -> FloatArray:
    """What the networks say of standardised evidence, (networks, n, OUTPUTS)."""
    hidden = np.tanh(np.einsum("np,kph->knh", x, c.first, optimize=True) + c.first_bias[:, None])
    return np.asarray(np.einsum("knh,kho->kno", hidden, c.second, optimize=True) + c.second_bias[:, None])


def probabilities(c: Coefficients, raw: FloatArray) -> FloatArray:
    """Of each cause, (n, 4), from evidence of `ordered`."""
    return np.asarray(expit(c.trees.log_odds(raw)))


def shares(c: Coefficients, out: FloatArray, seen: Seen) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Each cause's share of the drop, with the bounds of its 95 % interval, (n, 4) each."""
    middle, below, above = (of.mean(axis=0) for of in sides(out, seen))
    factor = c.widen[np.searchsorted(BY_PATIENTS, seen.fewest, side="right")]
    several = middle, middle - factor * below, middle + factor * above
    share, lower, upper = (np.clip(of, -REACH, REACH) for of in several)
    return share, lower, upper


def sides(out: FloatArray, seen: Seen) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of each network: the share in the middle, and how far its quantiles lie below and above, (networks, n, 4) each."""
    multiple, offset, below, above = (out[..., at : at + 4] for at in (0, 4, 8, 12))
    middle = multiple * seen.drop[:, None] + OFFSET * seen.unit * offset
    low, high = (seen.unit * np.logaddexp(0, of - NARROW) for of in (below, above))
    return middle, low, high


def unlikeness(c: Coefficients, x: FloatArray) -> FloatArray:
    """Distance from the simulated cases along principal axes and off them (n,)."""
    along = x @ c.axes
    off = np.maximum((x**2).sum(axis=1) - (along**2).sum(axis=1), 0)
    return np.asarray(np.sqrt((along**2 / c.variances).sum(axis=1) + off / c.rest))


def _contributions(c: Coefficients, raw: FloatArray, probability: FloatArray) -> dict[str, FloatArray]:
    """By words, how far each probability falls where a group of evidence is replaced by its mean."""
    found = {}
    for words, begins in GROUPS.items():
        own = [_named(name).startswith(begins) for name in c.names]
        if any(own):
            found[words] = probability - probabilities(c, np.where(own, c.centre, raw))
    return found


def _named(name: str) -> str:
    return name.removeprefix("others' ").removeprefix("size of ")

"""Fit the posterior of causes to simulated worlds and write its coefficients: python -m benchmarks.fit_posterior FOLDER

FOLDER holds rows of all three generators (`python -m benchmarks._simulated strangers 1000 7000 FOLDER`; likewise `plants
1000 5000` and `7000 8600`, `worlds 1000 1180` and `1300 1345`, of which a seed is ten worlds; and with `--large`, `strangers
10000 12000`, `plants 6000 6480`, `worlds 1200 1216`).
Kinds of mechanism are dealt into NETWORKS groups; network k never sees a world that holds a kind of group k (of worlds with
nothing planted, or another prevalence alone, every NETWORKS-th), stops training where these left-out worlds are answered
best, and learns from them alone how sure it may be. What widens the intervals is taken from left-out worlds too.
Every DEVELOPMENT-th world is kept from all networks: on these the mean of the networks, which is what is shipped, learns how
sure it may be.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from torch import nn

from benchmarks._simulated import Rows, families_of, load
from benchmarks._truth import Floats
from xray.stats import posterior, shipped
from xray.stats.logistic import fit_logistic
from xray.stats.posterior import Coefficients, Seen

NETWORKS: Final = 6
HIDDEN: Final = 96
EPOCHS: Final = 48
BATCH: Final = 128
DROPPED: Final = 0.2
"""Share of hidden units left out of each step."""
NOISE: Final = 0.3
"""Standard deviation of what is added to the evidence at each step: worlds are few beside coefficients."""
OF_SHARES: Final = 20.0
"""Weight of quantile losses, in AUC, beside those of probabilities, in nats."""
AXES: Final = 24
ALONE: Final = 0.08
"""Share of rows that are shown as if their finding were the only one."""
OF_OTHERS: Final = (
    "others'", "companions", "residuals", "other scores", "co-labels", "positives by labels", "negatives by labels",
    "drop alone", "drop accompanied", "stacked",
)  # fmt: skip
"""What a finding that is the only one of its pair has no evidence of begins so."""
DEVELOPMENT: Final = 10
LIKE: Final = 0.99
"""Share of simulated cases that are like the simulated cases."""
HELD: Final = 0.95


@dataclass(frozen=True)
class Fold:
    """Which worlds' rows a network is fitted to, and which it is left without."""

    fitted: NDArray[np.bool_]
    left_out: NDArray[np.bool_]


def development(rows: Rows) -> NDArray[np.bool_]:
    """Rows of worlds that no network sees."""
    return np.asarray(rows.world % DEVELOPMENT == DEVELOPMENT - 1)


def folds(rows: Rows) -> Iterator[Fold]:
    """NETWORKS of them, without development worlds."""
    training = ~development(rows)
    mechanisms = families_of(rows)
    group = {name: fold % NETWORKS for fold, name in enumerate(sorted(frozenset().union(*mechanisms)))}
    for k in range(NETWORKS):
        holds = np.array([any(group[name] == k for name in names) for names in mechanisms])
        dealt = np.array([not names for names in mechanisms]) & (rows.world % NETWORKS == k)
        yield Fold(~(holds | dealt) & training, (holds | dealt) & training)


def columns_of(variant: str, rows: Rows) -> list[str]:
    """The evidence that a variant may use."""
    return [
        name
        for name in rows.columns
        if ("witness" in variant or "witness" not in name)
        and ("covariates" in variant or not any(of in name for of in ("covariates", "case mix")))
    ]


def alone(x: Floats, names: tuple[str, ...], selection: NDArray[np.bool_]) -> Floats:
    """Standardised evidence with nothing of other findings in the chosen rows."""
    of_others = np.array([name.startswith(OF_OTHERS) for name in names])
    visible = np.where(selection[:, None] & of_others, 0.0, x)
    visible[selection, names.index("tasks")] = -posterior.WIDEST
    return visible


class _Network(nn.Module):
    def __init__(self, n_inputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(n_inputs, HIDDEN), nn.Linear(HIDDEN, posterior.OUTPUTS)
        self.dropout = nn.Dropout(DROPPED)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.dropout(torch.tanh(self.first(x))))


def _loss(out: torch.Tensor, of: list[torch.Tensor]) -> torch.Tensor:
    """Surprise at which causes count, and quantile losses of their shares; rows weighted. See `posterior.sides`."""
    counts, shares, drop, unit, weight = of
    of_causes = nn.functional.binary_cross_entropy_with_logits(out[:, :4], counts, reduction="none").sum(1)
    middle = out[:, 4:8] * drop + posterior.OFFSET * unit * out[:, 8:12]
    low, high = (unit * nn.functional.softplus(out[:, at : at + 4] - posterior.NARROW) for at in (12, 16))
    tail = (1 - HELD) / 2
    of_shares = _quantile_loss(shares - middle, 0.5)
    of_shares += 2 * (
        _quantile_loss(shares - middle + low, tail) + _quantile_loss(shares - middle - high, 1 - tail)
    )
    return ((of_causes + OF_SHARES * of_shares.sum(1)) * weight).mean()


def _quantile_loss(above: torch.Tensor, level: float) -> torch.Tensor:
    return torch.maximum(level * above, (level - 1) * above)


def _fitted(x: Floats, rows: Rows, fold: Fold, seed: int) -> _Network:
    torch.manual_seed(seed)
    _, world, sizes = np.unique(rows.world, return_inverse=True, return_counts=True)
    observed = _observed(rows)
    targets = (rows.counts, rows.shares, observed.drop[:, None], observed.unit, 1 / np.sqrt(sizes[world]))
    inputs, *truth = (torch.tensor(of.astype(np.float32)) for of in (x, *targets))
    net = _Network(x.shape[1])
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    fitted, left_out = (np.flatnonzero(of) for of in (fold.fitted, fold.left_out))
    rng = np.random.default_rng(seed)
    best, state = np.inf, net.state_dict()
    for _ in range(EPOCHS):
        net.train()
        for batch in np.array_split(rng.permutation(fitted), max(1, fitted.size // BATCH)):
            optimiser.zero_grad()
            noisy = inputs[batch] + NOISE * torch.randn(len(batch), x.shape[1])
            _loss(net(noisy), [of[batch] for of in truth]).backward()
            optimiser.step()
        schedule.step()
        net.eval()
        with torch.no_grad():
            loss = float(_loss(net(inputs[left_out]), [of[left_out] for of in truth]))
        if loss < best:
            best, state = loss, {name: of.clone() for name, of in net.state_dict().items()}
    net.load_state_dict(state)
    return net


def _observed(rows: Rows) -> Seen:
    return Seen(rows.drop_seen, rows.drop_se, rows.fewest)


def fit(rows: Rows, variant: str) -> Coefficients:
    """The coefficients of a variant, from rows of the generators."""
    names = tuple(columns_of(variant, rows))
    raw = np.column_stack([rows.columns[name] for name in names]).astype(np.float64)
    raw[~np.isfinite(raw)] = np.nan
    scale = np.nanstd(raw, axis=0)
    nothing = np.zeros(0)
    start = Coefficients(
        names, np.nanmean(raw, axis=0), np.where(scale > 0, scale, 1.0), nothing, nothing, nothing, nothing, nothing,
        nothing, nothing, nothing, nothing, 1.0, 1.0,
    )  # fmt: skip
    x = posterior.standardised(start, rows.columns)
    x = alone(x, names, np.random.default_rng(0).random(len(x)) < ALONE)
    every = list(folds(rows))
    networks = [_fitted(x, rows, fold, seed) for seed, fold in enumerate(every)]
    state = [
        {name: of.numpy().astype(np.float64) for name, of in net.state_dict().items()} for net in networks
    ]
    c = replace(
        start,
        first=np.stack([s["first.weight"].T for s in state]),
        first_bias=np.stack([s["first.bias"] for s in state]),
        second=np.stack([s["second.weight"].T for s in state]),
        second_bias=np.stack([s["second.bias"] for s in state]),
        slope=np.ones((NETWORKS, 4)),
        intercept=np.zeros((NETWORKS, 4)),
        widen=np.ones((len(posterior.BY_PATIENTS) + 1, 4)),
    )
    return _sized(c, x, rows, every)


def _sized(c: Coefficients, x: Floats, rows: Rows, every: list[Fold]) -> Coefficients:
    """With how sure each network may be, how wide intervals are, and what is like the simulated cases."""
    out, apart = posterior.outputs(c, x), development(rows)
    slope, intercept = np.ones((NETWORKS, 4)), np.zeros((NETWORKS, 4))
    for cause in range(4):
        logits = np.concatenate([out[k, fold.left_out, cause] for k, fold in enumerate(every)])
        truth = np.concatenate([rows.counts[fold.left_out, cause] for fold in every])
        line = fit_logistic(np.column_stack([np.ones_like(logits), logits]), truth.astype(np.float64))
        intercept[:, cause], slope[:, cause] = line.coefficients
    c = replace(c, slope=slope, intercept=intercept, widen=_widened(out, rows, every))
    inner = x.T @ x / len(x)
    roots, axes = np.linalg.eigh(inner)
    axes, variances, rest = axes[:, -AXES:], roots[-AXES:], float(roots[:-AXES].mean())
    c = replace(c, axes=axes, variances=variances, rest=rest)
    c = replace(c, limit=float(np.quantile(posterior.unlikeness(c, x), LIKE)))
    return as_sure_as_right(c, x[apart], rows.counts[apart])


def _widened(out: Floats, rows: Rows, every: list[Fold]) -> Floats:
    """By what intervals of each network are stretched to hold HELD of the rows that it was left without, (patients, 4).

    Of each generator's, so that worlds in which a share is always 0 are no excuse for those in which it is not.
    """
    shares = rows.shares
    middle, low, high = posterior.sides(out, _observed(rows))
    far = np.maximum((middle - shares) / low, (shares - middle) / high)
    apart = np.concatenate([far[k, fold.left_out] for k, fold in enumerate(every)])
    fewest, generator = (
        np.concatenate([of[fold.left_out] for fold in every]) for of in (rows.fewest, rows.generator)
    )
    group = np.searchsorted(posterior.BY_PATIENTS, fewest, side="right")
    limits = [
        [
            np.quantile(apart[(group == n) & (generator == name)], HELD, axis=0)
            for name in np.unique(generator)
        ]
        for n in range(len(posterior.BY_PATIENTS) + 1)
    ]
    return np.max(limits, axis=1)


def as_sure_as_right(c: Coefficients, x: Floats, truth: NDArray[np.bool_]) -> Coefficients:
    """Log odds of every network stretched and moved alike, per cause, so that their mean probability is the likeliest.

    `x` (n, p) and `truth` (n, 4) are of worlds that no network saw. The mean of networks is more doubtful than each of them
    where they disagree (Ranjan and Gneiting, JRSS B 72, 2010, theorem 1), which stretching each undoes.
    """
    logits = c.slope[:, None] * posterior.outputs(c, x)[..., :4] + c.intercept[:, None]
    slope, intercept = c.slope.copy(), c.intercept.copy()
    for cause in range(4):
        own, right = logits[..., cause], truth[:, cause]

        def surprise(line: Floats, own: Floats = own, right: NDArray[np.bool_] = right) -> float:
            p = np.clip(expit(line[0] * own + line[1]).mean(axis=0), 1e-9, 1 - 1e-9)
            return -float(np.log(np.where(right, p, 1 - p)).mean())

        stretch, move = minimize(surprise, np.array([1.0, 0.0]), method="Nelder-Mead").x
        slope[:, cause] *= stretch
        intercept[:, cause] = stretch * intercept[:, cause] + move
    return replace(c, slope=slope, intercept=intercept)


def main() -> None:
    """Fit every variant and write it beside `xray.stats.posterior`."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("folder", type=Path)
    options.add_argument("--out", type=Path, default=Path(posterior.__file__).parent)
    options.add_argument("--only", nargs="*", help="variants; all, if none is named")
    choice = options.parse_args()
    rows = load(choice.folder.glob("*.npz"))
    for variant in choice.only or shipped.VARIANTS.values():
        c = fit(rows, variant)
        (choice.out / f"posterior_{variant}.csv").write_text(posterior.written(c), encoding="utf-8")
        print(variant, len(rows), "rows", len(c.names), "columns")


if __name__ == "__main__":
    main()

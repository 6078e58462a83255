"""Fit the posterior of causes to simulated worlds and write its coefficients: python -m benchmarks.fit_posterior FOLDER

FOLDER holds rows of both generators (`python -m benchmarks._simulated strangers 1000 4000 FOLDER`; `worlds` likewise).
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
from scipy.special import expit, logit
from torch import nn

from benchmarks._simulated import Rows, load
from benchmarks._truth import Floats
from xray.stats import posterior, shipped
from xray.stats.logistic import fit_logistic
from xray.stats.posterior import Coefficients

NETWORKS: Final = 6
HIDDEN: Final = 16
EPOCHS: Final = 16
BATCH: Final = 128
AXES: Final = 24
ALONE: Final = 0.08
"""Share of rows that are shown as if their finding were the only one."""
OF_OTHERS: Final = ("others'", "companions", "residuals", "other scores", "co-labels")
SHARED: Final = ("none", "prevalence")
"""Kinds that every network sees: without them there is no other like them. Their worlds are dealt by number."""
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
    seen = ~development(rows)
    mechanisms = [
        {f"{generator}: {mechanism}" for mechanism in families.split(" + ") if mechanism not in SHARED}
        for generator, families in zip(rows.generator, rows.families, strict=True)
    ]
    group = {name: place % NETWORKS for place, name in enumerate(sorted(set().union(*mechanisms)))}
    for k in range(NETWORKS):
        holds = np.array([any(group[name] == k for name in names) for names in mechanisms])
        dealt = np.array([not names for names in mechanisms]) & (rows.world % NETWORKS == k)
        yield Fold(~(holds | dealt) & seen, (holds | dealt) & seen)


def columns_of(variant: str, rows: Rows) -> list[str]:
    """The evidence that a variant may use."""
    return [
        name
        for name in rows.columns
        if ("witness" in variant or "witness" not in name)
        and ("covariates" in variant or not any(of in name for of in ("covariates", "case mix")))
    ]


def alone(x: Floats, names: tuple[str, ...], chosen: NDArray[np.bool_]) -> Floats:
    """Standardised evidence with nothing of other findings in the chosen rows."""
    of_others = np.array([name.startswith(OF_OTHERS) for name in names])
    shown = np.where(chosen[:, None] & of_others, 0.0, x)
    shown[chosen, names.index("tasks")] = -posterior.WIDEST
    return shown


class _Network(nn.Module):
    def __init__(self, n_inputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(n_inputs, HIDDEN), nn.Linear(HIDDEN, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(x)))


def _loss(
    out: torch.Tensor, counts: torch.Tensor, shares: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    of_causes = nn.functional.binary_cross_entropy_with_logits(out[:, :4], counts, reduction="none").sum(1)
    log_spread = out[:, 8:].clamp(-9, 1)
    rest = ((out[:, 4:8] - shares) / log_spread.exp()) ** 2
    of_shares = (torch.log1p(rest / 4) * 2.5 + log_spread).sum(1)  # Student's t with four degrees of freedom
    return ((of_causes + 0.15 * of_shares) * weight).mean()


def _fitted(x: Floats, rows: Rows, fold: Fold, seed: int) -> _Network:
    torch.manual_seed(seed)
    _, place, sizes = np.unique(rows.world, return_inverse=True, return_counts=True)
    weight = torch.tensor((1 / np.sqrt(sizes[place])).astype(np.float32))
    tensors = [torch.tensor(of.astype(np.float32)) for of in (x, rows.counts, rows.shares)]
    net = _Network(x.shape[1])
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    fitted, left_out = (np.flatnonzero(of) for of in (fold.fitted, fold.left_out))
    rng = np.random.default_rng(seed)
    best, kept = np.inf, net.state_dict()
    for _ in range(EPOCHS):
        net.train()
        for batch in np.array_split(rng.permutation(fitted), max(1, fitted.size // BATCH)):
            optimiser.zero_grad()
            inputs = tensors[0][batch] + 0.05 * torch.randn(len(batch), x.shape[1])
            _loss(net(inputs), tensors[1][batch], tensors[2][batch], weight[batch]).backward()
            optimiser.step()
        schedule.step()
        with torch.no_grad():
            loss = float(
                _loss(net(tensors[0][left_out]), tensors[1][left_out], tensors[2][left_out], weight[left_out])
            )
        if loss < best:
            best, kept = loss, {name: of.clone() for name, of in net.state_dict().items()}
    net.load_state_dict(kept)
    return net


def fit(rows: Rows, variant: str) -> tuple[Coefficients, Floats, Floats, Floats]:
    """Coefficients, and what left-out networks answer for every row: probabilities, shares, standard deviations."""
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
        widen=np.ones(4),
    )
    return _sized(c, x, rows, every)


def _sized(
    c: Coefficients, x: Floats, rows: Rows, every: list[Fold]
) -> tuple[Coefficients, Floats, Floats, Floats]:
    slope, intercept = np.ones((NETWORKS, 4)), np.zeros((NETWORKS, 4))
    for cause in range(4):
        logits, truth = [], []
        for k, fold in enumerate(every):
            p = posterior.answered(one(c, k), x[fold.left_out], rows.drop_seen[fold.left_out])[0][:, cause]
            p = np.clip(p, 1e-7, 1 - 1e-7)
            logits.append(np.log(p / (1 - p)))
            truth.append(rows.counts[fold.left_out, cause].astype(np.float64))
        together = np.concatenate(logits)
        line = fit_logistic(np.column_stack([np.ones_like(together), together]), np.concatenate(truth))
        intercept[:, cause], slope[:, cause] = line.coefficients
    c = replace(c, slope=slope, intercept=intercept)
    answers = [np.full((len(x), 4), np.nan) for _ in range(3)]
    for k, fold in enumerate(every):
        for array, of in zip(
            answers,
            posterior.answered(one(c, k), x[fold.left_out], rows.drop_seen[fold.left_out]),
            strict=True,
        ):
            array[fold.left_out] = of
    far = np.abs(rows.shares - answers[1]) / answers[2]
    widen = np.quantile(far[~development(rows)], HELD, axis=0)
    inner = x.T @ x / len(x)
    roots, axes = np.linalg.eigh(inner)
    axes, variances, rest = axes[:, -AXES:], roots[-AXES:], float(roots[:-AXES].mean())
    c = replace(c, widen=widen, axes=axes, variances=variances, rest=rest)
    c = replace(c, limit=float(np.quantile(posterior.unlikeness(c, x), LIKE)))
    apart = development(rows)
    return as_sure_as_right(c, x[apart], rows.counts[apart]), *answers  # type: ignore[return-value]


def as_sure_as_right(c: Coefficients, x: Floats, truth: NDArray[np.bool_]) -> Coefficients:
    """Log odds of every network stretched and moved alike, per cause, so that their mean probability is the likeliest.

    `x` (n, p) and `truth` (n, 4) are of worlds that no network saw. The mean of networks is more doubtful than each of them
    where they disagree (Ranjan and Gneiting, JRSS B 72, 2010, theorem 1), which stretching each undoes.
    """
    every = [posterior.answered(one(c, k), x, np.zeros(len(x)))[0] for k in range(len(c.slope))]
    logits = logit(np.clip(np.stack(every), 1e-7, 1 - 1e-7))
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


def one(c: Coefficients, k: int) -> Coefficients:
    """A network of them alone."""
    parts = ("first", "first_bias", "second", "second_bias", "slope", "intercept")
    return replace(c, **{name: getattr(c, name)[k : k + 1] for name in parts})


def main() -> None:
    """Fit every variant and write it beside `xray.stats.posterior`."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("folder", type=Path)
    options.add_argument("--out", type=Path, default=Path(posterior.__file__).parent)
    options.add_argument("--only", nargs="*", help="variants; all, if none is named")
    given = options.parse_args()
    rows = load(given.folder.glob("*.npz"))
    for variant in given.only or shipped.VARIANTS.values():
        c, *answers = fit(rows, variant)
        (given.out / f"posterior_{variant}.csv").write_text(posterior.written(c), encoding="utf-8")
        np.savez_compressed(given.folder.parent / f"left_out_{variant}.npz", *answers)
        print(variant, len(rows), "rows", len(c.names), "columns")


if __name__ == "__main__":
    main()

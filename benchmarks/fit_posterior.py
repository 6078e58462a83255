"""Fit the posterior of causes to simulated worlds and write its coefficients: python -m benchmarks.fit_posterior FOLDER

FOLDER holds rows of all three generators (`python -m benchmarks._simulated strangers 1000 7000 FOLDER`; likewise `plants
1000 5000` and `7000 8600`, `worlds 1000 1180` and `1300 1345`, of which a seed is ten worlds; and with `--large`, `strangers
10000 12000`, `plants 6000 6480`, `worlds 1200 1216`).
Every DEVELOPMENT-th world is kept apart: on these the boosted trees, which are fitted to all others, learn how sure they may
be. Of the networks, which say what share of a drop each cause takes, network k never sees a world that holds a mechanism of
group k, of NETWORKS groups (of worlds with nothing planted, or another prevalence alone, every NETWORKS-th), and stops
training where these left-out worlds are answered best. What widens the intervals is taken from left-out worlds too.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn

from benchmarks._simulated import Rows, families_of, load
from benchmarks._truth import Floats
from xray.stats import posterior, shipped
from xray.stats.boosted import LEAF, Trees
from xray.stats.logistic import fit_logistic
from xray.stats.posterior import Coefficients, Seen

ROUNDS: Final = 500
"""Trees of a cause."""
TREES: Final[dict[str, Any]] = {
    "learning_rate": 0.05, "max_leaf_nodes": 24, "min_samples_leaf": 40, "l2_regularization": 20.0, "max_features": 0.1,
}  # fmt: skip
"""Of scikit-learn's histogram gradient boosting; each split looks at some of the evidence."""
TREES_ALONE: Final = 0.2
"""Share of rows that the trees are shown as if their finding were the only one."""
NETWORKS: Final = 6
HIDDEN: Final = 64
EPOCHS: Final = 32
BATCH: Final = 128
DROPPED: Final = 0.2
"""Share of hidden units left out of each step."""
NOISE: Final = 0.3
"""Standard deviation of what is added to the evidence at each step: worlds are few beside coefficients."""
OF_SHARES: Final = 20.0
"""Weight of quantile losses, in AUC, beside those of probabilities, in nats."""
AXES: Final = 24
ALONE: Final = 0.08
"""Share of rows that the networks are shown so."""
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
    """Rows of worlds that neither trees nor networks see."""
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


def boosted(raw: Floats, names: tuple[str, ...], rows: Rows) -> Trees:
    """Trees of each cause, of evidence as it is (n, p), as sure as they are right in worlds that they have not seen."""
    apart = development(rows)
    visible = raw.copy()
    of_others = np.flatnonzero([name.startswith(OF_OTHERS) for name in names])
    selection = np.flatnonzero(np.random.default_rng(0).random(len(raw)) < TREES_ALONE)
    visible[np.ix_(selection, of_others)], visible[selection, names.index("tasks")] = np.nan, 0.0
    weight = _weight(rows)
    models = [
        HistGradientBoostingClassifier(
            max_iter=ROUNDS, early_stopping=False, random_state=cause, **TREES
        ).fit(visible[~apart], rows.counts[~apart, cause], sample_weight=weight[~apart])
        for cause in range(4)
    ]
    trees = _joined(models)
    log_odds = trees.log_odds(raw[apart])
    lines = [
        fit_logistic(np.column_stack([np.ones(len(log_odds)), log_odds[:, cause]]), right.astype(np.float64))
        for cause, right in enumerate(rows.counts[apart].T)
    ]
    intercept, slope = np.array([line.coefficients for line in lines]).T
    return trees.scaled(slope, intercept)


def _joined(models: list[HistGradientBoostingClassifier]) -> Trees:
    """As one, each a cause: nodes in the order in which they are read."""
    nodes: list[tuple[int, float, int, bool]] = []
    roots, answers = [], []

    def add(table: NDArray[Any], at: int) -> None:
        node, index = table[at], len(nodes)
        if node["is_leaf"]:
            nodes.append((LEAF, float(node["value"]), 0, False))
            return
        nodes.append((LEAF, 0.0, 0, False))
        add(table, node["left"])
        column, limit = int(node["feature_idx"]), float(node["num_threshold"])
        nodes[index] = column, limit, len(nodes), bool(node["missing_go_to_left"])
        add(table, node["right"])

    for cause, model in enumerate(models):
        for (tree,) in vars(model)["_predictors"]:
            roots.append(len(nodes))
            answers.append(cause)
            add(tree.nodes, 0)
    column, value, right, missing = zip(*nodes, strict=True)
    start = np.array([float(np.ravel(vars(model)["_baseline_prediction"])[0]) for model in models])
    return Trees(
        np.array(column),
        np.array(value),
        np.array(right),
        np.array(missing),
        np.array(roots),
        np.array(answers),
        start,
    )


def _weight(rows: Rows) -> Floats:
    """Of a row: findings of a world are much alike."""
    _, world, sizes = np.unique(rows.world, return_inverse=True, return_counts=True)
    return np.asarray(1 / np.sqrt(sizes[world]))


class _Network(nn.Module):
    def __init__(self, n_inputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(n_inputs, HIDDEN), nn.Linear(HIDDEN, 4 + posterior.OUTPUTS)
        self.dropout = nn.Dropout(DROPPED)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.dropout(torch.tanh(self.first(x))))


def _loss(out: torch.Tensor, of: list[torch.Tensor]) -> torch.Tensor:
    """Surprise at which causes count, whose log odds come first: what tells them tells their shares; and quantile losses of
    these, see `posterior.sides`. Rows weighted.
    """
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
    observed = _observed(rows)
    targets = (rows.counts, rows.shares, observed.drop[:, None], observed.unit, _weight(rows))
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
        names, np.nanmean(raw, axis=0), np.where(scale > 0, scale, 1.0), boosted(raw, names, rows),
        nothing, nothing, nothing, nothing, nothing, nothing, nothing, 1.0, 1.0,
    )  # fmt: skip
    x = posterior.standardised(start, raw)
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
        second=np.stack([s["second.weight"].T[:, 4:] for s in state]),
        second_bias=np.stack([s["second.bias"][4:] for s in state]),
        widen=np.ones((len(posterior.BY_PATIENTS) + 1, 4)),
    )
    return _sized(c, x, rows, every)


def _sized(c: Coefficients, x: Floats, rows: Rows, every: list[Fold]) -> Coefficients:
    """With how wide intervals are, and what is like the simulated cases."""
    c = replace(c, widen=_widened(posterior.outputs(c, x), rows, every))
    inner = x.T @ x / len(x)
    roots, axes = np.linalg.eigh(inner)
    axes, variances, rest = axes[:, -AXES:], roots[-AXES:], float(roots[:-AXES].mean())
    c = replace(c, axes=axes, variances=variances, rest=rest)
    return replace(c, limit=float(np.quantile(posterior.unlikeness(c, x), LIKE)))


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

"""Do reads settle what scores can't tell? Planned re-reads in simulated worlds whose truth is known.

    python -m benchmarks.rereads fit FOLDER     what reads mean and how often they settle: xray/stats/reread_*.csv, from rows
    python -m benchmarks.rereads FOLDER         the tables below, from rows of worlds that no fit has seen

Rows are drawn by `benchmarks._reread`: at the second site of each world, A's labeller reads a planned sample of 50 to 400
images again, with an error of the hand of its own. Tables, by generator and budget:
    held        95 % intervals of the difference of AUCs that hold it, in a large sample; and label's share
    exact …     outcomes of the verdict before and after the reads, as in `benchmarks.causes`: one finding of each world
    promised    findings in doubt for which the plan foretold a chance of PROMISE or more, and how many of them were settled:
                label named or ruled out; rightly: named where it was drawn, or ruled out where it does not count
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr
from torch import nn

from benchmarks._reread import BUDGETS, MEASURED, Findings, load
from benchmarks._truth import Flags, Floats
from benchmarks.causes import ENOUGH, OUTCOMES, calibration, rates
from xray.stats import reread_update
from xray.stats.causes import FEWEST, LOSS_RATIO
from xray.stats.reread_update import COUNTS_FROM, INPUTS, PLANNED, Before, inputs, planned
from xray.stats.small_networks import WIDEST, Networks, as_text, networks

PROMISE: Final = 0.9
FOLDS: Final = 5
HIDDEN: Final = 16
DECAY: Final = 3e-4
LOSS_RATIOS: Final = (1.0, 2.0, 4.0, 9.0)
LABEL: Final = 3
VARIANT: Final = 0
"""Of `shipped.VARIANTS`: scores alone."""


def before(of: Findings, variant: int) -> Before:
    """What is known of rows without reads."""
    return Before(of.probability[:, variant], of.drop, of.drop_se, of.prevalence, of.prevalence_se)


def measured(of: Findings, budget: int) -> Floats:
    """What reads of a budget measured, (n, 5) by `reread_update.MEASURED`; NaN where nothing could be."""
    columns = [MEASURED.index(name) for name in reread_update.MEASURED]
    return np.asarray(of.measured[:, budget][:, columns])


def after(of: Findings, variant: int, budget: int, answers: Floats) -> Floats:
    """Probabilities as the verdict has them: after the reads; before where they measured nothing; of the measure alone for
    label in cases unlike the simulated ones.
    """
    usable = np.asarray(np.isfinite(measured(of, budget)).all(axis=1))
    probability = np.where(usable[:, None], answers, of.probability[:, variant])
    difference, se = measured(of, budget)[:, :2].T
    alone = of.probability[:, variant].copy()
    alone[:, LABEL] = np.where(usable, ndtr((difference - COUNTS_FROM) / se), alone[:, LABEL])
    return np.where(of.alike[:, variant][:, None], probability, alone)


def outcomes(
    of: Findings, probability: Floats, alike: Flags, loss_ratio: float, measures: Sequence[int] = ()
) -> NDArray[np.str_]:
    """One of `OUTCOMES` per row, with "misdirected". In an unlike case, only causes that were measured may be named."""
    limit = loss_ratio / (1 + loss_ratio)
    claims = probability >= limit
    claims &= alike[:, None] | np.isin(np.arange(4), measures)
    doubtful = ~claims & (probability > 1 - limit)
    silent = (
        (~alike & ~claims.any(axis=1)) | (of.fewest < FEWEST) | (~claims.any(axis=1) & doubtful.any(axis=1))
    )
    false = (claims & ~of.drawn).any(axis=1)
    hit = (claims & of.counts).any(axis=1)
    outcome = np.where((claims | ~of.counts).all(axis=1), "exact", np.where(hit, "part", "missed")).astype(
        "U12"
    )
    outcome[false] = "false"
    outcome[false & of.counts.any(axis=1) & ~(claims & of.drawn).any(axis=1)] = "misdirected"
    outcome[silent] = "cannot tell"
    return outcome


def settled(of: Findings, probability: Floats, loss_ratio: float) -> Flags:
    """Whether label is named or ruled out, and whether rightly: where it was drawn, or does not count; (n, 2)."""
    limit, label = loss_ratio / (1 + loss_ratio), probability[:, LABEL]
    claimed, excluded = label >= limit, label <= 1 - limit
    right = (claimed & of.drawn[:, LABEL]) | (excluded & ~of.counts[:, LABEL])
    return np.column_stack([claimed | excluded, right])


def in_doubt(of: Findings, variant: int, loss_ratio: float) -> Flags:
    """Whether a plan would offer reads: label is open, or the case is unlike the simulated ones."""
    limit, label = loss_ratio / (1 + loss_ratio), of.probability[:, variant, LABEL]
    return np.asarray(~of.alike[:, variant] | ((1 - limit < label) & (label < limit)))


def fitted(x: Floats, y: Floats, fold: NDArray[np.int64], names: tuple[str, ...]) -> tuple[Networks, Floats]:
    """Networks, each stopped where the fold that it did not see is answered best; and answers of those folds (n, o)."""
    centre, scale = x.mean(axis=0), x.std(axis=0) + 1e-9
    z = torch.tensor(np.clip((x - centre) / scale, -WIDEST, WIDEST), dtype=torch.float32)
    t = torch.tensor(y, dtype=torch.float32)
    parts, answers = [], np.zeros_like(y)
    for number in range(FOLDS):
        torch.manual_seed(number)
        own = torch.tensor(fold != number)
        net = nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, y.shape[1]))
        optimiser = torch.optim.AdamW(net.parameters(), lr=5e-3, weight_decay=DECAY)
        loss = nn.BCEWithLogitsLoss()
        best, state = np.inf, {}
        for step in range(500):
            selection = torch.nonzero(own).flatten()
            selection = selection[torch.randint(len(selection), (2048,))]
            optimiser.zero_grad()
            loss(net(z[selection] + 0.05 * torch.randn_like(z[selection])), t[selection]).backward()
            optimiser.step()
            if step % 50 == 49:
                with torch.no_grad():
                    value = float(loss(net(z[~own]), t[~own]))
                if value < best:
                    best, state = value, {name: of.detach().clone() for name, of in net.state_dict().items()}
        net.load_state_dict(state)
        with torch.no_grad():
            answers[fold == number] = torch.sigmoid(net(z[~own])).numpy()
        parts.append(
            [
                state[f"{layer}.{part}"].numpy().astype(np.float64)
                for layer in (0, 2)
                for part in ("weight", "bias")
            ]
        )
    first, first_bias, second, second_bias = (np.stack(of) for of in zip(*parts, strict=True))
    networks = Networks(
        names, centre, scale, first.transpose(0, 2, 1), first_bias, second.transpose(0, 2, 1), second_bias
    )
    return networks, answers


def fit(of: Findings) -> tuple[Networks, Networks]:
    """What reads mean, and how often they settle, over all budgets, sets of evidence and loss ratios."""
    of = of.take(of.fewest >= FEWEST)
    world = np.unique(np.char.add(of.generator, of.world.astype(str)), return_inverse=True)[1]
    fold = np.random.default_rng(0).permutation(int(world.max()) + 1)[world] % FOLDS
    variants, budgets = of.probability.shape[1], len(BUDGETS)
    pairs = [(v, b) for v in range(variants) for b in range(budgets)]
    x = np.concatenate([inputs(before(of, v), measured(of, b)) for v, b in pairs])
    usable = np.isfinite(x).all(axis=1)
    y = np.tile(of.counts.astype(float), (len(pairs), 1))
    updates, answers = fitted(x[usable], y[usable], np.tile(fold, len(pairs))[usable], INPUTS)
    every = np.zeros_like(y)
    every[usable] = answers
    plans, hits, folds = [], [], []
    for at, (v, b) in enumerate(pairs):
        probability = after(of, v, b, every[at * len(of) : (at + 1) * len(of)])
        for ratio in LOSS_RATIOS:
            usable = np.full(len(of), ratio)
            plans.append(planned(before(of, v), of.alike[:, v], of.planned[:, b], usable))
            hits.append(settled(of, probability, ratio))
            folds.append(fold)
    chances, _ = fitted(
        np.concatenate(plans), np.concatenate(hits).astype(float), np.concatenate(folds), PLANNED
    )
    return updates, chances


def one_each(of: Findings) -> NDArray[np.int64]:
    """As `benchmarks.causes.one_each`."""
    rng = np.random.default_rng(0)
    rank = rng.random(len(of)) + ~of.counts.any(axis=1) + 10 * (of.fewest < ENOUGH)
    order = np.lexsort((rank, of.world))
    first = order[np.r_[True, of.world[order][1:] != of.world[order][:-1]]]
    return first[of.fewest[first] >= ENOUGH]


def coverage(of: Findings, budget: int) -> dict[str, float]:
    """How often intervals hold the difference in a large sample, in the sample itself, and label's share."""
    m = of.measured[:, budget]
    lower, upper, value = (m[:, MEASURED.index(name)] for name in ("lower", "upper", "difference"))
    usable = np.isfinite(lower) & (of.fewest >= ENOUGH)

    def covered(truth: Floats, selection: Flags) -> float:
        return float(((lower <= truth) & (truth <= upper))[usable & selection].mean())

    every, counts = np.ones(len(of), dtype=np.bool_), of.counts[:, LABEL]
    return {
        "findings": int(usable.sum()),
        "held": covered(of.relabelled, every),
        "held where label counts": covered(of.relabelled, counts),
        "held where it was not drawn": covered(of.relabelled, ~of.drawn[:, LABEL]),
        "share held": covered(of.shares[:, LABEL], every),
        "sample held": covered(of.sampled, every),
        "bias": float((value - of.sampled)[usable].mean()),
        "width": float(np.median((upper - lower)[usable])),
        "error": float(np.sqrt(np.mean((value - of.sampled)[usable] ** 2))),
    }


def tables(of: Findings, loss_ratio: float) -> dict[str, Any]:
    """All that is counted of one generator's rows."""
    selection = one_each(of)
    some = of.take(selection)
    results: dict[str, Any] = {"worlds": len(selection)}
    alike = some.alike[:, VARIANT]
    results["without reads"] = rates(list(outcomes(some, some.probability[:, VARIANT], alike, loss_ratio)))
    chances = networks("reread_chances")
    for budget, reads in enumerate(BUDGETS):
        answers = networks("reread_updates").answers(inputs(before(of, VARIANT), measured(of, budget)))
        probability = after(of, VARIANT, budget, answers)
        foretold = chances.answers(
            planned(
                before(of, VARIANT), of.alike[:, VARIANT], of.planned[:, budget], np.full(len(of), loss_ratio)
            )
        )[:, 0]
        enough = of.fewest >= ENOUGH
        doubt = in_doubt(of, VARIANT, loss_ratio) & enough
        is_settled, right = settled(of, probability, loss_ratio).T
        promised = doubt & (foretold >= PROMISE)
        results[f"{reads} reads"] = {
            "coverage": coverage(of, budget),
            **rates(list(outcomes(some, probability[selection], alike, loss_ratio, [LABEL]))),
            "calibration": {
                name: calibration(probability[enough, k], of.counts[enough, k])
                for k, name in enumerate(("image", "population", "prevalence", "label"))
            },
            "in doubt": int(doubt.sum()),
            "settled": float(is_settled[doubt].mean()),
            "rightly": float(right[doubt].mean()),
            "chance": float(foretold[doubt].mean()),
            "promised": int(promised.sum()),
            "kept": float(is_settled[promised].mean()) if promised.any() else None,
            "kept rightly": float(right[promised].mean()) if promised.any() else None,
            "chances": [
                (float(foretold[at].mean()), float(is_settled[at].mean()), int(at.sum()))
                for low in np.arange(0, 1, 0.1)
                for at in [doubt & (foretold >= low) & (foretold < low + 0.1)]
                if at.any()
            ],
            "label where it counts": float(
                (probability[selection][some.counts[:, LABEL], LABEL] >= loss_ratio / (1 + loss_ratio)).mean()
            ),
            "label where it was not drawn": float(
                (probability[selection][~some.drawn[:, LABEL], LABEL] >= loss_ratio / (1 + loss_ratio)).mean()
            ),
        }
    return results


def lines(name: str, results: dict[str, Any]) -> Iterator[str]:
    """As text."""
    head = (*OUTCOMES, "misdirected")
    yield f"{name}, {results['worlds']} worlds" + "".join(f"{of:>13}" for of in head)
    yield f"{'without reads':24}" + "".join(f"{results['without reads'][of]:13.1%}" for of in head)
    for key, of in results.items():
        if key.endswith(" reads") and key != "without reads":
            yield f"{key:24}" + "".join(f"{of[column]:13.1%}" for column in head)
            c = of["coverage"]
            yield (
                f"    difference held {c['held']:.1%}, where label counts {c['held where label counts']:.1%}, where it was "
                f"not drawn {c['held where it was not drawn']:.1%}; share held {c['share held']:.1%}; "
                f"width {c['width']:.3f}; bias {c['bias']:.4f}"
            )
            suffix = (
                "" if of["kept"] is None else f", kept {of['kept']:.1%}, rightly {of['kept rightly']:.1%}"
            )
            yield (
                f"    in doubt {of['in doubt']}, settled {of['settled']:.1%}, rightly {of['rightly']:.1%} (foretold "
                f"{of['chance']:.1%}); promised {of['promised']}{suffix}; label named {of['label where it counts']:.1%} "
                f"where it counts, {of['label where it was not drawn']:.1%} where it was not drawn"
            )
            yield "    " + "  ".join(
                f"{name} {line['slope']:.2f}/{line['ece']:.3f}" for name, line in of["calibration"].items()
            )


def main() -> int:
    """See the module."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("words", nargs="+", help="fit FOLDER, or FOLDER")
    options.add_argument("--json", action="store_true")
    options.add_argument("--loss-ratio", type=float, default=LOSS_RATIO)
    choice = options.parse_args()
    of = load(Path(choice.words[-1]).glob("*.npz"))
    if choice.words[0] == "fit":
        for name, several in zip(("updates", "chances"), fit(of), strict=True):
            Path(f"xray/stats/reread_{name}.csv").write_text(as_text(several), encoding="utf-8")
        return 0
    for generator in np.unique(of.generator):
        results = tables(of.take(of.generator == generator), choice.loss_ratio)
        print(
            json.dumps({"generator": str(generator), **results})
            if choice.json
            else "\n".join(lines(generator, results)) + "\n"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

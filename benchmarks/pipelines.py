"""What do A's pictures through B's pipeline settle, alone and beside reads? Simulated worlds whose truth is known.

    python -m benchmarks.pipelines fit FOLDER     what they mean and how often they settle: xray/stats/pipeline_*.csv
    python -m benchmarks.pipelines FOLDER         the tables below, from rows of worlds that no fit has seen

Rows are drawn by `benchmarks._reread`; how well a pipeline is imitated by `benchmarks._pipelines`. Tables, by generator, of
0 or 200 reads and no, 200 or all images of A through the pipeline:
    exact …     outcomes of the verdict, as in `benchmarks.causes`: one finding of each world
    held        95 % intervals of what the pipeline costs that hold it, in a large sample; and image's share
    promised    findings in doubt for which a chance of PROMISE or more was foretold that image, or all causes, are settled
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from benchmarks import rereads
from benchmarks._reread import BUDGETS, PIPED, Findings, load
from benchmarks._truth import Flags, Floats
from benchmarks.causes import ENOUGH, OUTCOMES, calibration, rates
from benchmarks.rereads import LABEL, PROMISE, VARIANT, before, fitted, one_each, outcomes
from xray.stats import pipeline_update
from xray.stats.causes import FEWEST, LOSS_RATIO
from xray.stats.reread_update import COUNTS_FROM, inputs
from xray.stats.small_networks import Networks, as_text, networks

IMAGE: Final = 0
LOSS_RATIOS: Final = (1.5, 2.0, 4.0, 9.0)
"""Not 1, at which nothing is ever open."""
READS: Final = BUDGETS.index(200)
COVARIATES: Final = (0, 1, 0, 1)
"""By `shipped.VARIANTS`, whether covariates are known."""


def network_inputs(of: Findings, variant: int, pipe: int, budget: int | None) -> Floats:
    """Inputs of the networks: of pipeline scores alone, or beside reads of a budget."""
    piped, left = of.piped[:, pipe], of.left[:, pipe, COVARIATES[variant]]
    if budget is None:
        return pipeline_update.alone(before(of, variant), piped, left)
    return pipeline_update.both(before(of, variant), piped, left, rereads.measured(of, budget))


def after(of: Findings, variant: int, pipe: int, budget: int | None, answers: Floats) -> Floats:
    """Probabilities as the verdict has them; where reads measured nothing, and in unlike cases, as without them."""
    probability = of.probability[:, variant].copy()
    if budget is not None:
        learned = networks("reread_updates").answers(
            inputs(before(of, variant), rereads.measured(of, budget))
        )
        probability = rereads.after(of, variant, budget, learned)
    usable = np.asarray(np.isfinite(network_inputs(of, variant, pipe, budget)).all(axis=1))
    cost, se = of.piped[:, pipe, :2].T
    alike = of.alike[:, variant]
    probability_after = np.where((usable & alike)[:, None], answers, probability)
    probability_after[:, IMAGE] = np.where(
        ~alike & np.isfinite(cost), ndtr((cost - COUNTS_FROM) / se), probability_after[:, IMAGE]
    )
    return probability_after


def settled(probability: Floats, loss_ratio: float) -> Flags:
    """Which causes are named or ruled out (n, 4)."""
    limit = loss_ratio / (1 + loss_ratio)
    return np.asarray((probability >= limit) | (probability <= 1 - limit))


def rightly(of: Findings, probability: Floats) -> Flags:
    """Whether what is likelier than not was drawn, and what is not does not count, (n, 4)."""
    return np.where(probability >= 0.5, of.drawn, ~of.counts)


def planned(of: Findings, variant: int, pipe: int, budget: int, loss_ratio: float) -> Floats:
    """Inputs of the chances."""
    images = np.maximum(of.piped[:, pipe, 4], 1)
    return pipeline_update.planned(
        before(of, variant),
        of.alike[:, variant],
        of.planned[:, budget],
        images,
        np.full(len(of), loss_ratio),
    )


def fit(of: Findings) -> dict[str, Networks]:
    """What pipeline scores mean, alone and beside reads, and what they settle."""
    of = of.take(of.fewest >= FEWEST)
    world = np.unique(np.char.add(of.generator, of.world.astype(str)), return_inverse=True)[1]
    fold = np.random.default_rng(0).permutation(int(world.max()) + 1)[world] % rereads.FOLDS
    variants, pipes = range(of.probability.shape[1]), range(len(PIPED))
    networks: dict[str, Networks] = {}
    cache: dict[tuple[int, int, int | None], Floats] = {}
    for name, names, budgets in (
        ("alone", pipeline_update.ALONE, [None]),
        ("reads", pipeline_update.BOTH, list(range(len(BUDGETS)))),
    ):
        cases = [(v, p, b) for v in variants for p in pipes for b in budgets]
        x = np.concatenate([network_inputs(of, *case) for case in cases])
        y, folds = np.tile(of.counts.astype(float), (len(cases), 1)), np.tile(fold, len(cases))
        usable = np.isfinite(x).all(axis=1)
        networks[name], answers = fitted(x[usable], y[usable], folds[usable], names)
        every = np.zeros_like(y)
        every[usable] = answers
        cache |= dict(zip(cases, np.split(every, len(cases)), strict=True))
    networks["chances"] = _chances(of, fold, cache)
    return networks


def _chances(
    of: Findings, fold: NDArray[np.int64], cache: dict[tuple[int, int, int | None], Floats]
) -> Networks:
    xs, hits, folds = [], [], []
    for (v, p, b), answers in cache.items():
        if b is None:
            continue
        probabilities = {
            "piped": after(of, v, p, None, cache[v, p, None]),
            "both": after(of, v, p, b, answers),
            "reads": rereads.after(
                of,
                v,
                b,
                networks("reread_updates").answers(inputs(before(of, v), rereads.measured(of, b))),
            ),
        }
        for ratio in LOSS_RATIOS:
            clear = {name: settled(of_kind, ratio) for name, of_kind in probabilities.items()}
            xs.append(planned(of, v, p, b, ratio))
            whole = [clear[name].all(axis=1) for name in ("piped", "reads", "both")]
            hits.append(np.column_stack([clear["piped"][:, IMAGE], *whole]))
            folds.append(fold)
    x = np.concatenate(xs)
    usable = np.isfinite(x).all(axis=1)
    y = np.concatenate(hits).astype(float)
    return fitted(x[usable], y[usable], np.concatenate(folds)[usable], pipeline_update.PLANNED)[0]


def probabilities(of: Findings, variant: int, pipe: int | None, budget: int | None) -> Floats:
    """After what was measured, by the coefficients that come along."""
    if pipe is not None:
        name = "pipeline_alone" if budget is None else "pipeline_reads"
        return after(
            of, variant, pipe, budget, networks(name).answers(network_inputs(of, variant, pipe, budget))
        )
    if budget is None:
        return of.probability[:, variant]
    answers = networks("reread_updates").answers(inputs(before(of, variant), rereads.measured(of, budget)))
    return rereads.after(of, variant, budget, answers)


def tables(of: Findings, loss_ratio: float, variant: int = VARIANT) -> dict[str, Any]:
    """All that is counted of one generator's rows."""
    selection = one_each(of)
    some, enough = of.take(selection), of.fewest >= ENOUGH
    results: dict[str, Any] = {"worlds": len(selection)}
    for budget in (None, READS):
        for pipe in (None, 0, 1):
            probability = probabilities(of, variant, pipe, budget)
            measures = [cause for cause, of_kind in ((IMAGE, pipe), (LABEL, budget)) if of_kind is not None]
            alike = some.alike[:, variant]
            line: dict[str, Any] = {
                **rates(list(outcomes(some, probability[selection], alike, loss_ratio, measures))),
                "calibration": {
                    name: calibration(probability[enough, k], of.counts[enough, k])
                    for k, name in enumerate(("image", "population", "prevalence", "label"))
                },
            }
            if pipe is not None:
                line |= _piped(of, pipe, enough) | _promises(
                    of, variant, pipe, budget, loss_ratio, probability
                )
            results[
                f"{0 if budget is None else 200} reads, {('no', '200', 'all')[0 if pipe is None else pipe + 1]} images"
            ] = line
    return results


def _piped(of: Findings, pipe: int, enough: Flags) -> dict[str, float]:
    cost, se, lower, upper, _ = of.piped[:, pipe].T
    usable = np.asarray(np.isfinite(se) & enough)
    counts = usable & of.counts[:, IMAGE]

    def coverage(truth: Floats, flags: Flags) -> float:
        return float(((lower <= truth) & (truth <= upper))[flags].mean())

    return {
        "held": coverage(of.piped_cost, usable),
        "held where image counts": coverage(of.piped_cost, counts),
        "share held": coverage(of.shares[:, IMAGE], usable),
        "share held where image counts": coverage(of.shares[:, IMAGE], counts),
        "width": float(np.median((upper - lower)[usable])),
        "bias": float((cost - of.piped_cost)[usable].mean()),
    }


def _promises(
    of: Findings, variant: int, pipe: int, budget: int | None, loss_ratio: float, probability: Floats
) -> dict[str, Any]:
    """Of findings in doubt: by image for pipeline scores alone, of all causes too."""
    enough = of.fewest >= ENOUGH
    at = planned(of, variant, pipe, READS if budget is None else budget, loss_ratio)
    foretold = networks("pipeline_chances").answers(at)
    first = settled(of.probability[:, variant], loss_ratio)
    unlike = ~of.alike[:, variant]
    clear, right = settled(probability, loss_ratio), rightly(of, probability)
    results: dict[str, Any] = {}
    whole = "whole by both" if budget is not None else "whole"
    for name, doubt, is_settled, correct in (
        ("image", unlike | ~first[:, IMAGE], clear[:, [IMAGE]], right[:, [IMAGE]]),
        (whole, unlike | ~first.all(axis=1), clear, right),
    ):
        if budget is not None and name == "image":
            continue
        is_settled, correct = (
            np.asarray(is_settled.all(axis=1)),
            np.asarray((is_settled & correct).all(axis=1)),
        )
        chance = foretold[:, pipeline_update.SETTLED.index(name)]
        promised = doubt & enough & (chance >= PROMISE)
        results[f"promised {name}"] = {
            "in doubt": int((doubt & enough).sum()),
            "settled": float(is_settled[doubt & enough].mean()),
            "foretold": float(chance[doubt & enough].mean()),
            "promised": int(promised.sum()),
            "kept": float(is_settled[promised].mean()) if promised.any() else None,
            "rightly": float(correct[promised].mean()) if promised.any() else None,
        }
    return results


def lines(name: str, results: dict[str, Any]) -> Iterator[str]:
    """As text."""
    head = (*OUTCOMES, "misdirected")
    yield f"{name}, {results['worlds']} worlds".ljust(28) + "".join(f"{of:>13}" for of in head)
    for key, of in results.items():
        if not isinstance(of, dict):
            continue
        yield f"{key:28}" + "".join(f"{of[column]:13.1%}" for column in head)
        yield "    " + "  ".join(
            f"{cause} {line['slope']:.2f}/{line['ece']:.3f}" for cause, line in of["calibration"].items()
        )
        if "held" in of:
            yield (
                f"    cost held {of['held']:.1%}, where image counts {of['held where image counts']:.1%}; share held "
                f"{of['share held']:.1%}, {of['share held where image counts']:.1%}; width {of['width']:.3f}; "
                f"bias {of['bias']:.4f}"
            )
        for promise, p in of.items():
            if promise.startswith("promised"):
                suffix = "" if p["kept"] is None else f", kept {p['kept']:.1%}, rightly {p['rightly']:.1%}"
                yield (
                    f"    {promise}: in doubt {p['in doubt']}, settled {p['settled']:.1%} (foretold {p['foretold']:.1%}); "
                    f"promised {p['promised']}{suffix}"
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
        for name, several in fit(of).items():
            Path(f"xray/stats/pipeline_{name}.csv").write_text(as_text(several), encoding="utf-8")
        return 0
    for generator in np.unique(of.generator):
        results = tables(of.take(of.generator == generator), choice.loss_ratio)
        print(
            json.dumps({"generator": str(generator), **results})
            if choice.json
            else "\n".join(lines(str(generator), results)) + "\n"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

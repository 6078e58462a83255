"""What A's pictures through B's pipeline change in a verdict, alone or beside reads, and with what chance they settle it.

They measure what pictures cost (`xray.stats.pipelines`), and what is left: between these pictures of A's patients and B's
images lie population, prevalence and labels alone, and what the pipeline doesn't hold. So the posterior is asked a second
time, of that pair. Small networks have learned from simulated worlds what the odds before, what was measured in units of
its error, and the odds of what is left come to (benchmarks/pipelines.py). One set knows of no reads, one of reads too.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from xray.stats import reread_update
from xray.stats.estimates import DEFINED, FloatArray
from xray.stats.evidence import Site, gather
from xray.stats.pipelines import Piped, measure, representative
from xray.stats.posterior import causes_by
from xray.stats.reread_update import COUNTS_FROM, LEAST_SE, RATIO, SUREST, Before
from xray.stats.rereads import Measured
from xray.stats.shipped import VARIANTS
from xray.stats.small_networks import networks

PIPED: Final = (
    "image", "cost", "cost se", "rest without image", "z rest without image", "kept image", "kept population",
    "kept prevalence", "kept label",
)  # fmt: skip
ALONE: Final = (
    "odds image", "odds population", "odds prevalence", "odds label", "drop", "prevalence", "z prevalence", *PIPED,
)  # fmt: skip
BOTH: Final = (*reread_update.INPUTS, *PIPED)
PLANNED: Final = (
    "odds image", "odds population", "odds prevalence", "odds label", "open image", "open population", "open prevalence",
    "open label", "unlike", "reads se", "log images", "drop", "drop se", "prevalence", "loss ratio",
)  # fmt: skip
SETTLED: Final = ("image", "whole", "whole by reads", "whole by both")
"""What is foretold: that image is named or ruled out; that all causes are, by pipeline scores, by reads, or by both."""


NUMBERS: Final = 25.0 * 2.0 ** np.arange(11)
"""Of images, whose chances are looked at where more are planned."""


@dataclass(frozen=True)
class Through:
    """A's pictures through B's pipeline: what was measured, and probabilities (4,) of the causes between these and B."""

    piped: Piped
    left: FloatArray


def through(a: Site, b: Site, piped: FloatArray) -> dict[int, Through]:
    """Per task what A's pictures through B's pipeline say, where they say anything. piped: scores of the judged model
    (n_images of A, n_tasks), NaN for images that were not put through it; these say something of the findings alone of whose
    classes they are a sample by chance.
    """
    sample = np.asarray(np.isfinite(piped).any(axis=1))
    if not sample.any():
        return {}
    rescored = replace(a.take(sample), scores=piped[sample], witness=None)
    evidence = gather(rescored, replace(b, witness=None))
    updates = {}
    # by all the evidence, as what follows was learned
    rest = causes_by(evidence, VARIANTS[evidence.witness, evidence.covariates]).probability
    for task, left in zip(evidence.tasks.tolist(), rest, strict=True):
        if not representative(a.labels, task, sample):
            continue
        of = measure(
            rescored.labels[:, task],
            a.scores[sample, task],
            rescored.scores[:, task],
            rescored.patients,
        )
        if of.reason == DEFINED:
            updates[task] = Through(of, left)
    return updates


def piped_inputs(before: Before, piped: FloatArray, left: FloatArray, difference: FloatArray) -> FloatArray:
    """Of the networks, (n, PIPED). piped: (n, 2+), cost and se; left: (n, 4) probabilities; difference: what labels cost by
    reads and its se, (n, 2), 0 without.
    """
    cost, se = piped[:, 0], piped[:, 1]
    rest = before.drop - cost - difference[:, 0]
    spread = np.sqrt(before.drop_se**2 + se**2 + difference[:, 1] ** 2)
    odds = np.clip(logit(left), -SUREST, SUREST)
    return np.column_stack(
        [_beyond(cost, COUNTS_FROM, se), cost, np.log(se), rest, _beyond(rest, COUNTS_FROM, spread), odds]
    )


def _beyond(value: FloatArray, limit: float, se: FloatArray) -> FloatArray:
    return np.clip((value - limit) / se, -SUREST, SUREST)


def alone(before: Before, piped: FloatArray, left: FloatArray) -> FloatArray:
    """(n, ALONE)."""
    own = np.abs(before.prevalence)
    none = np.zeros((len(piped), 2))
    return np.column_stack(
        [
            before.odds,
            before.drop,
            own,
            _beyond(own, RATIO, before.prevalence_se),
            piped_inputs(before, piped, left, none),
        ]
    )


def both(before: Before, piped: FloatArray, left: FloatArray, measured: FloatArray) -> FloatArray:
    """(n, BOTH). measured: (n, 5), of reads, as `reread_update.inputs` takes it."""
    return np.column_stack(
        [reread_update.inputs(before, measured), piped_inputs(before, piped, left, measured[:, :2])]
    )


def updated(before: Before, through: Through, measured: Measured | None) -> FloatArray:
    """Probabilities (4,) of one finding after its pipeline scores, and reads where there are some."""
    piped, left = np.array([through.piped.numbers]), through.left[None]
    if measured is None:
        return np.asarray(networks("pipeline_alone").answers(alone(before, piped, left))[0])
    numbers = np.array([[getattr(measured, name) for name in reread_update.MEASURED]])
    return np.asarray(networks("pipeline_reads").answers(both(before, piped, left, numbers))[0])


def planned(
    before: Before, alike: NDArray[np.bool_], reads_se: FloatArray, images: FloatArray, loss_ratio: FloatArray
) -> FloatArray:
    """Inputs of the chances, (n, PLANNED). reads_se: that a design of reads expects; images: of A that are scored."""
    odds, limit = before.odds, np.log(loss_ratio)
    doubt = limit[:, None] - np.abs(odds)
    return np.column_stack(
        [
            odds, doubt, ~alike, np.log(np.maximum(reads_se, LEAST_SE)), np.log(images), before.drop, before.drop_se,
            before.prevalence, limit,
        ]
    )  # fmt: skip


def chances(before: Before, alike: bool, reads_se: float, images: int, loss_ratio: float) -> dict[str, float]:
    """Of one finding, by `SETTLED`: the best of what so many images, or fewer, are foretold to settle. Nobody has to look at
    all of them, and what was learned of few worlds may fall with images, if by little.
    """
    numbers = np.append(NUMBERS[images > NUMBERS], float(images))
    n = numbers.size
    several = Before(*(np.repeat(of, n, axis=0) for of in vars(before).values()))
    prospects = planned(several, np.full(n, alike), np.full(n, reads_se), numbers, np.full(n, loss_ratio))
    answers = networks("pipeline_chances").answers(prospects).max(axis=0)
    return dict(zip(SETTLED, answers.tolist(), strict=True))

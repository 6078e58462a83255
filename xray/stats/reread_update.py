"""What reads change in a verdict, and with what chance reads that are planned will settle it.

Reads measure what labels cost, how many more or fewer positives the other rules make, and so how common the finding is by
one rule at both sites, and what of the drop is left for images and patients. Bayes' rule would weigh these by their density
under each cause; small networks have learned it from simulated worlds whose second site was read again
(benchmarks/rereads.py): from odds before the reads and what the reads measured, in units of its error, to odds of all four
causes after them. Others of the same worlds say how often reads settle what is open, before there is one.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit, ndtr

from xray.stats.estimates import FloatArray
from xray.stats.evidence import Evidence
from xray.stats.rereads import Measured
from xray.stats.small_networks import networks

COUNTS_FROM: Final = 0.03
RATIO: Final = float(np.log(1.5))
"""From where on a share, and a log ratio of prevalences, counts (as in the worlds, benchmarks/_truth.py)."""
LEAST_SE: Final = 1e-3
"""Expected errors of AUC that are smaller are taken for this: a plan that reads every image expects none."""
SUREST: Final = 6.0
"""Log odds, and distances in standard errors, are cut here."""
MEASURED: Final = ("difference", "se", "ratio", "ratio_se", "lost")
"""What of `rereads.Measured` is looked at."""
INPUTS: Final = (
    "odds image", "odds population", "odds prevalence", "odds label", "label", "ratio", "label or ratio", "prevalence",
    "rest", "difference", "rest of drop", "prevalence ratio", "ratio of calls", "lost", "gained", "se", "ratio se", "drop",
    "labels", "labels z",
)  # fmt: skip
PLANNED: Final = (
    "odds image",
    "odds population",
    "odds prevalence",
    "odds label",
    "doubt",
    "unlike",
    "se",
    "drop",
    "prevalence",
    "loss ratio",
)


@dataclass(frozen=True)
class Before:
    """What is known without reads: probability (n, 4); drop with its error (n,); log of positives at B per A, as shares of
    images, with its error (n,).
    """

    probability: FloatArray
    drop: FloatArray
    drop_se: FloatArray
    prevalence: FloatArray
    prevalence_se: FloatArray

    @property
    def odds(self) -> FloatArray:
        """Log odds of each cause (n, 4)."""
        return np.clip(logit(self.probability), -SUREST, SUREST)


def known_before(evidence: Evidence, place: int, probability: FloatArray) -> Before:
    """Of one finding of a pair of sites."""
    task = evidence.tasks[place]
    positives, negatives = evidence.parts.n_pos[task].astype(float), evidence.parts.n_neg[task].astype(float)
    rates = positives / (positives + negatives)
    return Before(
        probability[None],
        evidence.parts.drop.value[task][None],
        evidence.parts.drop.se[task][None],
        np.log(rates[1:] / rates[:1]),
        np.sqrt(((1 - rates) / positives).sum(keepdims=True)),
    )


def inputs(before: Before, m: FloatArray) -> FloatArray:
    """Of the networks, (n, INPUTS). m: (n, 5), by `MEASURED`."""
    difference, se, ratio, ratio_se, lost = m.T
    label, called = _beyond(difference, COUNTS_FROM, se), _beyond(np.abs(ratio), RATIO, ratio_se)
    either = 1 - (1 - ndtr(label)) * (1 - ndtr(called))
    common = before.prevalence + ratio
    rest = before.drop - difference
    return np.column_stack(
        [
            before.odds,
            label,
            called,
            logit(np.clip(either, 1e-3, 1 - 1e-3)),
            _beyond(np.abs(common), RATIO, np.hypot(before.prevalence_se, ratio_se)),
            _beyond(rest, COUNTS_FROM, np.hypot(before.drop_se, se)),
            difference,
            rest,
            np.abs(common),
            ratio,
            lost,
            np.exp(ratio) - 1 + lost,
            np.log(se),
            np.log(ratio_se),
            before.drop,
            np.abs(before.prevalence),
            _beyond(np.abs(before.prevalence), RATIO, before.prevalence_se),
        ]
    )


def _beyond(value: FloatArray, limit: float, se: FloatArray) -> FloatArray:
    return np.clip((value - limit) / se, -SUREST, SUREST)


def updated(before: Before, measured: Measured) -> FloatArray:
    """Probabilities (4,) of one finding after its reads."""
    numbers = np.array([[getattr(measured, name) for name in MEASURED]])
    return np.asarray(networks("reread_updates").answers(inputs(before, numbers))[0])


def planned(before: Before, alike: NDArray[np.bool_], se: FloatArray, loss_ratio: FloatArray) -> FloatArray:
    """Inputs of the chance that reads settle it, (n, PLANNED). alike: whether the case is like the simulated ones; se: that
    the design expects; loss_ratio: (n,) each.
    """
    odds, limit = before.odds, np.log(loss_ratio)
    doubt = limit - np.abs(odds[:, 3])
    return np.column_stack(
        [odds, doubt, ~alike, np.log(np.maximum(se, LEAST_SE)), before.drop, before.prevalence, limit]
    )


def chance(before: Before, alike: bool, se: float, loss_ratio: float) -> float:
    """That reads settle whether labels are a cause of one finding's drop: that label is named or ruled out after them."""
    given = planned(before, np.array([alike]), np.array([se]), np.array([loss_ratio]))
    return float(networks("reread_chances").answers(given)[0, 0])

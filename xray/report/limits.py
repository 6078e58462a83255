"""The limits at which the first screen says that a model works or fails, each with its reason."""

from dataclasses import dataclass
from typing import Final

from xray.report.grids import FEW_OF_A_CLASS
from xray.report.words import number


@dataclass(frozen=True)
class Limit:
    """A number, and why it is that number."""

    value: float
    reason: str


USEFUL: Final = Limit(
    0.70,
    "an AUC from 0.7 is commonly called acceptable (Hosmer and Lemeshow); below it a reader gains little",
)
LOST: Final = Limit(
    0.10, "the smallest loss of AUC that matters: the same margin above which the verdicts speak of a drop"
)
FEW: Final = Limit(
    FEW_OF_A_CLASS, "with fewer positives, or negatives, an interval of AUC can't be trusted (protocol, §8)"
)
MOST: Final = Limit(
    0.5, "a word for several models must be true of more than half of those that know the finding"
)


def stated() -> tuple[str, ...]:
    """The limits in words, a sentence each."""
    useful, loss = number(USEFUL.value, 2), number(LOST.value, 2)
    return (
        f"Works: the whole 95% interval of AUC is at least {useful}, and a loss against home of {loss} or more is excluded.",
        f"Fails: the whole interval is below {useful}, or the AUC is at least {loss} lower than at home and the interval of "
        "the loss excludes 0.",
        f"Cannot say: neither is shown, fewer than {FEW.value} positives or negatives, or training saw the test.",
        "Models trained here share a cell, which goes by the majority of those that know the finding. A model from "
        "elsewhere has cells of its own.",
    )


def reasons() -> tuple[str, ...]:
    """Why each limit is what it is."""
    names = (
        (f"AUC {number(USEFUL.value, 2)}", USEFUL),
        (f"loss {number(LOST.value, 2)}", LOST),
        (f"{FEW.value:g} of a class", FEW),
        ("majority", MOST),
    )
    return tuple(f"{name}: {limit.reason}." for name, limit in names)

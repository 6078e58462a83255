"""Why a model does worse elsewhere, taken from a row of the verdicts: the one place that reads their words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from xray.report.grids import Record, text_or_none
from xray.report.verdicts import CANNOT_TELL, NONE, causes

BLAMED: Final = {
    "image": "other images",
    "population": "other patients",
    "prevalence": "another prevalence",
    "label": "labels that mean something else",
}
"""Cause → what is to blame, in words."""


@dataclass(frozen=True)
class Why:
    """causes: keys of `BLAMED`; none where it can't be told. basis: on what it rests. settle: what would settle it."""

    causes: tuple[str, ...] = ()
    basis: str = ""
    settle: str = ""
    unchanged: bool = False
    """Whether the verdict is that nothing changed."""


NO_VERDICT: Final = Why(settle="a model of the site's own, whose labels and images a verdict compares")


def cause_of(row: Record | None) -> Why:
    """The cause that a verdict names. row: of the verdicts, or None where a pair has none."""
    if row is None:
        return NO_VERDICT
    verdict = str(row["verdict"])
    return Why(
        causes=causes(verdict),
        basis=text_or_none(row.get("basis")) or "",
        settle=(text_or_none(row.get("resolve")) or "") if verdict == CANNOT_TELL else "",
        unchanged=verdict == NONE,
    )


def blame(several: Sequence[Why]) -> str:
    """One sentence on what is to blame for several failures of one finding at one site; the most frequent cause first."""
    named = [each for each in several if each.causes]
    if named:
        counts = {each.causes: sum(other.causes == each.causes for other in named) for each in named}
        main = max(counts, key=lambda key: counts[key])
        what = " and ".join(BLAMED[cause] for cause in main)
        basis = next(each.basis for each in named if each.causes == main)
        return f"To blame: {what} (the verdict for {counts[main]} of {len(several)}; {basis.rstrip('.')})."
    if all(each.unchanged for each in several):
        return "No cause: nothing is shown to have changed from home."
    settle = next((each.settle for each in several if each.settle), "")
    return "Why, the data can't tell" + (
        f"; it would be settled by: {settle.rstrip('.')}." if settle else "."
    )

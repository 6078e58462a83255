"""Why a model does worse elsewhere, taken from a row of the verdicts: the one place that reads their words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from xray.report.causes import odds
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
    """causes: keys of `BLAMED`; none where it can't be told. basis: on what it rests. settle: what would settle it. note:
    the odds, or why nothing is said.
    """

    causes: tuple[str, ...] = ()
    basis: str = ""
    settle: str = ""
    note: str = ""
    unchanged: bool = False
    """Whether the verdict is that nothing changed."""


NO_VERDICT: Final = Why(settle="a model of the site's own, whose labels and images a verdict compares")
SECOND_SITE: Final = "scores and labels of a second site (xray evaluate, --reference)"


def cause_of(row: Record) -> Why:
    """The cause that a verdict names. row: of the verdicts."""
    verdict = str(row["verdict"])
    basis = text_or_none(row.get("basis")) or ""
    note = (odds(row) or basis) if "probability_image" in row else ""
    return Why(
        causes=causes(verdict),
        basis=note or basis,
        note=note,
        settle=_by_name(text_or_none(row.get("resolve")) or "", row) if verdict == CANNOT_TELL else "",
        unchanged=verdict == NONE,
    )


def _by_name(text: str, row: Record) -> str:
    """A verdict's words with the sites' names in place of A, whose model it is, and B, where it is tested."""
    for letter, site in (("A", row.get("train_dataset")), ("B", row.get("test_dataset"))):
        if site:
            text = text.replace(f"{letter}'s", f"{site}'s").replace(f"of {letter} ", f"of {site} ")
    return text


def without_verdict(model: str, site: str, foreign: bool, scored: Sequence[str], own: Sequence[str]) -> Why:
    """Why a model has no verdict at a site. scored: where the model was. own: the sites with a model of their own."""
    if not foreign:
        single = model in own and site not in own
        lacking = f"{site} has no model of its own, and a verdict compares both sites' own models"
        return Why(note=lacking if single else "", settle=NO_VERDICT.settle)
    if len(scored) < 2:
        return Why(note=f"{model} was scored at {site} only", settle=SECOND_SITE)
    return Why(note=f"{site} is the reference, or no other site is labelled for it", settle="")


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
        likely = next((f" ({each.note})" for each in several if each.note), "")
        return f"No cause: nothing is shown to have changed from home{likely}."
    open_ones = [each for each in several if not each.unchanged]
    settle = next((each.settle for each in open_ones if each.settle), "")
    why = next((f" ({each.note.rstrip('.')})" for each in open_ones if each.note), "")
    return f"Why, the data can't tell{why}" + (
        f"; it would be settled by: {settle.rstrip('.')}." if settle else "."
    )

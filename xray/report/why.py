"""Why a model does worse elsewhere, read from a row of the verdicts: the only module that parses their text."""

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
    """causes: keys of `BLAMED`; none where unclear. basis: the evidence. settle: what would settle it. note:
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
    with_cause = [reason for reason in several if reason.causes]
    if with_cause:
        counts = {
            reason.causes: sum(other.causes == reason.causes for other in with_cause) for reason in with_cause
        }
        main = max(counts, key=lambda key: counts[key])
        causes = " and ".join(BLAMED[cause] for cause in main)
        basis = next(reason.basis for reason in with_cause if reason.causes == main)
        return f"To blame: {causes} (the verdict for {counts[main]} of {len(several)}; {basis.rstrip('.')})."
    if all(reason.unchanged for reason in several):
        likely = next((f" ({reason.note})" for reason in several if reason.note), "")
        return f"No cause: nothing is shown to have changed from home{likely}."
    open_ones = [reason for reason in several if not reason.unchanged]
    settle = next((reason.settle for reason in open_ones if reason.settle), "")
    note = next((f" ({reason.note.rstrip('.')})" for reason in open_ones if reason.note), "")
    return f"Why, the data can't tell{note}" + (
        f"; it would be settled by: {settle.rstrip('.')}." if settle else "."
    )

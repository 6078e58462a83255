"""What images cost that were changed to look like another site's, in words."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from xray.report.grids import number_or_none, text_or_none
from xray.report.words import LISTED, interval, number, task_name

WORDS: Final = {
    "histogram": "in grey values",
    "resolution": "in resolution",
    "noise": "in noise",
    "borders": "in borders",
    "all": "in grey values, resolution, noise and borders together",
}
"""Kind → in which way pictures were made alike."""
PIPELINE: Final = "pipeline"
SHOWN: Final = 0.05
"""A loss is shown where its q is below this."""

Row = Mapping[Any, Any]
"""A row of `intervention_results`."""


def sentence(row: Row) -> str:
    """As “a's pictures made to look like b's in noise cost 0.03 (0.02 to 0.04) of AUC (Effusion, model a)”."""
    subject = f"{task_name(row['task'])}, model {row['trained_on']}"
    a, b = row["train_dataset"], row["test_dataset"]
    likeness = f"made to look like {b}'s {WORDS.get(row['kind'], row['kind'])}"
    pictures = f"{a}'s pictures {f'through the pipeline of {b}' if row['kind'] == PIPELINE else likeness}"
    loss, low, high = (number_or_none(row[name]) for name in ("loss", "lower", "upper"))
    reason = text_or_none(row["reason"])
    if loss is None or (reason is not None and low == high):
        return f"{pictures}: {reason} ({subject})"
    if low is None or high is None:
        return f"{pictures} cost {number(loss, 2)} of AUC ({subject})"
    if high < 0:
        return f"{pictures} gain {number(-loss, 2)} ({interval((-high, -low), 2)}) of AUC ({subject})"
    return f"{pictures} cost {number(loss, 2)} ({interval((low, high), 2)}) of AUC ({subject})"


def is_shown(row: Row) -> bool:
    """Whether a loss, or a gain, is shown, all of the study's interventions taken together."""
    q = number_or_none(row["q"])
    return q is not None and q < SHOWN


def findings(rows: Sequence[Row]) -> list[str]:
    """What pipelines did, then what else is shown, the largest first; and how many changes cost nothing that is shown."""
    loud = (row for row in rows if is_shown(row) or row["kind"] == PIPELINE)
    ordered = sorted(
        loud, key=lambda row: (row["kind"] != PIPELINE, -abs(number_or_none(row["loss"]) or 0.0))
    )
    lines = [f"{sentence(row)}." for row in ordered[:LISTED]]
    if len(ordered) > LISTED:
        lines.append(f"{len(ordered) - LISTED} more changes cost, or gain, less.")
    rest = len(rows) - len(ordered)
    return [*lines, f"{rest} of {len(rows)} measured changes cost nothing that is shown."] if rest else lines

"""What models lose on a site's images that were changed to look like another site's."""

from typing import Any, Final

import pandas as pd

from xray.report.grids import number_or_none
from xray.report.parts.part import Part, estimate, largest, records
from xray.report.text import frame_table
from xray.report.words import interval, number, p_cell, task_name

WORDS: Final = {
    "histogram": "in grey values",
    "resolution": "in resolution",
    "noise": "in noise",
    "borders": "in borders",
    "all": "in grey values, resolution, noise and borders together",
}
"""Kind → in which way pictures were made alike."""
PIPELINE: Final = "pipeline"
Rows = list[dict[str, Any]]


def sentence(row: dict[str, Any]) -> str:
    """As “a's pictures made to look like b's in noise cost .03 (.02 to .04) of AUC (Effusion, model a)”."""
    who = f"{task_name(row['task'])}, model {row['trained_on']}"
    a, b = row["train_dataset"], row["test_dataset"]
    if row["kind"] == PIPELINE:
        pictures = f"{a}'s pictures through {b}'s pipeline"
    else:
        pictures = f"{a}'s pictures made to look like {b}'s {WORDS[row['kind']]}"
    if pd.isna(row["loss"]):
        return f"{pictures}: {row['reason']} ({who})"
    between = (
        f" ({interval((float(row['lower']), float(row['upper'])), 2)})"
        if row["lower"] != row["upper"]
        else ""
    )
    return f"{pictures} cost {number(float(row['loss']), 2)}{between} of AUC ({who})"


def findings(rows: pd.DataFrame) -> list[str]:
    """Losses that are shown, q below 0.05, the largest first; and how many are not."""
    every = records(rows)
    shown = [row for row in every if not pd.isna(row["q"]) and row["q"] < 0.05]
    shown.sort(key=lambda row: -abs(float(row["loss"])))
    lines = [f"{sentence(row)}." for row in shown]
    rest = len(every) - len(shown)
    return [*lines, f"{rest} of {len(every)} measured changes cost nothing that is shown."] if rest else lines


def interventions(rows: pd.DataFrame) -> Part:
    """The loss per model, pair of sites, task and kind of change."""
    shown = _table(rows)
    return Part(
        "interventions",
        "Images changed on purpose",
        "Test images of one site, changed to look like another's in a stated way, and scored again by the same model: what "
        "it loses on the same patients with the same labels is image loss, measured and not inferred. Pictures are never "
        "made sharper or cleaner than they are, so that a loss towards a better site can't be measured. q: p values "
        "adjusted over the study after Benjamini and Hochberg.",
        findings(rows),
        rows,
        frame_table(shown),
        shown=_table(largest(rows, "loss")),
    )


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    every = records(rows)
    return pd.DataFrame(
        {
            "model": [row["trained_on"] for row in every],
            "pictures of": [row["train_dataset"] for row in every],
            "made like": [row["test_dataset"] for row in every],
            "task": [row["task"] for row in every],
            "in": [row["kind"] for row in every],
            "AUC before": [number(number_or_none(row["before"])) for row in every],
            "after": [number(number_or_none(row["after"])) for row in every],
            "loss": [estimate(row, "loss") for row in every],
            "q": [p_cell(row["q"]) for row in every],
            "note": [row["reason"] or "" for row in every],
        }
    )

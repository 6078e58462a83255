"""What models lose on a site's images that were changed to look like another site's."""

import pandas as pd

from xray.report import interventions as words
from xray.report.grids import number_or_none
from xray.report.parts.part import Part, estimate, largest, records
from xray.report.text import frame_table
from xray.report.words import number, p_cell


def interventions(rows: pd.DataFrame) -> Part:
    """The loss per model, pair of sites, task and kind of change."""
    table = _table(rows)
    return Part(
        "interventions",
        "Images changed on purpose",
        "Test images of one site, changed to look like another's in a stated way, and scored again by the same model: what "
        "it loses on the same patients with the same labels is image loss, measured and not inferred. Pictures are never "
        "made sharper or cleaner than they are, so that a loss towards a better site can't be measured. q: p values "
        "adjusted over the study after Benjamini and Hochberg.",
        words.findings(records(rows)),
        rows,
        frame_table(table),
        short_table=_table(largest(rows, "loss")),
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

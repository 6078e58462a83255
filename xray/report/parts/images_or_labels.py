"""Whether images or labels make a model do worse elsewhere."""

from collections.abc import Sequence

import pandas as pd

from xray.report.parts.part import Part, estimate, records
from xray.report.text import frame_table
from xray.report.words import p_cell


def images_or_labels(rows: pd.DataFrame, without: Sequence[str] = ()) -> Part:
    """The verdict per task and ordered pair of datasets. without: test datasets that have no model of their own."""
    from xray.report import verdict_grid, verdicts

    table = pd.DataFrame(
        {
            "trained on": rows["train_dataset"],
            "tested on": rows["test_dataset"],
            "task": rows["task"],
            "verdict": rows["verdict"],
            "drop in AUC": [estimate(r, "auc_drop", "drop_lower", "drop_upper") for r in records(rows)],
            "p": [p_cell(r["p_adjusted"]) for r in records(rows)],
            "why": rows["basis"],
        }
    )
    return Part(
        "images_or_labels",
        "Images or labels?",
        "Where a model that was trained on one dataset does worse on another: are the images other, is "
        "the finding more or less common, or do the labels mean something else? The drop in AUC is the sum of what both "
        "sites' own models lose on the second dataset (its images or labels are harder) and of what each model is better "
        "at home (the datasets differ in kind). A verdict is given per task where the tests allow it; each rests on the "
        "assumption that stands beside it, and “cannot tell” names what would settle the matter. p: that nothing "
        "changed, adjusted over the study after Benjamini and Hochberg.",
        verdicts.findings(rows, without),
        rows,
        frame_table(table),
        draw=lambda: verdict_grid.draw(rows),
        caption=verdict_grid.caption(rows),
        tables=verdicts.tables(rows),
        central=True,
    )

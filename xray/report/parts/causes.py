"""Why models from elsewhere do worse at a site: odds of four causes."""

from collections.abc import Sequence

import pandas as pd

from xray.report import grids
from xray.report.parts.part import Part, estimate, records
from xray.report.text import frame_table


def as_grid(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as the figure of verdicts takes them."""
    from xray.report import causes as words

    several = rows["trained_on"].nunique() > 1
    return rows.assign(
        home=[words.home(row, several) for row in grids.records(rows, (), "causes")],
        trained_on_a=rows["trained_on"],
        odds=[words.odds(row) for row in grids.records(rows, (), "causes")],
    )


def causes(rows: pd.DataFrame, datasets: Sequence[str] = ()) -> Part:
    """The verdict per model, task and pair of sites. datasets: of the study, to say why there is none."""
    from xray.report import causes as words
    from xray.report import verdict_grid

    table = pd.DataFrame(
        {
            "model": rows["trained_on"],
            "reference": rows["train_dataset"],
            "tested on": rows["test_dataset"],
            "task": rows["task"],
            "verdict": rows["verdict"],
            "drop in AUC": [estimate(r, "auc_drop", "drop_lower", "drop_upper") for r in records(rows)],
            "odds": [words.odds(r) or r["reason"] or "–" for r in grids.records(rows, (), "causes")],
            "why": rows["basis"],
        }
    )
    ratio = [words.named_from(float(rows["loss_ratio"].iloc[0]))] if len(rows) else []
    return Part(
        "causes",
        "Why elsewhere: images, patients, prevalence or labels?",
        " ".join(
            [
                "Where a model from elsewhere does worse than at the reference: are the images other (image), or the "
                "patients (population), is the finding more or less common (prevalence), or do the labels mean something "
                "else (label)? Each has a probability, learned from simulated pairs of sites, and a share of the drop in "
                "AUC; causes don't exclude each other.",
                *ratio,
                words.RELIABILITY,
            ]
        ),
        words.findings(rows, datasets),
        rows,
        frame_table(table),
        draw=lambda: verdict_grid.draw(as_grid(rows)),
        caption=verdict_grid.caption(as_grid(rows)),
        tables=words.tables(rows),
        central=True,
    )

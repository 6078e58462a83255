"""How far the readers of a dataset agree, and models with them: the human ceiling."""

from statistics import median
from typing import Any, Final

import pandas as pd

from xray.report import tables
from xray.report.grids import FEW_OF_A_CLASS
from xray.report.parts.part import Part, estimate, records
from xray.report.text import frame_table
from xray.report.words import number, number_of, task_name

CEILING: Final = "readers (human ceiling)"
ABOUT: Final = (
    "Where several people have labelled the same images, how far they agree with each other is the human ceiling: nobody "
    "can be shown to agree better with their labels than they do. Readers: all pairs of two who called an image, each pair "
    "both ways (Fleiss' κ where as many have read each image). A model with readers: it and one of them, on the same "
    "images, which is like for like. A model with the label: with the rule over all readers, which is less noisy than one "
    "of them. Models are called at their Youden point on these very images, so they are seen at their best. κ falls with "
    "prevalence at fixed skill: read it beside PABAK and the agreement on positives and negatives. Intervals have patients "
    "as units."
)
NOBODY: Final = "No test dataset of this study has labels of several readers."


def reader_agreement(rows: pd.DataFrame) -> Part:
    """κ between readers, and of models with them, by dataset and finding."""
    table, images = _table(rows), _images(rows)
    return Part(
        "reader_agreement",
        "Do the readers agree, and models with them?",
        ABOUT,
        _findings(rows) if len(rows) else [NOBODY],
        rows,
        frame_table(table) if len(table) else NOBODY,
        tables=[
            tables.plain(
                f"{dataset}: Cohen's κ (95% interval); the label follows by: {rule}",
                its.drop(columns=["dataset", "rule"]),
                tuple(images[position] for position in its.index),
            )
            for (dataset, rule), its in (table.groupby(["dataset", "rule"], sort=False) if len(table) else ())
        ],
    )


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each dataset and finding the readers together, then each model with them and with the label; pairs are left out."""
    lines = [
        {
            "finding": task_name(str(row["task"])),
            "who": CEILING if row["compared"] == "readers" else f"{row['trained_on']} with {_with(row)}",
            "κ": estimate(row, "kappa"),
            "PABAK": row["pabak"],
            "on positives": row["positive_agreement"],
            "on negatives": row["negative_agreement"],
            "images": int(row["n"]),
            "positive": int(row["n_pos"]),
            "dataset": row["test_dataset"],
            "rule": row["rule"],
        }
        for row in records(_ordered(rows))
    ]
    return pd.DataFrame(lines)


def _images(rows: pd.DataFrame) -> list[tables.Images | None]:
    """The images of each row of `_table`: those of a model's scores; readers have none."""
    return [
        None
        if row["compared"] == "readers"
        else (str(row["trained_on"]), str(row["test_dataset"]), str(row["task"]))
        for row in records(_ordered(rows))
    ]


def _with(row: dict[str, Any]) -> str:
    return "readers" if row["compared"] == "model and readers" else "the label"


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows but those of single pairs, findings of a dataset together, readers first."""
    if not len(rows):
        return rows
    kinds = rows[rows["compared"] != "pair of readers"].copy()
    rank = {
        name: position for position, name in enumerate(("readers", "model and readers", "model and label"))
    }
    kinds["_dataset"] = pd.factorize(kinds["test_dataset"])[0]
    kinds["_task"] = pd.factorize(kinds["task"])[0]
    kinds["_place"] = kinds["compared"].map(rank)
    return kinds.sort_values(["_dataset", "_task", "_place"], kind="stable")


def _findings(rows: pd.DataFrame) -> list[str]:
    """Of each dataset: the ceiling, and for how many findings the best model reaches it."""
    lines = []
    for dataset, its in rows.groupby("test_dataset", sort=False):
        is_few = (its["n_pos"] < FEW_OF_A_CLASS) | (its["n"] - its["n_pos"] < FEW_OF_A_CLASS)
        defined = its[its["kappa"].notna() & ~is_few]
        ceiling = defined[defined["compared"] == "readers"].set_index("task")
        if not len(ceiling):
            lines.append(
                f"{dataset}: no finding has {FEW_OF_A_CLASS} images of either class that several readers called, so there "
                "is no human ceiling to speak of."
            )
            continue
        values = ceiling["kappa"].astype(float)
        ends = [
            f"{task_name(str(task))} {number(float(values[task]), 2)}"
            for task in (values.idxmin(), values.idxmax())
        ]
        lines.append(
            f"{dataset}: readers agree with a median κ of {number(float(median(values)), 2)} over "
            f"{number_of(len(values), 'finding')} (from {ends[0]} to {ends[1]}): the human "
            f"ceiling.{_reached(defined, ceiling)}"
        )
    return lines


def _reached(defined: pd.DataFrame, ceiling: pd.DataFrame) -> str:
    """For how many findings the model that agrees best with the readers is on a par with them."""
    models = defined[(defined["compared"] == "model and readers") & defined["task"].isin(ceiling.index)]
    if not len(models):
        return ""
    best = models.loc[models.groupby("task", sort=False)["kappa"].idxmax()].set_index("task")
    lower = ceiling.loc[best.index, "lower"].astype(float)
    below = best.index[best["upper"].astype(float) < lower]
    tasks = f" ({', '.join(task_name(str(task)) for task in below)})" if len(below) else ""
    return (
        f" The model that agrees best with them is clearly below it, intervals apart, for {len(below)} of "
        f"{number_of(len(best), 'finding')}{tasks}."
    )

"""Verdicts (images, prevalence or labels) as sentences and tables."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import pandas as pd

from xray.report.grids import Record, number_or_none, records, text_or_none
from xray.report.tables import Entry, Table
from xray.report.words import LISTED, interval, leaking, number, number_of, p_value, task_name

SHIFT: Final = (
    "train_dataset",
    "test_dataset",
    "task",
    "verdict",
    "basis",
    "assumption",
    "resolve",
    "auc_drop",
    "drop_lower",
    "drop_upper",
    "intrinsic",
    "transfer",
    "p_adjusted",
    "kappa",
    "n_shared",
    "n_pos_a",
    "n_pos_b",
)
"""Columns that a frame of verdicts must have."""

NONE: Final = "none"
CANNOT_TELL: Final = "cannot tell"
CAUSES: Final = ("image", "population", "prevalence", "label")


def causes(verdict: str) -> tuple[str, ...]:
    """The causes that a verdict claims, in a fixed order."""
    claimed = verdict.split(" + ")
    return tuple(cause for cause in CAUSES if cause in claimed)


LOSS: Final = "loss"
GAIN: Final = "gain"
SEEN: Final = 0.005
"""A change of AUC below this is written ".00"."""


def direction(row: Record) -> str:
    """Which way AUC goes from A's test images to B's: `LOSS`, `GAIN`, or "" where neither is shown.

    Shown: the 95% interval of the drop excludes 0 and the drop isn't written ".00".
    """
    drop, low, high = (number_or_none(row[name]) for name in ("auc_drop", "drop_lower", "drop_upper"))
    if drop is None or low is None or high is None or abs(drop) < SEEN:
        return ""
    return LOSS if low > 0 else GAIN if high < 0 else ""


def findings(frame: pd.DataFrame, without: Sequence[str] = ()) -> list[str]:
    """What the verdicts say, as sentences: how many of which, then the claims by cause, largest drop first.

    without: test datasets that have no model of their own, and so no verdict.
    """
    rows = records(frame, SHIFT, "images or labels")
    reason = (
        [
            f"No verdict at {', '.join(without)}: no model was trained on these images alone, and a verdict compares both "
            "datasets' own models."
        ]
        if without
        else []
    )
    if not rows:
        return [
            "No verdict: it compares two datasets by a model of its own that each of them has, for a finding that both "
            "label, and here no two have that.",
            *reason,
        ]
    counts = Counter(row["verdict"] for row in rows)
    counts_text = ", ".join(f"{verdict} {count}" for verdict, count in counts.most_common())
    sentences = [f"{number_of(len(rows), 'verdict')} (a task, from one dataset to another): {counts_text}."]
    for cause, name in (
        ("label", "Labels"),
        ("image", "Images"),
        ("population", "Patients"),
        ("prevalence", "Prevalence"),
    ):
        claims = [row for row in rows if cause in causes(row["verdict"])]
        claims.sort(key=lambda row: -(number_or_none(row["auc_drop"]) or 0.0))
        if claims:
            texts = [_claim(row) for row in claims[:LISTED]]
            more = f"; and {len(claims) - LISTED} more" if len(claims) > LISTED else ""
            sentences.append(f"{name}: {'; '.join(texts)}{more}.")
    return [*sentences, *reason, *leaking(frame.get("warning", ()), "verdict")]


def tables(frame: pd.DataFrame) -> list[Table]:
    """A table for each training dataset: rows test dataset and task; verdict, drop and its parts, why, and what
    would settle it."""
    rows = records(frame, SHIFT, "images or labels")
    columns = (
        "verdict",
        "drop in AUC",
        "both models lose",
        "better at home",
        "why",
        "rests on, or would be settled by",
    )
    return [
        Table(
            caption=f"Trained on {trained}: drop with 95% interval",
            corner="tested on, task",
            columns=tuple(Entry(column) for column in columns),
            rows=tuple(
                (f"{row['test_dataset']}, {task_name(row['task'])}", _entries(row))
                for row in rows
                if row["train_dataset"] == trained
            ),
            images=tuple(
                (trained, row["test_dataset"], row["task"]) for row in rows if row["train_dataset"] == trained
            ),
        )
        for trained in dict.fromkeys(row["train_dataset"] for row in rows)
    ]


def _claim(row: Record) -> str:
    bounds = number_or_none(row["drop_lower"]), number_or_none(row["drop_upper"])
    between = "" if bounds[0] is None or bounds[1] is None else f" ({interval((bounds[0], bounds[1]), 2)})"
    drop = f"drop {number(number_or_none(row['auc_drop']), 2)}{between}"
    return f"{task_name(row['task'])}, {row['train_dataset']} to {row['test_dataset']}, {drop}"


def _entries(row: Record) -> tuple[Entry, ...]:
    drop, low, high = (number_or_none(row[name]) for name in ("auc_drop", "drop_lower", "drop_upper"))
    between = () if low is None or high is None else (interval((low, high)),)
    p = p_value(row["p_adjusted"])
    settle = [text for text in (text_or_none(row["assumption"]), text_or_none(row["resolve"])) if text]
    kappa = number_or_none(row["kappa"])
    kappa_text = (
        ()
        if kappa is None
        else (f"κ of both labellers {number(kappa, 2)} on {row['n_shared']:,} shared images",)
    )
    counts = f"{row['n_pos_a']:,} and {row['n_pos_b']:,} positive"
    return (
        Entry(row["verdict"], (p,) if p else (), "undefined" if row["verdict"] == CANNOT_TELL else ""),
        Entry(number(drop), (*between, counts)),
        Entry(number(number_or_none(row["intrinsic"]))),
        Entry(number(number_or_none(row["transfer"]))),
        Entry(row["basis"], kappa_text),
        Entry("; ".join(settle) or "–"),
    )

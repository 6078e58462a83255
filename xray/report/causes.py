"""Verdicts on models from elsewhere as sentences and tables: the odds of each cause, its share of the drop, what is next."""

from collections.abc import Iterable, Sequence
from typing import Final

import pandas as pd

from xray.report.grids import Record, number_or_none, records, text_or_none
from xray.report.tables import Entry, Table
from xray.report.verdicts import CANNOT_TELL, LOSS, NONE, causes, direction
from xray.report.words import interval, leaking, number, task_name

CAUSES: Final = ("image", "population", "prevalence", "label")
COLUMNS: Final = (
    "trained_on", "train_dataset", "test_dataset", "task", "at_home", "auc_a", "auc_b", "auc_drop", "drop_lower",
    "drop_upper", *(f"probability_{cause}" for cause in CAUSES),
    *(f"share_{cause}{end}" for cause in CAUSES for end in ("", "_lower", "_upper")),
    "alike", "loss_ratio", "evidence", "verdict", "basis", "assumption", "resolve", "reason", "n_pos_a", "n_pos_b",
)  # fmt: skip
"""Columns that a frame of verdicts on models from elsewhere must have."""
WIDEST: Final = 1.0
"""Of AUC: an interval of a share that is wider says nothing, for a share lies between −1 and 1."""
UNMEASURED: Final = "can't be told, the interval is wider than all of AUC"
RELIABILITY: Final = (
    "How far the odds can be trusted: on 3,019 findings of simulated hospitals, from scores alone, their calibration slopes "
    "(1 is right, above it they are less sure than they could be, below it too sure) were 1.09 for image, .80 for "
    "population, 1.01 for prevalence and .94 for label."
)
"""docs/images-or-labels.md, strangers."""
NO_SECOND: Final = (
    "No verdict: it compares a model at two sites, and no model from elsewhere was scored at two here for a finding that "
    "both label. Its scores and labels at a second site would give one (xray evaluate, --reference)."
)


def home(row: Record, several: bool) -> str:
    """The reference as a row of a figure or table: with the model's name where several models are judged."""
    return f"{row['trained_on']}, {row['train_dataset']}" if several else str(row["train_dataset"])


def odds(row: Record) -> str:
    """Text as P(image) 0.12, P(population) 0.38, …; "" where they mean nothing: few patients, or an unlike case."""
    values = [number_or_none(row[f"probability_{cause}"]) for cause in CAUSES]
    if text_or_none(row.get("reason")) or any(value is None for value in values):
        return ""
    return ", ".join(f"P({cause}) {probability(value)}" for cause, value in zip(CAUSES, values, strict=True))


def probability(value: float | None) -> str:
    """With two decimals, and never as certain: > 0.99, < 0.01."""
    text = number(value, 2)
    return {"1.00": "> 0.99", "0.00": "< 0.01"}.get(text, text)


def reads(row: Record) -> str:
    """What images that were read again changed, as P(label) 0.55 → 0.97 after 100 reads (2 readers); "" without."""
    count, people = number_or_none(row.get("reread")), number_or_none(row.get("readers"))
    first, then = (
        number_or_none(row.get(name)) for name in ("probability_label_before", "probability_label")
    )
    if not count or first is None or then is None:
        return ""
    readers = "1 reader" if people == 1 else f"{people:.0f} readers"
    return f"P(label) {probability(first)} → {probability(then)} after {count:.0f} reads ({readers})"


def is_measured(row: Record, cause: str) -> bool:
    """Whether a share's interval is narrow enough to say something."""
    low, high = (number_or_none(row[f"share_{cause}_{end}"]) for end in ("lower", "upper"))
    return low is not None and high is not None and high - low <= WIDEST


def shares(row: Record) -> str:
    """What each cause takes of the drop, with intervals, the largest first; "" where that means nothing."""
    if not odds(row):
        return ""
    if not all(is_measured(row, cause) for cause in CAUSES):
        return UNMEASURED
    by_size = sorted(CAUSES, key=lambda cause: -abs(row[f"share_{cause}"]))
    return ", ".join(
        f"{cause} {number(row[f'share_{cause}'], 2)} "
        f"({interval((row[f'share_{cause}_lower'], row[f'share_{cause}_upper']), 2)})"
        for cause in by_size
    )


def sentence(row: Record) -> str:
    """A model's verdict for a finding and a pair of sites, as a sentence."""
    cell = f"{task_name(row['task'])}, {row['trained_on']}, {row['train_dataset']} to {row['test_dataset']}"
    parts = [f"{cell}: {_drop(row)}", f"Verdict: {row['verdict']} ({row['basis']})"]
    parts += [reads(row)] if reads(row) else []
    if odds(row):
        parts += [odds(row), f"Shares of the drop: {shares(row)}"]
    parts += (
        [f"Like the simulated cases: {'yes' if row['alike'] else 'no'}"] if row["alike"] is not None else []
    )
    parts += [f"From {row['evidence']}"]
    settle = text_or_none(row["resolve"])
    parts += [f"Next: {settle}"] if settle else []
    return ". ".join(part.rstrip(".") for part in parts) + "."


def findings(frame: pd.DataFrame, datasets: Sequence[str] = ()) -> list[str]:
    """What the verdicts say: causes that are named and losses in full, largest first; the rest in a line each.

    datasets: those of the study, to say why there is no verdict.
    """
    rows = records(frame, COLUMNS, "causes")
    if not rows:
        only = f" It was scored at {datasets[0]} only." if len(datasets) == 1 else ""
        return [NO_SECOND + only]
    loud = [row for row in rows if causes(row["verdict"]) or (direction(row) == LOSS and odds(row))]
    loud.sort(key=lambda row: (not causes(row["verdict"]), -(number_or_none(row["auc_drop"]) or 0.0)))
    quiet = [row for row in rows if not any(row is other for other in loud)]
    lines = [sentence(row) for row in loud]
    lines += _grouped("No cause is likely", (row for row in quiet if row["verdict"] == NONE))
    lines += _grouped(
        "Cannot tell, and no loss is shown",
        (row for row in quiet if row["verdict"] == CANNOT_TELL and not text_or_none(row["reason"])),
    )
    reasons = dict.fromkeys(text_or_none(row["reason"]) for row in quiet)
    for reason in filter(None, reasons):
        lines += _grouped(
            f"No verdict, {reason}", (row for row in quiet if text_or_none(row["reason"]) == reason)
        )
    return [*lines, *leaking(frame.get("warning", ()), "verdict")]


def named_from(loss_ratio: float) -> str:
    """What a loss ratio means."""
    return (
        f"A cause is named from a probability of {number(loss_ratio / (1 + loss_ratio), 2)} on and ruled out below "
        f"{number(1 / (1 + loss_ratio), 2)}: a false claim is held to cost as much as {loss_ratio:g} missed causes "
        "(loss_ratio of the study, or xray evaluate --loss-ratio)."
    )


def tables(frame: pd.DataFrame) -> list[Table]:
    """A table for each model and reference: rows test dataset and task; verdict, drop, odds and share of each cause, why."""
    rows = records(frame, COLUMNS, "causes")
    columns = (
        "verdict",
        "drop in AUC",
        *CAUSES,
        "like the simulated",
        "why",
        "rests on, or would be settled by",
    )
    heads = dict.fromkeys((row["trained_on"], row["train_dataset"]) for row in rows)
    return [
        Table(
            caption=f"{model}, from {reference}: probability of each cause, and what it takes of AUC, with 95% intervals",
            corner="tested on, task",
            columns=tuple(Entry(column) for column in columns),
            rows=tuple(
                (f"{row['test_dataset']}, {task_name(row['task'])}", _entries(row))
                for row in rows
                if (row["trained_on"], row["train_dataset"]) == (model, reference)
            ),
            images=tuple(
                (model, row["test_dataset"], row["task"])
                for row in rows
                if (row["trained_on"], row["train_dataset"]) == (model, reference)
            ),
        )
        for model, reference in heads
    ]


def _grouped(words: str, rows: Iterable[Record]) -> list[str]:
    """One line on several rows, by model and pair of sites."""
    by: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        key = (str(row["trained_on"]), str(row["train_dataset"]), str(row["test_dataset"]))
        by.setdefault(key, []).append(task_name(row["task"]))
    several = [f"{', '.join(tasks)} ({model}, {a} to {b})" for (model, a, b), tasks in by.items()]
    return [f"{words}: {'; '.join(several)}."] if several else []


def _drop(row: Record) -> str:
    drop, low, high = (number_or_none(row[name]) for name in ("auc_drop", "drop_lower", "drop_upper"))
    if drop is None:
        return "no drop can be computed"
    between = "" if low is None or high is None else f" ({interval((low, high), 2)})"
    return f"drop {number(drop, 2)}{between}"


def _entries(row: Record) -> tuple[Entry, ...]:
    drop, low, high = (number_or_none(row[name]) for name in ("auc_drop", "drop_lower", "drop_upper"))
    between = () if low is None or high is None else (interval((low, high)),)
    settle = [words for words in (text_or_none(row["assumption"]), text_or_none(row["resolve"])) if words]
    alike = "–" if row["alike"] is None else "yes" if row["alike"] else "no"
    return (
        Entry(row["verdict"], (), "undefined" if row["verdict"] == CANNOT_TELL else ""),
        Entry(number(drop), (*between, f"{row['n_pos_a']:,} and {row['n_pos_b']:,} positive")),
        *(_cause(row, cause) for cause in CAUSES),
        Entry(alike),
        Entry(row["basis"], (f"from {row['evidence']}", *([reads(row)] if reads(row) else []))),
        Entry("; ".join(settle) or "–"),
    )


def _cause(row: Record, cause: str) -> Entry:
    """A probability, and below it the share of the drop with its interval."""
    if not odds(row):
        return Entry("–", (), "undefined")
    if not is_measured(row, cause):
        return Entry(probability(row[f"probability_{cause}"]), (UNMEASURED,))
    share, low, high = (float(row[f"share_{cause}{end}"]) for end in ("", "_lower", "_upper"))
    details = f"{number(share, 2)} of AUC", interval((low, high), 2)
    return Entry(probability(row[f"probability_{cause}"]), details)

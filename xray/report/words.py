"""Numbers and results in words: how values, intervals, p values and findings are written."""

from collections.abc import Iterable
from statistics import median
from typing import Final

import pandas as pd

from xray.errors import AnalysisError
from xray.report.grids import Cell, Grid, Record, number_or_none, records, task_order, text_or_none
from xray.report.models import Models

MINUS: Final = "−"
ABSENT: Final = "–"
SIGNIFICANT: Final = 0.05
"""A comparison counts as shown where its p value after Holm's correction is below this."""
DETECTED: Final = 2.80
"""Standard errors of the smallest difference that is detected at 5%, two-sided, with a power of 80%."""
LISTED: Final = 12
"""So many single cells are named in a sentence; further ones are counted."""

COMPARISON: Final = (
    "test_dataset",
    "task",
    "arm_a",
    "arm_b",
    "auc_a",
    "auc_b",
    "difference",
    "lower",
    "upper",
    "p",
    "p_holm",
    "reason",
)
"""Columns of a comparison frame. `difference` is auc_a minus auc_b."""

ARMS: Final[dict[str, str]] = {
    "own": "own data only",
    "all-but-site": "all sites but this",
    "all": "all sites",
}
"""The three configurations of leaving one site out, in the order in which they are shown."""


def number(value: float | None, digits: int = 3) -> str:
    """A number with fixed decimals and a true minus sign; "–" where it is missing. Never "−0.00"."""
    if value is None:
        return "–"
    text = f"{abs(value):.{digits}f}"
    return f"{MINUS}{text}" if value < 0 and float(text) > 0 else text


def interval(bounds: tuple[float, float] | None, digits: int = 3) -> str:
    """An interval as "0.81 to 0.92"; empty where it is missing."""
    return "" if bounds is None else f"{number(bounds[0], digits)} to {number(bounds[1], digits)}"


def short(value: float, digits: int = 2) -> str:
    """A number in (−1, 1) without its leading zero, for narrow cells: ".87", "1.00", "−.12"."""
    text = number(value, digits)
    return text.replace("0.", ".", 1) if abs(float(text.replace(MINUS, "-"))) < 1 else text


def p_cell(p: object) -> str:
    """A p value as "0.012" or "< 0.001", for a column that is headed so; "–" where it is missing."""
    value = number_or_none(p)
    return ABSENT if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def p_value(p: object) -> str:
    """A p value as "p = 0.012" or "p < 0.001"; empty where it is missing."""
    text = p_cell(p)
    return "" if text == ABSENT else f"p {text}" if text.startswith("<") else f"p = {text}"


def task_name(task: str) -> str:
    """A task's name as people write it: "Pleural Thickening"."""
    return task.replace("_", " ")


def number_of(count: int, singular: str, plural: str | None = None) -> str:
    """A count with its noun: "1 cell", "2 cells"."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def performance_findings(grid: Grid) -> list[str]:
    """What an AUC grid shows, as sentences: coverage, own against other datasets, each model from elsewhere, cells below
    chance.
    """
    if not grid.cells:
        return ["There is no result yet."]
    defined = [(key, cell) for key, cell in grid.cells.items() if cell.value is not None]
    solid = [(key, cell) for key, cell in defined if not cell.few]
    own_values = [cell.value for _, cell in solid if cell.own and cell.value is not None]
    other_values = [
        cell.value
        for (_, row, _), cell in solid
        if not cell.own and row in grid.columns and cell.value is not None
    ]
    sentences = [_coverage(len(grid.cells), len(defined), len(defined) - len(solid))]
    if own_values:
        sentences.append(
            f"Tested on the dataset that they were trained on, models reach {_spread(own_values)}."
        )
    if other_values:
        sentences.append(f"Trained on one dataset and tested on another, they reach {_spread(other_values)}.")
    for model in (row for row in grid.rows if row in grid.models.elsewhere):
        values = [(cell.value, column, task) for (task, row, column), cell in solid if row == model]
        sentences += _of_model(model, [(v, column, task) for v, column, task in values if v is not None])
    sentences += leaking(grid.warnings, "cell")
    sentences.append(
        _below(solid, grid.models, 0.5, "Below chance, with the whole interval under 0.5", "AUC")
    )
    return sentences


def agreement_findings(grid: Grid, reference: str = "a test dataset's own model") -> list[str]:
    """What a κ grid shows, as sentences: each task's median over other models, cells below chance.

    reference: what they are compared with, in words.
    """
    compared = [(key, cell) for key, cell in grid.cells.items() if cell.value is not None and not cell.own]
    if not compared:
        return ["No agreement could be computed."]
    medians = [
        f"{task_name(task)} {number(median(values), 2)}"
        for task in grid.tasks
        if (values := [cell.value for key, cell in compared if key[0] == task and cell.value is not None])
    ]
    return [
        f"Median κ between {reference} and the other models: " + ", ".join(medians) + ".",
        *leaking(grid.warnings, "cell"),
        _below(
            compared, grid.models, 0.0, "Less agreement than by chance, with the whole interval under 0", "κ"
        ),
    ]


def leaks(warnings: Iterable[object]) -> list[str]:
    """The warnings of some results, each once, in order; None and NaN are skipped."""
    texts = (text for value in warnings if (text := text_or_none(value)))
    return list(dict.fromkeys(warning for text in texts for warning in text.split("; ")))


def leaking(warnings: Iterable[object], noun: str) -> list[str]:
    """A sentence on the results whose models saw test images or patients in training; none where there are none.

    warnings: of each result, or None. noun: what one result is called.
    """
    warnings = list(warnings)
    many = sum(text_or_none(warning) is not None for warning in warnings)
    if not many:
        return []
    return [
        f"{number_of(many, noun)} can't be trusted, training saw test images or patients: {'; '.join(leaks(warnings))}."
    ]


def comparison_findings(comparison: pd.DataFrame) -> list[str]:
    """For each test dataset and pair of arms: which tasks differ, by how much, with intervals.

    comparison: columns `COMPARISON`. Raises AnalysisError where `difference` is not auc_a minus auc_b.
    """
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for row in records(comparison, COMPARISON, "comparison"):
        _check_difference(row)
        groups.setdefault((row["test_dataset"], row["arm_a"], row["arm_b"]), []).append(row)
    sentences = [_comparison_sentence(*group, rows) for group, rows in groups.items()]
    return [*sentences, *leaking(comparison.get("warning", ()), "comparison")]


def _comparison_sentence(test_dataset: str, arm_a: str, arm_b: str, rows: list[Record]) -> str:
    order = task_order(row["task"] for row in rows)
    rows = sorted(rows, key=lambda row: order.index(row["task"]))
    tested = [row for row in rows if _tested(row)]
    significant = [row for row in tested if _significant(row)]
    higher = [row for row in significant if row["difference"] > 0]
    lower = [row for row in significant if row["difference"] < 0]
    unclear = len(tested) - len(higher) - len(lower)
    first, second = ARMS.get(arm_a, arm_a), ARMS.get(arm_b, arm_b)
    total = number_of(len(tested), "task")
    parts = [f"Tested on {test_dataset}, “{first}” against “{second}”:"]
    if higher:
        parts.append(f"the first is higher in {len(higher)} of {total}: {_differences(higher)}.")
    if lower:
        parts.append(f"the first is lower in {len(lower)} of {total}: {_differences(lower)}.")
    if unclear:
        parts.append(
            f"no difference was shown in {unclear} of {total}, which does not show that there is none"
            f"{_detectable([row for row in tested if not _significant(row)])}."
        )
    missing = [
        f"{task_name(row['task'])} ({text_or_none(row['reason']) or 'not tested'})"
        for row in rows
        if not _tested(row)
    ]
    if missing:
        parts.append(f"not comparable: {', '.join(missing)}.")
    return " ".join([parts[0], parts[1], *(part[0].upper() + part[1:] for part in parts[2:])])


def detectable(lower: float, upper: float) -> float:
    """The smallest difference that a test at 5% finds with a power of 80%: (1.96 + 0.84) × SE, SE from a 95% interval."""
    return DETECTED * (upper - lower) / (2 * 1.96)


def _detectable(rows: list[Record]) -> str:
    """What differences could have been shown, in words; nothing where no interval is known."""
    bounds = [(number_or_none(row["lower"]), number_or_none(row["upper"])) for row in rows]
    sizes = [detectable(low, high) for low, high in bounds if low is not None and high is not None]
    if not sizes:
        return ""
    least, most = number(min(sizes), 2), number(max(sizes), 2)
    size = least if least == most else f"{least} to {most}"
    return f" (smallest detectable difference at a power of 80%: {size})"


def _tested(row: Record) -> bool:
    return all(number_or_none(row[name]) is not None for name in ("difference", "p_holm"))


def _significant(row: Record) -> bool:
    p = number_or_none(row["p_holm"])
    return p is not None and p < SIGNIFICANT


def _differences(rows: list[Record]) -> str:
    texts = []
    for row in rows:
        bounds = number_or_none(row["lower"]), number_or_none(row["upper"])
        between = "" if None in bounds else f"{number(bounds[0])} to {number(bounds[1])}, "
        texts.append(
            f"{task_name(row['task'])} {number(row['difference'])} ({between}{p_value(row['p_holm'])})"
        )
    return "; ".join(texts)


def _check_difference(row: Record) -> None:
    auc_a, auc_b, difference = (number_or_none(row[name]) for name in ("auc_a", "auc_b", "difference"))
    if auc_a is None or auc_b is None or difference is None:
        return
    if abs(difference - (auc_a - auc_b)) > 0.005:
        raise AnalysisError(
            f"comparison on {row['test_dataset']}, {row['task']}: difference {difference} is not "
            f"auc_a − auc_b = {auc_a - auc_b}"
        )


def _coverage(total: int, n_defined: int, n_few: int) -> str:
    sentence = f"{n_defined} of {number_of(total, 'cell')} could be computed"
    return f"{sentence}, {n_few} of them from fewer than 10 of a class." if n_few else f"{sentence}."


def _spread(values: list[float]) -> str:
    if len(values) == 1:
        return f"an AUC of {number(values[0])} (1 cell)"
    return (
        f"a median AUC of {number(median(values))} "
        f"({number_of(len(values), 'cell')}, from {number(min(values))} to {number(max(values))})"
    )


def _of_model(model: str, cells: list[tuple[float, str, str]]) -> list[str]:
    """What a model from elsewhere reaches on each dataset, with its weakest finding there. cells: AUC, dataset, task."""
    sentences = []
    for dataset in dict.fromkeys(column for _, column, _ in cells):
        of_dataset = [(value, task) for value, column, task in cells if column == dataset]
        _, task = min(of_dataset)
        sentence = f"{model} reaches {_spread([value for value, _ in of_dataset])} on {dataset}"
        sentences.append(
            f"{sentence}; lowest for {task_name(task)}." if len(of_dataset) > 1 else f"{sentence}."
        )
    return sentences


def _below(
    cells: Iterable[tuple[tuple[str, str, str], Cell]], models: Models, line: float, head: str, name: str
) -> str:
    below = [(key, cell) for key, cell in cells if cell.upper is not None and cell.upper < line]
    if not below:
        return f"{head}: no cell."
    texts = [
        f"{task_name(task)}, {models.phrase(row)}, tested on {column}, "
        f"{name} {number(cell.value, 2)} ({interval(cell.interval, 2)})"
        for (task, row, column), cell in below[:LISTED]
    ]
    more = f"; and {len(below) - LISTED} more" if len(below) > LISTED else ""
    return f"{head}: {'; '.join(texts)}{more}."

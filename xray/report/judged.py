"""The models that a figure names and colours: each test dataset's own, and all from elsewhere."""

import pandas as pd

MARKS = ("s", "^", "D", "v", "P", "X", "*", "h")
"""Markers of models from elsewhere; those of datasets' own models are round."""


def from_elsewhere(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows are of models that were not trained here (column `foreign`, which studies without any lack)."""
    if "foreign" in rows:
        return rows["foreign"].astype(bool)
    return pd.Series(False, index=rows.index)


def own(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows are of the test dataset's own model."""
    return rows["trained_on"] == rows["test_dataset"]


def names(rows: pd.DataFrame) -> list[str]:
    """Models from elsewhere, in the study's order."""
    return [str(name) for name in dict.fromkeys(rows.loc[from_elsewhere(rows), "trained_on"])]


def colours(rows: pd.DataFrame) -> dict[str, str]:
    """Model from elsewhere → its colour, after those of own models where there are any (`CATEGORIES`)."""
    from xray.report.style import CATEGORIES

    first = 2 if bool(own(rows).any()) else 0
    return {name: CATEGORIES[(first + k) % len(CATEGORIES)] for k, name in enumerate(names(rows))}


def sentences(rows: pd.DataFrame, value: str) -> list[str]:
    """For each model from elsewhere, by test dataset: median, least and most of a value over findings, in words."""
    from xray.report.words import number

    of_elsewhere = rows[from_elsewhere(rows) & rows[value].notna()]
    parts = []
    for name, its in of_elsewhere.groupby("trained_on", sort=False):
        at = []
        for dataset, of_dataset in its.groupby("test_dataset", sort=False):
            values = of_dataset[value].astype(float)
            spread = f" ({number(values.min(), 2)} to {number(values.max(), 2)})" if len(values) > 1 else ""
            at.append(f"{number(values.median(), 2)}{spread} on {dataset}")
        parts.append(f"{name} {', '.join(at)}")
    return parts

"""Table A.1 of the paper: how many images of each dataset are positive and negative for each task."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import numpy as np

from xray.data.protocol import load_protocol
from xray.data.selection import Selection, select
from xray.data.sources.base import SourceTable
from xray.data.sources.datasets import published_datasets


@dataclass(frozen=True)
class Cell:
    """One cell: published and found counts. Found is None where the dataset is not there."""

    dataset: str
    task: str
    positive: int
    negative: int
    found_positive: int | None
    found_negative: int | None

    @property
    def equal(self) -> bool:
        """Are the counts found those published?"""
        return (self.positive, self.negative) == (self.found_positive, self.found_negative)


def table_a1(tables: Mapping[str, SourceTable]) -> list[Cell]:
    """The 83 published cells beside those found in `tables` (dataset → its rows) under `paper`."""
    protocol = load_protocol("paper")
    names = {dataset.published: name for name, dataset in published_datasets().items()}
    pairs = {name: counts(select(table, name, protocol)) for name, table in tables.items()}
    cells = []
    for row in csv.DictReader(_published().splitlines()):
        name = names[row["dataset"]]
        pair = pairs[name].get(row["task"], (0, 0)) if name in pairs else (None, None)
        cells.append(Cell(name, row["task"], int(row["positive"]), int(row["negative"]), *pair))
    return cells


def counts(selection: Selection) -> dict[str, tuple[int, int]]:
    """Task → (positives, negatives), for the tasks that have a label."""
    positive = np.nansum(selection.labels == 1, axis=0)
    negative = np.nansum(selection.labels == 0, axis=0)
    return {
        task: (int(positive[column]), int(negative[column]))
        for column, task in enumerate(selection.findings)
        if positive[column] + negative[column]
    }


def unpublished(tables: Mapping[str, SourceTable]) -> list[tuple[str, str]]:
    """(dataset, task) with labels in `tables` under `paper` that Table A.1 lacks: none, if all is right."""
    cells = {(cell.dataset, cell.task) for cell in table_a1({})}
    protocol = load_protocol("paper")
    return [
        (name, task)
        for name, table in tables.items()
        for task in counts(select(table, name, protocol))
        if (name, task) not in cells
    ]


def _published() -> str:
    return (resources.files("xray.data") / "table_a1.csv").read_text(encoding="utf-8")

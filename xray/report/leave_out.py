"""Leaving one site out: the results of each test dataset, by what its models were trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Final

import pandas as pd

from xray.errors import AnalysisError
from xray.report.grids import Record, count_or_none, number_or_none, records
from xray.report.words import ARMS

LEAVE_ONE_SITE_OUT: Final = ("site", "test_dataset", "arm", "seed", "n_tasks", "auc")
"""Columns of the frame."""


@dataclass(frozen=True)
class Arm:
    """One bar: the AUC of each seed, averaged over tasks."""

    seeds: tuple[float, ...]

    @property
    def mean(self) -> float | None:
        """Mean over the seeds; None without any."""
        return mean(self.seeds) if self.seeds else None

    @property
    def spread(self) -> float | None:
        """Standard deviation over the seeds (n − 1); None for fewer than two."""
        return stdev(self.seeds) if len(self.seeds) > 1 else None


@dataclass(frozen=True)
class Group:
    """One test dataset: its site, number of tasks (None: differs or unknown), and its arms by name."""

    test_dataset: str
    site: str
    n_tasks: int | None
    arms: Mapping[str, Arm]


def groups(rows: pd.DataFrame) -> list[Group]:
    """The bars of a frame with columns `LEAVE_ONE_SITE_OUT`, test datasets in the order seen.

    Rows without a seed (ensembles) count only where their arm has no seed: they are no repetition.
    Raises AnalysisError for missing columns, an unknown arm, and a doubled seed.
    """
    by_dataset: dict[str, list[Record]] = {}
    for row in records(rows, LEAVE_ONE_SITE_OUT, "leave one site out"):
        if row["arm"] not in ARMS:
            raise AnalysisError(f"leave one site out: arm {row['arm']!r}; expected one of {', '.join(ARMS)}")
        by_dataset.setdefault(row["test_dataset"], []).append(row)
    return [_group(dataset, same) for dataset, same in by_dataset.items()]


def _group(test_dataset: str, rows: list[Record]) -> Group:
    counts = {count_or_none(row["n_tasks"]) for row in rows}
    return Group(
        test_dataset=test_dataset,
        site=str(rows[0]["site"]),
        n_tasks=counts.pop() if len(counts) == 1 else None,
        arms={arm: _arm(test_dataset, arm, [row for row in rows if row["arm"] == arm]) for arm in ARMS},
    )


def _arm(test_dataset: str, arm: str, rows: list[Record]) -> Arm:
    seeds = [number_or_none(row["seed"]) for row in rows]
    if len(set(seeds)) < len(seeds):
        raise AnalysisError(f"leave one site out: two rows of one seed for arm {arm!r} on {test_dataset}")
    if any(seed is not None for seed in seeds):
        rows = [row for row, seed in zip(rows, seeds, strict=True) if seed is not None]
    values = [number_or_none(row["auc"]) for row in rows]
    return Arm(tuple(value for value in values if value is not None))

"""What a model is trained on: datasets, and of them perhaps only some tasks or some images."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xray.errors import LearningError
from xray.tasks import TASKS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Condition:
    """On a column of the images (view, sex, age, or any of the label file): one of some texts, or a range of numbers.

    one_of: not used where empty. least, most: both included, None for no bound. A missing value never fits.
    """

    column: str
    one_of: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        """The condition as people write it."""
        if self.one_of:
            return f"{self.column} = {' or '.join(self.one_of)}"
        bounds = [f"from {self.least:g}"] if self.least is not None else []
        return " ".join([self.column, *bounds, *([f"to {self.most:g}"] if self.most is not None else [])])

    def holds(self, column: "pd.Series") -> NDArray[np.bool_]:
        """Which of the cells (n,) fit."""
        import pandas as pd

        if self.one_of:
            return np.asarray(column.notna() & column.astype(str).isin(self.one_of), dtype=bool)
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
        least = -math.inf if self.least is None else self.least
        most = math.inf if self.most is None else self.most
        inside: NDArray[np.bool_] = (numbers >= least) & (numbers <= most)
        return inside


@dataclass(frozen=True)
class Configuration:
    """What a model is trained on: its name, its datasets in the order of the study, and what of them.

    findings: the outputs of the model, in order. tasks: only these of them are trained, all where empty. where: only images
    that fit every condition are trained and selected on; tests are on whole cohorts.
    """

    name: str
    datasets: tuple[str, ...]
    tasks: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()
    findings: tuple[str, ...] = TASKS

    @property
    def content(self) -> tuple[object, ...]:
        """What it is, whatever its name: equal contents are one configuration."""
        return (self.datasets, self.tasks, self.where)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        lists = ("datasets", "tasks", "findings")
        return asdict(self) | {name: list(getattr(self, name)) for name in lists}


def configuration_of(plain: Mapping[str, Any]) -> Configuration:
    """The configuration that `plain` made JSON."""
    conditions = tuple(Condition(**{**entry, "one_of": tuple(entry["one_of"])}) for entry in plain["where"])
    names = (tuple(plain["datasets"]), tuple(plain["tasks"]), conditions, tuple(plain["findings"]))
    return Configuration(plain["name"], *names)


def chosen_rows(rows: "pd.DataFrame", conditions: Sequence[Condition], dataset: str) -> NDArray[np.bool_]:
    """Which images (n_images,) fit every condition. Raises `LearningError` where the dataset lacks a column."""
    fitting = np.ones(len(rows), dtype=bool)
    for condition in conditions:
        if condition.column not in rows:
            columns = ", ".join(sorted(str(c) for c in rows.columns if c not in ("image_id", "path")))
            raise LearningError(
                f"{dataset}: there is no column {condition.column!r} to choose images by; its columns: {columns}"
            )
        fitting &= condition.holds(rows[condition.column])
    return fitting


def chosen_labels(
    labels: NDArray[np.float32], findings: Sequence[str], tasks: Sequence[str]
) -> NDArray[np.float32]:
    """Labels (n_images, n_findings) with NaN for all but these tasks; no tasks: all are kept."""
    if not tasks:
        return labels
    subset: NDArray[np.float32] = np.where(np.isin(findings, tasks), labels, np.float32(np.nan))
    return subset

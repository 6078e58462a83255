"""Which images are meant: conditions on what is known of them, as "age >= 70 and sex = 'F' and view = 'AP'"."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xray.errors import AnalysisError

_CLAUSE: Final = re.compile(
    r"""\s*(?P<column>"[^"]+"|[^\s=<>!'"]+)\s*(?P<operator><=|>=|!=|=|<|>)\s*(?P<value>'[^']*'|[^\s=<>'"]+)\s*"""
)
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_AND: Final = re.compile(r"and\b", re.IGNORECASE)
_COMPARE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "=": np.equal, "!=": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal,
}  # fmt: skip
EXPECTED: Final = "expected conditions joined by and, such as age >= 70 and sex = 'F'"


class Condition(Protocol):
    """What is asked of one column of the images."""

    @property
    def column(self) -> str:
        """Of which column."""

    def holds(self, cells: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Which cells (n,) fit; one that is not known never does."""


@dataclass(frozen=True)
class Among:
    """The cell is one of some."""

    column: str
    cells: frozenset[str]

    def __str__(self) -> str:
        return f"{self.column} one of {len(self.cells)}"

    def holds(self, cells: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Which cells (n,) are."""
        return np.array([cell in self.cells for cell in cells], dtype=bool)


@dataclass(frozen=True)
class Clause:
    """One condition: a column, how it is compared, and with what."""

    column: str
    operator: str
    value: str

    def __str__(self) -> str:
        return f"{self.column} {self.operator} {self.value}"

    @property
    def is_of_days(self) -> bool:
        """Whether its value is written as a day, 2024-01-31."""
        return _DAY.fullmatch(self.value) is not None

    def holds(self, cells: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Which cells (n,) fit; one that is not known never does. Order is that of numbers, or of days (2024-01-31).

        Raises `AnalysisError` where order is asked for and the value is neither.
        """
        if self.is_of_days:
            try:
                day = np.datetime64(self.value)
            except ValueError:
                raise AnalysisError(
                    f"{self.column} {self.operator} {self.value}: there is no day {self.value}"
                ) from None
            dates = days(cells)
            fits: NDArray[np.bool_] = _COMPARE[self.operator](dates, day) & ~np.isnat(dates)
            return fits
        present = np.array([cell is not None and cell == cell for cell in cells], dtype=bool)
        numbers = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce").to_numpy(np.float64)
        try:
            value = float(self.value)
        except ValueError:
            if self.operator not in ("=", "!="):
                raise AnalysisError(
                    f"{self.column} {self.operator} {self.value}: {self.operator} is for numbers and days (2024-01-31)"
                ) from None
            same = np.array([str(cell).lower() == self.value.lower() for cell in cells], dtype=bool)
            return present & (same if self.operator == "=" else ~same)
        fits = present & ~np.isnan(numbers) & _COMPARE[self.operator](numbers, value)
        return fits


def days(cells: NDArray[np.object_]) -> NDArray[np.datetime64]:
    """Each cell as a day: 2024-01-31, with or without a time, or DICOM's 20240131; NaT for any other."""
    words = pd.Series([str(cell).strip() for cell in cells], dtype=object)
    plain = words.str.extract(r"^(\d{4})-?(\d{2})-?(\d{2})(?:[T ].*|\.0)?$")
    joined = plain[0] + "-" + plain[1] + "-" + plain[2]
    dates = pd.to_datetime(joined, format="%Y-%m-%d", errors="coerce")
    return np.asarray(dates.to_numpy(), dtype="datetime64[D]")


def parse(text: str) -> tuple[Clause, ...]:
    """The conditions of a text. Raises `AnalysisError` where it is none."""
    clauses, at = [], 0
    while True:
        match = _CLAUSE.match(text, at)
        if match is None:
            raise AnalysisError(f"{text!r}: {EXPECTED}; stopped at {text[at:].strip() or 'the end'!r}")
        clauses.append(Clause(match["column"].strip('"'), match["operator"], match["value"].strip("'")))
        at = match.end()
        if at == len(text):
            return tuple(clauses)
        joined = _AND.match(text, at)
        if joined is None:
            raise AnalysisError(f"{text!r}: {EXPECTED}; stopped at {text[at:].strip()!r}")
        at = joined.end()


def fit(clauses: Sequence[Clause], columns: Mapping[str, NDArray[np.object_]], n: int) -> NDArray[np.bool_]:
    """Which of n images fit every condition; none where a column of one is not known of these images."""
    fits = np.ones(n, dtype=bool)
    for clause in clauses:
        fits &= clause.holds(columns[clause.column]) if clause.column in columns else False
    return fits

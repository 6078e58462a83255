"""Text in CSV files that a spreadsheet opens: a cell that begins like a formula would be run as one.

Such a text gets an apostrophe before it, as OWASP advises ("CSV Injection"), and `plain` takes it away again: every text
comes back as it was. Numbers, and texts that are numbers, stay as they are.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

import pandas as pd

_FORMULA: Final = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def cell(value: Any) -> Any:
    """The value as it may stand in a CSV file; only texts are changed."""
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def row(values: Iterable[Any]) -> list[Any]:
    """A row of a CSV file: each value as `cell` has it."""
    return [cell(value) for value in values]


def plain(text: str) -> str:
    """The text that `cell` made this of."""
    if text.startswith("'") and _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        return text[1:]
    return text


def cells(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with every text as `cell` has it, names of columns too."""
    texts = {name: frame[name].map(cell) for name in frame.columns if not _is_number(frame[name])}
    return frame.assign(**texts).rename(columns={name: cell(name) for name in frame.columns})


def plain_column(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """A column of a file that was read, each text as `plain` has it."""
    quoted = column.astype(str).str.startswith("'")
    return column.where(~quoted, column.astype(str).map(plain)) if quoted.any() else column


def _is_number(column: "pd.Series[Any]") -> bool:
    return pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)

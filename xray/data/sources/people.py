"""Age and sex as datasets write them."""

import re
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

OLDEST: Final = 120.0
"""Years. What is above is a slip (NIH's 148 and 411) or a code (999)."""
AGE_EXPECTED: Final = "expected years up to 120 (63, 63.5 or as in DICOM 063Y, 018M, 003W, 012D)"
_SHOWN: Final = 5
_AGE: Final = re.compile(r"(?P<number>[0-9]+(?:[.,][0-9]+)?)Y?|(?P<units>[0-9]{3})(?P<unit>[MWD])", re.ASCII)
"""A unit other than years as DICOM has it, with three digits: in 65M the letter may be the sex."""
_YEARS_PER_UNIT: Final = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_SEXES: Final = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O"} | {
    "w": "F",  # weiblich
    "weiblich": "F",
    "männlich": "M",
}
NO_WORDS: Final = frozenset({"", "na", "n/a", "nan", "none", "null", "<na>", "unknown"})
"""What programs and people write where they don't know, in lower case."""
_UNKNOWN_SEX: Final = NO_WORDS | {"u"}
_UNKNOWN_AGE: Final = NO_WORDS


def years(column: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Ages in years, NaN where empty, unreadable or above `OLDEST`; and where one is given and not taken. Both (n,)."""
    codes, texts = pd.factorize(column.astype(object))
    plain = [str(text).strip() for text in texts]
    ages = np.array([_age(text) for text in plain] + [np.nan])
    is_stated = np.array([text.lower() not in _UNKNOWN_AGE for text in plain] + [False], dtype=bool)
    return ages[codes], (is_stated & np.isnan(ages))[codes]


def ages(column: pd.Series, name: str, notes: list[str]) -> NDArray[np.float64]:
    """Ages in years (n,). What is given and not taken is unknown, and noted with its texts and count."""
    values, is_unreadable = years(column)
    if is_unreadable.any():
        texts = column[is_unreadable].astype(str).str.strip().value_counts()
        examples = ", ".join(f"{text!r} ({count})" for text, count in texts[:_SHOWN].items())
        more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
        notes.append(
            f"column {name!r}: the age of {int(is_unreadable.sum())} row(s) is unknown: {examples}{more}; {AGE_EXPECTED}"
        )
    return values


def _age(text: str) -> float:
    match = _AGE.fullmatch(text.upper())
    if match is None:
        return float("nan")
    number = (match["number"] or match["units"]).replace(",", ".")
    age = float(number) * _YEARS_PER_UNIT[match["unit"] or "Y"]
    return age if age <= OLDEST else float("nan")


def sex_of(column: pd.Series) -> pd.Series:
    """M, F or O (other); None where unknown; any other text as it stands."""
    codes, texts = pd.factorize(column.astype(object))
    names = np.array([_sex(str(text)) for text in texts] + [None], dtype=object)
    return pd.Series(names[codes], index=column.index, dtype=object)


def _sex(text: str) -> str | None:
    plain = text.strip().lower()
    return None if plain in _UNKNOWN_SEX else _SEXES.get(plain, text.strip())


def text_or_none(column: pd.Series) -> pd.Series:
    """Text without spaces around it; None where a cell is empty or says that nothing is known."""
    codes, texts = pd.factorize(column.astype(object))
    plain = [str(text).strip() for text in texts]
    names = np.array([None if text.lower() in NO_WORDS else text for text in plain] + [None], dtype=object)
    return pd.Series(names[codes], index=column.index, dtype=object)

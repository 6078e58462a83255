"""Age and sex as datasets write them."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

AGE_EXPECTED: Final = "expected an age in years (63, 63.5 or as in DICOM 063Y, 018M, 003W, 012D)"
_YEARS_PER_UNIT: Final = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_SEXES: Final = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O"}
_UNKNOWN_SEX: Final = {"", "u", "unknown", "n/a", "na", "none", "nan"}


def years(column: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Ages in years, NaN where empty or unreadable; and where they are unreadable. Both (n,)."""
    codes, texts = pd.factorize(column.astype(object))
    ages = np.array([_age(str(text)) for text in texts] + [np.nan])
    bad = np.array(
        [bool(str(text).strip()) and np.isnan(age) for text, age in zip(texts, ages, strict=False)] + [False]
    )
    return ages[codes], bad[codes]


def _age(text: str) -> float:
    text = text.strip().upper()
    unit = _YEARS_PER_UNIT.get(text[-1:], None)
    number = text[:-1] if unit else text
    try:
        age = float(number) * (unit or 1.0)
    except ValueError:
        return float("nan")
    return age if 0 <= age < float("inf") else float("nan")


def sex_of(column: pd.Series) -> pd.Series:
    """M, F or O (other); None where unknown; any other text as it stands."""
    codes, texts = pd.factorize(column.astype(object))
    names = np.array([_sex(str(text)) for text in texts] + [None], dtype=object)
    return pd.Series(names[codes], index=column.index, dtype=object)


def _sex(text: str) -> str | None:
    plain = text.strip().lower()
    return None if plain in _UNKNOWN_SEX else _SEXES.get(plain, text.strip())

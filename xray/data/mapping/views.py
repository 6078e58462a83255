"""Which words for a view are lateral. Every other one counts as frontal, and is named where a dataset is registered."""

import re
from typing import Final

LATERAL: Final = "LATERAL"
"""How a lateral view is stored; the words as written stay in column `view_as_written`."""
AS_WRITTEN: Final = "view_as_written"
_KNOWN: Final = frozenset({"L", "LL", "RL", "LAT", "LATERAL"})
_WORD: Final = re.compile(
    r"(?<![a-z])(l?lat|r?lat|llat|rlat|laterale?|lateralis|seitlich|latero?lateral|profil)(?![a-z])"
)
_DECUBITUS: Final = re.compile(r"decub")


def lateral(word: str) -> bool:
    """Is this a lateral view, by its words? A decubitus picture is taken from the front, with the patient on the side."""
    plain = word.strip()
    if plain.upper() in _KNOWN:
        return True
    return bool(_WORD.search(plain.lower())) and not _DECUBITUS.search(plain.lower())


def is_lateral_code(word: str) -> bool:
    """Is this how protocols write a lateral view?"""
    return word.strip().upper() in _KNOWN

"""How the pictures of a dataset are to be read, where their files don't say their range rightly."""

import re
from dataclasses import dataclass

from xray.errors import DataError


@dataclass(frozen=True)
class Reading:
    """As the file says (neither), up to a given largest value, or through the window of each DICOM file.

    >>> Reading(maximum=4095).text, Reading(window=True).text, Reading().text
    ('maximum 4095', 'window', None)
    """

    maximum: int | None = None
    window: bool = False

    def __post_init__(self) -> None:
        """Raise `DataError` for a maximum that can be none, or both at once."""
        if self.maximum is not None and not 1 <= self.maximum <= 65535:
            raise DataError(f"maximum {self.maximum}: expected 1 to 65535, the largest value of the pictures")
        if self.maximum is not None and self.window:
            raise DataError("choose one of a maximum and the DICOM window")

    @property
    def text(self) -> str | None:
        """As the database has it."""
        if self.maximum is not None:
            return f"maximum {self.maximum}"
        return "window" if self.window else None


AS_STORED = Reading()


def reading_of(text: str | None) -> Reading:
    """The reading that `Reading.text` wrote. Raises `DataError` for any other text."""
    if text is None:
        return AS_STORED
    number = re.fullmatch(r"maximum (\d{1,5})", text)
    if number:
        return Reading(maximum=int(number[1]))
    if text != "window":
        raise DataError(f"pictures are to be read by {text!r}, which this version doesn't know")
    return Reading(window=True)

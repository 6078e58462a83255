"""What an address asks for: every parameter has a form and bounds, and what is not known is refused.

`View` is all that a page of the explorer depends on, so every page can be shared by its address.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

LONGEST: Final = 200
"""Characters of a name."""
LARGEST: Final = 2**31 - 1
KINDS: Final = {
    "all": "all images",
    "false-positives": "most confident false positives",
    "false-negatives": "most confident false negatives",
    "true-positives": "called positive, and are",
    "true-negatives": "called negative, and are",
    "disagreements": "two models rank them differently",
    "changed": "calls that differ between two models",
    "labellers": "two labellers say different things",
}
"""The lists of images, and what they hold."""
LABELS: Final = {"1": "positive", "0": "negative", "none": "no label"}
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd]")


class Refused(Exception):
    """A request that is not answered: an HTTP status between 400 and 499, and a sentence."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def text(name: str, value: str) -> str:
    """A name of something: printable, not too long."""
    if len(value) > LONGEST or _UNPRINTABLE.search(value):
        raise Refused(400, f"{name}: expected a name of at most {LONGEST} printable characters")
    return value


def identifier(name: str, value: str) -> int:
    """A number of a row: 1 to 2^31 − 1, in ASCII digits."""
    if not re.fullmatch(r"[1-9][0-9]{0,9}", value) or int(value) > LARGEST:
        raise Refused(400, f"{name}: expected a whole number from 1")
    return int(value)


def number(lowest: float, highest: float) -> Callable[[str, str], float]:
    """A finite number between two bounds."""

    def parse(name: str, value: str) -> float:
        if len(value) > 30 or not re.fullmatch(
            r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", value
        ):
            raise Refused(400, f"{name}: expected a number")
        parsed = float(value)
        if not (math.isfinite(parsed) and lowest <= parsed <= highest):
            raise Refused(400, f"{name}: expected a number from {lowest:g} to {highest:g}")
        return parsed

    return parse


def choice(allowed: Iterable[str]) -> Callable[[str, str], str]:
    """One of some words."""
    words = tuple(allowed)

    def parse(name: str, value: str) -> str:
        if value not in words:
            raise Refused(400, f"{name}: expected one of {', '.join(words)}")
        return value

    return parse


@dataclass(frozen=True)
class View:
    """What an address asks for; None where it says nothing.

    model, other: a scorer by its name. t, t_other: thresholds on the logit. prevalence: of the place that is asked about.
    limit: the AUC from which on a model is said to work. after: the image that the page before ended with.
    """

    model: str | None = None
    dataset: str | None = None
    task: str | None = None
    protocol: str | None = None
    kind: str | None = None
    other: str | None = None
    other_dataset: str | None = None
    label: str | None = None
    view: str | None = None
    sex: str | None = None
    age_from: float | None = None
    age_to: float | None = None
    column: str | None = None
    value_from: str | None = None
    value_to: str | None = None
    t: float | None = None
    t_other: float | None = None
    prevalence: float | None = None
    limit: float | None = None
    low: float | None = None
    high: float | None = None
    invert: str | None = None
    after: int | None = None

    def address(self, path: str, **changes: Any) -> str:
        """The address of a page at this view, with some parts changed (None: left out)."""
        changed = replace(self, **changes)
        parts = {field.name: getattr(changed, field.name) for field in fields(changed)}
        pairs = [(name, _as_text(value)) for name, value in parts.items() if value is not None]
        return f"{path}?{urlencode(pairs)}" if pairs else path

    def only(self, *names: str) -> "View":
        """A view of these parts alone."""
        return View(**{name: getattr(self, name) for name in names})

    def pairs(self, without: Iterable[str] = ()) -> list[tuple[str, str]]:
        """Names and values that are given, for the hidden fields of a form."""
        left_out = set(without)
        parts = [
            (field.name, getattr(self, field.name)) for field in fields(self) if field.name not in left_out
        ]
        return [(name, _as_text(value)) for name, value in parts if value is not None]


FILTERS: Final = ("label", "view", "sex", "age_from", "age_to", "column", "value_from", "value_to")
CELL: Final = ("model", "dataset", "task", "protocol")
LIST: Final = (*CELL, *FILTERS, "kind", "other", "other_dataset", "t", "t_other")
WINDOW: Final = ("low", "high", "invert")
_LOGIT: Final = number(-1000, 1000)
_AGE: Final = number(0, 150)
_SHARE: Final = number(0, 1)
_PARSERS: Final[dict[str, Callable[[str, str], Any]]] = {
    **dict.fromkeys(("model", "dataset", "task", "protocol", "other", "other_dataset"), text),
    **dict.fromkeys(("view", "sex", "column", "value_from", "value_to"), text),
    "kind": choice(KINDS),
    "label": choice(LABELS),
    **dict.fromkeys(("age_from", "age_to"), _AGE),
    **dict.fromkeys(("t", "t_other"), _LOGIT),
    **dict.fromkeys(("prevalence", "limit", "low", "high"), _SHARE),
    "invert": choice(("1",)),
    "after": identifier,
}


def pairs(query: bytes, most: int = 40) -> dict[str, str]:
    """Names and values of a query or of a form.

    Raises `Refused` where a name stands twice, a byte is not UTF-8, or there are more than `most`.
    """
    try:
        listed = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=most,
        )
    except ValueError:
        raise Refused(400, "the address can't be read") from None
    parameters: dict[str, str] = {}
    for name, value in listed:
        if name in parameters:
            raise Refused(400, "a parameter is given twice")
        parameters[name] = value
    return parameters


def parse(parameters: dict[str, str], allowed: Iterable[str]) -> View:
    """The view that parameters ask for; an empty value counts as not given.

    Raises `Refused` where a parameter is none that this page has, or is not of its form.
    """
    names = set(allowed)
    for name in parameters:
        if name not in names:
            raise Refused(400, "this page has no such parameter")
    return View(**{name: _PARSERS[name](name, value) for name, value in parameters.items() if value})


def _as_text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)

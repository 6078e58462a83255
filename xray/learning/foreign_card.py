"""The card of a model from elsewhere: what its file does not say, in a small TOML file.

name = "their-model"
size = 224                      # pixels along a side
range = [-1024, 1024]           # what black and white are to the model
output = "logit"                # or "probability"
tasks = ["Effusion", "", …]     # its outputs in order; "" for one that is no finding
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np

from xray import limits, names
from xray.errors import ForeignModelError
from xray.findings import declare
from xray.pixels.preprocess import Crop

_NEEDED: Final = ("name", "size", "range", "output", "tasks")
_LONGEST: Final = 5000
"""Letters of a note."""
_OPTIONAL: Final = ("channels", "crop", "mean", "std", "network", "trained_on", "citation", "note")


@dataclass(frozen=True)
class Card:
    """What a model takes and gives.

    size: pixels along a side of its input. range: the values of black and white. tasks: findings of its outputs in order,
    None for an output that is none. output: "logit" or "probability". channels: 1, or 3 alike. crop: as in
    `xray.pixels.preprocess`. mean, std: per channel, subtracted and divided by after the range. network: torchvision's name
    of the architecture, where the file has only weights. trained_on: names of datasets, None where unknown.
    """

    name: str
    size: int
    range: tuple[float, float]
    output: str
    tasks: tuple[str | None, ...]
    channels: int = 1
    crop: str = "centre"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    network: str | None = None
    trained_on: tuple[str, ...] | None = None
    citation: str | None = None
    note: str | None = None

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings that it knows, in the order of its outputs."""
        return tuple(task for task in self.tasks if task is not None)

    def plain(self) -> dict[str, Any]:
        """The card as the TOML file has it, without its name and what is not said."""
        said = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items() if v is not None}
        said["tasks"] = [task or "" for task in self.tasks]
        del said["name"]
        return said


def read_card(path: Path) -> Card:
    """A card from its TOML file. Raises `ForeignModelError` naming file and key."""
    return card_of(limits.read_toml(path, ForeignModelError), str(path))


def card_of(raw: Mapping[str, Any], where: str, known: Collection[str] = ()) -> Card:
    """A card from plain values. known: findings that are taken as they are written.

    Raises `ForeignModelError` naming `where` and the key.
    """
    missing = [key for key in _NEEDED if key not in raw]
    unknown = [key for key in raw if key not in (*_NEEDED, *_OPTIONAL)]
    if missing or unknown:
        said = f"{missing[0]} is missing" if missing else f"unknown key {unknown[0]!r}"
        raise ForeignModelError(
            f"{where}: {said}; a card has {', '.join(_NEEDED)}, and may have {', '.join(_OPTIONAL)}"
        )
    channels = _one_of(raw.get("channels", 1), (1, 3), where, "channels")
    low_high = _numbers(raw["range"], 2, where, "range")
    if low_high[0] == low_high[1]:
        raise ForeignModelError(f"{where}: range: black and white can't both be {low_high[0]}")
    std = _numbers(raw["std"], channels, where, "std") if "std" in raw else None
    if std is not None and min(std) <= 0:
        raise ForeignModelError(f"{where}: std: expected numbers above 0, found {list(std)}")
    size = raw["size"]
    if not isinstance(size, int) or isinstance(size, bool) or not 8 <= size <= 4096:
        raise ForeignModelError(f"{where}: size: expected pixels along a side, 8 to 4096, found {size!r}")
    return Card(
        name=_text(raw["name"], where, "name"),
        size=size,
        range=(low_high[0], low_high[1]),
        output=_one_of(raw["output"], ("logit", "probability"), where, "output"),
        tasks=_tasks(raw["tasks"], where, known),
        channels=channels,
        crop=_one_of(raw.get("crop", "centre"), get_args(Crop), where, "crop"),
        mean=_numbers(raw["mean"], channels, where, "mean") if "mean" in raw else None,
        std=std,
        network=_text(raw["network"], where, "network") if "network" in raw else None,
        trained_on=_texts(raw["trained_on"], where, "trained_on") or None if "trained_on" in raw else None,
        citation=_text(raw["citation"], where, "citation") if "citation" in raw else None,
        note=_text(raw["note"], where, "note") if "note" in raw else None,
    )


def write_card(card: Card, path: Path) -> None:
    """Write a card as TOML."""
    lines = [f"{key} = {_toml(value)}" for key, value in {"name": card.name, **card.plain()}.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return repr(value)


def _tasks(value: Any, where: str, known: Collection[str]) -> tuple[str | None, ...]:
    names = _texts(value, where, "tasks")
    findings = iter(declare([name for name in names if name], f"{where}: tasks", ForeignModelError, known))
    if not any(names):
        raise ForeignModelError(f"{where}: tasks: expected one finding or more, found {list(names)}")
    return tuple(next(findings) if name else None for name in names)


def _text(value: Any, where: str, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise ForeignModelError(f"{where}: {key}: expected text, found {value!r}")
    lines = value.splitlines() if key in ("citation", "note") else [value]
    for line in lines:
        names.check_text(f"{where}: {key}", line.replace("\t", " "), ForeignModelError, longest=_LONGEST)
    return value


def _texts(value: Any, where: str, key: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ForeignModelError(f"{where}: {key}: expected a list of texts, found {value!r}")
    return tuple(names.check_text(f"{where}: {key}", each, ForeignModelError) for each in value)


def _numbers(value: Any, n: int, where: str, key: str) -> tuple[float, ...]:
    good = isinstance(value, list | tuple) and len(value) == n
    if not good or not all(isinstance(v, int | float) and np.isfinite(v) for v in value):
        raise ForeignModelError(f"{where}: {key}: expected {n} number(s), found {value!r}")
    return tuple(float(v) for v in value)


def _one_of(value: Any, allowed: tuple[Any, ...], where: str, key: str) -> Any:
    if value not in allowed or isinstance(value, bool):
        expected = ", ".join(map(repr, allowed))
        raise ForeignModelError(f"{where}: {key}: expected one of {expected}, found {value!r}")
    return value

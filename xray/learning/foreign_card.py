"""The card of a model from elsewhere: what its file does not say, in a small TOML file.

name = "their-model"
size = 224                      # pixels along a side
range = [-1024, 1024]           # what black and white are to the model
output = "logit"                # or "probability"
tasks = ["Effusion", "", …]     # its outputs in order; "" for one that is no finding
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from xray import limits, names
from xray.errors import ForeignModelError
from xray.findings import declare
from xray.keys import Part, check
from xray.pixels.preprocess import Crop

_LONGEST: Final = 5000
"""Letters of a note."""


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
        entries = {
            k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items() if v is not None
        }
        entries["tasks"] = [task or "" for task in self.tasks]
        del entries["name"]
        return entries


def read_card(path: Path) -> Card:
    """A card from its TOML file. Raises `ForeignModelError` naming file and key."""
    return card_of(limits.read_toml(path, ForeignModelError), str(path))


def _line(value: str) -> str:
    return _text(value, [value])


def _lines(value: str) -> str:
    return _text(value, value.splitlines())


def _text(value: str, lines: Sequence[str]) -> str:
    if not value:
        raise ValueError("expected text, found ''")
    for line in lines:
        if (fault := names.fault_of(line.replace("\t", " "), _LONGEST)) is not None:
            raise ValueError(f"{fault}, found {names.quoted(line)}")
    return value


def _words(value: list[str]) -> list[str]:
    for word in value:
        if (fault := names.fault_of(word)) is not None:
            raise ValueError(f"{fault}, found {names.quoted(word)}")
    return value


Line = Annotated[str, AfterValidator(_line)]
Lines = Annotated[str, AfterValidator(_lines)]
Words = Annotated[list[str], AfterValidator(_words), Field(description="a list of texts")]
Numbers = Annotated[
    list[Annotated[float, Field(allow_inf_nan=False)]], Field(description="a list of numbers")
]


class CardFile(Part):
    """The keys of a card."""

    name: Line
    size: int = Field(ge=8, le=4096, description="pixels along a side, 8 to 4096")
    range: Numbers
    output: Literal["logit", "probability"] = Field(description="one of 'logit', 'probability'")
    tasks: Words
    channels: Literal[1, 3] = Field(1, description="one of 1, 3")
    crop: Crop = Field("centre", description=f"one of {', '.join(map(repr, get_args(Crop)))}")
    mean: Numbers | None = None
    std: Numbers | None = None
    network: Line | None = None
    trained_on: Words | None = None
    citation: Lines | None = None
    note: Lines | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for key, value, n in (
            ("range", self.range, 2),
            ("mean", self.mean, self.channels),
            ("std", self.std, self.channels),
        ):
            if value is not None and len(value) != n:
                raise ValueError(f"{key}: expected {n} number(s), found {value!r}")
        if self.range[0] == self.range[1]:
            raise ValueError(f"range: black and white can't both be {self.range[0]}")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError(f"std: expected numbers above 0, found {self.std}")
        return self


def card_of(raw: Mapping[str, Any], source: str, vocabulary: Collection[str] = ()) -> Card:
    """A card from plain values. vocabulary: findings that are taken as they are written.

    Raises `ForeignModelError` naming `where` and the key of every fault.
    """
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in raw.items()}
    file = check(CardFile, plain, source, ForeignModelError)
    return Card(
        name=file.name,
        size=file.size,
        range=(float(file.range[0]), float(file.range[1])),
        output=file.output,
        tasks=_tasks(file.tasks, source, vocabulary),
        channels=file.channels,
        crop=file.crop,
        mean=None if file.mean is None else tuple(map(float, file.mean)),
        std=None if file.std is None else tuple(map(float, file.std)),
        network=file.network,
        trained_on=tuple(file.trained_on) if file.trained_on else None,
        citation=file.citation,
        note=file.note,
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


def _tasks(value: Sequence[str], source: str, vocabulary: Collection[str]) -> tuple[str | None, ...]:
    findings = iter(
        declare([name for name in value if name], f"{source}: tasks", ForeignModelError, vocabulary)
    )
    if not any(value):
        raise ForeignModelError(f"{source}: tasks: expected one finding or more, found {list(value)}")
    return tuple(next(findings) if name else None for name in value)

"""What a phantom site is: its images, its prevalences and its labelling, which differ apart from one another.

A site is data. What a site's table in a TOML file doesn't name is as at the reference site, so the file reads
as a list of differences and each of them is known.
"""

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from xray.errors import StudyError
from xray.limits import read_toml

RETICULAR_PATTERN: Final = "Reticular_Pattern"
"""A fine pattern of the upper zones that every site has; only a site that redefines a task names it."""

PHANTOM_TASKS: Final = (
    "Atelectasis",
    "Infiltration",
    "Pneumothorax",
    "Emphysema",
    "Effusion",
    "Cardiomegaly",
    "Nodule",
    "Mass",
)
"""The tasks that a phantom can show, in order."""

FINDINGS: Final = (*PHANTOM_TASKS, RETICULAR_PATTERN)
"""Everything that can be in a picture: the tasks, then the pattern without a name."""

REFERENCE_PREVALENCE: Final = 0.28
REFERENCE_THRESHOLD: Final = 0.50


@dataclass(frozen=True)
class Images:
    """How a site takes its pictures. The defaults are a clean detector and upright patients.

    gamma: exponent on brightness in [0, 1]. contrast: factor about mid-grey. noise: standard deviation of
    each pixel, in units of the range. blur: standard deviation in widths of the picture. border: widest black
    edge, in widths of the picture. marker: fraction of pictures with a burnt-in side marker. ap_fraction:
    fraction of pictures taken antero-posterior, which shows the heart heart_magnification times as wide.
    """

    gamma: float = 1.0
    contrast: float = 1.0
    noise: float = 0.01
    blur: float = 0.0
    border: float = 0.0
    marker: float = 0.0
    ap_fraction: float = 0.0
    heart_magnification: float = 1.13


@dataclass(frozen=True)
class Labelling:
    """How a site's reader names what is in a picture. The defaults are the reference definitions, read with
    care.

    cardiothoracic_threshold: the ratio above which the heart is Cardiomegaly. reading_error: standard
    deviation of the ratio that the reader measures about the true one. redefined: task → the finding that is
    called so here. inverted: tasks whose label says the opposite. flipped: task → fraction of labels turned
    over at random. unlabelled: tasks that the reader never mentions.
    """

    cardiothoracic_threshold: float = REFERENCE_THRESHOLD
    reading_error: float = 0.015
    redefined: Mapping[str, str] = field(default_factory=dict)
    inverted: tuple[str, ...] = ()
    flipped: Mapping[str, float] = field(default_factory=dict)
    unlabelled: tuple[str, ...] = ()


@dataclass(frozen=True)
class PhantomSite:
    """A hospital that was drawn: a name and the three ways in which it may differ from the reference.

    prevalence: finding → fraction of images that show it; a finding that isn't named has the reference
    prevalence. The name enters the random numbers: two sites of one name have the same patients, two names
    have different ones.
    """

    name: str
    images: Images = field(default_factory=Images)
    prevalence: Mapping[str, float] = field(default_factory=dict)
    labelling: Labelling = field(default_factory=Labelling)

    def prevalence_of(self, finding: str) -> float:
        """Fraction of this site's images that show the finding."""
        return self.prevalence.get(finding, REFERENCE_PREVALENCE)


_IMAGE_RANGES: Final[dict[str, tuple[float, float]]] = {
    "gamma": (0.2, 5.0),
    "contrast": (0.1, 3.0),
    "noise": (0.0, 0.5),
    "blur": (0.0, 0.1),
    "border": (0.0, 0.25),
    "marker": (0.0, 1.0),
    "ap_fraction": (0.0, 1.0),
    "heart_magnification": (1.0, 1.25),
}
_PARTS: Final = ("images", "prevalence", "labelling")
_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")


def load_sites(path: Path | None = None) -> dict[str, PhantomSite]:
    """The sites of a TOML file by name, in file order; None reads the four that come with the package.

    Raises StudyError naming file and key where a value isn't of the form that `Images`, `Labelling` and
    `PhantomSite` say.
    """
    source = files("xray.data.phantom") / "sites.toml" if path is None else path
    tables = (
        tomllib.loads(source.read_text(encoding="utf-8")) if path is None else read_toml(path, StudyError)
    )
    if not tables:
        raise StudyError(f"{source}: names no site; write one table per site, such as [alpha]")
    try:
        return {name: _site(name, table) for name, table in tables.items()}
    except StudyError as error:
        raise StudyError(f"{source}: {error}") from None


def _site(name: str, table: object) -> PhantomSite:
    if not name or not _NAME_CHARACTERS.issuperset(name):
        raise StudyError(f"site name {name!r}: use lower-case letters, digits and _, because it names files")
    parts = _table(name, table, _PARTS)
    return PhantomSite(
        name=name,
        images=_images(f"{name}.images", parts.get("images", {})),
        prevalence=_numbers(f"{name}.prevalence", parts.get("prevalence", {}), FINDINGS),
        labelling=_labelling(f"{name}.labelling", parts.get("labelling", {})),
    )


def _images(key: str, table: object) -> Images:
    values = _table(key, table, tuple(_IMAGE_RANGES))
    return Images(
        **{name: _number(f"{key}.{name}", value, *_IMAGE_RANGES[name]) for name, value in values.items()}
    )


def _labelling(key: str, table: object) -> Labelling:
    parsers: dict[str, Callable[[str, object], Any]] = {
        "cardiothoracic_threshold": lambda key, value: _number(key, value, 0.3, 0.8),
        "reading_error": lambda key, value: _number(key, value, 0.0, 0.2),
        "redefined": _redefined,
        "inverted": _tasks,
        "flipped": lambda key, value: _numbers(key, value, PHANTOM_TASKS),
        "unlabelled": _tasks,
    }
    values = _table(key, table, tuple(part.name for part in fields(Labelling)))
    labelling = Labelling(**{name: parsers[name](f"{key}.{name}", value) for name, value in values.items()})
    for task in labelling.unlabelled:
        if task in labelling.inverted or task in labelling.flipped or task in labelling.redefined:
            raise StudyError(
                f"{key}.unlabelled: {task} can't be unlabelled and labelled by another rule at once"
            )
    return labelling


def _table(key: str, table: object, keys: tuple[str, ...]) -> dict[str, object]:
    if not isinstance(table, dict):
        raise StudyError(f"{key}: must be a table, not {table!r}")
    for name in table:
        if name not in keys:
            raise StudyError(f"{key}.{name}: no such key; there are {', '.join(keys)}")
    return table


def _number(key: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise StudyError(f"{key}: must be a number, not {value!r}")
    if not low <= value <= high:
        raise StudyError(f"{key}: must lie between {low:g} and {high:g}, not {value:g}")
    return float(value)


def _numbers(key: str, table: object, keys: tuple[str, ...]) -> dict[str, float]:
    return {
        name: _number(f"{key}.{name}", value, 0.0, 1.0) for name, value in _table(key, table, keys).items()
    }


def _tasks(key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise StudyError(f"{key}: must be a list of tasks, not {value!r}")
    for task in value:
        _check_task(key, task)
    return tuple(sorted(set(value), key=PHANTOM_TASKS.index))


def _redefined(key: str, table: object) -> dict[str, str]:
    values = _table(key, table, PHANTOM_TASKS)
    for task, finding in values.items():
        if finding not in FINDINGS:
            raise StudyError(f"{key}.{task}: {finding!r} is no finding; there are {', '.join(FINDINGS)}")
    return {task: str(finding) for task, finding in values.items()}


def _check_task(key: str, task: object) -> None:
    if task not in PHANTOM_TASKS:
        raise StudyError(f"{key}: {task!r} is no task of a phantom; there are {', '.join(PHANTOM_TASKS)}")

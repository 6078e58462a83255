"""Protocols: named, versioned rules of a study, kept as TOML in `xray/data/protocols/`.

`paper` is what the released code did, faults included; `corrected`, the default, is the study without them. `external`
trains nothing: every image is tested on (`external-first`: the first of each patient). A protocol of one's own is a
TOML file that says `base = "corrected"` and what differs, under its own name.
"""

import dataclasses
import tomllib
import types
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from xray import limits, names
from xray.errors import StudyError
from xray.names import near
from xray.tasks import TASKS

RULE_SETS: Final = ("paper", "corrected")
"""Of label rules; each has a protocol of its name."""
EXTERNAL: Final = "external"
"""For models that were trained elsewhere: nothing is split, every eligible image is tested on."""
NAMED: Final = (*RULE_SETS, EXTERNAL, "external-first")
DEFAULT: Final = "corrected"
PAPER: Final = "paper"


@dataclass(frozen=True)
class DatasetRule:
    """Which rows of a dataset count.

    views: values of `view_column`, compared without case; none: every view counts.
    view_match: a view counts that `is` one of them, `contains` one of them, or is `not` one of them; only in
        the last case does an unknown view count.
    per_patient: `all` images; the `first` in file order; or `stitched`: the first, with each label column's
        first value that is not blank, whichever image it belongs to, patients sorted (pandas' groupby-first).
    repeat_file_rows: an image stands once per row of the label file (RSNA's boxes).
    """

    views: tuple[str, ...] = ()
    view_column: str = "view"
    view_match: str = "is"
    per_patient: str = "first"
    repeat_file_rows: bool = False


@dataclass(frozen=True)
class LabelPolicy:
    """What a label state counts as.

    uncertain: `missing`, `positive` or `negative`. no_finding: whether No Finding clears all findings.
    """

    uncertain: str = "missing"
    no_finding: bool = True


@dataclass(frozen=True)
class SplitRule:
    """How a cohort is cut into parts.

    method: `permutation` of rows (torch's random_split) or `patient` (seeded hash of site and patient).
    train, validation, test: fractions; under `permutation`, validation is a fraction of the training half.
    """

    method: str = "patient"
    seed: int = 0
    train: float = 0.4
    validation: float = 0.1
    test: float = 0.5


@dataclass(frozen=True)
class Preprocessing:
    """From picture to input. crop: `centre` square or `none` (squashed). size: side in pixels."""

    crop: str = "centre"
    size: int = 224
    resize: str = "skimage"


@dataclass(frozen=True)
class Augmentation:
    """What training draws at random.

    rotation: degrees either way. translation: fraction of the side. scale: 1 ± scale. fill: on [-1024, 1024].
    validation: whether validation images are augmented too.
    """

    rotation: float = 45.0
    translation: float = 0.15
    scale: float = 0.10
    interpolation: str = "nearest"
    fill: float = 0.0
    validation: bool = False


@dataclass(frozen=True)
class Threshold:
    """How an operating point is chosen, and which scores are positive (`>` or `>=` the threshold)."""

    rule: str = "youden"
    comparison: str = ">="


@dataclass(frozen=True)
class Protocol:
    """Named, versioned rules: from a dataset's rows to cohorts, and from pictures to decisions."""

    name: str
    version: int
    description: str
    label_rules: str
    labels: LabelPolicy
    split: SplitRule
    preprocessing: Preprocessing
    augmentation: Augmentation
    threshold: Threshold
    datasets: Mapping[str, DatasetRule]

    def rule(self, dataset: str) -> DatasetRule:
        """The rule of a dataset; that of `default` for one that the protocol doesn't name."""
        return self.datasets.get(dataset) or self.datasets.get("default") or DatasetRule()

    def findings(self, declared: tuple[str, ...]) -> tuple[str, ...]:
        """The findings that cohorts have labels of: those that the dataset declares; under `paper` the paper's own."""
        return TASKS if self.name == PAPER else declared

    @property
    def trains(self) -> bool:
        """Whether any image is trained on."""
        return self.split.train > 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the database and for TOML or JSON."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        parts = {name: dataclasses.asdict(plain[name]) for name in _PARTS}
        rules = {name: dataclasses.asdict(rule) for name, rule in self.datasets.items()}
        return plain | parts | {"datasets": rules}


_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "view_match": ("is", "contains", "not"),
    "per_patient": ("all", "first", "stitched"),
    "uncertain": ("missing", "positive", "negative"),
    "method": ("permutation", "patient"),
    "crop": ("centre", "none"),
    "comparison": (">", ">="),
    "label_rules": RULE_SETS,
}
_PARTS: Final[dict[str, type]] = {
    "labels": LabelPolicy,
    "split": SplitRule,
    "preprocessing": Preprocessing,
    "augmentation": Augmentation,
    "threshold": Threshold,
}


def load_protocol(name: str | Path) -> Protocol:
    """One of `NAMED`, or the protocol in a TOML file. Raises `StudyError` naming file and key."""
    if isinstance(name, str) and name in NAMED:
        file = resources.files("xray.data.protocols") / f"{name}.toml"
        return protocol_from(tomllib.loads(file.read_text(encoding="utf-8")), file.name)
    path = Path(name)
    if not path.exists():
        raise StudyError(f"{name}: no such protocol; there are {', '.join(NAMED)}, or a TOML file")
    return protocol_from(limits.read_toml(path, StudyError), path.name)


def protocol_from(values: Mapping[str, Any], origin: str) -> Protocol:
    """A protocol from plain values; keys that `values` leaves out are those of `values["base"]`.

    Raises `StudyError`, naming `origin` and key, for an unknown key or value, or fractions that don't add up.
    """
    base = values.get("base")
    if base is not None and base not in NAMED:
        raise StudyError(f"{origin}: base: expected one of {', '.join(NAMED)}, found {base!r}")
    base_values: dict[str, Any] = load_protocol(base).as_dict() if base else {}
    fields = {field.name for field in dataclasses.fields(Protocol)}
    _only(set(values) - {"base"}, fields, origin, "")
    if base and values.get("name", base) == base:
        raise StudyError(f"{origin}: name: a protocol based on {base!r} needs a name of its own")
    missing = fields - set(base_values) - set(values)
    if missing:
        raise StudyError(f"{origin}: {min(missing)}: missing (or name a base to take it from)")
    complete: dict[str, Any] = {key: values.get(key, base_values.get(key)) for key in fields}
    for key, kind in _PARTS.items():
        complete[key] = _part(kind, base_values.get(key, {}), values.get(key, {}), origin, key)
    rules = {
        dataset: _part(
            DatasetRule,
            base_values.get("datasets", {}).get(dataset, {}),
            keys_of_rule,
            origin,
            f"datasets.{dataset}",
        )
        for dataset, keys_of_rule in (
            base_values.get("datasets", {}) | dict(values.get("datasets", {}))
        ).items()
    }
    complete["datasets"] = types.MappingProxyType(rules)
    names.check_name(f"{origin}: name", str(complete["name"]), StudyError)
    _check_choice(origin, "label_rules", complete["label_rules"], "")
    _check_fractions(origin, complete["split"])
    return Protocol(**complete)


def _part(kind: type, base_values: Mapping[str, Any], keys: Mapping[str, Any], origin: str, key: str) -> Any:
    if not isinstance(keys, Mapping):
        raise StudyError(f"{origin}: {key}: expected a table of keys, found {keys!r}")
    _only(set(keys), {field.name for field in dataclasses.fields(kind)}, origin, key + ".")
    values = {**base_values, **keys}
    for field in dataclasses.fields(kind):
        if field.name in values:
            values[field.name] = _value(values[field.name], field.default, origin, f"{key}.{field.name}")
            _check_choice(origin, field.name, values[field.name], key + ".")
    return kind(**values)


def _value(value: Any, default: Any, origin: str, key: str) -> Any:
    """The value as the default's type; numbers may be written as integers, lists of text become tuples."""
    if (
        isinstance(default, tuple)
        and isinstance(value, list | tuple)
        and all(isinstance(v, str) for v in value)
    ):
        return tuple(value)
    if isinstance(default, float) and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        raise StudyError(f"{origin}: {key}: expected a value like {default!r}, found {value!r}")
    return value


def _only(keys: set[str], fields: set[str], origin: str, prefix: str) -> None:
    for key in sorted(keys - fields):
        guess = near(key, sorted(fields))
        hint = f"did you mean {guess!r}?" if guess else f"known: {', '.join(sorted(fields))}"
        raise StudyError(f"{origin}: {prefix}{key}: unknown key; {hint}")


def _check_choice(origin: str, key: str, value: Any, prefix: str) -> None:
    if key in _CHOICES and value not in _CHOICES[key]:
        raise StudyError(
            f"{origin}: {prefix}{key}: expected one of {', '.join(_CHOICES[key])}, found {value!r}"
        )


def _check_fractions(origin: str, split: SplitRule) -> None:
    parts = [split.train, split.test] + ([split.validation] if split.method == "patient" else [])
    if min(split.train, split.validation, split.test) < 0 or abs(sum(parts) - 1) > 1e-9:
        raise StudyError(
            f"{origin}: split: the fractions must not be negative and add up to 1, found {parts}"
        )

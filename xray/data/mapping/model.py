"""A mapping file: the meaning of the columns and words of a table, as TOML that is checked key by key."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xray import limits
from xray.data.sources.people import NO_WORDS
from xray.data.tables import Layout
from xray.errors import ManifestError
from xray.findings import declare
from xray.names import nearest, quoted

FIELDS: Final = ("image", "patient", "path", "view", "age", "sex", "study", "reader")
"""What a column can be beside a finding."""
DELIMITERS: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Words(_Part):
    """What a cell of a finding may say, however it is cased. What stands in none of the lists is set aside."""

    positive: tuple[str, ...] = ("1", "1.0")
    negative: tuple[str, ...] = ("0", "0.0")
    uncertain: tuple[str, ...] = ("u",)
    not_mentioned: tuple[str, ...] = tuple(sorted(NO_WORDS))


class Views(_Part):
    """Which words of the view column are lateral or frontal, where `xray.data.mapping.views` doesn't tell."""

    frontal: tuple[str, ...] = ()
    lateral: tuple[str, ...] = ()


class Long(_Part):
    """One row per image and finding. value: the column with the words; without one, each row is a positive finding."""

    finding: str
    value: str | None = None


class Terms(_Part):
    """A column with a list of findings. normal: what stands there where there is none; others: terms left out on purpose."""

    column: str
    separator: str = "|"
    normal: tuple[str, ...] = ("No Finding",)
    others: tuple[str, ...] = ()


class Readers(_Part):
    """How an image's label follows from those of its readers: majority, any, all, or a reader's name (`sources.panel`)."""

    rule: str | None = None


class Pictures(_Part):
    """A second table with a row per picture, where labels are of studies: its file and columns."""

    file: str
    image: str
    study: str
    path: str | None = None
    view: str | None = None


class Mapping(_Part):
    """What a table is. columns: field → column; findings: column, or word in a list or a long table → finding.

    path: a template of the picture's path of fields and columns in braces. unmentioned: what a finding is that a long table
    or a list doesn't name for an image: negative, or not mentioned where a long table has a column of values, unless it is
    given. ignore: columns that are not kept.
    """

    file: str | None = None
    sheet: str | None = None
    delimiter: Literal["comma", "semicolon", "tab", "bar"] | None = None
    encoding: str | None = None
    site: str | None = None
    images: str | None = None
    path: str | None = None
    unmentioned: Literal["negative", "not mentioned"] | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    findings: dict[str, str] = Field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    words: Words = Words()
    views: Views = Views()
    long: Long | None = None
    terms: Terms | None = None
    pictures: Pictures | None = None
    readers: Readers = Readers()

    @property
    def layout(self) -> Layout:
        """How the file is to be read."""
        return Layout(DELIMITERS.get(self.delimiter or ""), self.encoding, self.sheet)

    @property
    def keys(self) -> dict[str, Any]:
        """What it says beyond the defaults, as a mapping file has it."""
        return self.model_dump(mode="json", exclude_defaults=True)


def read_mapping(path: Path) -> Mapping:
    """The mapping in a TOML file. Raises `ManifestError` that names every wrong key, and the nearest right one."""
    return mapping_of(limits.read_toml(path, ManifestError), str(path))


@dataclass(frozen=True)
class MappedFiles:
    """What a mapping file names beside columns and words: table, folder of pictures, site; None where it does not say."""

    table: Path | None
    images: Path | None
    site: str | None


def read_named(path: Path) -> MappedFiles:
    """What a mapping file names, as seen from it. Raises `ManifestError` as `read_mapping` does."""
    keys = read_mapping(path)
    table, images = (None if name is None else path.parent / name for name in (keys.file, keys.images))
    return MappedFiles(table, images, keys.site)


def mapping_of(keys: dict[str, Any], origin: str) -> Mapping:
    """The mapping of these keys; see `read_mapping`."""
    faults = []
    try:
        mapping = Mapping.model_validate(_tuples(keys))
    except ValidationError as failure:
        faults = [_fault(error) for error in failure.errors()]
    else:
        faults = [
            f"columns: {quoted(name)} is none of {', '.join(FIELDS)}{_hint(name, FIELDS)}"
            for name in mapping.columns
            if name not in FIELDS
        ] + _doubled(mapping.words)
        if mapping.long is not None and mapping.terms is not None:
            faults.append("long and terms: a table is one or the other")
    if faults:
        raise ManifestError(
            "\n  ".join([f"{origin}:", *faults]) if len(faults) > 1 else f"{origin}: {faults[0]}"
        )
    return mapping


def own_words(mapping: Mapping, origin: str) -> tuple[dict[str, str], list[str]]:
    """Word → finding as the mapping declares them, findings by the names of the table of synonyms; and what is wrong."""
    words: dict[str, str] = {}
    faults = []
    for word, finding in mapping.findings.items():
        try:
            (words[word],) = declare((finding,), f"{origin}: findings", ManifestError)
        except ManifestError as failure:
            faults.append(str(failure))
    return words, faults


def _doubled(words: Words) -> list[str]:
    lists: dict[str, str] = {}
    faults = []
    for meaning, texts in words:
        for text in texts:
            other = lists.setdefault(text.strip().lower(), meaning)
            if other != meaning:
                faults.append(f"words: {text!r} stands under {other} and under {meaning}")
    return faults


def _tuples(value: Any) -> Any:
    """TOML's lists as tuples, which the strict model wants."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _fault(error: Any) -> str:
    keys = [str(part) for part in error["loc"]]
    if error["type"] == "extra_forbidden":
        part: Any = Mapping
        for key in keys[:-1]:
            annotation = part.model_fields[key].annotation
            part = next(
                kind
                for kind in (annotation, *getattr(annotation, "__args__", ()))
                if isinstance(kind, type) and issubclass(kind, BaseModel)
            )
        return f"{'.'.join(keys)}: there is no such key{_hint(keys[-1], tuple(part.model_fields))}"
    return (
        f"{'.'.join(keys)}: {error['msg'][0].lower()}{error['msg'][1:]}, found {quoted(str(error['input']))}"
    )


def _hint(name: str, names: tuple[str, ...]) -> str:
    near = nearest(name.lower(), names)
    return f"; did you mean {near!r}?" if near else f"; known: {', '.join(names)}"

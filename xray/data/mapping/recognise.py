"""Which field or finding each column of a table is, by its name."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from xray.data.sources.base import COLUMNS
from xray.findings import match, name_of
from xray.names import near, plain
from xray.tasks import TASKS

NAMES: Final[dict[str, tuple[str, ...]]] = {
    "image": (
        "image_id",
        "image",
        "image name",
        "image index",
        "filename",
        "file name",
        "dicom_id",
        "sop instance uid",
    ),
    "patient": ("patient_id", "patient", "subject_id", "subject", "mrn", "pid", "patient number"),
    "path": ("path", "file path", "image path", "filepath"),
    "view": ("view", "view position", "projection", "view_type"),
    "age": ("age", "patient age", "age years", "age at exam", "alter"),
    "sex": ("sex", "gender", "patient sex", "patient gender", "geschlecht"),
    "study": ("study_id", "study", "accession number", "accession", "exam id", "study instance uid"),
    "reader": (
        "reader",
        "reader_id",
        "rad_id",
        "radiologist",
        "radiologist_id",
        "rater",
        "annotator",
        "observer",
    ),
}
"""Field → words for it, the platform's own first."""
_FIELD_OF: Final = {plain(word): field for field, words in NAMES.items() for word in words}


@dataclass(frozen=True)
class Roles:
    """What the columns are. fields: field → column. findings: finding → column. others: the rest.

    doubtful: column → what it nearly is. beyond: column among the rest → the finding of its name, which nobody declared.
    doubled: in words, two columns of one thing.
    """

    fields: dict[str, str] = field(default_factory=dict)
    findings: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    doubtful: dict[str, str] = field(default_factory=dict)
    beyond: dict[str, str] = field(default_factory=dict)
    doubled: list[str] = field(default_factory=list)


def recognise(
    columns: Sequence[str],
    among: Collection[str] = TASKS,
    own_words: Mapping[str, str] | None = None,
    mapped: Mapping[str, str] | None = None,
) -> Roles:
    """The role of every column. among: the findings that there are. own_words: of a mapping, → findings, before the table's.

    mapped: field → its column in a mapping.

    A field's own name goes before other words for it, and an exact name of a finding before its synonyms.
    """
    roles = Roles(dict(mapped or {}))
    by_rank = sorted(columns, key=lambda name: name not in {words[0] for words in NAMES.values()})
    for name in by_rank:
        role = _FIELD_OF.get(plain(name))
        if role is not None and role not in roles.fields and name not in (own_words or {}):
            roles.fields[role] = name
    assigned = set(roles.fields.values())
    for name in sorted(columns, key=lambda name: name not in among):
        if name in assigned:
            continue
        finding = finding_of(name, among, own_words)
        if finding is None:
            continue
        if finding in roles.findings:
            roles.doubled.append(f"columns {roles.findings[finding]!r} and {name!r} are both {finding}")
        roles.findings.setdefault(finding, name)
        assigned.add(name)
    for name in columns:
        if name in assigned:
            continue
        roles.others.append(name)
        if name in COLUMNS and name in roles.fields:
            roles.doubled.append(f"columns {roles.fields[name]!r} and {name!r} are both {name}")
            continue
        other = name_of(name)
        if other is not None:
            roles.beyond[name] = other
            continue
        guess = near(name, [*among, *(own_words or {})]) or near(
            name,
            [
                words[0]
                for key, words in NAMES.items()
                if key not in roles.fields and key not in ("study", "reader")
            ],
        )
        if guess is not None and len(plain(name)) > 2:
            roles.doubtful[name] = guess
    return roles


def finding_of(word: str, among: Collection[str], words: Mapping[str, str] | None = None) -> str | None:
    """The finding of `among` that a word stands for, a mapping's own words first; None for none."""
    finding = name_of(word, words)
    return finding if finding in among else match(word, among)

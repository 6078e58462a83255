"""A hospital's own table into a `SourceTable`: one row per image, or per study with its pictures in a second table."""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xray.data.mapping import views
from xray.data.mapping.labels import Labels, read_labels
from xray.data.mapping.model import Mapping, Pictures, own_words
from xray.data.mapping.readers import by_image, settled
from xray.data.mapping.recognise import Roles, recognise
from xray.data.sources.base import Quarantined, SourceTable
from xray.data.sources.native import Faults, locate, with_metadata
from xray.data.sources.panel import with_label
from xray.data.sources.people import ages, sex_of, text_or_none
from xray.data.sources.pictures import is_there, leaves_folder
from xray.data.tables import Table, read_table
from xray.errors import ManifestError
from xray.findings import standard
from xray.names import near, nearest
from xray.tasks import TASKS

_SHOWN: Final = 5


FINDING: Final = "finding"
"""Among what is required: a column, or a word, that stands for a finding."""


def read_mapped(
    path: Path,
    images: Path | None,
    mapping: Mapping,
    origin: str = "",
    required: tuple[str, ...] = ("image",),
    findings: Sequence[str] = (),
) -> SourceTable:
    """The images of the table in a file under a mapping; see `mapped_table`."""
    table = read_table(path, mapping.layout, ManifestError)
    return mapped_table(table, images, mapping, origin, required, findings, path.parent)


def mapped_table(
    table: Table,
    images: Path | None,
    mapping: Mapping,
    origin: str = "",
    required: tuple[str, ...] = ("image",),
    findings: Sequence[str] = (),
    folder: Path = Path(),
) -> SourceTable:
    """The images of a table under a mapping. origin: the mapping file's name. required: fields that must have a column.

    findings: those that are declared beside the default list; a mapping declares further ones. folder: where a second table
    lies. Raises `ManifestError` that names every fault of the header and of the mapping at once. A row that can't be taken
    is set aside, every one by its number.
    """
    words, faults = own_words(mapping, origin or "mapping")
    mapping = mapping.model_copy(update={"findings": words})
    declared_findings = tuple(dict.fromkeys((*findings, *words.values())))
    all_findings = standard(declared_findings)
    roles = roles_of(table, mapping, origin, required, all_findings, faults)
    key = _key(mapping, roles)
    roles = settled(table, roles, mapping, key)
    several = "reader" in roles.fields
    keys = [key, roles.fields["reader"]] if several else [key]
    labels = read_labels(table, mapping, roles, keys, all_findings)
    if several:
        labels = by_image(labels, key, roles, mapping)
    if labels.panel is None and mapping.readers.rule is not None:
        raise ManifestError(
            f"{origin or 'mapping'}: readers: there is a rule but no column of readers; give reader = … under [columns]"
        )
    notes = [*labels.notes, *_notes_on_findings(table, labels, roles, declared_findings, FINDING in required)]
    labels = replace(labels, notes=notes)
    if mapping.pictures is not None:
        table, labels, roles = _by_study(folder, table, labels, roles, mapping.pictures)
    else:
        table = labels.table
    return with_label(_source_table(table, labels, roles, mapping, images), None, origin or table.name)


def _notes_on_findings(
    table: Table, labels: Labels, roles: Roles, declared_findings: Sequence[str], required: bool
) -> list[str]:
    """Notes on findings that were declared and are absent, or present and not declared; and where there is none at all."""
    notes = [
        f"{table.name}: {finding!r} was declared as a finding, and no column has its name"
        for finding in declared_findings
        if finding not in labels.present and finding not in TASKS
    ]
    notes += [
        f"{table.name}: column {column!r} has the name of a finding, {finding}, and is kept without being a label; "
        f"declare it to make it one (--finding {finding!r}, or under [findings] of a mapping file)"
        for column, finding in roles.beyond.items()
    ]
    if labels.present:
        return notes
    if required:
        raise ManifestError(
            f"{table.name}: no column is a finding; expected some of {', '.join(labels.findings)}"
        )
    return [f"{table.name}: no column is a finding, so no image has a label", *notes]


def _key(mapping: Mapping, roles: Roles) -> str:
    """The column whose value is one row of the labels: of images, or of studies."""
    return roles.fields["study" if mapping.pictures is not None else "image"]


def roles_of(
    table: Table,
    mapping: Mapping,
    origin: str,
    required: tuple[str, ...],
    findings: Sequence[str],
    faults: Sequence[str] = (),
) -> Roles:
    """What every column is: as the mapping says, else by its name. Raises `ManifestError` with every fault of them.

    faults: what is wrong already, to be named with the rest.
    """
    columns = list(table.frame.columns)
    labels = mapping.long or mapping.terms
    words = {column: finding for column, finding in mapping.findings.items() if labels is None}
    special = _special(mapping)
    named_columns = {*mapping.columns.values(), *special, *mapping.ignore}
    roles = recognise(
        [name for name in columns if name not in named_columns], findings, words, mapping.columns
    )
    named_fields = set(roles.fields.values())
    roles.others[:] = [name for name in columns if name in roles.others and name not in named_fields]
    mapped_columns = [*mapping.columns.values(), *special, *words]
    faults = [
        *faults,
        *(
            f"{origin or 'mapping'}: there is no column {name!r}"
            + (_turned(name, words.get(name), columns) or _near(name, columns))
            for name in mapped_columns
            if name not in columns
        ),
    ]
    wanted_fields = [
        field if field != "image" or mapping.pictures is None else "study"
        for field in required
        if field != FINDING
    ]
    before = len(faults)
    faults += [
        f"required column {OWN_NAMES.get(field, field)!r} is missing{_near(OWN_NAMES.get(field, field), columns)}"
        for field in wanted_fields
        if field not in roles.fields
    ]
    if len(faults) > before:
        faults.append(f"a mapping file says which columns are which: xray dataset draft {table.name}")
    faults += roles.doubled
    faults += [
        f"unknown column {column!r}: did you mean {intended!r}? Rename it, or say what it is in a mapping file (xray "
        f"dataset draft {table.name})"
        for column, intended in roles.doubtful.items()
    ]
    if faults:
        lead = f"{table.name}, row 1: "
        raise ManifestError(lead + (faults[0] if len(faults) == 1 else "\n  ".join(["", *faults])))
    return roles


OWN_NAMES: Final = {"image": "image_id", "patient": "patient_id", "study": "study_id"}


def _special(mapping: Mapping) -> list[str]:
    if mapping.long is not None:
        return [name for name in (mapping.long.finding, mapping.long.value) if name is not None]
    return [mapping.terms.column] if mapping.terms is not None else []


def _near(name: str, names: object) -> str:
    headings = [str(heading) for heading in names]  # type: ignore[attr-defined]
    hint = near(name, headings) or nearest(name, headings)
    return f"; did you mean the column {hint!r}?" if hint else f"; found: {', '.join(headings)[:300]}"


def _turned(column: str, finding: str | None, columns: Sequence[str]) -> str:
    """What to do where [findings] names the column on the wrong side."""
    return f"; in [findings] its word goes first: {finding!r} = {column!r}" if finding in columns else ""


def _by_study(
    folder: Path, table: Table, labels: Labels, roles: Roles, pictures: Pictures
) -> tuple[Table, Labels, Roles]:
    """A row per picture, each with the labels and columns of its study."""
    picture_rows = read_table(folder / pictures.file, None, ManifestError)
    columns = {"image": pictures.image, "study": pictures.study, "path": pictures.path, "view": pictures.view}
    absent = [
        name for name in columns.values() if name is not None and name not in picture_rows.frame.columns
    ]
    if absent:
        raise ManifestError(
            f"{picture_rows.name}, row 1: there is no column {absent[0]!r}{_near(absent[0], picture_rows.frame.columns)}"
        )
    studies = pd.Index(labels.table.frame[roles.fields["study"]])
    study_rows = studies.get_indexer(pd.Index(picture_rows.frame[pictures.study]))
    set_aside = [
        picture_rows.as_csv().set_aside(
            int(row),
            str(picture_rows.frame[pictures.image].iloc[row]),
            f"no row of study {study!r} in {table.name}",
        )
        for row, study in zip(
            np.flatnonzero(study_rows < 0), picture_rows.frame[pictures.study][study_rows < 0], strict=True
        )
    ]
    has_picture = np.zeros(len(studies), dtype=bool)
    has_picture[study_rows[study_rows >= 0]] = True
    set_aside += [
        Quarantined(
            table.name,
            int(labels.table.lines[row]),
            None,
            f"no picture of study {studies[row]!r} in {picture_rows.name}",
        )
        for row in np.flatnonzero(~has_picture)
    ]
    rows = np.flatnonzero(study_rows >= 0)
    study_frame = labels.table.frame.iloc[study_rows[rows]].reset_index(drop=True)
    pictures_frame = picture_rows.frame.iloc[rows].reset_index(drop=True)
    frame = pd.concat(
        [
            pictures_frame,
            study_frame[[name for name in study_frame.columns if name not in pictures_frame.columns]],
        ],
        axis=1,
    )
    fields = roles.fields | {field: name for field, name in columns.items() if name is not None}
    quarantine = [*table.quarantine, *picture_rows.quarantine, *labels.aside, *set_aside]
    picture_table = Table(
        picture_rows.name,
        frame,
        picture_rows.lines[rows],
        f"{table.about}; pictures: {picture_rows.about}",
        quarantine,
    )
    other_columns = [
        *roles.others,
        *(
            name
            for name in pictures_frame.columns
            if name not in fields.values() and name not in roles.others
        ),
    ]
    picture_labels = replace(
        labels,
        table=picture_table,
        states=labels.states[study_rows[rows]],
        terms=labels.terms[study_rows[rows]],
        unknown=labels.unknown[study_rows[rows]],
        aside=[],
        panel=None if labels.panel is None else labels.panel.take(study_rows[rows]),
    )
    return picture_table, picture_labels, replace(roles, fields=fields, others=other_columns)


def _source_table(
    table: Table, labels: Labels, roles: Roles, mapping: Mapping, images: Path | None
) -> SourceTable:
    frame, notes = table.frame, [*labels.notes]
    cells = {
        field: _cells(frame, roles, field)
        for field in OWN_NAMES | dict.fromkeys(("path", "view", "age", "sex"), "")
    }
    names, patients = text_or_none(_one_form(cells["image"])), text_or_none(_one_form(cells["patient"]))
    view, original_views = _views(text_or_none(cells["view"]), mapping)
    faults = Faults(table.as_csv())
    paths = _paths(frame, names, cells, mapping, images)
    columns = {
        "image": names,
        "patient": patients,
        "path": np.array(paths, dtype=object),
        "view": view,
        "age": ages(cells["age"], roles.fields.get("age", "age"), notes),
        "sex": sex_of(cells["sex"]),
    }
    other_columns = frame[[name for name in roles.others if name in frame.columns]]
    if original_views is not None:
        other_columns = other_columns.assign(**{views.AS_WRITTEN: original_views})
    if "study" in roles.fields and roles.fields["study"] not in other_columns.columns:
        other_columns = other_columns.assign(**{roles.fields["study"]: cells["study"]})
    rows = with_metadata(columns, other_columns)
    faults.mark(names.isna(), roles.fields["image"], "every image needs a name")
    for index, column, expected in labels.faults(mapping):
        faults.mark(labels.unknown[:, index], column, expected)
    _mark_paths(faults, roles.fields.get("path", roles.fields["image"]), paths, images)
    notes += _notes_on_patients(patients, roles)
    source_table = faults.table(
        rows, labels.states, labels.terms, notes, roles.fields["image"], labels.findings, labels.panel
    )
    quarantine = sorted([*source_table.quarantine, *labels.aside], key=lambda entry: entry.row or 0)
    return replace(source_table, quarantine=quarantine, uses=_uses(roles, mapping, view), about=table.about)


def _cells(frame: pd.DataFrame, roles: Roles, field: str) -> pd.Series:
    column = roles.fields.get(field)
    return frame[column] if column is not None else pd.Series("", index=frame.index, dtype=object)


def _one_form(column: pd.Series) -> pd.Series:
    """Names in one Unicode form (NFC): a letter with an accent is one name, however it was typed."""
    if all(str(cell).isascii() for cell in column):
        return column
    return column.map(lambda cell: unicodedata.normalize("NFC", str(cell)))


def _views(column: pd.Series, mapping: Mapping) -> tuple[pd.Series, pd.Series | None]:
    """The views as protocols know them, and as they are written where that differs."""
    lateral = {word.strip().lower() for word in mapping.views.lateral}
    frontal = {word.strip().lower() for word in mapping.views.frontal}
    view_of = {}
    for word in column.dropna().unique():
        plain = str(word).lower()
        if plain in frontal:
            view_of[word] = f"FRONTAL ({word})" if views.is_lateral_code(word) else word
        else:
            is_lateral = plain in lateral or views.lateral(word)
            view_of[word] = views.LATERAL if is_lateral and not views.is_lateral_code(word) else word
    renamed = {word for word, view in view_of.items() if word != view}
    if not renamed:
        return column, None
    values = [view_of.get(word) for word in column]
    return pd.Series(values, index=column.index, dtype=object), column.where(column.notna(), "")


def _paths(
    frame: pd.DataFrame, names: pd.Series, cells: dict[str, pd.Series], mapping: Mapping, images: Path | None
) -> list[str | None]:
    """Each picture's path: by the template, the column, or its name wherever it lies."""
    if mapping.path is not None:
        fields = {field: cell.fillna("").astype(str).tolist() for field, cell in cells.items()}
        columns = {str(name): frame[name].tolist() for name in frame.columns} | fields
        try:
            return [
                mapping.path.format_map({name: values[row] for name, values in columns.items()})
                for row in range(len(frame))
            ]
        except (KeyError, ValueError, IndexError, AttributeError) as failure:
            raise ManifestError(
                f"path: {mapping.path!r}: {failure} is no field or column; fields: {', '.join(fields)}"
            ) from None
    plain = text_or_none(cells["path"].astype(str).str.replace("\\", "/", regex=False)).tolist()
    if any(path is not None for path in plain):
        return plain
    return locate([names.tolist()], images)


def _mark_paths(faults: Faults, column: str, paths: list[str | None], images: Path | None) -> None:
    leaving = np.array([path is not None and leaves_folder(path) for path in paths], dtype=bool)
    faults.mark(leaving, column, "the path points outside the image folder")
    if images is not None:
        has_path = np.array([path is not None for path in paths], dtype=bool)
        inside = [None if out else path for path, out in zip(paths, leaving, strict=True)]
        exists: NDArray[np.bool_] = is_there(inside, images)
        faults.mark(has_path & ~leaving & ~exists, column, f"no such picture under {images}")


def _notes_on_patients(patients: pd.Series, roles: Roles) -> list[str]:
    """Patients that are unknown, and names that look like one patient written in two ways."""
    if "patient" not in roles.fields:
        return ["no column names the patients: every image counts as a patient of its own"]
    notes = []
    unknown = int(patients.isna().sum())
    if unknown:
        notes.append(f"{unknown} image(s) have no patient: each counts as a patient of its own")
    forms: dict[str, set[str]] = {}
    for name in patients.dropna().unique():
        forms.setdefault(str(name).removesuffix(".0").lstrip("0"), set()).add(str(name))
    alike = [sorted(names) for names in forms.values() if len(names) > 1]
    if alike:
        examples = "; ".join(" and ".join(map(repr, names)) for names in alike[:_SHOWN])
        notes.append(
            f"{len(alike)} patient(s) may have several names, which count as several patients: {examples}"
        )
    return notes


def _uses(roles: Roles, mapping: Mapping, view: pd.Series) -> tuple[tuple[str, str], ...]:
    """Column → what was made of it."""
    uses = {column: field for field, column in roles.fields.items()}
    uses |= {column: finding for finding, column in roles.findings.items()}
    uses |= dict.fromkeys(_special(mapping), "findings")
    uses |= dict.fromkeys(roles.others, "kept as it is (no label)")
    uses |= {column: f"kept as it is; {finding} is not declared" for column, finding in roles.beyond.items()}
    uses |= dict.fromkeys(mapping.ignore, "left out, as the mapping says")
    return tuple(uses.items())

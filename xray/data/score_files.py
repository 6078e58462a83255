"""A file of scores, read and brought into the order of a cohort; nothing is stored.

A file (CSV, TSV, xlsx, Parquet) has a row per image, per study, or per image and finding. What does not fit the cohort is
counted, with examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit
from sqlalchemy import Connection, text

from db.findings import all_findings
from xray import csv_cells
from xray.data.mapping.model import Mapping, own_words
from xray.data.named_cohorts import Cohort
from xray.data.registered import dataset_id
from xray.data.score_tables import (
    EXPECTED,
    Scale,
    by_image,
    doubt,
    hint,
    long_columns,
    renamed,
    study_column,
    to_numbers,
    widened,
)
from xray.data.score_tables import outside as outside_scale
from xray.data.spelling import spelled
from xray.data.tables import read_table
from xray.data.task_columns import task_columns
from xray.errors import PredictionsError
from xray.names import plain

Scores = NDArray[np.float64]

LOGIT_OF_0, LOGIT_OF_1 = -746.0, 37.5
"""Stored for probabilities of just 0 and 1, whose logits are infinite: beyond those of their neighbours, so order holds."""
_IMAGE: Final = ("image", "imageid")
_KEYS: Final = ("model", "dataset", "site", "protocol", "part")
_SHOWN: Final = 3


@dataclass
class Table:
    """A file's rows: image names, and the row's place in the file for messages.

    mapped: finding → the file's own word, where a mapping file says what it means.
    """

    name: str
    frame: pd.DataFrame
    lines: NDArray[np.int64]
    notes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    mapped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manner:
    """What the numbers of a file are, whether a score may be missing, and what its columns and words are."""

    kind: Scale
    nan_ok: bool
    mapping: Mapping | None


@dataclass(frozen=True)
class Aligned:
    """A file's scores in the order of a cohort: logits (n_images, n_columns), NaN where there is none.

    image: the column of images; columns: finding → the file's column, in the order of `scores`. What is wrong with the file,
    and what was left out, stands in `table`.
    """

    table: Table
    image: str
    columns: dict[str, str]
    scores: Scores
    manner: Manner


def aligned_scores(
    connection: Connection,
    path: Path,
    cohort: Cohort,
    manner: Manner,
    *,
    ignore_unknown: bool = False,
    from_model: str | None = None,
    image_column: str | None = None,
    findings: Sequence[str] = (),
) -> Aligned:
    """Read a file of scores of a cohort's images. Options as in `prediction_files.import_predictions`; nothing is stored.

    Raises `PredictionsError` where it can't be read as a table of scores.
    """
    mapping = manner.mapping
    table = _read(path, mapping)
    _choose_rows(table, cohort, from_model)
    own, faults = own_words(mapping or Mapping(), "mapping")
    among = [*all_findings(connection), *spelled(connection, [*findings, *own.values()])]
    table.wrong += faults
    column = _shape(connection, table, cohort, mapping, own, among, image_column)
    columns = _score_columns(table, column, among)
    rows = _match(connection, table, column, columns, cohort, ignore_unknown=ignore_unknown)
    scores = logits_of_rows(table, column, columns, rows, manner)
    _check_missing(table, cohort, rows, manner.nan_ok)
    return Aligned(table, column, columns, scores, manner)


def to_logits(probabilities: Scores) -> Scores:
    """Logits of probabilities in [0, 1]; those of 0 and 1 are `LOGIT_OF_0` and `LOGIT_OF_1`. NaN stays."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logits: Scores = np.clip(logit(probabilities), LOGIT_OF_0, LOGIT_OF_1)
    return logits


def _read(path: Path, mapping: Mapping | None = None) -> Table:
    """CSV, a workbook or Parquet, told by the content."""
    source = read_table(path, mapping.layout if mapping else None, PredictionsError, typed=True)
    text_cells = len(source.frame) and source.about != "Parquet"
    frame = source.frame.apply(csv_cells.plain_column) if text_cells else source.frame
    table = Table(source.name, frame, source.lines)
    quarantine = source.quarantine
    examples = [f"row {entry.row}: {entry.reason}" for entry in quarantine[:_SHOWN]]
    _count(table, len(quarantine), "row(s) can't be read", examples)
    return table


def _shape(
    connection: Connection,
    table: Table,
    cohort: Cohort,
    mapping: Mapping | None,
    words: dict[str, str],
    among: Sequence[str],
    image_column: str | None,
) -> str:
    """Bring the table to a row per image and a column per finding; the column of images.

    words: the mapping's, → findings. among: the findings that there are.
    """
    mapped = mapping.columns if mapping is not None else {}
    names = [plain(str(name)) for name in table.frame.columns]
    image_heading = image_column or mapped.get("image")
    study = study_column(table.frame, mapping)
    of_studies = image_heading is None and study is not None and not set(names) & set(_IMAGE)
    key = study if of_studies and study is not None else _image_column(table, image_heading)
    long = long_columns(table.frame, mapping, among)
    if long is not None:
        table.frame, table.lines, faults = widened(table.frame, table.lines, key, *long)
        table.wrong += faults
    table.frame, table.mapped, faults = renamed(table.frame, words, key)
    table.wrong += faults
    if not of_studies:
        return key
    number = dataset_id(connection, cohort.dataset)
    table.frame, table.lines = by_image(connection, number, table.frame, table.lines, key)
    return "image"


def _image_column(table: Table, heading: str | None) -> str:
    names = list(table.frame.columns)
    matches = [name for name in names if (name == heading if heading else plain(name) in _IMAGE)]
    if len(matches) != 1:
        expected = repr(heading) if heading else "image or image_id"
        raise PredictionsError(
            f"{table.name}: expected one column {expected} with the images' names (--image-column says which), found "
            f"{', '.join(map(repr, matches or names[:8]))}"
        )
    table.frame[matches[0]] = table.frame[matches[0]].astype(str).str.strip()
    return matches[0]


def _choose_rows(table: Table, cohort: Cohort, from_model: str | None) -> None:
    """Keep the rows of the cohort's dataset and site, and of one model, where the file has columns of these names."""
    column_of = {plain(name): name for name in table.frame.columns}
    for key, value in (("dataset", cohort.dataset), ("site", cohort.site), ("model", from_model)):
        if key not in column_of:
            if key == "model" and from_model is not None:
                raise PredictionsError(f"{table.name}: there is no column model to find {from_model!r} in")
            continue
        cells = table.frame[column_of[key]].astype(str)
        values = sorted(cells.unique())
        if value is None:
            if len(values) > 1:
                raise PredictionsError(
                    f"{table.name}: holds scores of {len(values)} models, {some(values)}: say --from-model"
                )
            continue
        of_value = (cells == value).to_numpy()
        if not of_value.any():
            raise PredictionsError(f"{table.name}: no row has {value!r} as its {key}; found {some(values)}")
        if not of_value.all():
            table.notes.append(f"{int((~of_value).sum())} row(s) of another {key} left out")
        table.frame, table.lines = table.frame[of_value].reset_index(drop=True), table.lines[of_value]


def _score_columns(table: Table, image: str, among: Sequence[str]) -> dict[str, str]:
    keys = {image, *(name for name in table.frame.columns if plain(name) in _KEYS)}
    columns, other_columns, faults = task_columns(
        [name for name in table.frame.columns if name not in keys], among
    )
    table.wrong += faults
    if not columns:
        raise PredictionsError(f"{table.name}: no column is a task; expected some of {', '.join(among)}")
    if other_columns:
        table.notes.append(f"{len(other_columns)} column(s) that are no task left out: {some(other_columns)}")
    return columns


def _dataset_images(connection: Connection, dataset: str) -> list[str]:
    names = text(
        "select image.name from dataset join image_list on image_list.id = dataset.image_list_id"
        " cross join lateral unnest(image_list.image_ids) as listed (image_id)"
        " join image on image.id = listed.image_id where dataset.name = :name"
    )
    return list(connection.scalars(names, {"name": dataset}))


def _match(
    connection: Connection,
    table: Table,
    image: str,
    columns: dict[str, str],
    cohort: Cohort,
    *,
    ignore_unknown: bool,
) -> NDArray[np.int64]:
    """The row of the file for each image of the cohort, (n_images,); -1 where there is none."""
    names, cohort_names = table.frame[image], pd.Index(cohort.images, dtype="str")
    first = places(cohort_names, cohort_names)  # an image may stand in a cohort several times
    position = places(names, cohort_names)
    outside = np.flatnonzero(position < 0)
    if len(outside):
        _note_outside(connection, table, names, outside, cohort, ignore_unknown=ignore_unknown)
    matched = np.flatnonzero(position >= 0)
    _check_doubled(table, image, columns, matched, position[matched])
    row = np.full(len(cohort_names), -1, dtype=np.int64)
    row[position[matched]] = matched
    return row[first]


def places(names: Any, cohort_names: "pd.Index[Any]") -> NDArray[np.int64]:
    """Where each name stands first in a list (n_names,), -1 where it doesn't."""
    import pyarrow
    from pyarrow import compute

    of, among = (pyarrow.array(values, type=pyarrow.large_string()) for values in (names, cohort_names))
    positions: NDArray[np.int64] = compute.index_in(of, value_set=among).fill_null(-1).to_numpy(False)
    return positions.astype(np.int64)


def _note_outside(
    connection: Connection,
    table: Table,
    names: "pd.Series[Any]",
    outside: NDArray[np.int64],
    cohort: Cohort,
    *,
    ignore_unknown: bool,
) -> None:
    """Rows of images that are not of the cohort: of another part of the dataset, or unknown, which is wrong."""
    images = _dataset_images(connection, cohort.dataset)
    unknown = outside[places(names.iloc[outside], pd.Index(images, dtype="str")) < 0]
    if len(unknown) and ignore_unknown:
        table.notes.append(f"{len(unknown)} row(s) of images unknown to {cohort.dataset} left out")
    elif len(unknown):
        stems = {Path(name).stem: name for name in images}
        alike = next((n for n in names.iloc[unknown] if Path(n).stem in stems), None)
        hint = f"; {alike!r} looks like {stems[Path(alike).stem]!r}" if alike is not None else ""
        _count(
            table,
            len(unknown),
            f"row(s) name images that {cohort.dataset} does not have (--ignore-unknown leaves them out)",
            [f"{names.iloc[k]!r} in row {table.lines[k]}" for k in unknown[:_SHOWN]],
            hint,
        )
    n_other_parts = len(outside) - len(unknown)
    if n_other_parts:
        table.notes.append(f"{n_other_parts} row(s) are of images of {cohort.dataset} outside {cohort}")


def _check_doubled(
    table: Table, image: str, columns: dict[str, str], matched: NDArray[np.int64], position: NDArray[np.int64]
) -> None:
    """Several rows of an image must say the same. position: (n_matched,) of the rows' images in the cohort."""
    doubled = matched[np.bincount(position)[position] > 1] if len(position) else matched
    if len(doubled):
        scores = table.frame.iloc[doubled][[image, *columns.values()]]
        rows = scores.drop_duplicates()[image].value_counts()
        different = rows[rows > 1]
        _count(
            table,
            len(different),
            "image(s) stand in several rows with different scores",
            [repr(name) for name in different.index[:_SHOWN]],
        )


@dataclass
class _Wrong:
    """Scores with one kind of fault: how many, and the first few in words."""

    n: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, is_wrong: NDArray[np.bool_], column: str, images: Any, cells: Any) -> None:
        """Those of a column, where `is_wrong` (n_rows,) is set."""
        self.n += int(is_wrong.sum())
        self.examples += [
            f"{column} of {images.iloc[k]!r} is {cells.iloc[k]!r}"
            for k in np.flatnonzero(is_wrong)[: _SHOWN - len(self.examples)]
        ]


def logits_of_rows(
    table: Table, image: str, columns: dict[str, str], rows: NDArray[np.int64], manner: Manner
) -> Scores:
    """Logits (n_images, n_columns) in the cohort's order: NaN without a row, a value, or a column. Notes what is wrong."""
    logits = np.full((len(rows), len(columns)), np.nan)
    images_with_row = np.flatnonzero(rows >= 0)
    file_rows = rows[images_with_row]
    images = table.frame[image].iloc[file_rows]
    words, outside, empty, ends, untrained = _Wrong(), _Wrong(), _Wrong(), 0, []
    kind = manner.kind
    highest: list[Scores] = []
    for column_index, column in enumerate(columns.values()):
        cells = to_numbers(table.frame[column].iloc[file_rows], kind, manner.mapping)
        values, is_word = _numbers(cells)
        words.add(is_word, column, images, cells)
        if not is_word.any() and np.isnan(values).all():
            untrained.append(column)
            continue
        empty.add(np.isnan(values) & ~is_word, column, images, cells)
        is_outside = outside_scale(values, kind)
        outside.add(is_outside, column, images, cells)
        highest.append(values)
        if kind in ("probability", "percent", "call"):
            values = values / 100 if kind == "percent" else values
            ends += int(((values == 0) | (values == 1)).sum())
            values = to_logits(np.where(is_outside, np.nan, values))
        logits[images_with_row, column_index] = values
    _count(table, words.n, "score(s) are no numbers", words.examples)
    expected = EXPECTED[kind] + (hint(np.concatenate(highest), kind) if highest else "")
    _count(table, outside.n, f"score(s) are outside what is expected, {expected}", outside.examples)
    if empty.n and not manner.nan_ok:
        text = "score(s) are empty or NaN (--missing-as-nan takes them as not scored)"
        _count(table, empty.n, text, empty.examples)
    elif empty.n:
        table.notes.append(f"{empty.n} score(s) that are empty or NaN taken as not scored")
    if untrained:
        table.notes.append(
            f"{len(untrained)} task(s) without any score taken as never trained: {some(untrained)}"
        )
    if ends and kind != "call":
        table.notes.append(f"{ends} probability(ies) of just 0 or 1: which of them is higher is not known")
    table.notes += doubt(logits, kind)
    return logits


def _numbers(cells: "pd.Series[Any]") -> tuple[Scores, NDArray[np.bool_]]:
    """Values (n,), NaN where a cell is empty or no number; and where it is a word."""
    values = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return values, np.zeros(len(values), dtype=bool)
    plain = cells.fillna("").astype(str).str.strip().str.lower()
    return values, np.isnan(values) & ~plain.isin({"", "nan", "na", "n/a", "null", "none"}).to_numpy()


def _check_missing(table: Table, cohort: Cohort, rows: NDArray[np.int64], nan_ok: bool) -> None:
    missing = np.flatnonzero(rows < 0)
    if len(missing) and nan_ok:
        table.notes.append(f"{len(missing)} of {len(rows)} images not in the file: taken as not scored")
    else:
        _count(
            table,
            len(missing),
            f"of the {len(rows)} images of {cohort} are missing (--missing-as-nan takes them as not scored)",
            [repr(cohort.images[int(position)]) for position in missing[:_SHOWN]],
        )


def _count(table: Table, n: int, fault: str, examples: Sequence[str], hint: str = "") -> None:
    """Note `n` things that are wrong, where there are any; `examples` are the first of them."""
    if n:
        table.wrong.append(f"{n} {fault}: {some(examples, n)}{hint}")


def some(values: Sequence[str], n: int | None = None) -> str:
    """The first few of `n` values (default: of these)."""
    more = (len(values) if n is None else n) - _SHOWN
    return ", ".join(map(str, values[:_SHOWN])) + (f" and {more} more" if more > 0 else "")

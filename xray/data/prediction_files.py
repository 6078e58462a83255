"""Scores made elsewhere, read from a file into the store.

A file (CSV, TSV, xlsx, Parquet) has a row per image, per study, or per image and finding. What does not fit the cohort is
counted, with examples, and nothing is stored then. Scores of images outside it are kept for the cohorts that they fill.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit
from sqlalchemy import Connection, select, text

from db.findings import all_findings, finding_ids
from db.queries import query
from db.schema import Evaluation
from db.store import read_logits, write_evaluation
from xray import csv_cells
from xray.data.foreign_models import ForeignModel, add_foreign, find_foreign, say_trained_on
from xray.data.mapping.model import Mapping, own_words
from xray.data.protocol import load_protocol
from xray.data.registered import dataset_id
from xray.data.score_origin import origin_of
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
from xray.errors import DataError, PredictionsError
from xray.findings import in_order
from xray.names import plain

Kind = Literal["logit", "probability"]
Scores = NDArray[np.float64]

LOGIT_OF_0, LOGIT_OF_1 = -746.0, 37.5
"""Stored for probabilities of just 0 and 1, whose logits are infinite: beyond those of their neighbours, so order holds."""
_IMAGE: Final = ("image", "imageid")
_KEYS: Final = ("model", "dataset", "site", "protocol", "part")
_SHOWN: Final = 3


@dataclass(frozen=True)
class Cohort:
    """A frozen cohort by its names, and the names of its images in order."""

    id: int
    image_list_id: int
    dataset: str
    site: str
    protocol: str
    part: str
    images: Sequence[str]

    def __str__(self) -> str:
        return f"{self.dataset}/{self.protocol}/{self.part}"


@dataclass(frozen=True)
class Imported:
    """What an import did. new: whether scores were written now (else the same ones were there). notes: what was left out."""

    model: str
    cohort: str
    n_images: int
    n_missing: int
    tasks: tuple[str, ...]
    new: bool
    notes: tuple[str, ...]


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


def find_cohort(connection: Connection, dataset: str, protocol: str, part: str) -> Cohort:
    """The cohort of a dataset under a protocol (a name or a TOML file). Raises `DataError` where none is frozen."""
    rules = load_protocol(protocol)
    given = {"dataset": dataset, "protocol": rules.name, "version": rules.version, "part": part}
    row = connection.execute(text(query("cohort_found")), given).one_or_none()
    if row is None:
        known = connection.execute(text(query("cohorts"))).all()
        names = ", ".join(f"{each.dataset}/{each.protocol}/{each.part}" for each in known)
        raise DataError(f"there is no cohort {dataset}/{rules.name}/{part}; frozen: {names or 'none'}")
    names = connection.execute(text(query("cohort_names")), {"cohort_id": row.cohort_id}).one().names
    return Cohort(row.cohort_id, row.image_list_id, row.dataset, row.site, row.protocol, row.part, names)


def import_predictions(
    connection: Connection,
    path: Path,
    model: str,
    cohort: Cohort,
    kind: Scale,
    *,
    mapping: Mapping | None = None,
    missing_as_nan: bool = False,
    ignore_unknown: bool = False,
    from_model: str | None = None,
    image_column: str | None = None,
    trained_on: Sequence[str] | None = None,
    citation: str | None = None,
    findings: Sequence[str] = (),
) -> Imported:
    """Store the scores of a file as those of a foreign model on a cohort, which is made where it is new.

    missing_as_nan: images without a score are stored as not scored; otherwise they are refused. ignore_unknown: rows of
    images that the dataset does not have are left out. from_model: whose rows count, where the file has a column `model`.
    mapping: what the file's columns and words are. findings: declared beside those that the database knows, as those of the
    mapping are: a column with such a name has its scores.
    Raises `PredictionsError` that counts every mismatch, and leaves the database as it was.
    """
    read = aligned_scores(
        connection,
        path,
        cohort,
        Manner(kind, missing_as_nan, mapping),
        ignore_unknown=ignore_unknown,
        from_model=from_model,
        image_column=image_column,
        findings=findings,
    )
    table, columns, scores = read.table, read.columns, read.scores
    known = find_foreign(connection, model)
    trained: NDArray[np.bool_] = np.asarray(~np.isnan(scores).all(axis=0), dtype=bool)
    names = tuple(name for name, kept in zip(columns, trained.tolist(), strict=True) if kept)
    if not trained.any() and not table.wrong:
        table.wrong.append("there is no score of any task in it")
    if known is not None and not table.wrong:
        _check_model(table, known, names)
    if table.wrong:
        raise PredictionsError(
            f"{path.name}: nothing was imported to {model} on {cohort}: " + "; ".join(table.wrong)
        )
    logits = scores[:, trained].astype(np.float32)
    card = {
        "kind": "scores",
        **({"scale": kind} if kind in ("percent", "ordinal", "call") else {}),
        **({"citation": citation} if citation else {}),
    }
    if known is None:
        model_id = add_foreign(connection, model, card, names, trained_on)
    else:
        model_id = known.id
        say_trained_on(connection, model_id, trained_on)
    scored = {name: columns[name] for name in names}
    theirs = _Theirs(model, model_id, origin_of(path, kind, scored, table.mapped, from_model))
    new = _store(connection, theirs, cohort, logits, finding_ids(connection, names))
    _store_others(connection, table, read.image, scored, cohort, read.manner, theirs)
    n_missing = int(np.isnan(scores[:, trained]).all(axis=1).sum())
    return Imported(model, str(cohort), len(logits), n_missing, names, new, tuple(table.notes))


@dataclass(frozen=True)
class Aligned:
    """A file's scores in the order of a cohort: logits (n_images, n_columns), NaN where there is none.

    image: the column of images; columns: finding → the file's column, in the order of `scores`. What is wrong with the file,
    and what was left out, stands in `table`.
    """

    table: "Table"
    image: str
    columns: dict[str, str]
    scores: Scores
    manner: "Manner"


def aligned_scores(
    connection: Connection,
    path: Path,
    cohort: Cohort,
    manner: "Manner",
    *,
    ignore_unknown: bool = False,
    from_model: str | None = None,
    image_column: str | None = None,
    findings: Sequence[str] = (),
) -> Aligned:
    """Read a file of scores of a cohort's images. Options as in `import_predictions`; nothing is stored.

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
    scores = _scores(table, column, columns, rows, manner)
    _check_missing(table, cohort, rows, manner.nan_ok)
    return Aligned(table, column, columns, scores, manner)


def to_logits(probabilities: Scores) -> Scores:
    """Logits of probabilities in [0, 1]; those of 0 and 1 are `LOGIT_OF_0` and `LOGIT_OF_1`. NaN stays."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Scores = np.clip(logit(probabilities), LOGIT_OF_0, LOGIT_OF_1)
    return found


def _read(path: Path, mapping: Mapping | None = None) -> Table:
    """CSV, a workbook or Parquet, told by the content."""
    read = read_table(path, mapping.layout if mapping else None, PredictionsError, typed=True)
    text_cells = len(read.frame) and read.about != "Parquet"
    frame = read.frame.apply(csv_cells.plain_column) if text_cells else read.frame
    table = Table(read.name, frame, read.lines)
    bad = read.quarantine
    examples = [f"row {each.row}: {each.reason}" for each in bad[:_SHOWN]]
    _count(table, len(bad), "row(s) can't be read", examples)
    return table


def _shape(
    connection: Connection,
    table: Table,
    cohort: Cohort,
    mapping: Mapping | None,
    own: dict[str, str],
    among: Sequence[str],
    image_column: str | None,
) -> str:
    """Bring the table to a row per image and a column per finding; the column of images.

    own: words → findings of the mapping. among: the findings that there are.
    """
    mapped = mapping.columns if mapping is not None else {}
    names = [plain(str(name)) for name in table.frame.columns]
    wanted = image_column or mapped.get("image")
    study = study_column(table.frame, mapping)
    of_studies = wanted is None and study is not None and not set(names) & set(_IMAGE)
    key = study if of_studies and study is not None else _image_column(table, wanted)
    long = long_columns(table.frame, mapping, among)
    if long is not None:
        table.frame, table.lines, wrong = widened(table.frame, table.lines, key, *long)
        table.wrong += wrong
    table.frame, table.mapped, wrong = renamed(table.frame, own, key)
    table.wrong += wrong
    if not of_studies:
        return key
    number = dataset_id(connection, cohort.dataset)
    table.frame, table.lines = by_image(connection, number, table.frame, table.lines, key)
    return "image"


@dataclass(frozen=True)
class Manner:
    """What the numbers of a file are, whether a score may be missing, and what its columns and words are."""

    kind: Scale
    nan_ok: bool
    mapping: Mapping | None


@dataclass(frozen=True)
class _Theirs:
    """Whose scores are stored, and where they come from."""

    name: str
    id: int
    origin: dict[str, Any]


def _store_others(
    connection: Connection,
    table: Table,
    image: str,
    columns: dict[str, str],
    cohort: Cohort,
    manner: Manner,
    theirs: _Theirs,
) -> None:
    """Keep the scores of images outside the cohort for the other cohorts of the dataset that they fill, and say so."""
    ids = finding_ids(connection, tuple(columns))
    for other in _other_cohorts(connection, cohort):
        place = _places(pd.Series(other.images, dtype="str"), pd.Index(table.frame[image], dtype="str"))
        n = int((place >= 0).sum())
        if not n:
            continue
        quiet = Table(table.name, table.frame, table.lines)
        scores = _scores(quiet, image, columns, place, manner)
        if quiet.wrong or n < len(place):
            table.notes.append(
                f"{n} of the {len(place)} images of {other} have scores: not kept, as they must all have them (import the "
                f"file with --protocol {other.protocol} --part {other.part} --missing-as-nan to keep them)"
            )
            continue
        try:
            _store(connection, theirs, other, scores.astype(np.float32), ids)
        except PredictionsError:
            table.notes.append(
                f"{n} scored images of {other} not kept: {theirs.name} has other scores of them already"
            )
        else:
            table.notes.append(f"{n} scored images kept for {other} too")


def _other_cohorts(connection: Connection, cohort: Cohort) -> list[Cohort]:
    """The other cohorts of the dataset with another list of images, under any protocol."""
    rows = connection.execute(text(query("cohorts_beside")), {"cohort_id": cohort.id}).all()
    names = text(query("cohort_names"))
    return [
        Cohort(
            row.cohort_id,
            row.image_list_id,
            cohort.dataset,
            cohort.site,
            row.protocol,
            row.part,
            connection.execute(names, {"cohort_id": row.cohort_id}).one().names,
        )
        for row in rows
    ]


def _image_column(table: Table, wanted: str | None) -> str:
    names = list(table.frame.columns)
    found = [name for name in names if (name == wanted if wanted else plain(name) in _IMAGE)]
    if len(found) != 1:
        expected = repr(wanted) if wanted else "image or image_id"
        raise PredictionsError(
            f"{table.name}: expected one column {expected} with the images' names (--image-column says which), found "
            f"{', '.join(map(repr, found or names[:8]))}"
        )
    table.frame[found[0]] = table.frame[found[0]].astype(str).str.strip()
    return found[0]


def _choose_rows(table: Table, cohort: Cohort, from_model: str | None) -> None:
    """Keep the rows of the cohort's dataset and site, and of one model, where the file has columns of these names."""
    named = {plain(name): name for name in table.frame.columns}
    for key, wanted in (("dataset", cohort.dataset), ("site", cohort.site), ("model", from_model)):
        if key not in named:
            if key == "model" and from_model is not None:
                raise PredictionsError(f"{table.name}: there is no column model to find {from_model!r} in")
            continue
        cells = table.frame[named[key]].astype(str)
        values = sorted(cells.unique())
        if wanted is None:
            if len(values) > 1:
                raise PredictionsError(
                    f"{table.name}: holds scores of {len(values)} models, {_some(values)}: say --from-model"
                )
            continue
        mine = (cells == wanted).to_numpy()
        if not mine.any():
            raise PredictionsError(f"{table.name}: no row has {wanted!r} as its {key}; found {_some(values)}")
        if not mine.all():
            table.notes.append(f"{int((~mine).sum())} row(s) of another {key} left out")
        table.frame, table.lines = table.frame[mine].reset_index(drop=True), table.lines[mine]


def _score_columns(table: Table, image: str, among: Sequence[str]) -> dict[str, str]:
    keys = {image, *(name for name in table.frame.columns if plain(name) in _KEYS)}
    columns, others, wrong = task_columns([name for name in table.frame.columns if name not in keys], among)
    table.wrong += wrong
    if not columns:
        raise PredictionsError(f"{table.name}: no column is a task; expected some of {', '.join(among)}")
    if others:
        table.notes.append(f"{len(others)} column(s) that are no task left out: {_some(others)}")
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
    names, listed = table.frame[image], pd.Index(cohort.images, dtype="str")
    first = _places(listed, listed)  # an image may stand in a cohort several times
    place = _places(names, listed)
    outside = np.flatnonzero(place < 0)
    if len(outside):
        _note_outside(connection, table, names, outside, cohort, ignore_unknown=ignore_unknown)
    mine = np.flatnonzero(place >= 0)
    _check_doubled(table, image, columns, mine, place[mine])
    row = np.full(len(listed), -1, dtype=np.int64)
    row[place[mine]] = mine
    return row[first]


def _places(names: Any, listed: "pd.Index[Any]") -> NDArray[np.int64]:
    """Where each name stands first in a list (n_names,), -1 where it doesn't."""
    import pyarrow
    from pyarrow import compute

    of, among = (pyarrow.array(each, type=pyarrow.large_string()) for each in (names, listed))
    found: NDArray[np.int64] = compute.index_in(of, value_set=among).fill_null(-1).to_numpy(False)
    return found.astype(np.int64)


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
    unknown = outside[_places(names.iloc[outside], pd.Index(images, dtype="str")) < 0]
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
    known = len(outside) - len(unknown)
    if known:
        table.notes.append(f"{known} row(s) are of images of {cohort.dataset} outside {cohort}")


def _check_doubled(
    table: Table, image: str, columns: dict[str, str], mine: NDArray[np.int64], place: NDArray[np.int64]
) -> None:
    """Several rows of an image must say the same. place: (n_mine,) of the rows' images in the cohort."""
    doubled = mine[np.bincount(place)[place] > 1] if len(place) else mine
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
    """Scores that are wrong in one way: how many, and the first few in words."""

    n: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, places: NDArray[np.bool_], column: str, images: Any, cells: Any) -> None:
        """Those of a column, where `places` (n_rows,) is set."""
        self.n += int(places.sum())
        self.examples += [
            f"{column} of {images.iloc[k]!r} is {cells.iloc[k]!r}"
            for k in np.flatnonzero(places)[: _SHOWN - len(self.examples)]
        ]


def _scores(
    table: Table, image: str, columns: dict[str, str], rows: NDArray[np.int64], manner: "Manner"
) -> Scores:
    """Logits (n_images, n_columns) in the cohort's order: NaN without a row, a value, or a column. Notes what is wrong."""
    found = np.full((len(rows), len(columns)), np.nan)
    there = np.flatnonzero(rows >= 0)
    used = rows[there]
    images = table.frame[image].iloc[used]
    words, outside, empty, ends, untrained = _Wrong(), _Wrong(), _Wrong(), 0, []
    kind = manner.kind
    highest: list[Scores] = []
    for place, column in enumerate(columns.values()):
        cells = to_numbers(table.frame[column].iloc[used], kind, manner.mapping)
        values, is_word = _numbers(cells)
        words.add(is_word, column, images, cells)
        if not is_word.any() and np.isnan(values).all():
            untrained.append(column)
            continue
        empty.add(np.isnan(values) & ~is_word, column, images, cells)
        bad = outside_scale(values, kind)
        outside.add(bad, column, images, cells)
        highest.append(values)
        if kind in ("probability", "percent", "call"):
            values = values / 100 if kind == "percent" else values
            ends += int(((values == 0) | (values == 1)).sum())
            values = to_logits(np.where(bad, np.nan, values))
        found[there, place] = values
    _count(table, words.n, "score(s) are no numbers", words.examples)
    expected = EXPECTED[kind] + (hint(np.concatenate(highest), kind) if highest else "")
    _count(table, outside.n, f"score(s) are outside what is expected, {expected}", outside.examples)
    if empty.n and not manner.nan_ok:
        what = "score(s) are empty or NaN (--missing-as-nan takes them as not scored)"
        _count(table, empty.n, what, empty.examples)
    elif empty.n:
        table.notes.append(f"{empty.n} score(s) that are empty or NaN taken as not scored")
    if untrained:
        table.notes.append(
            f"{len(untrained)} task(s) without any score taken as never trained: {_some(untrained)}"
        )
    if ends and kind != "call":
        table.notes.append(f"{ends} probability(ies) of just 0 or 1: which of them is higher is not known")
    table.notes += doubt(found, kind)
    return found


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
            [repr(cohort.images[int(place)]) for place in missing[:_SHOWN]],
        )


def _check_model(table: Table, known: ForeignModel, findings: Sequence[str]) -> None:
    if known.has_file:
        table.wrong.append(
            f"{known.name} has its file here and is scored by it; give these scores another name"
        )
    elif set(findings) != set(known.findings):
        differ = in_order(set(findings) ^ set(known.findings))
        table.wrong.append(
            f"{known.name} has other tasks in its earlier files: {_some(differ)}; give another --model"
        )


def _store(
    connection: Connection,
    theirs: _Theirs,
    cohort: Cohort,
    logits: NDArray[np.float32],
    tasks: Sequence[int],
) -> bool:
    """Write the scores; False where the same ones are there. Raises `PredictionsError` where others are."""
    made = write_evaluation(
        connection, theirs.id, cohort.image_list_id, logits, tasks, provenance=theirs.origin
    )
    if made is not None:
        return True
    found = connection.execute(
        select(Evaluation.id).where(
            Evaluation.model_id == theirs.id, Evaluation.image_list_id == cohort.image_list_id
        )
    ).scalar_one()
    if not np.array_equal(read_logits(connection, found, tasks), logits.T, equal_nan=True):
        raise PredictionsError(
            f"{theirs.name} has other scores of the images of {cohort} already; give another --model, or drop it: "
            f"xray model remove {theirs.name}"
        )
    return False


def _count(table: Table, n: int, what: str, examples: Sequence[str], hint: str = "") -> None:
    """Note `n` things that are wrong, where there are any; `examples` are the first of them."""
    if n:
        table.wrong.append(f"{n} {what}: {_some(examples, n)}{hint}")


def _some(values: Sequence[str], n: int | None = None) -> str:
    """The first few of `n` values (default: of these)."""
    more = (len(values) if n is None else n) - _SHOWN
    return ", ".join(map(str, values[:_SHOWN])) + (f" and {more} more" if more > 0 else "")

"""Scores as a vendor's product writes them, as a table with a row per image and a column per finding.

What differs is the shape (a row per finding, or per study), the names of findings, and the scale of the numbers.
"""

from collections.abc import Collection
from collections.abc import Mapping as Words
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from db.queries import query
from xray.data.mapping.model import Mapping
from xray.data.mapping.recognise import NAMES
from xray.errors import PredictionsError
from xray.findings import match
from xray.names import plain

Scale = Literal["probability", "logit", "percent", "ordinal", "call"]
SCALES: Final = get_args(Scale)
EXPECTED: Final[dict[str, str]] = {
    "probability": "probabilities from 0 to 1",
    "percent": "percentages from 0 to 100",
    "logit": "finite logits",
    "ordinal": "finite numbers",
    "call": "yes or no",
}
CALLS: Final = {
    word: 1.0 for word in ("1", "1.0", "yes", "y", "true", "positive", "pos", "present", "ja")
} | {word: 0.0 for word in ("0", "0.0", "no", "n", "false", "negative", "neg", "absent", "nein")}
_FINDING: Final = ("finding", "task", "label", "pathology", "class")
_SCORE: Final = ("score", "probability", "value", "confidence", "logit", "percent")


def to_numbers(cells: "pd.Series[Any]", scale: Scale, mapping: Mapping | None) -> "pd.Series[Any]":
    """Calls as 1 and 0 by their words, numbers with a decimal comma or a % with neither; other cells as they are."""
    if pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype):
        return cells
    plain_cells = cells.fillna("").astype(str).str.strip()
    if scale == "call":
        calls: Words[str, float] = CALLS
        if mapping is not None:
            calls = dict.fromkeys(map(str.lower, mapping.words.negative), 0.0) | dict.fromkeys(
                map(str.lower, mapping.words.positive), 1.0
            )
        return plain_cells.map(lambda cell: calls.get(cell.lower(), cell))
    if scale == "percent":
        plain_cells = plain_cells.str.removesuffix("%").str.strip()
    return plain_cells.str.replace(r"^([+-]?[0-9]*),([0-9]+)$", r"\1.\2", regex=True)


def outside(values: NDArray[np.float64], scale: Scale) -> NDArray[np.bool_]:
    """Which values (n,) can't be of this scale."""
    if scale in ("probability", "percent", "call"):
        return (values < 0) | (values > (100 if scale == "percent" else 1))
    with np.errstate(over="ignore"):
        return np.isinf(values.astype(np.float32))


def hint(values: NDArray[np.float64], scale: Scale) -> str:
    """Which other scale numbers may have."""
    numbers = values[~np.isnan(values)]
    if scale != "probability" or not len(numbers):
        return ""
    return (
        " (are they per cent? --kind percent)"
        if numbers.min() >= 0 and numbers.max() <= 100
        else " (is it --kind logit?)"
    )


def doubt(logits: NDArray[np.float64], scale: Scale, probability: str = "--kind probability") -> list[str]:
    """Notes where scores look like another scale, or can't be used for everything.

    probability: how one says that the scores are probabilities.
    """
    numbers = logits[~np.isnan(logits)]
    if not len(numbers):
        return []
    if scale == "logit" and numbers.min() >= 0 and numbers.max() <= 1:
        return [f"every logit is between 0 and 1: are they probabilities ({probability})?"]
    if scale == "logit" and numbers.min() >= 0:
        return [
            "no logit is below 0: are they percentages (--kind percent) or ordinal scores (--kind ordinal)?"
        ]
    if scale == "ordinal":
        return [
            "ordinal scores rank images and are no probabilities: calibration and net benefit mean nothing"
        ]
    if scale == "call":
        return ["calls of yes and no have one threshold: an AUC of them is that of a single point"]
    return []


def long_columns(
    frame: pd.DataFrame, mapping: Mapping | None, among: Collection[str]
) -> tuple[str, str] | None:
    """The columns of findings and of scores of a table with a row per finding; None of one with a column per finding."""
    if mapping is not None and mapping.long is not None:
        if mapping.long.value is None:
            raise PredictionsError("long: give value, the column with the scores")
        return mapping.long.finding, mapping.long.value
    names = {plain(str(name)): str(name) for name in frame.columns}
    finding = next((names[word] for word in _FINDING if word in names), None)
    score = next((names[word] for word in _SCORE if word in names), None)
    if finding is None or score is None or any(match(str(name), among) for name in frame.columns):
        return None
    return finding, score


def widened(
    frame: pd.DataFrame, lines: NDArray[np.int64], key: str, finding: str, score: str
) -> tuple[pd.DataFrame, NDArray[np.int64], list[str]]:
    """A row per image, a column per finding; the line of each image's first row; and what is wrong, in words."""
    absent = [name for name in (key, finding, score) if name not in frame.columns]
    if absent:
        raise PredictionsError(
            f"there is no column {absent[0]!r}; found: {', '.join(map(str, frame.columns))}"
        )
    cell, images = pd.factorize(frame[key].astype(str))
    kind, findings = pd.factorize(frame[finding].astype(str), sort=True)
    first_rows = _first_rows(cell, len(images))
    cell *= len(findings)  # in place, and the kinds go: each of these has a number per row
    cell += kind
    del kind
    first = _first_rows(cell, len(images) * len(findings))
    repeats = np.flatnonzero(first[cell] != np.arange(len(cell)))
    before, after = (
        frame[score].iloc[rows].reset_index(drop=True) for rows in (first[cell[repeats]], repeats)
    )
    differs = np.unique(cell[repeats[~((before == after) | (before.isna() & after.isna())).to_numpy(bool)]])
    faults = []
    if len(differs):
        name, of = images[differs[0] // len(findings)], findings[differs[0] % len(findings)]
        faults.append(f"{len(differs)} finding(s) of an image stand with several scores: {of} of {name!r}")
    row_of_cell = first.reshape(len(images), len(findings))
    scores = frame[score].array
    columns = {
        name: scores.take(rows, allow_fill=True) for name, rows in zip(findings, row_of_cell.T, strict=True)
    }
    return pd.DataFrame({key: images, **columns}), lines[first_rows], faults


def _first_rows(codes: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """The first row of each of n codes, (n,); -1 of one that no row has."""
    rows = np.full(n, -1)
    rows[codes[::-1]] = np.arange(
        len(codes) - 1, -1, -1
    )  # what stands in several rows is written last by the first
    return rows


def renamed(
    frame: pd.DataFrame, words: Words[str, str], keep: str
) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """The table with a mapping's own words for findings replaced by the findings; finding → word; and what is wrong."""
    of = {plain(word): finding for word, finding in words.items()}
    names = {
        str(name): of[plain(str(name))] for name in frame.columns if name != keep and plain(str(name)) in of
    }
    after = [names.get(str(name), str(name)) for name in frame.columns]
    doubled = sorted({name for name in names.values() if after.count(name) > 1})
    if doubled:
        return frame, {}, [f"several columns are {name}" for name in doubled]
    return frame.rename(columns=names), {finding: word for word, finding in names.items()}, []


def study_column(frame: pd.DataFrame, mapping: Mapping | None) -> str | None:
    """The column that names studies; None where there is none."""
    if mapping is not None and "study" in mapping.columns:
        return mapping.columns["study"]
    words = {plain(word) for word in NAMES["study"]}
    return next((str(name) for name in frame.columns if plain(str(name)) in words), None)


def by_image(
    connection: Connection, dataset_id: int, frame: pd.DataFrame, lines: NDArray[np.int64], study: str
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """The scores of each study given to each of its images in the dataset; studies that it lacks keep their own name.

    Raises `PredictionsError` where the dataset was registered without a column of studies.
    """
    from xray.data.native_columns import read_columns

    words = {plain(word) for word in (*NAMES["study"], study)}
    column = next((c for c in read_columns(connection, dataset_id) if plain(c.name) in words), None)
    if column is None:
        raise PredictionsError(
            f"the scores are of studies ({study}), and the dataset was registered without a column of studies"
        )
    images = [
        row.image for row in connection.execute(text(query("dataset_images")), {"dataset_id": dataset_id})
    ]
    images_of_studies = pd.DataFrame({"image": images, study: column.texts()})
    rows = frame.assign(**{study: frame[study].astype(str).str.strip()}, _line=lines)
    merged = rows.merge(images_of_studies, on=study, how="left")
    merged["image"] = merged["image"].fillna("study " + merged[study])
    return merged.drop(columns=[study, "_line"]), merged["_line"].to_numpy(np.int64)

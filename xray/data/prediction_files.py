"""Scores made elsewhere, read from a file into the store.

What does not fit the cohort is counted, with examples, and nothing is stored then (`score_files`). Scores of images outside
it are kept for the cohorts that they fill.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from db.findings import finding_ids
from db.schema import Evaluation
from db.store import read_logits, write_evaluation
from xray.data.foreign_models import ForeignModel, add_foreign, find_foreign, say_trained_on
from xray.data.mapping.model import Mapping
from xray.data.named_cohorts import Cohort, other_cohorts
from xray.data.score_files import Manner, Table, aligned_scores, logits_of_rows, places, some
from xray.data.score_origin import origin_of
from xray.data.score_tables import Scale
from xray.errors import PredictionsError
from xray.findings import in_order

Kind = Literal["logit", "probability"]


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
    registered = find_foreign(connection, model)
    trained: NDArray[np.bool_] = np.asarray(~np.isnan(scores).all(axis=0), dtype=bool)
    names = tuple(name for name, has_score in zip(columns, trained.tolist(), strict=True) if has_score)
    if not trained.any() and not table.wrong:
        table.wrong.append("there is no score of any task in it")
    if registered is not None and not table.wrong:
        _check_model(table, registered, names)
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
    if registered is None:
        model_id = add_foreign(connection, model, card, names, trained_on)
    else:
        model_id = registered.id
        say_trained_on(connection, model_id, trained_on)
    columns_with_scores = {name: columns[name] for name in names}
    origin_model = _ForeignModel(
        model, model_id, origin_of(path, kind, columns_with_scores, table.mapped, from_model)
    )
    new = _store(connection, origin_model, cohort, logits, finding_ids(connection, names))
    _store_others(connection, table, read.image, columns_with_scores, cohort, read.manner, origin_model)
    n_missing = int(np.isnan(scores[:, trained]).all(axis=1).sum())
    return Imported(model, str(cohort), len(logits), n_missing, names, new, tuple(table.notes))


@dataclass(frozen=True)
class _ForeignModel:
    """The model whose scores are stored, and their origin."""

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
    origin_model: _ForeignModel,
) -> None:
    """Keep the scores of images outside the cohort for the other cohorts of the dataset that they fill, and say so."""
    ids = finding_ids(connection, tuple(columns))
    for other in other_cohorts(connection, cohort):
        row_of_image = places(pd.Series(other.images, dtype="str"), pd.Index(table.frame[image], dtype="str"))
        n = int((row_of_image >= 0).sum())
        if not n:
            continue
        quiet = Table(table.name, table.frame, table.lines)
        scores = logits_of_rows(quiet, image, columns, row_of_image, manner)
        if quiet.wrong or n < len(row_of_image):
            table.notes.append(
                f"{n} of the {len(row_of_image)} images of {other} have scores: not kept, as they must all have them ("
                f"import the file with --protocol {other.protocol} --part {other.part} --missing-as-nan to keep them)"
            )
            continue
        try:
            _store(connection, origin_model, other, scores.astype(np.float32), ids)
        except PredictionsError:
            table.notes.append(
                f"{n} scored images of {other} not kept: {origin_model.name} has other scores of them already"
            )
        else:
            table.notes.append(f"{n} scored images kept for {other} too")


def _check_model(table: Table, registered: ForeignModel, findings: Sequence[str]) -> None:
    if registered.has_file:
        table.wrong.append(
            f"{registered.name} has its file here and is scored by it; give these scores another name"
        )
    elif set(findings) != set(registered.findings):
        differ = in_order(set(findings) ^ set(registered.findings))
        table.wrong.append(
            f"{registered.name} has other tasks in its earlier files: {some(differ)}; give another --model"
        )


def _store(
    connection: Connection,
    origin_model: _ForeignModel,
    cohort: Cohort,
    logits: NDArray[np.float32],
    tasks: Sequence[int],
) -> bool:
    """Write the scores; False where the same ones are there. Raises `PredictionsError` where others are."""
    new_id = write_evaluation(
        connection, origin_model.id, cohort.image_list_id, logits, tasks, provenance=origin_model.origin
    )
    if new_id is not None:
        return True
    evaluation_id = connection.execute(
        select(Evaluation.id).where(
            Evaluation.model_id == origin_model.id, Evaluation.image_list_id == cohort.image_list_id
        )
    ).scalar_one()
    if not np.array_equal(read_logits(connection, evaluation_id, tasks), logits.T, equal_nan=True):
        raise PredictionsError(
            f"{origin_model.name} has other scores of the images of {cohort} already; give another --model, or drop it: "
            f"xray model remove {origin_model.name}"
        )
    return False

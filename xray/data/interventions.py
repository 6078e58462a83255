"""Interventions in the store: scores of images that were changed on purpose, apart from all evaluations and results."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, insert, text

from db.copy import array, copy_in, copy_out, read_array, read_scalar, scalar
from db.queries import query
from db.schema import InterventionEvaluation
from xray.errors import DataError
from xray.pixels.changes import KINDS, VERSION

if TYPE_CHECKING:
    import pandas as pd

PIPELINE: Final = "pipeline"
"""The kind of scores that came in a file, of A's images through B's own pipeline."""
ALL_KINDS: Final = (*KINDS, PIPELINE)


@dataclass(frozen=True)
class Intervention:
    """Of which evaluation, towards which image list, what was changed by how much.

    images: how many were drawn by the seed, None for all. pictures: hash of what the pictures of both lists show.
    """

    evaluation_id: int
    target_list_id: int
    kind: str
    changes: dict[str, float]
    images: int | None
    seed: int
    pictures: str


@dataclass(frozen=True)
class StoredIntervention(Intervention):
    """One that is stored. is_current: whether pictures and the code that changes them are as they were."""

    id: int
    is_current: bool


def pictures_of(connection: Connection, image_lists: Sequence[int]) -> dict[int, str | None]:
    """Image list → a hash of what its pictures show; None where one has no picture here."""
    rows = connection.execute(text(query("pictures_of_lists")), {"image_lists": sorted(set(image_lists))})
    return {row.image_list_id: row.pictures for row in rows}


def of_both(first: str | None, second: str | None) -> str:
    """Hash of the pictures of two lists as `intervention_evaluation.pictures` has it."""
    return f"{first or 'none'} {second or 'none'}"


def stored_interventions(connection: Connection, evaluation_ids: Sequence[int]) -> list[StoredIntervention]:
    """Those on some evaluations, in the order in which they were made."""
    rows = connection.execute(text(query("interventions_of")), {"ids": list(evaluation_ids)}).all()
    lists = {number for row in rows for number in (row.image_list_id, row.target_list_id)}
    now = pictures_of(connection, list(lists)) if lists else {}
    return [
        StoredIntervention(
            row.evaluation_id,
            row.target_list_id,
            row.kind,
            row.changes,
            row.images,
            row.seed,
            row.pictures,
            row.intervention_id,
            row.pictures == of_both(now.get(row.image_list_id), now.get(row.target_list_id))
            and (row.version == VERSION or row.kind == PIPELINE),
        )
        for row in rows
    ]


def put_intervention(
    connection: Connection,
    intervention: Intervention,
    logits: NDArray[np.float32],
    tasks: Sequence[int],
    provenance: dict[str, Any],
) -> int:
    """Store logits (n_images, n_tasks) of tasks (ids) in the order of the evaluation's image list; the id.

    It takes the place of an earlier one of the same evaluation, target and kind. The caller's transaction makes it whole.
    """
    table = InterventionEvaluation
    parameters = {"id": intervention.evaluation_id}
    connection.execute(text("select id from evaluation where id = :id for update"), parameters)
    connection.execute(
        delete(table).where(
            table.evaluation_id == intervention.evaluation_id,
            table.target_list_id == intervention.target_list_id,
            table.kind == intervention.kind,
        )
    )
    values = {**vars(intervention), "version": VERSION, "provenance": provenance}
    number = connection.execute(insert(table).values(values).returning(table.id)).scalar_one()
    rows = (
        (scalar(number, "int4"), scalar(task, "int2"), array(logits[:, column], "float4"))
        for column, task in enumerate(tasks)
    )
    copy_in(connection, "intervention_score", ("intervention_id", "task_id", "logits"), rows)
    return number


def changed_logits(connection: Connection, ids: Sequence[int], tasks: Sequence[int]) -> NDArray[np.float64]:
    """Mean logits (n_images, n_tasks) of several interventions on the same images, such as of seeds: the ensemble's.

    NaN where one has no score. Raises `DataError` where one is not stored.
    """
    total: NDArray[np.float64] | None = None
    for number in ids:
        columns = {
            read_scalar(task): read_array(vector, "float4")
            for task, vector in copy_out(connection, query("intervention_logits"), intervention_id=number)
            if task is not None and vector is not None
        }
        if not columns:
            raise DataError(f"there is no intervention {number}")
        blank = np.full(len(next(iter(columns.values()))), np.nan)
        scores = np.stack([columns.get(task, blank) for task in tasks], axis=1).astype(np.float64)
        total = scores if total is None else total + scores
    if total is None:
        raise DataError("no intervention was asked for")
    return total / len(ids)


def intervention_scores(
    connection: Connection, study: str, trained_on: str, test_dataset: str, target_dataset: str, kind: str
) -> "pd.DataFrame":
    """What an intervention did to every score: columns task, image, patient, label, before, after.

    test_dataset: A, whose images they are; target_dataset: B, whose pictures they were made to look like. before, after:
    mean logits over the seeds of the configuration. label: 1, 0 or None. A row per finding and image that was scored again.
    """
    import pandas as pd

    parameters = {
        "study": study,
        "trained_on": trained_on,
        "test_dataset": test_dataset,
        "target_dataset": target_dataset,
        "kind": kind,
    }
    rows = connection.execute(text(query("intervention_scores")), parameters)
    return pd.DataFrame(rows.all(), columns=list(rows.keys()))

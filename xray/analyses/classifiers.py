"""The last layer of models with a head per dataset: the vectors of each (dataset, task), stored with the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from db.queries import query
from xray.analyses.stored import StoredStudy


@dataclass(frozen=True)
class Heads:
    """The outputs of one model that belong to one dataset each: row k of weights (n_outputs, n_features) is of keys[k].

    keys: (dataset_id, position of the task in the study's list).
    """

    model_id: int
    trained_on: str
    seed: int
    keys: tuple[tuple[int, int], ...]
    weights: NDArray[np.float64]


def load(connection: Connection, study: StoredStudy) -> list[Heads]:
    """The models of a study that have a head per dataset, of two datasets at least."""
    column_of = {number: position for position, number in enumerate(study.task_ids)}
    rows_of: dict[int, list[Any]] = {}
    for row in connection.execute(text(query("study_classifiers")), {"study_id": study.id}):
        if row.task_id in column_of:
            rows_of.setdefault(row.model_id, []).append(row)
    heads = [
        Heads(
            model,
            rows[0].trained_on,
            rows[0].seed,
            tuple((row.dataset_id, column_of[row.task_id]) for row in rows),
            np.array([row.weights for row in rows], dtype=np.float64),
        )
        for model, rows in rows_of.items()
    ]
    return [model_heads for model_heads in heads if len({dataset for dataset, _ in model_heads.keys}) > 1]


def state(connection: Connection, study: StoredStudy) -> Sequence[Any]:
    """What the results come from beside the evaluations: which models have such heads."""
    statement = (
        "select classifier.model_id, count(*) from study_model join classifier on classifier.model_id = study_model.model_id"
        " where study_model.study_id = :study_id and classifier.dataset_id is not null group by 1 order by 1"
    )
    return [list(row) for row in connection.execute(text(statement), {"study_id": study.id})]

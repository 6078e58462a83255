"""Operating points that makers of models declare: a threshold for a finding, kept in the model's card."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, text

from db.queries import query
from xray.data.foreign_models import get_foreign
from xray.data.prediction_files import Kind, to_logits
from xray.data.task_columns import task_of
from xray.errors import ForeignModelError
from xray.names import unknown
from xray.tasks import TASK_INDEX, TASKS

KEY: Final = "operating_points"
"""Of a card: task → {"threshold": as declared, "kind": "probability" or "logit"}."""


def parse_thresholds(given: Sequence[str]) -> dict[str, float]:
    """Task → threshold of texts as "Effusion=0.35". Raises `ForeignModelError` for one that is not."""
    found: dict[str, float] = {}
    for each in given:
        name, _, number = each.partition("=")
        task = task_of(name.strip())
        if task is None:
            raise ForeignModelError(f"--threshold {each!r}: {unknown('finding', name.strip(), TASKS)}")
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise ForeignModelError(f"--threshold {each!r}: expected a number, such as {TASKS[task]}=0.35")
        if found.setdefault(TASKS[task], value) != value:
            raise ForeignModelError(f"--threshold {each!r}: {TASKS[task]} has another one already")
    return found


def declare(connection: Connection, model: str, thresholds: Mapping[str, float], kind: Kind) -> None:
    """Keep the declared thresholds of a model from elsewhere; those of other findings stay.

    Raises `ForeignModelError` for a model that is not there, a finding that it does not score, or a probability out
    of range.
    """
    known = get_foreign(connection, model)
    for task, value in thresholds.items():
        if TASK_INDEX[task] not in known.tasks:
            raise ForeignModelError(f"{model} does not score {task}, so it has no threshold for it")
        if kind == "probability" and not 0 < value < 1:
            raise ForeignModelError(
                f"{model}: the threshold of {task}: expected a probability above 0 and below 1, found "
                f"{value:g}"
            )
    points = {task: {"threshold": value, "kind": kind} for task, value in thresholds.items()}
    connection.execute(
        text(query("declare_points")), {"id": known.id, "key": KEY, "points": json.dumps(points)}
    )


def declared(connection: Connection, study_id: int) -> dict[str, dict[int, float]]:
    """Model → task id → threshold as a logit, of the models of a study that have any.

    As scores are stored: a probability that is just the threshold counts as at it.
    """
    rows = connection.execute(text(query("study_points")), {"study_id": study_id, "key": KEY}).all()
    return {
        row.model: {TASK_INDEX[task]: _logit(point) for task, point in row.points.items()} for row in rows
    }


def _logit(point: Mapping[str, Any]) -> float:
    value = np.array([point["threshold"]], dtype=np.float64)
    return float(np.float32((to_logits(value) if point["kind"] == "probability" else value)[0]))

"""Operating points that makers of models declare: a threshold for a finding, kept in the model's card."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, text

from db.queries import query
from xray.data.foreign_models import get_foreign
from xray.data.prediction_files import Kind, to_logits
from xray.errors import ForeignModelError
from xray.findings import match, name_of
from xray.names import near, unknown
from xray.tasks import TASKS

KEY: Final = "operating_points"
"""Of a card: task → {"threshold": as declared, "kind": "probability" or "logit"}."""


def parse_thresholds(given: Sequence[str]) -> dict[str, float]:
    """Task → threshold of texts as "Effusion=0.35". Raises `ForeignModelError` for one that is not."""
    found: dict[str, float] = {}
    for each in given:
        name, _, number = each.partition("=")
        task = name_of(name) or name.strip()
        if task not in TASKS and near(task, TASKS):
            raise ForeignModelError(f"--threshold {each!r}: {unknown('finding', task, TASKS)}")
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise ForeignModelError(f"--threshold {each!r}: expected a number, such as {task}=0.35")
        if found.setdefault(task, value) != value:
            raise ForeignModelError(f"--threshold {each!r}: {task} has another one already")
    return found


def declare(connection: Connection, model: str, thresholds: Mapping[str, float], kind: Kind) -> None:
    """Keep the declared thresholds of a model from elsewhere; those of other findings stay.

    Raises `ForeignModelError` for a model that is not there, a finding that it does not score, or a probability out
    of range.
    """
    known = get_foreign(connection, model)
    points = {}
    for task, value in thresholds.items():
        finding = match(task, known.findings)
        if finding is None:
            raise ForeignModelError(f"{model} does not score {task}, so it has no threshold for it")
        if kind == "probability" and not 0 < value < 1:
            raise ForeignModelError(
                f"{model}: the threshold of {task}: expected a probability above 0 and below 1, found "
                f"{value:g}"
            )
        points[finding] = {"threshold": value, "kind": kind}
    connection.execute(
        text(query("declare_points")), {"id": known.id, "key": KEY, "points": json.dumps(points)}
    )


def declared(connection: Connection, study_id: int, findings: Sequence[str]) -> dict[str, dict[int, float]]:
    """Model → place in `findings` → threshold as a logit, of the models of a study that have any.

    As scores are stored: a probability that is just the threshold counts as at it.
    """
    rows = connection.execute(text(query("study_points")), {"study_id": study_id, "key": KEY}).all()
    return {
        row.model: {
            findings.index(task): _logit(point) for task, point in row.points.items() if task in findings
        }
        for row in rows
    }


def _logit(point: Mapping[str, Any]) -> float:
    value = np.array([point["threshold"]], dtype=np.float64)
    return float(np.float32((to_logits(value) if point["kind"] == "probability" else value)[0]))

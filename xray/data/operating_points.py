"""Operating points that makers of models declare: a threshold for a finding, kept in the model's card."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sqlalchemy import Connection, text

from db.queries import query
from xray.data.foreign_models import get_foreign
from xray.errors import ForeignModelError
from xray.findings import match, name_of
from xray.names import near, unknown
from xray.tasks import TASKS

if TYPE_CHECKING:
    from xray.data.score_tables import Scale

KEY: Final = "operating_points"
"""Of a card: task → {"threshold": as declared, "kind": the scale that it is on}."""
_HIGHEST: Final = {"probability": 1.0, "percent": 100.0}


def parse_thresholds(options: Sequence[str]) -> dict[str, float]:
    """Task → threshold of texts as "Effusion=0.35". Raises `ForeignModelError` for one that is not."""
    thresholds: dict[str, float] = {}
    for option in options:
        name, _, number = option.partition("=")
        task = name_of(name) or name.strip()
        if task not in TASKS and near(task, TASKS):
            raise ForeignModelError(f"--threshold {option!r}: {unknown('finding', task, TASKS)}")
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise ForeignModelError(f"--threshold {option!r}: expected a number, such as {task}=0.35")
        if thresholds.setdefault(task, value) != value:
            raise ForeignModelError(f"--threshold {option!r}: {task} already has another threshold")
    return thresholds


def declare(connection: Connection, model: str, thresholds: Mapping[str, float], kind: "Scale") -> None:
    """Keep the declared thresholds of a model from elsewhere; those of other findings stay.

    Calls of yes and no are operating points themselves. Raises `ForeignModelError` for a model that is not there, a finding
    that it does not score, a probability out of range, or a threshold of calls.
    """
    if kind == "call" and thresholds:
        raise ForeignModelError(f"{model}: calls of yes and no have no threshold to declare")
    if kind == "call":
        thresholds, kind = dict.fromkeys(get_foreign(connection, model).findings, 0.5), "probability"
    if not thresholds:
        return
    scorer = get_foreign(connection, model)
    points = {}
    for task, value in thresholds.items():
        finding = match(task, scorer.findings)
        if finding is None:
            raise ForeignModelError(f"{model} does not score {task}, so it has no threshold for it")
        highest = _HIGHEST.get(kind, np.inf)
        if highest < np.inf and not 0 < value < highest:
            raise ForeignModelError(
                f"{model}: the threshold of {task}: expected a {kind} above 0 and below {highest:g}, found {value:g}"
            )
        points[finding] = {"threshold": value, "kind": kind}
    connection.execute(
        text(query("declare_points")), {"id": scorer.id, "key": KEY, "points": json.dumps(points)}
    )


def declared(connection: Connection, study_id: int, findings: Sequence[str]) -> dict[str, dict[int, float]]:
    """Model → place in `findings` → threshold as a logit, of the models of a study that have any.

    As scores are stored: a probability that is just the threshold counts as at it.
    """
    rows = connection.execute(text(query("study_points")), {"study_id": study_id, "key": KEY}).all()
    return {
        row.model: {
            findings.index(task): threshold_logit(point)
            for task, point in row.points.items()
            if task in findings
        }
        for row in rows
    }


def threshold_logit(point: Mapping[str, Any]) -> float:
    """A declared threshold as a logit, as scores are stored."""
    from xray.data.score_files import to_logits

    value = np.array([point["threshold"]], dtype=np.float64)
    highest = _HIGHEST.get(point["kind"])
    return float(np.float32((to_logits(value / highest) if highest is not None else value)[0]))

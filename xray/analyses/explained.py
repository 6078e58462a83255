"""Where a stored result comes from, down to one image's score; and where a model comes from, and what it scored."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit
from sqlalchemy import Connection, text

from db.queries import query
from xray.data.explained import explain_image
from xray.data.foreign_models import describe_model
from xray.data.operating_points import KEY as POINTS
from xray.data.operating_points import threshold_logit
from xray.data.protocol import protocol_from
from xray.data.registered import read_named
from xray.errors import AnalysisError


def explain_result(
    connection: Connection, result: str, seed: int | None = None, image: str | None = None
) -> dict[str, Any]:
    """A stored AUC with all that it comes from: its columns, `computed_by`, and `evaluations`, one per seed.

    `labels`: whose they are and by which rules; `operating_point`: the threshold that the model's maker declares, None where
    there is none; `calibrations`: versions of the models for the finding; `interventions`: what the model lost on other
    images that were made to look like these; `score`: of one image, where it is asked for.
    result: STUDY/TRAINED_ON/TEST_DATASET/TASK. seed: None for the ensemble. Raises `AnalysisError` where none is stored.
    """
    parts = result.split("/")
    if len(parts) != 4:
        raise AnalysisError(f"{result!r}: expected STUDY/TRAINED_ON/TEST_DATASET/TASK")
    parameters = dict(zip(("study", "trained_on", "test_dataset", "task"), parts, strict=True))
    rows = connection.execute(text(query("explain_result")), {**parameters, "seed": seed}).mappings().all()
    if not rows:
        ensemble_or_seed = "the ensemble" if seed is None else f"seed {seed}"
        raise AnalysisError(
            f"{result}: no AUC of {ensemble_or_seed} is stored; the view auc_results shows what is"
        )
    about = dict(rows[0])
    del about["evaluation"]
    evaluations = [row["evaluation"] for row in rows]
    labels = connection.execute(text(query("explain_labels")), parameters).mappings().one()
    models = sorted({evaluation["model"] for evaluation in evaluations})
    about |= {
        "labels": dict(labels),
        "operating_point": _operating_point(evaluations[0], parameters["task"]),
        "calibrations": _calibrations(connection, models, parameters["task"]),
        "interventions": _interventions(connection, parameters),
        "evaluations": evaluations,
    }
    if image is not None:
        about["score"] = _score(connection, about, image)
    return about


def explain_model(connection: Connection, name: str) -> dict[str, Any]:
    """Where a model comes from, what it scored, and which test cohorts it saw in training, scored or not.

    `unregistered`: training datasets on its card that are not registered, so that no overlap can be counted.
    Raises `ForeignModelError` where there is none of this name.
    """
    description = describe_model(connection, name)
    parameters = {"name": name}
    about = dict(
        connection.execute(text("select * from model_provenance where model = :name"), parameters)
        .mappings()
        .one()
    )
    evaluations = (
        connection.execute(
            text("select * from provenance where model = :name order by evaluation_id"), parameters
        )
        .mappings()
        .all()
    )
    model_columns = set(about)
    registered = set(connection.scalars(text("select name from dataset")))
    return {
        **about,
        "tasks": description["tasks"],
        "evaluations": [{k: v for k, v in row.items() if k not in model_columns} for row in evaluations],
        "scored": description["scored"],
        "leaks": description["leaks"],
        "unregistered": [dataset for dataset in about["said_trained_on"] or () if dataset not in registered],
        "calibrations": _calibrations(connection, [name], None),
    }


def _operating_point(evaluation: Mapping[str, Any], task: str) -> dict[str, Any] | None:
    point = ((evaluation["card"] or {}).get(POINTS) or {}).get(task)
    return None if point is None else {**point, "logit": threshold_logit(point)}


def _calibrations(connection: Connection, models: Sequence[str], task: str | None) -> list[dict[str, Any]]:
    rows = connection.execute(text(query("explain_calibrations")), {"names": list(models), "task": task})
    return [dict(row) for row in rows.mappings()]


def _interventions(connection: Connection, names: Mapping[str, str]) -> list[dict[str, Any]]:
    rows = connection.execute(text(query("explain_interventions")), dict(names))
    return [dict(row) for row in rows.mappings()]


def _score(connection: Connection, about: Mapping[str, Any], image: str) -> dict[str, Any]:
    """The score of one image behind a result: as stored, as the file had it, and the label beside it.

    logit: the mean of the seeds'. Raises `AnalysisError` where the evaluations have no such image.
    """
    ids = [evaluation["evaluation_id"] for evaluation in about["evaluations"]]
    parameters = {"ids": ids, "name": image, "task": about["task"]}
    rows = connection.execute(text(query("explain_score")), parameters).mappings().all()
    if not rows:
        raise AnalysisError(
            f"{image!r} is no test image of {about['test_dataset']} in {about['study']}: see the view predictions"
        )
    first = {row["evaluation_id"]: row for row in reversed(rows)}
    logits = np.array([np.nan if row["logit"] is None else row["logit"] for row in first.values()])
    logit = None if np.isnan(logits).all() else float(np.nanmean(logits))
    row = rows[0]
    columns = ("site", "image", "patient", "view", "age", "sex", "content_hash", "path")
    point = about["operating_point"]
    return {
        **{key: row[key] for key in columns},
        "position": row["position"],
        "logit": logit,
        "probability": None if logit is None else float(expit(logit)),
        "as_given": _as_given(about["evaluations"][0]["scores"], logit),
        "called_positive": None if point is None or logit is None else bool(logit >= point["logit"]),
        "label": _label(connection, about, image),
    }


def _as_given(scores: Mapping[str, Any] | None, logit: float | None) -> float | None:
    """A stored logit on the scale of the file that it came in; None where it came in none."""
    if scores is None or logit is None:
        return None
    share = float(expit(logit))
    return {"probability": share, "percent": 100 * share, "call": float(share >= 0.5)}.get(
        scores["kind"], logit
    )


def _label(connection: Connection, about: Mapping[str, Any], image: str) -> dict[str, Any]:
    dataset = read_named(connection, about["test_dataset"], terms=True)
    definition = connection.scalar(
        text("select definition from protocol where name || ' ' || version = :name"),
        {"name": about["labels"]["protocol"]},
    )
    assert definition is not None
    explained = explain_image(dataset, image, protocol_from(definition, about["labels"]["protocol"]))
    label_of_task = next((label for label in explained.labels if label.task == about["task"]), None)
    return {} if label_of_task is None else vars(label_of_task)

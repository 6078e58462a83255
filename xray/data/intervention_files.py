"""Scores of A's images through B's own pipeline, from a file: an intervention that was made elsewhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, text

from db.findings import finding_ids
from db.queries import query
from xray.data.interventions import (
    PIPELINE,
    Intervention,
    changed_logits,
    of_both,
    pictures_of,
    put_intervention,
    stored_interventions,
)
from xray.data.named_cohorts import Cohort
from xray.data.registered import dataset_id
from xray.data.score_files import Aligned, Manner, aligned_scores
from xray.data.score_origin import origin_of
from xray.errors import PredictionsError
from xray.names import unknown


@dataclass(frozen=True)
class Added:
    """What was added. new: whether it was now (else the same scores were there). notes: what was left out."""

    model: str
    test_dataset: str
    target_dataset: str
    n_images: int
    n_missing: int
    tasks: tuple[str, ...]
    new: bool
    notes: tuple[str, ...]
    studies: tuple[str, ...]


def add_intervention(
    connection: Connection,
    path: Path,
    model: str,
    a: str,
    b: str,
    manner: Manner,
    *,
    protocol: str | None = None,
    ignore_unknown: bool = False,
    from_model: str | None = None,
    image_column: str | None = None,
) -> Added:
    """Store the scores that a model gave to A's test images once they went through B's pipeline.

    The images must be those that it has scored as they are; the file's findings are some of those. It takes the place of
    an earlier file of the same model, A and B. Raises `PredictionsError` that says every mismatch, and `DataError` for a
    dataset that is not registered.
    """
    row = _evaluation(connection, model, a, b, protocol)
    names = connection.execute(text(query("cohort_names")), {"cohort_id": row.cohort_id}).one().names
    cohort = Cohort(row.cohort_id, row.image_list_id, row.dataset, row.site, row.protocol, "test", names)
    read = aligned_scores(
        connection,
        path,
        cohort,
        manner,
        ignore_unknown=ignore_unknown,
        from_model=from_model,
        image_column=image_column,
    )
    present = np.flatnonzero(~np.isnan(read.scores).all(axis=0))
    findings = tuple(name for column, name in enumerate(read.columns) if column in present)
    tasks = finding_ids(connection, findings)
    _check(read, row, findings, tasks, manner, path)
    logits = read.scores[:, present].astype(np.float32)
    pictures = pictures_of(connection, [row.image_list_id, row.target_list_id])
    hashed = of_both(pictures[row.image_list_id], pictures[row.target_list_id])
    intervention = Intervention(row.evaluation_id, row.target_list_id, PIPELINE, {}, None, 0, hashed)
    new = not _is_there(connection, intervention, logits, tasks)
    if new:
        scored = {name: read.columns[name] for name in findings}
        origin = origin_of(path, manner.kind, scored, read.table.mapped, from_model)
        put_intervention(connection, intervention, logits, tasks, origin)
    words = {"model": model, "a": a, "b": b}
    studies = connection.scalars(text(query("studies_of_pair")), words).all()
    missing = int(np.isnan(logits).all(axis=1).sum())
    return Added(model, a, b, len(logits), missing, findings, new, tuple(read.table.notes), tuple(studies))


def _evaluation(connection: Connection, model: str, a: str, b: str, protocol: str | None) -> Any:
    """The one evaluation of a model on A's test images that is meant, and the image list of B's."""
    for name in (a, b):
        dataset_id(connection, name)
    if a == b:
        raise PredictionsError(f"--from and --to are both {a}: choose two datasets")
    models = connection.scalars(text("select name from model order by name")).all()
    if model not in models:
        raise PredictionsError(unknown("model", model, models))
    parameters = {"model": model, "a": a, "b": b, "protocol": protocol}
    rows = connection.execute(text(query("intervention_cohorts")), parameters).all()
    if not rows:
        under = f" under protocol {protocol}" if protocol else ""
        raise PredictionsError(
            f"{model} has not scored the test images of {a} as they are{under}, with {b} split by the same protocol: bring "
            "these scores first (xray predictions import)"
        )
    if len(rows) > 1:
        names = ", ".join(row.protocol for row in rows)
        raise PredictionsError(
            f"{model} has scored {a} under several protocols: say --protocol, one of {names}"
        )
    return rows[0]


def _check(
    read: Aligned, row: Any, findings: tuple[str, ...], tasks: list[int], manner: Manner, path: Path
) -> None:
    wrong = read.table.wrong
    others = [name for name, task in zip(findings, tasks, strict=True) if task not in row.task_ids]
    if others:
        wrong.append(f"{row.model} has no scores of {', '.join(others)} of the images as they are")
    if not findings and not wrong:
        wrong.append("there is no score of any task in it")
    scale = (row.card or {}).get("scale")
    if scale is not None and scale != manner.kind:
        wrong.append(
            f"the scores of the images as they are were given as --kind {scale}, these as {manner.kind}"
        )
    if wrong:
        raise PredictionsError(f"{path.name}: nothing was added to {row.model}: {'; '.join(wrong)}")


def _is_there(connection: Connection, intervention: Intervention, logits: Any, tasks: list[int]) -> bool:
    """Whether these very scores are stored."""
    for stored in stored_interventions(connection, [intervention.evaluation_id]):
        if (stored.target_list_id, stored.kind) == (
            intervention.target_list_id,
            intervention.kind,
        ) and stored.is_current:
            return np.array_equal(changed_logits(connection, [stored.id], tasks), logits, equal_nan=True)
    return False

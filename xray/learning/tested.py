"""How a study's models did on each test cohort, as MLflow is told of it: the stored AUCs, number for number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from db.queries import query
from xray.learning.tracking import Input


@dataclass(frozen=True)
class ModelAucs:
    """AUCs of one model. run_id: its run in MLflow, None where only its scores are here. version: its registered one, as
    "MODEL/VERSION". cohorts: the test cohorts. auc: (dataset, finding) → AUC.
    """

    name: str
    foreign: bool
    run_id: str | None
    version: str | None
    cohorts: tuple[Input, ...]
    auc: dict[tuple[str, str], float]


def tested_models(connection: Connection, study: str) -> list[ModelAucs]:
    """The models of a study that have an AUC, in its order."""
    rows: dict[str, list[Any]] = {}
    for row in connection.execute(text(query("tested_models")), {"study": study}):
        rows.setdefault(row.model, []).append(row)
    return [_tested(name, listed) for name, listed in rows.items()]


def _tested(name: str, rows: Sequence[Any]) -> ModelAucs:
    first = rows[0]
    version = None if first.mlflow_model is None else f"{first.mlflow_model}/{first.mlflow_version}"
    cohorts = {row.dataset: Input(row.dataset, row.cohort_hash, "test", row.n_images) for row in rows}
    auc = {(row.dataset, row.task): row.auc for row in rows}
    return ModelAucs(
        name, first.kind == "foreign", first.mlflow_run_id, version, tuple(cohorts.values()), auc
    )

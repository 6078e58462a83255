"""Every check of an installation: the audits of its database, and what only the code, MLflow and the files can tell.

`CHECKS` is the list to add to: a fault's description, and a function that yields a row per fault.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, text

from db.upkeep.audits import Audit, Outcome, outcome, run
from xray import settings

if TYPE_CHECKING:
    from xray.learning.tracking import Tracker

Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Installation:
    """What is checked: the database, the URL of MLflow's, and the home."""

    engine: Engine
    mlflow: str
    home: Path

    @cached_property
    def tracker(self) -> "Tracker":
        """MLflow, imported and opened when it is first asked for: seconds."""
        from xray.learning.tracking import Tracker

        return Tracker(self.mlflow, settings.artifacts())


def outcomes(installation: Installation) -> Iterator[Outcome]:
    """The outcome of every audit and check, on one state of the database, which nothing is written to."""
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with installation.engine.connect().execution_options(**options) as connection:
        yield from run(connection)
        for audit, rows in CHECKS:
            yield outcome(audit, rows(connection, installation))


def rules_missing(connection: Connection, installation: Installation) -> Rows:
    """Datasets whose labeller's rules are known here, and are not stored with them."""
    query = (
        "select dataset.name, dataset.source, array_agg(distinct task.name) filter (where task.name is not null) as tasks"
        " from dataset left join label on label.dataset_id = dataset.id left join task on task.id = label.task_id"
        " left join label_rule on label_rule.dataset_id = dataset.id and label_rule.task_id = task.id"
        " where label_rule.task_id is null group by dataset.name, dataset.source order by 1"
    )
    rows = connection.execute(text(query)).all()
    if not rows:
        return
    from xray.data.labels.rules import all_rules

    for row in rows:
        rule_tasks = {rule.task for rule in all_rules(row.source)}
        tasks = sorted(rule_tasks.intersection(row.tasks or ()))
        if tasks:
            yield {"dataset": row.name, "source": row.source, "tasks": tasks}


def versions_missing(connection: Connection, installation: Installation) -> Rows:
    """Models that the database says are in MLflow, and that are not."""
    query = "select name, mlflow_run_id, mlflow_model, mlflow_version from model where mlflow_model is not null order by id"
    stored = connection.execute(text(query)).all()
    if not stored:
        return
    lost = installation.tracker.lost(
        [(row.mlflow_run_id, row.mlflow_model, row.mlflow_version) for row in stored]
    )
    for row, fault in zip(stored, lost, strict=True):
        if fault:
            yield {"model": row.name, "run": row.mlflow_run_id, "version": row.mlflow_version, "fault": fault}


def weights_changed(connection: Connection, installation: Installation) -> Rows:
    """Models whose file is missing, or is not the one that was stored."""
    from xray.learning.weights import verify_weights

    if connection.scalar(text("select exists (select from model where mlflow_model is not null)")):
        for model, fault in verify_weights(connection, installation.tracker):
            yield {"model": model, "fault": fault}


def pictures_damaged(connection: Connection, installation: Installation) -> Rows:
    """Prepared pictures that are not what was prepared."""
    from xray.data.caches import verify_caches

    for fault in verify_caches(connection, installation.home):
        yield {"cache": fault.name, "fault": fault.reason}


Check = tuple[Audit, Callable[[Connection, Installation], Rows]]

CHECKS: list[Check] = [
    (
        Audit(
            "labels_without_rule",
            "labels of a published dataset without the rule by which they were read.",
            "register the dataset's files under another name, and test on that one.",
        ),
        rules_missing,
    ),
    (
        Audit(
            "models_in_mlflow",
            "models whose run or registered version is not in MLflow.",
            "restore a backup from before, or delete the model; the next run of its study trains it again.",
        ),
        versions_missing,
    ),
    (
        Audit(
            "weights",
            "models whose file is missing or is not the one that was stored.",
            "restore it from a backup, or remove the model (xray model remove) and let its study train it again.",
        ),
        weights_changed,
    ),
    (
        Audit(
            "prepared_pictures",
            "prepared pictures that are not what was prepared.",
            "nothing: each is made again when it is next read.",
        ),
        pictures_damaged,
    ),
]

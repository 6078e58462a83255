"""Foreign models as rows: models that were trained elsewhere, by a file that is run here or by their scores alone."""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert

from db.findings import put_list, read_list
from db.queries import query
from db.schema import ForeignTraining, Model
from xray import names
from xray.data.leakage import record_foreign
from xray.errors import ForeignModelError
from xray.settings import bringing


@dataclass(frozen=True)
class Artifact:
    """Where a foreign model's file is: format, pixels along a side, MLflow run, registered model and version."""

    format: str
    image_size: int
    run_id: str
    model: str
    version: int


@dataclass(frozen=True)
class ForeignModel:
    """A foreign model as stored. findings: those of its outputs, in order; trained_on: None where it is unknown."""

    id: int
    name: str
    card: Mapping[str, Any]
    findings: tuple[str, ...]
    has_file: bool
    trained_on: tuple[str, ...] | None


def find_foreign(connection: Connection, name: str) -> ForeignModel | None:
    """The foreign model of this name, None where there is none. Raises `ForeignModelError` where it was trained here."""
    row = connection.execute(
        select(Model.id, Model.kind, Model.card, Model.mlflow_model).where(Model.name == name)
    ).one_or_none()
    if row is None:
        return None
    if row.kind != "foreign":
        raise ForeignModelError(f"{name} was trained here; a foreign model needs another name")
    findings = read_list(connection, "model", row.id)
    datasets = connection.scalars(
        select(ForeignTraining.dataset)
        .where(ForeignTraining.model_id == row.id)
        .order_by(ForeignTraining.dataset)
    ).all()
    return ForeignModel(
        row.id, name, row.card, findings, row.mlflow_model is not None, tuple(datasets) or None
    )


def get_foreign(connection: Connection, name: str) -> ForeignModel:
    """The foreign model of this name. Raises `ForeignModelError` where there is none."""
    model = find_foreign(connection, name)
    if model is None:
        models = connection.scalars(
            select(Model.name).where(Model.kind == "foreign").order_by(Model.name)
        ).all()
        raise ForeignModelError(
            f"there is no foreign model {name!r}; imported: {', '.join(models) or 'none'} (xray model import, "
            "xray predictions import)"
        )
    return model


def foreign_key(name: str, card: Mapping[str, Any], content_hash: str | None) -> str:
    """What identifies a foreign model: its name, its card, and the content of its file."""
    parts = ["foreign", name, json.dumps(card, sort_keys=True), content_hash]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def add_foreign(
    connection: Connection,
    name: str,
    card: Mapping[str, Any],
    outputs: Sequence[str | None],
    trained_on: Sequence[str] | None,
    artifact: Artifact | None = None,
    content_hash: str | None = None,
    source: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Store a new foreign model; its id. card: plain values. outputs: the finding of each, None for one that is none.
    trained_on: names of datasets, None where unknown. source: of the file as it was given, "file" and "file_sha256".

    Raises `ForeignModelError` for a name that a study file can't hold, or that stands for something else.
    """
    _check_free(connection, name)
    file: dict[str, Any] = (
        {} if artifact is None else {"network": artifact.format, "image_size": artifact.image_size}
    )
    if artifact is not None:
        file |= {
            "mlflow_run_id": artifact.run_id,
            "mlflow_model": artifact.model,
            "mlflow_version": artifact.version,
            "weights_sha256": content_hash,
        }
    imported_at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    model_id = connection.scalar(
        insert(Model)
        .values(
            name=name,
            key=foreign_key(name, card, content_hash),
            kind="foreign",
            trained_on=name,
            card=dict(card),
            provenance={**bringing(), "imported_at": imported_at, **source},
            trained_at=None,
            **file,
        )
        .returning(Model.id)
    )
    assert model_id is not None
    put_list(connection, "model", model_id, outputs)
    say_trained_on(connection, model_id, trained_on)
    return model_id


def say_trained_on(connection: Connection, model_id: int, trained_on: Sequence[str] | None) -> None:
    """Note datasets that a foreign model is said to be trained on, and what test cohorts share with them."""
    for name in trained_on or ():
        names.check_text("trained on", name, ForeignModelError)
    rows = [{"model_id": model_id, "dataset": name} for name in dict.fromkeys(trained_on or ())]
    if rows:
        connection.execute(insert(ForeignTraining).on_conflict_do_nothing(), rows)
        record_foreign(connection)


def check_foreign_name(name: str) -> None:
    """Raise `ForeignModelError` for a name that a study file, a folder or MLflow's registry can't hold."""
    names.check_name("the model's name", name, ForeignModelError)


def remove_model(connection: Connection, name: str) -> None:
    """Drop a model, trained here or foreign, with its scores; its file stays in MLflow.

    Raises `ForeignModelError` where there is none of this name.
    """
    dropped = connection.execute(text("delete from model where name = :name"), {"name": name})
    if not dropped.rowcount:
        raise ForeignModelError(f"there is no model {name!r}: xray model list")


def _check_free(connection: Connection, name: str) -> None:
    """Results of a foreign model stand under its name: it must be no configuration's."""
    check_foreign_name(name)
    owner = connection.scalar(
        text(
            "select 'a dataset' from dataset where name = :name"
            " union all select 'a configuration of models trained here' from model where trained_on = :name limit 1"
        ),
        {"name": name},
    )
    if owner is not None:
        raise ForeignModelError(
            f"{name!r} is the name of {owner}; give the model another, such as {name}-theirs"
        )


def describe_model(connection: Connection, name: str) -> dict[str, Any]:
    """What is known of a model, for people. Raises `ForeignModelError` where there is none of this name."""
    row = connection.execute(text(query("model_shown")), {"name": name}).mappings().one_or_none()
    if row is None:
        raise ForeignModelError(f"there is no model {name!r}: xray model list")
    description = dict(row)
    card = description.pop("card") or {}
    leaks = connection.scalars(
        text(
            "select protocol || ': ' || warning from leaking_models where model = :name order by test_cohort_id"
        ),
        {"name": name},
    ).all()
    return {**description, **card, "leaks": list(leaks)}

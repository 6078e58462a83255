"""The file of a stored model, asked for its hash before anybody opens it.

The hash is taken when the file is made and kept in the database (`model.weights_sha256`). A model that is older than hashes
gets one at its first use, with the time (`weights_since`): it tells damage from then on, and nothing of before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Connection, Engine, func, select, update

from db.schema import Model
from xray.errors import ForeignModelError, LearningError
from xray.learning.foreign_safety import FILES
from xray.learning.hashes import WEIGHTS, sha256

if TYPE_CHECKING:
    from xray.learning.tracking import Tracker


@dataclass(frozen=True)
class Stored:
    """What the database has of a model's file; `network` is the format of a foreign one."""

    id: int
    name: str
    kind: str
    network: str | None
    mlflow_model: str | None
    mlflow_version: int | None
    weights_sha256: str | None


def weights_of(engine: Engine, tracker: "Tracker", model_id: int) -> Path:
    """The file of a model, downloaded where it is not on this machine, with the content that was stored.

    Raises `LearningError` where it is missing or has another content, which says what to do.
    """
    with engine.begin() as connection:
        (model,) = _models(connection, Model.id == model_id)
    file = _file(tracker, model)
    digest = _check(model, file)
    if model.weights_sha256 is None:
        with engine.begin() as connection:
            row = (Model.id == model_id) & Model.weights_sha256.is_(None)
            connection.execute(
                update(Model).where(row).values(weights_sha256=digest, weights_since=func.now())
            )
    return file


def verify_weights(connection: Connection, tracker: "Tracker") -> Iterator[tuple[str, str]]:
    """(model, what is wrong) of every stored model whose file is missing or is not the one that was stored.

    Reads every file whole; writes nothing.
    """
    for model in _models(connection, Model.mlflow_model.is_not(None)):
        try:
            _check(model, _file(tracker, model))
        except LearningError as error:
            yield model.name, str(error).removeprefix(f"{model.name}: ")


def _models(connection: Connection, condition: ColumnElement[bool]) -> list[Stored]:
    columns = [getattr(Model, field.name) for field in fields(Stored)]
    rows = connection.execute(select(Model).with_only_columns(*columns).where(condition).order_by(Model.id))
    return [Stored(**row) for row in rows.mappings()]


def _file(tracker: "Tracker", model: Stored) -> Path:
    if model.mlflow_model is None or model.mlflow_version is None:
        raise LearningError(f"{model.name}: only its scores were imported, not its file")
    name = FILES[str(model.network)] if model.kind == "foreign" else WEIGHTS
    try:
        return tracker.file(model.mlflow_model, model.mlflow_version, name)
    except LearningError as error:
        raise _error(model, str(error)) from None


def _check(model: Stored, file: Path) -> str:
    """The hash of the file, if it is the stored one."""
    digest = sha256(file)
    if model.weights_sha256 not in (None, digest):
        origin = "imported" if model.kind == "foreign" else "stored"
        raise _error(
            model,
            f"{file} is not the one that was {origin} (its SHA-256 is {digest[:12]}…, not {model.weights_sha256[:12]}…)",
        )
    return digest


def _error(model: Stored, fault: str) -> LearningError:
    """The fault of a model's file, and what to do."""
    kind, again = (
        (ForeignModelError, "import it again")
        if model.kind == "foreign"
        else (LearningError, "run its study again, which trains it anew")
    )
    return kind(
        f"{model.name}: {fault}; put the file back from a backup, or drop the model (xray model remove {model.name}) "
        f"and {again}"
    )

"""A model from elsewhere, taken in: checked, tried, kept in MLflow, and recorded beside our own."""

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from sqlalchemy import Connection, Engine, select, text

from db.schema import Model
from xray import limits, names
from xray.data.foreign_models import (
    Artifact,
    add_foreign,
    check_foreign_name,
    find_foreign,
    foreign_key,
    say_trained_on,
)
from xray.errors import ForeignModelError
from xray.learning.foreign_card import Card, card_of
from xray.learning.foreign_network import ForeignNetwork, build, load_foreign, probe, read_state
from xray.learning.foreign_safety import EXPORTED, FILES, SAFETENSORS, STATE, TORCHSCRIPT, check_file
from xray.learning.hashes import sha256
from xray.learning.tracking import Tracker

EXPERIMENT = "foreign"
ABOUT = "about.json"


@dataclass(frozen=True)
class Imported:
    """A foreign model that is here: its id, and whether it was taken in now; notes on what its card may have wrong."""

    model_id: int
    name: str
    format: str
    new: bool
    notes: Sequence[str] = ()


def import_model(
    engine: Engine,
    tracker: Tracker,
    path: Path,
    card: Card,
    *,
    trust: bool = False,
    trained_on: Sequence[str] | None = None,
) -> Imported:
    """Take in a model's file with its card. trained_on: names of datasets, instead of the card's.

    The file is copied first: what is checked is what is loaded and kept. Raises `UntrustedError` where loading it would run
    code of its author's, `ForeignModelError` where file and card don't fit, or the name stands for another model.
    """
    check_foreign_name(card.name)
    datasets = tuple(trained_on or ()) or card.trained_on
    card = dataclasses.replace(card, trained_on=datasets)
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "given" / path.name
        copied.parent.mkdir()
        _copy(path, copied)
        source_digest = sha256(copied)
        format = check_file(copied, trust)
        own_folder = Path(folder) / "kept"
        own_folder.mkdir()
        file = _keep(copied, format, card, own_folder, trust)
        format = SAFETENSORS if format == STATE else format
        notes = probe(load_foreign(file, format, card, trust))
        digest = sha256(file)
        runs_code = trust and format in (TORCHSCRIPT, EXPORTED)
        about = {"format": format, "sha256": digest, "trusted": runs_code, **card.plain()}
        about.pop("trained_on", None)  # hearsay, which may grow: it has rows of its own
        with engine.begin() as connection:
            connection.execute(
                text("select pg_advisory_xact_lock(hashtextextended(:name, 1))"), {"name": card.name}
            )
            model_id = _stored_model(connection, card, about, digest)
            if model_id is not None:
                say_trained_on(connection, model_id, datasets)
                return Imported(model_id, card.name, format, False, notes)
            add_check(connection, card.name)
            (own_folder / ABOUT).write_text(json.dumps({"name": card.name, **about}, indent=2))
            registered = tracker.keep(
                EXPERIMENT,
                card.name,
                own_folder,
                "xray.learning.foreign_serving",
                card.size,
                len(card.findings),
                about,
                digest,
            )
            artifact = Artifact(format, card.size, registered.run_id, registered.model, registered.version)
            source = {"file": names.readable(path.name), "file_sha256": source_digest}
            model = add_foreign(connection, card.name, about, card.tasks, datasets, artifact, digest, source)
    return Imported(model, card.name, format, True, notes)


def open_foreign(file: Path, about: dict[str, Any], name: str) -> ForeignNetwork:
    """The network of a file that was taken in; about: the card of its row. Whether it is that file is not asked here."""
    plain = {k: v for k, v in about.items() if k not in ("name", "format", "sha256", "trusted")}
    card = card_of({"name": name, **plain}, name, vocabulary=about["tasks"])
    return load_foreign(file, str(about["format"]), card, bool(about["trusted"]))


def read_kept(folder: Path, about: dict[str, Any]) -> ForeignNetwork:
    """The network of a kept folder. Raises `ForeignModelError` where its file is not the one that `about` tells of."""
    file = folder / FILES[str(about["format"])]
    if not file.is_file() or sha256(file) != about["sha256"]:
        raise ForeignModelError(
            f"{about['name']}: {file} is not the one that was imported: put it back from a backup, or import it again "
            "under another name"
        )
    return open_foreign(file, about, str(about["name"]))


def add_check(connection: Connection, name: str) -> None:
    """Refuse a name that stands for another foreign model. Raises `ForeignModelError`."""
    if find_foreign(connection, name) is not None:
        raise ForeignModelError(
            f"{name} is the name of another foreign model: give this one another (--name), or drop that one: "
            f"xray model remove {name}"
        )


def _copy(path: Path, copied: Path) -> None:
    try:
        with limits.open_file(path) as file, copied.open("wb") as copy:
            limits.check_bytes(os.fstat(file.fileno()).st_size, limits.MODEL, str(path), ForeignModelError)
            shutil.copyfileobj(file, copy)
    except OSError as error:
        raise ForeignModelError(f"{path}: can't be read: {error.strerror}") from None


def _keep(copied: Path, format: str, card: Card, folder: Path, trust: bool) -> Path:
    """The file as it is kept: weights alone as safetensors, without what else the file had."""
    if format not in (STATE, SAFETENSORS):
        return copied.rename(folder / FILES[format])
    network = build(card, read_state(copied, trust))
    tensors = {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, folder / FILES[SAFETENSORS])
    return folder / FILES[SAFETENSORS]


def _stored_model(connection: Connection, card: Card, about: dict[str, Any], digest: str) -> int | None:
    key = foreign_key(card.name, about, digest)
    return connection.scalar(select(Model.id).where(Model.key == key))

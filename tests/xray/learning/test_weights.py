"""The file of a model is the one that was stored, or an error that names it: scored, exported, served and verified."""

import os
import subprocess
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sqlalchemy import text
from torch import nn

from xray.data.foreign_models import remove_model
from xray.errors import ForeignModelError, LearningError
from xray.learning.evaluate import evaluate
from xray.learning.export_model import export_model
from xray.learning.foreign_card import card_of
from xray.learning.foreign_import import import_model
from xray.learning.missing import missing
from xray.learning.models import ensure_model
from xray.learning.request import ModelRequest
from xray.learning.weights import verify_weights, weights_of
from xray.tasks import TASKS

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning"
)


@pytest.fixture
def trained(engine, tracker, home, draw, quick, request):
    """Id and name of a model that was trained here, and its file."""
    draw("a")
    study = request.node.name.split("[")[0].replace("_", "-")[:40].strip("-")
    model_id, _ = ensure_model(engine, tracker, home, ModelRequest(study, "a", ("a",), "corrected", quick, 0))
    with engine.connect() as connection:
        name = connection.scalar(text("select name from model"))
    return model_id, name, weights_of(engine, tracker, model_id)


@pytest.fixture
def foreign(engine, tracker, draw, tmp_path):
    """Id and name of an imported model, and its kept file."""
    draw("a")
    network = torch.jit.trace(
        nn.Sequential(nn.Flatten(), nn.Linear(256, 2)).eval(), torch.zeros(1, 1, 16, 16)
    )
    network.save(tmp_path / "their.pt")
    card = {
        "name": "theirs",
        "size": 16,
        "range": [0, 1],
        "output": "logit",
        "tasks": ["Mass", "Nodule"],
        "trained_on": ["a"],
    }
    model_id = import_model(
        engine, tracker, tmp_path / "their.pt", card_of(card, "their.toml"), trust=True
    ).model_id
    return model_id, "theirs", weights_of(engine, tracker, model_id)


def flip(file: Path) -> None:
    """Flip two bytes in the middle of a file; its length and its time of change stay."""
    status, data = file.stat(), bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    data[-3] ^= 128
    file.write_bytes(data)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def away(file: Path) -> None:
    file.rename(file.with_suffix(".away"))


def folder_away(file: Path) -> None:
    """The whole version is gone, as where a home was moved."""
    version = next(folder for folder in file.parents if folder.parent.name == "models")
    version.rename(version.with_name("elsewhere"))


def verify(engine, tracker) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        return list(verify_weights(connection, tracker))


def lists(engine, model_id) -> list[int]:
    with engine.begin() as connection:
        return missing(connection)[model_id]


DAMAGE = {flip: "is not the one that was {}", away: "is missing in /", folder_away: "is missing in /"}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("origin", ["trained", "foreign"])
def test_a_damaged_or_missing_file_is_named_and_nothing_is_scored(
    engine, tracker, home, tmp_path, damage, origin, request
):
    model_id, name, file = request.getfixturevalue(origin)
    assert verify(engine, tracker) == []
    damage(file)
    message = DAMAGE[damage].format("imported" if origin == "foreign" else "stored")
    kind = ForeignModelError if origin == "foreign" else LearningError
    with pytest.raises(kind, match=f"^{name}: .*{message}.*xray model remove {name}") as error:
        evaluate(engine, tracker, home, model_id, lists(engine, model_id))
    assert str(file.parents[2]) in str(error.value)
    assert "\n" not in str(error.value)
    if origin == "trained":
        with pytest.raises(LearningError, match=message):
            export_model(engine, tracker, name, "torchscript", tmp_path / "out.pt")
        assert not (tmp_path / "out.pt").exists()
    ((model, problem),) = verify(engine, tracker)
    assert model == name
    assert message in problem


@pytest.mark.parametrize("origin", ["trained", "foreign"])
def test_mlflow_refuses_to_serve_a_damaged_file(engine, tracker, origin, request):
    """The hash lies beside the file too, where `mlflow.pyfunc.load_model` finds it without our database."""
    model_id, _, file = request.getfixturevalue(origin)
    with engine.connect() as connection:
        row = connection.execute(
            text("select mlflow_model, mlflow_version, weights_sha256 from model where id = :id"),
            {"id": model_id},
        ).one()
    address = f"models:/{row.mlflow_model}/{row.mlflow_version}"
    n_outputs = len(TASKS) if origin == "trained" else 2
    served = mlflow.pyfunc.load_model(address).predict(np.zeros((1, 1, 16, 16), np.float32))
    assert served.shape == (1, n_outputs)
    if origin == "trained":
        assert (file.parent / "SHA256SUMS").read_text() == f"{row.weights_sha256}  {file.name}\n"
        assert subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=file.parent).returncode == 0
    flip(file)
    with pytest.raises(LearningError, match="not the"):
        mlflow.pyfunc.load_model(address)


def test_a_model_without_a_hash_gets_one_with_its_date_at_first_use(engine, tracker, home, trained):
    model_id, name, file = trained
    with engine.begin() as connection:
        connection.execute(text("update model set weights_sha256 = null"))
    assert verify(engine, tracker) == []
    evaluate(engine, tracker, home, model_id, lists(engine, model_id))
    with engine.connect() as connection:
        row = connection.execute(text("select weights_sha256, weights_since > trained_at from model")).one()
    assert len(row[0]) == 64
    assert row[1]
    flip(file)
    assert [model for model, _ in verify(engine, tracker)] == [name]


def test_a_new_model_has_its_hash_from_the_beginning(engine, trained, foreign):
    with engine.connect() as connection:
        rows = connection.execute(text("select weights_sha256, weights_since from model")).all()
    assert len({row.weights_sha256 for row in rows}) == 2
    assert [row.weights_since for row in rows] == [None, None]


def test_a_model_whose_file_is_lost_can_be_dropped_and_trained_again(engine, tracker, home, trained, quick):
    """What the error says to do."""
    model_id, name, file = trained
    evaluate(engine, tracker, home, model_id, lists(engine, model_id))
    first = load_file(file)
    file.unlink()
    with engine.begin() as connection:
        remove_model(connection, name)
        assert connection.scalar(text("select count(*) from evaluation")) == 0
    request = ModelRequest(name.split(".")[0], "a", ("a",), "corrected", quick, 0)
    again, new = ensure_model(engine, tracker, home, request)
    assert new
    second = load_file(weights_of(engine, tracker, again))
    assert all(torch.equal(second[key], first[key]) for key in first)
    with pytest.raises(ForeignModelError, match="no model 'nobody'"), engine.begin() as connection:
        remove_model(connection, "nobody")

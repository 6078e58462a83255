"""A home that is moved, copied or restored: what is stored of its files follows, through a real MLflow."""

import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import unquote, urlparse

import mlflow
import numpy as np
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from db.connection import Databases, databases, owned
from db.embedded.folder import Folder, is_held
from xray.data.prepare import prepare
from xray.data.request import DatasetRequest, Phantom
from xray.home import ID, settle, widen
from xray.learning.evaluate import evaluate
from xray.learning.missing import missing
from xray.learning.models import ensure_model
from xray.learning.recipe import Recipe
from xray.learning.request import ModelRequest
from xray.learning.tracking import Tracker, migrate
from xray.learning.weights import verify_weights, weights_of
from xray.pixels.augment import Augmentation
from xray.settings import ARTIFACTS

SIZE = 16


def rest(home: Path) -> None:
    """Wait until the home's server has ended."""
    locks = [Folder.of(home).lock(name) for name in ("keeper", "server")]
    deadline = time.monotonic() + 60
    while any(map(is_held, locks)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def copy(home: Path, place: Path) -> None:
    """Copy a home at rest, as an administrator does: with owners."""
    rest(home)
    subprocess.run(["cp", "-a", home, place], check=True)


def ask(url: str, question: str) -> list[tuple]:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return [tuple(row) for row in connection.execute(text(question))]


def tell(url: str, statement: str, **given: object) -> None:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text(statement), given)


@pytest.fixture(scope="module")
def original(tmp_path_factory, monkeypatch_module) -> Path:
    """A home with a server of its own, at rest: one drawn site, one model, its scores."""
    home = tmp_path_factory.mktemp("first place") / "a home"
    home.mkdir()
    recipe = Recipe(
        "small_convnet",
        SIZE,
        epochs=1,
        batch_size=8,
        learning_rate=1e-3,
        augmentation=Augmentation(0, 0, 0, 0),
    )
    with owned(home) as owner:
        migrate(owner.mlflow)
        widen(owner.mlflow)
    with databases(home) as found:
        settle(found.engine(), found.mlflow, home, own=True)
        tracker = Tracker(found.mlflow, home / ARTIFACTS)
        drawn = DatasetRequest("a", "a", "manifest", None, None, Phantom("alpha", 40, SIZE))
        prepare(found.engine(), home, drawn, "corrected", SIZE)
        ensure_model(found.engine(), tracker, home, ModelRequest("s", "a", ("a",), "corrected", recipe, 0))
        score(found, home)
    return home


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XRAY_DATABASE_URL", raising=False)
        yield patch


def score(found: Databases, home: Path) -> list[tuple]:
    """Scores everything anew; every score."""
    tell(found.xray, "delete from evaluation")
    with found.engine().begin() as connection:
        ((model_id, lists),) = missing(connection).items()
    evaluate(found.engine(), Tracker(found.mlflow, home / ARTIFACTS), home, model_id, lists)
    return stored(found)


def stored(found: Databases) -> list[tuple]:
    return ask(found.xray, "select image, task, logit from predictions order by 1, 2")


def places(found: Databases) -> set[Path]:
    """Every place that MLflow has noted."""
    uris = ask(
        found.mlflow,
        "select artifact_location from experiments where artifact_location like 'file:%' union"
        " select artifact_uri from runs union select artifact_location from logged_models"
        " union select storage_location from model_versions",
    )
    return {Path(unquote(urlparse(uri).path)) for (uri,) in uris}


def as_before_notes(found: Databases, home: Path) -> None:
    """The databases as an earlier version has left them: absolute paths, no note of the home."""
    tell(found.xray, "delete from home")
    tell(found.xray, "update image set path = :home || '/' || path", home=str(home))
    (home / ID).unlink()


@pytest.mark.parametrize(
    ("kind", "age"),
    [("moved", "new"), ("moved", "older"), ("copied", "older"), ("copied without its id", "new")],
)
def test_a_copied_home_uses_its_own_files(original, tmp_path, monkeypatch_module, kind, age):
    start, there = tmp_path / "start" / "a home", tmp_path / "other place" / "à côté"
    start.parent.mkdir()
    there.parent.mkdir()
    copy(original, start)
    with databases(start) as found:
        settle(found.engine(), found.mlflow, start, own=True)
        before = stored(found)
        if age == "older":
            as_before_notes(found, start)
    copy(start, there)
    if kind == "moved":
        shutil.rmtree(start)
    else:  # the original is there, and would give other scores
        for file in start.rglob("*.safetensors"):
            file.write_bytes(b"")
        shutil.rmtree(start / "phantom")
    if kind == "copied without its id":
        (there / ID).unlink(missing_ok=True)
    shutil.rmtree(there / "pixels")
    with databases(there) as found:
        settle(found.engine(), found.mlflow, there, own=True)
        assert all(place.is_relative_to(there) for place in places(found))
        assert ask(found.xray, "select path from home") == [(str(there),)]
        assert ask(found.xray, "select distinct left(path, 10) from image") == [("phantom/a-",)]
        assert score(found, there) == before
        tracker = Tracker(found.mlflow, there / ARTIFACTS)
        assert weights_of(found.engine(), tracker, 1).is_relative_to(there)
        served = mlflow.pyfunc.load_model("models:/s.a@seed-0")
        assert served.predict(np.zeros((1, 1, SIZE, SIZE), np.float32)).shape == (1, 18)
        with found.engine().connect() as connection:
            assert list(verify_weights(connection, tracker)) == []
        again = places(found)
        settle(found.engine(), found.mlflow, there, own=True)
        assert places(found) == again


def test_a_users_server_belongs_to_one_home_and_not_to_its_copy(original, tmp_path, monkeypatch_module):
    """One database, several homes: what others noted stays."""
    start = tmp_path / "start"
    copy(original, start)
    with databases(start) as found:
        settle(found.engine(), found.mlflow, start, own=True)
        homes = {name: tmp_path / name for name in ("first", "second", "moved")}
        homes["first"].mkdir()
        homes["second"].mkdir()
        for name in ("first", "second"):
            settle(found.engine(), found.mlflow, homes[name], own=False)
            tracker = Tracker(found.mlflow, homes[name] / ARTIFACTS)
            tracker.experiment(f"of {name}")
        copy(homes["first"], tmp_path / "copy of first")
        settle(found.engine(), found.mlflow, tmp_path / "copy of first", own=False)
        assert homes["first"] / ARTIFACTS / "of first" in places(found)
        homes["first"].rename(homes["moved"])
        settle(found.engine(), found.mlflow, homes["moved"], own=False)
        now = places(found)
        assert {homes["moved"] / ARTIFACTS / "of first", homes["second"] / ARTIFACTS / "of second"} <= now
        assert not any(place.is_relative_to(homes["first"]) for place in now)
        assert any(place.is_relative_to(start) for place in now)
        noted = {path for (path,) in ask(found.xray, "select path from home")}
        expected = (start, homes["moved"], homes["second"], tmp_path / "copy of first")
        assert noted == {str(each) for each in expected}


def test_paths_outside_the_home_stay(original, tmp_path, monkeypatch_module):
    start, there = tmp_path / "home", tmp_path / "home 2"
    copy(original, start)
    with databases(start) as found:
        settle(found.engine(), found.mlflow, start, own=True)
        for uri in ("s3://bucket/mlflow/artifacts", f"file://{tmp_path}/homely/mlflow/artifacts"):
            Tracker(found.mlflow, uri).experiment(uri[:2])
        tell(found.xray, "update image set path = '/data/' || name where id % 2 = 0")
        tell(found.xray, "update image set path = :beside where id = 2", beside=f"{start}ly/x.png")
        paths = ask(found.xray, "select id, path from image order by id")
    rest(start)
    start.rename(there)
    with databases(there) as found:
        settle(found.engine(), found.mlflow, there, own=True)
        locations = {uri for (uri,) in ask(found.mlflow, "select artifact_location from experiments")}
        assert {
            "s3://bucket/mlflow/artifacts/s3",
            f"file://{tmp_path}/homely/mlflow/artifacts/fi",
        } <= locations
        assert ask(found.xray, "select id, path from image order by id") == paths


def test_a_home_with_a_very_long_path_fits_mlflow(server, tmp_path):
    """MLflow's own tables cut places at 200 characters, with an error of PostgreSQL's."""
    server.create_database("mlflow_of_a_long_home")
    url = server.url("mlflow_of_a_long_home")
    artifacts = tmp_path / ("a long name " * 8) / ("and a longer one " * 8) / "mlflow" / "artifacts"
    tracker = Tracker(url, artifacts)
    run = tracker.start("x" * 60, "a/0", "key", {}, [])
    assert ask(url, "select length(artifact_uri) > 300 from runs") == [(True,)]
    tracker.fail(run, "")
    widen(url)

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


def copy(home: Path, target: Path) -> None:
    """Copy a home at rest, as an administrator does: with owners."""
    rest(home)
    subprocess.run(["cp", "-a", home, target], check=True)


def ask(url: str, question: str) -> list[tuple]:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return [tuple(row) for row in connection.execute(text(question))]


def tell(url: str, statement: str, **parameters: object) -> None:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text(statement), parameters)


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
    with databases(home) as urls:
        settle(urls.engine(), urls.mlflow, home, own=True)
        tracker = Tracker(urls.mlflow, home / ARTIFACTS)
        request = DatasetRequest("a", "a", "manifest", None, None, Phantom("alpha", 40, SIZE))
        prepare(urls.engine(), home, request, "corrected", SIZE)
        ensure_model(urls.engine(), tracker, home, ModelRequest("s", "a", ("a",), "corrected", recipe, 0))
        score(urls, home)
    return home


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XRAY_DATABASE_URL", raising=False)
        yield patch


def score(urls: Databases, home: Path) -> list[tuple]:
    """Scores everything anew; every score."""
    tell(urls.xray, "delete from evaluation")
    with urls.engine().begin() as connection:
        ((model_id, lists),) = missing(connection).items()
    evaluate(urls.engine(), Tracker(urls.mlflow, home / ARTIFACTS), home, model_id, lists)
    return stored(urls)


def stored(urls: Databases) -> list[tuple]:
    return ask(urls.xray, "select image, task, logit from predictions order by 1, 2")


def places(urls: Databases) -> set[Path]:
    """Every place that MLflow has noted."""
    uris = ask(
        urls.mlflow,
        "select artifact_location from experiments where artifact_location like 'file:%' union"
        " select artifact_uri from runs union select artifact_location from logged_models"
        " union select storage_location from model_versions",
    )
    return {Path(unquote(urlparse(uri).path)) for (uri,) in uris}


def as_before_notes(urls: Databases, home: Path) -> None:
    """The databases as an earlier version has left them: absolute paths, no note of the home."""
    tell(urls.xray, "delete from home")
    tell(urls.xray, "update image set path = :home || '/' || path", home=str(home))
    (home / ID).unlink()


@pytest.mark.parametrize(
    ("kind", "age"),
    [("moved", "new"), ("moved", "older"), ("copied", "older"), ("copied without its id", "new")],
)
def test_a_copied_home_uses_its_own_files(original, tmp_path, monkeypatch_module, kind, age):
    start, target = tmp_path / "start" / "a home", tmp_path / "other place" / "à côté"
    start.parent.mkdir()
    target.parent.mkdir()
    copy(original, start)
    with databases(start) as urls:
        settle(urls.engine(), urls.mlflow, start, own=True)
        before = stored(urls)
        if age == "older":
            as_before_notes(urls, start)
    copy(start, target)
    if kind == "moved":
        shutil.rmtree(start)
    else:  # the original is there, and would give other scores
        for file in start.rglob("*.safetensors"):
            file.write_bytes(b"")
        shutil.rmtree(start / "phantom")
    if kind == "copied without its id":
        (target / ID).unlink(missing_ok=True)
    shutil.rmtree(target / "pixels")
    with databases(target) as urls:
        settle(urls.engine(), urls.mlflow, target, own=True)
        assert all(path.is_relative_to(target) for path in places(urls))
        assert ask(urls.xray, "select path from home") == [(str(target),)]
        assert ask(urls.xray, "select distinct left(path, 10) from image") == [("phantom/a-",)]
        assert score(urls, target) == before
        tracker = Tracker(urls.mlflow, target / ARTIFACTS)
        assert weights_of(urls.engine(), tracker, 1).is_relative_to(target)
        served = mlflow.pyfunc.load_model("models:/s.a@seed-0")
        assert served.predict(np.zeros((1, 1, SIZE, SIZE), np.float32)).shape == (1, 18)
        with urls.engine().connect() as connection:
            assert list(verify_weights(connection, tracker)) == []
        again = places(urls)
        settle(urls.engine(), urls.mlflow, target, own=True)
        assert places(urls) == again


def test_a_users_server_belongs_to_one_home_and_not_to_its_copy(original, tmp_path, monkeypatch_module):
    """One database, several homes: what others noted stays."""
    start = tmp_path / "start"
    copy(original, start)
    with databases(start) as urls:
        settle(urls.engine(), urls.mlflow, start, own=True)
        homes = {name: tmp_path / name for name in ("first", "second", "moved")}
        homes["first"].mkdir()
        homes["second"].mkdir()
        for name in ("first", "second"):
            settle(urls.engine(), urls.mlflow, homes[name], own=False)
            tracker = Tracker(urls.mlflow, homes[name] / ARTIFACTS)
            tracker.experiment(f"of {name}")
        copy(homes["first"], tmp_path / "copy of first")
        settle(urls.engine(), urls.mlflow, tmp_path / "copy of first", own=False)
        assert homes["first"] / ARTIFACTS / "of first" in places(urls)
        homes["first"].rename(homes["moved"])
        settle(urls.engine(), urls.mlflow, homes["moved"], own=False)
        now = places(urls)
        assert {homes["moved"] / ARTIFACTS / "of first", homes["second"] / ARTIFACTS / "of second"} <= now
        assert not any(path.is_relative_to(homes["first"]) for path in now)
        assert any(path.is_relative_to(start) for path in now)
        noted = {path for (path,) in ask(urls.xray, "select path from home")}
        expected = (start, homes["moved"], homes["second"], tmp_path / "copy of first")
        assert noted == {str(path) for path in expected}


def test_paths_outside_the_home_stay(original, tmp_path, monkeypatch_module):
    start, target = tmp_path / "home", tmp_path / "home 2"
    copy(original, start)
    with databases(start) as urls:
        settle(urls.engine(), urls.mlflow, start, own=True)
        for uri in ("s3://bucket/mlflow/artifacts", f"file://{tmp_path}/homely/mlflow/artifacts"):
            Tracker(urls.mlflow, uri).experiment(uri[:2])
        tell(urls.xray, "update image set path = '/data/' || name where id % 2 = 0")
        tell(urls.xray, "update image set path = :beside where id = 2", beside=f"{start}ly/x.png")
        paths = ask(urls.xray, "select id, path from image order by id")
    rest(start)
    start.rename(target)
    with databases(target) as urls:
        settle(urls.engine(), urls.mlflow, target, own=True)
        locations = {uri for (uri,) in ask(urls.mlflow, "select artifact_location from experiments")}
        assert {
            "s3://bucket/mlflow/artifacts/s3",
            f"file://{tmp_path}/homely/mlflow/artifacts/fi",
        } <= locations
        assert ask(urls.xray, "select id, path from image order by id") == paths


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

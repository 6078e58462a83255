"""MLflow on a database of the tests' server, and drawn sites that are trained on in a second."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from db.embedded import Server
from xray.data.prepare import prepare
from xray.data.request import DatasetRequest, Phantom
from xray.learning.recipe import Recipe
from xray.learning.tracking import Tracker
from xray.pixels.augment import Augmentation

SIZE = 16
QUICK = Recipe(
    "small_convnet", SIZE, epochs=1, batch_size=8, learning_rate=1e-3, augmentation=Augmentation(0, 0, 0, 0)
)


@pytest.fixture(scope="session")
def mlflow_url(server: Server) -> str:
    """The database of one MLflow for the whole session; experiments and models are told apart by their study."""
    server.create_database("mlflow_of_tests")
    return server.url("mlflow_of_tests")


@pytest.fixture
def tracker(mlflow_url: str, tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    """A tracker whose artifacts lie in a folder with a space in its name."""
    return Tracker(mlflow_url, tmp_path_factory.mktemp("artifacts of ours"))


@pytest.fixture
def quick() -> Recipe:
    """A recipe of one epoch on pictures of 16 pixels."""
    return QUICK


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "xray home"
    folder.mkdir()
    return folder


@pytest.fixture
def draw(engine: Engine, home: Path) -> Callable[..., None]:
    """Draws, registers and splits datasets: draw("a", "b") or draw("b", protocol="paper")."""

    def make(*names: str, protocol: str = "corrected", patients: int = 40) -> None:
        for name in names:
            request = DatasetRequest(name, name, "manifest", None, None, Phantom("alpha", patients, SIZE))
            prepare(engine, home, request, protocol, SIZE)

    return make

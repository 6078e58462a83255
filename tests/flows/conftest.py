"""The platform as a user has it: the command `xray` in processes of its own, on a home whose name has spaces."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from db.connection import Databases, databases
from flows.cli import main
from tests.conftest import Finished, timed
from tests.homes import PROJECT, Home, copy_home

TINY = """
name = "tiny"
title = "Two small synthetic hospitals"
seeds = [0]
[[datasets]]
name = "tiny-a"
phantom = { site = "alpha", patients = 120, size = 32 }
[[datasets]]
name = "tiny-d"
phantom = { site = "delta", patients = 120, size = 32 }
[network]
name = "small_convnet"
image_size = 32
[training]
epochs = 2
batch_size = 16
learning_rate = 3e-3
[augmentation]
rotation = 0
translation = 0.04
scale = 0
intensity = 0.1
"""


@dataclass(frozen=True)
class FinishedRun:
    """A study that was run: the home, what the command printed, how long it took, and its databases, held open."""

    home: Home
    file: Path
    output: str
    messages: str
    seconds: float
    databases: Databases

    def _engine(self, database: str) -> Engine:
        url = self.databases.prefect_libpq if database == "prefect" else getattr(self.databases, database)
        return create_engine(url, poolclass=NullPool)

    def ask(self, query: str, database: str = "xray", **parameters: Any) -> pd.DataFrame:
        """Rows of a query to one of the three databases."""
        with self._engine(database).connect() as connection:
            answer = connection.execute(text(query), parameters)
            return pd.DataFrame(answer.all(), columns=list(answer.keys()))

    def counts(self) -> dict[str, int]:
        """Rows of every table of the three databases."""
        counts = {}
        for database in ("xray", "mlflow", "prefect"):
            with self._engine(database).connect() as connection:
                tables = connection.scalars(
                    text("select tablename from pg_tables where schemaname = 'public' order by 1")
                ).all()
                for table in tables:
                    rows = connection.scalar(text(f'select count(*) from "{table}"'))
                    counts[f"{database}.{table}"] = int(rows)
        return counts

    def report(self, study: str) -> dict[str, bytes]:
        """The files of a study's report."""
        folder = self.home.path / "reports" / study
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


Typed = tuple[Any, str, str]
Runner = Callable[..., FinishedRun]


@pytest.fixture(scope="session")
def run_study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Runs a study in a copy of a home, then holds the home's server until the session ends."""
    with ExitStack() as stack:

        def run(file: Path, name: str, copied: Path) -> FinishedRun:
            home = Home(tmp_path_factory.mktemp(f"folder of {name}") / "xray home")
            copy_home(copied, home.path)
            return hold(stack, file, timed(home, "study", "run", file))

        yield run


def hold(stack: ExitStack, file: Path, command: Finished) -> FinishedRun:
    """The study of a command that has ended, with its databases open for as long as the stack lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XRAY_DATABASE_URL", raising=False)
        urls = stack.enter_context(databases(command.home.path))
    return FinishedRun(command.home, file, command.output, command.messages, command.seconds, urls)


@pytest.fixture(scope="session")
def demo(demo_command: Finished) -> Iterator[FinishedRun]:
    """`xray demo`, run once. Whatever changes its home belongs in a study of its own."""
    with ExitStack() as stack:
        yield hold(stack, PROJECT / "studies" / "phantom.toml", demo_command)


@pytest.fixture(scope="session")
def predictions(demo: FinishedRun) -> pd.DataFrame:
    """Every row of the view `predictions` of the demo."""
    return demo.ask("select * from predictions")


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that is done in seconds: two synthetic sites, three models of one seed."""
    file = tmp_path_factory.mktemp("studies of ours") / "tiny study.toml"
    file.write_text(TINY, encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def tiny(run_study: Runner, tiny_file: Path, prepared: Path) -> FinishedRun:
    """The tiny study, run to its end undisturbed."""
    return run_study(tiny_file, "tiny", prepared)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Typed]:
    """Runs a command on a home in this process, which is quicker: exit code, output, messages."""

    def run(home: Home, *arguments: str) -> Typed:
        monkeypatch.setenv("XRAY_HOME", str(home.path))
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        printed = capsys.readouterr()
        return caught.value.code, printed.out, printed.err

    return run


@pytest.fixture
def call(
    tiny: FinishedRun, monkeypatch: pytest.MonkeyPatch, typed: Callable[..., Typed]
) -> Callable[..., Typed]:
    """Runs a command on the tiny study in this process."""
    monkeypatch.setenv("XRAY_DATABASE_URL", tiny.databases.psql())
    return partial(typed, tiny.home)


@pytest.fixture
def new_home(tmp_path: Path) -> Home:
    """A home where nothing has run yet."""
    folder = tmp_path / "a new folder"
    folder.mkdir()
    return Home(folder / "xray home")


@pytest.fixture
def empty_home(new_home: Home, prepared: Path) -> Home:
    """A home with all tables where nothing else has run yet: what a study does first, but for seconds of migrations."""
    copy_home(prepared, new_home.path)
    return new_home

"""The platform as a user has it: the command `xray` in processes of its own, on a home whose name has spaces."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from db.connection import Databases, databases
from flows.cli import main
from tests.conftest import OURS, copy_home

PROJECT = Path(__file__).resolve().parents[2]
XRAY = Path(sys.executable).with_name("xray")

SHELL = {
    **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9"),
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "no_proxy": "internal.example",
    "PREFECT_API_KEY": "of-the-cloud",
    "PREFECT_API_AUTH_STRING": "somebody:else",
    "PREFECT_API_SSL_CERT_FILE": "/nowhere/certificate.pem",
    "PREFECT_CLIENT_CUSTOM_HEADERS": "{no json",
    "PREFECT_HOME": "/nowhere/prefect",
    "PREFECT_PROFILE": "elsewhere",
    "PREFECT_LOGGING_LEVEL": "LOUD",
    "PREFECT_LOGGING_SETTINGS_PATH": "/nowhere/logging.yml",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "absent",
    "PREFECT_SERVER_API_AUTH_STRING": "somebody:else",
    "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    "PREFECT_SERVER_API_BASE_PATH": "/elsewhere",
    "PREFECT_API_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:////nowhere/prefect.db",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    "MLFLOW_REGISTRY_URI": "http://127.0.0.1:9",
    "MLFLOW_TRACKING_TOKEN": "of-the-cloud",
    "MLFLOW_TRACKING_USERNAME": "somebody",
    "MLFLOW_TRACKING_PASSWORD": "else",
    "MLFLOW_EXPERIMENT_NAME": "of other work",
    "MLFLOW_EXPERIMENT_ID": "77",
    "MLFLOW_RUN_ID": "0123456789abcdef0123456789abcdef",
    "MLFLOW_SERVER_ALLOWED_HOSTS": "evil.example",
    "_MLFLOW_SERVER_ARTIFACT_ROOT": "/nowhere/artifacts",
}
"""The shell of a user who has Prefect, MLflow and a proxy for other work; the proxy can't reach this machine's own ports."""
FOLDER = {
    ".env": "PREFECT_CLIENT_MAX_RETRIES=many\nPREFECT_API_KEY=of-the-cloud\nMLFLOW_TRACKING_URI=http://127.0.0.1:9\n",
    "prefect.toml": '[client]\nretry_jitter_factor = "some"\n',
    "pyproject.toml": '[tool.prefect.results]\npersist_by_default = "perhaps"\n',
}
"""Files of that work in the folder in which the command runs; none is one that Prefect could read without an error."""
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
class Home:
    """One XRAY_HOME and the command line on it."""

    path: Path
    variables: dict[str, str] = field(default_factory=SHELL.copy)

    def environment(self) -> dict[str, str]:
        """The environment of a user: nothing of this process's own settings of the platform."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return {**environment, "XRAY_HOME": str(self.path), "PYTHONPATH": str(PROJECT), **self.variables}

    def start(self, *arguments: str | Path, **options: Any) -> "subprocess.Popen[str]":
        """Start a command and leave it running."""
        for name, content in FOLDER.items():
            (self.path.parent / name).write_text(content)
        return subprocess.Popen(
            [XRAY, *arguments],
            env=self.environment(),
            cwd=self.path.parent,
            text=True,
            stdin=subprocess.DEVNULL,
            **options,
        )

    def run(self, *arguments: str | Path, exit_code: int = 0, timeout: float = 900) -> Any:
        """Run a command to its end, which must have this exit code."""
        with self.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        assert process.returncode == exit_code, f"{arguments}: {process.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Rows of `xray sql --json`."""
        return [json.loads(line) for line in self.run("sql", "--json", query).stdout.splitlines()]


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
    """Runs a command in a new home, or a copy of one, then holds the home's server until the session ends."""
    with ExitStack() as stack:

        def run(
            arguments: Sequence[str | Path], name: str, file: Path, copied: Path | None = None
        ) -> FinishedRun:
            home = Home(tmp_path_factory.mktemp(f"folder of {name}") / "xray home")
            if copied is not None:
                copy_home(copied, home.path)
            began = time.monotonic()
            process = home.run(*arguments)
            seconds = time.monotonic() - began
            with pytest.MonkeyPatch.context() as patch:
                patch.delenv("XRAY_DATABASE_URL", raising=False)
                urls = stack.enter_context(databases(home.path))
            return FinishedRun(home, file, process.stdout, process.stderr, seconds, urls)

        yield run


@pytest.fixture(scope="session")
def demo(run_study: Runner) -> FinishedRun:
    """`xray demo`, run once. Whatever changes its home belongs in a study of its own."""
    return run_study(["demo"], "demo", PROJECT / "studies" / "phantom.toml")


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
    return run_study(["study", "run", tiny_file], "tiny", tiny_file, prepared)


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

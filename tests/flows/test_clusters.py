"""A study on a cluster of Dask or Ray, whose workers share the databases and the store of artifacts alone; one is killed."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pandas as pd
import psycopg2
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from db.embedded import Server, acquire
from flows import clusters
from flows.pool import Pool, result
from tests.flows.conftest import TINY
from tests.homes import PROJECT, Home
from xray.errors import XrayError
from xray.settings import Cluster, cluster

SECRETS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "eu-west-1"}
FILE = TINY.replace("seeds = [0]", "seeds = [0, 1]")


@pytest.mark.parametrize(
    ("setting", "address"),
    [
        ("", None),
        ("dask://10.0.0.1:8786", Cluster("dask", "10.0.0.1:8786")),
        ("ray://[::1]:10001", Cluster("ray", "[::1]:10001")),
    ],
)
def test_one_setting_names_the_cluster(setting, address, monkeypatch):
    monkeypatch.setenv("XRAY_TASK_RUNNER", setting)
    assert cluster() == address
    assert address is None or address.is_local == (address.kind == "ray")


@pytest.mark.parametrize(
    "setting", ["tcp://h:1", "dask://h", "dask://:8786", "dask://h:many", "dask://h:1/x", "dask"]
)
def test_an_address_that_names_no_cluster_is_refused(setting, monkeypatch):
    monkeypatch.setenv("XRAY_TASK_RUNNER", setting)
    with pytest.raises(
        XrayError, match="XRAY_TASK_RUNNER: expected dask://HOST:PORT or ray://HOST:PORT, found"
    ):
        Pool(1).duplicate()


def test_without_a_cluster_a_flow_run_uses_this_machines_processes(monkeypatch):
    monkeypatch.delenv("XRAY_TASK_RUNNER", raising=False)
    assert type(Pool(3).duplicate()) is Pool


def test_a_cluster_needs_shared_databases_and_artifacts_and_its_extra(monkeypatch):
    monkeypatch.setenv("XRAY_TASK_RUNNER", "dask://10.0.0.1:8786")
    for name in ("XRAY_DATABASE_URL", "XRAY_ARTIFACTS", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(XrayError, match="so XRAY_DATABASE_URL and XRAY_ARTIFACTS must be"):
        Pool(1).duplicate()
    monkeypatch.setenv("XRAY_DATABASE_URL", "postgresql://server/xray")
    monkeypatch.setenv("XRAY_ARTIFACTS", "s3://bucket/artifacts")
    with pytest.raises(XrayError, match="PREFECT_API_URL must name a Prefect server that its workers reach"):
        Pool(1).duplicate()
    monkeypatch.setenv("PREFECT_API_URL", "http://10.0.0.1:4200/api")
    monkeypatch.setitem(sys.modules, "prefect_dask", None)
    with pytest.raises(XrayError, match=r"pip install 'xray\[dask\]'"):
        Pool(1).duplicate()


@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_a_cluster_that_does_not_answer_is_named_with_its_address(kind, monkeypatch, free_port):
    monkeypatch.setenv("XRAY_TASK_RUNNER", f"{kind}://127.0.0.1:{free_port}")
    monkeypatch.setenv("XRAY_DATABASE_URL", "postgresql://server/xray")
    monkeypatch.setenv("XRAY_ARTIFACTS", "s3://bucket/artifacts")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    runner = SimpleNamespace(DaskTaskRunner=None, RayTaskRunner=None)
    monkeypatch.setitem(sys.modules, f"prefect_{kind}", runner)
    words = f"XRAY_TASK_RUNNER: no {kind.capitalize()} cluster answers at 127.0.0.1:{free_port}: .*refused"
    with pytest.raises(XrayError, match=words):
        Pool(1).duplicate()


def test_tasks_that_a_cluster_gave_up_are_reported_in_one_sentence():
    class KilledWorker(Exception):
        __module__, __qualname__ = "distributed.scheduler", "KilledWorker"

    class GivenUp:
        def result(self):
            raise KilledWorker("task-1", "worker-1")

    with pytest.raises(XrayError, match="training models: the cluster gave up: workers were killed"):
        result("training models", GivenUp())


def test_a_worker_without_the_databases_refuses(monkeypatch):
    monkeypatch.delenv("XRAY_ARTIFACTS", raising=False)
    monkeypatch.setattr(clusters, "_worker_of", lambda: "Dask")
    with pytest.raises(
        XrayError, match=r"the Dask worker on \S+ has no XRAY_DATABASE_URL and no XRAY_ARTIFACTS"
    ):
        clusters.check_worker()
    monkeypatch.setattr(clusters, "_worker_of", lambda: "")
    clusters.check_worker()


@dataclass
class Shared:
    """What workers share: databases on one server, and an object store."""

    folder: Path
    server: Server
    storage: str

    def variables(self, name: str) -> dict[str, str]:
        """What a command or a worker has in its environment. name: of the databases."""
        return {
            **SECRETS,
            "XRAY_DATABASE_URL": self.server.url(name).replace("+psycopg2", ""),
            "XRAY_ARTIFACTS": f"s3://{name}/artifacts",
            "MLFLOW_S3_ENDPOINT_URL": self.storage,
            "OMP_NUM_THREADS": "1",
        }

    def new(self, name: str) -> dict[str, str]:
        """Empty databases and an empty bucket."""
        self.server.create_database(name)
        variables = {key.lower(): value for key, value in SECRETS.items()}
        region = variables.pop("aws_default_region")
        client = boto3.client("s3", endpoint_url=self.storage, region_name=region, **variables)
        client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
        return self.variables(name)


@pytest.fixture(scope="module")
def processes() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts programs that are ended with the module."""
    with ExitStack() as stack:

        def start(arguments: Sequence[object], log: Path, **variables: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [str(argument) for argument in arguments],
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(sys.path),
                    "STARTED_FOR": str(log),
                    **variables,
                },
                stdout=stack.enter_context(log.open("wb")),
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            stack.callback(end, process, f"STARTED_FOR={log}")
            return process

        yield start


def end(process: subprocess.Popen[bytes], mark: str) -> None:
    """End a program and what it started, which has the mark in its environment."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
    kill_all(mark)
    process.wait()


def kill_all(mark: str) -> None:
    """kill −9 of every process that has a variable in its environment."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, processes, free_ports) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("shared")
    port = free_ports()
    processes([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port], folder / "storage.log")
    with acquire(folder / "server") as server:
        until(lambda: listens(port), 120, lambda: (folder / "storage.log").read_text())
        yield Shared(folder, server, f"http://127.0.0.1:{port}")


@pytest.fixture(scope="module")
def free_ports() -> Callable[[], int]:
    import socket

    def free() -> int:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            return int(listening.getsockname()[1])

    return free


def listens(port: int) -> bool:
    import socket

    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def until(true: Callable[[], bool], seconds: float, content: Callable[[], object]) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, content()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("study") / "tiny.toml"
    file.write_text(FILE, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def alone(shared, study, tmp_path_factory) -> dict[str, Any]:
    """What the study comes to on this machine alone."""
    home = Home(tmp_path_factory.mktemp("alone") / "home", shared.new("alone"))
    home.run("study", "run", study)
    return outcome(shared.server.url("alone"), home.path)


def outcome(url: str, home: Path) -> dict[str, Any]:
    """Models, scores and all results by name, without ids and times; and the report but its page, which tells the time."""
    queries = {
        "models": "select key, trained_on, seed, recipe::text, best_epoch, validation_auc from model",
        "predictions": "select * from predictions",
    }
    tables: dict[str, Any] = {}
    with create_engine(url, poolclass=NullPool).connect() as connection:
        views = connection.scalars(
            text("select viewname from pg_views where viewname like '%\\_results'")
        ).all()
        for name, query in (queries | {view: f"select * from {view}" for view in views}).items():
            answer = connection.execute(text(query))
            frame = pd.DataFrame(answer.all(), columns=list(answer.keys()))
            frame = frame.drop(columns=["evaluation_ids", "cohort_ids", "computed_at"], errors="ignore")
            if name == "predictions":
                frame = frame.drop(columns="model")  # its version in MLflow: which was registered first
            ordered = "position" in frame
            if ordered:  # made of ids: the order of rows is what counts
                frame = frame.sort_values("position", ignore_index=True).drop(columns="position")
            rows = list(map(repr, frame.itertuples(index=False, name=None)))
            tables[name] = rows if ordered else sorted(rows)
    for file in sorted((home / "reports" / "tiny").iterdir()):
        if file.suffix != ".html":
            tables[file.name] = file.read_bytes()
    return tables


@dataclass
class Workers:
    """Workers, each with a home of its own, and what the setting is by which a study finds them."""

    setting: str
    add: Callable[[str], object]
    folder: Path

    def home(self, name: str) -> Path:
        return self.folder / f"home of {name}"

    def kill(self, name: str) -> None:
        """kill −9 of all that is of a worker."""
        kill_all(f"XRAY_HOME={self.home(name)}")


def own(variables: dict[str, str], folder: Path, name: str) -> dict[str, str]:
    """What one worker has in its environment."""
    return {**variables, "XRAY_HOME": str(folder / f"home of {name}"), "XRAY_WORKER": name}


def dask_workers(processes: Any, ports: Any, variables: dict[str, str], folder: Path) -> Workers:
    port = ports()
    log = folder / "scheduler.log"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port]
    processes([*command, "--dashboard-address", "127.0.0.1:0"], log, **dict.fromkeys(clusters.SHARED, ""))
    until(lambda: listens(port), 120, log.read_text)

    def add(name: str) -> None:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}"]
        options = ["--nthreads", 1, "--no-nanny", "--no-dashboard", "--name", name, "--host", "127.0.0.1"]
        local = ["--local-directory", folder / f"spill {name}"]
        processes([*command, *options, *local], folder / f"{name}.log", **own(variables, folder, name))

    return Workers(f"dask://127.0.0.1:{port}", add, folder)


def begun(process: subprocess.Popen[bytes], log: Path, words: str) -> bool:
    """Whether a program has said these words, or has ended before."""
    until(lambda: words in log.read_text() or process.poll() is not None, 180, log.read_text)
    return process.poll() is None


def ray_workers(processes: Any, ports: Any, variables: dict[str, str], folder: Path) -> Workers:
    """A head that computes nothing, and nodes of one core."""
    head, client = ports(), ports()
    log = folder / "head.log"
    ray = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--block"]
    local = ["--disable-usage-stats", "--node-ip-address", "127.0.0.1", "--object-store-memory", 10**8]
    # the head forks beside threads of gRPC, whose fork handlers then end the child at times ("Check failed: ... KICKED")
    quiet = {"RAY_memory_monitor_refresh_ms": "0", "GRPC_ENABLE_FORK_SUPPORT": "0"}
    command = ["--head", "--port", head, "--ray-client-server-port", client, "--num-cpus", 0]
    temporary = ["--include-dashboard", "false", "--temp-dir", f"/tmp/ray-{os.getpid()}"]
    processes([*ray, *command, *temporary, *local], log, **dict.fromkeys(clusters.SHARED, ""), **quiet)
    until(lambda: listens(client), 180, log.read_text)

    def add(name: str) -> None:
        command = [*ray, "--address", f"127.0.0.1:{head}", "--num-cpus", 1, *local]
        log = folder / f"{name}.log"
        for _ in range(6):  # a node that takes longer than 30 seconds to begin gives up
            process = processes(command, log, **own(variables, folder, name), **quiet)
            if begun(process, log, "block forever"):
                return
        raise AssertionError(log.read_text())

    return Workers(f"ray://127.0.0.1:{client}", add, folder)


KINDS = {"dask": dask_workers, "ray": ray_workers}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", KINDS)
def test_a_cluster_that_loses_a_worker_gives_the_results_of_one_machine(
    kind, shared, study, alone, processes, free_ports, tmp_path
):
    if importlib.util.find_spec(f"prefect_{kind}") is None:
        pytest.skip(f"the extra is not installed: pip install 'xray[{kind}]'")
    variables = shared.new(kind)
    workers = KINDS[kind](processes, free_ports, variables, tmp_path)
    for name in ("one", "two"):
        workers.add(name)
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    home = Home(tmp_path / "home", {**variables, "XRAY_TASK_RUNNER": workers.setting, "PYTHONPATH": path})
    log = tmp_path / "run.log"
    url = shared.server.url(kind)
    with log.open("w") as output:
        process = home.start("study", "run", study, stdout=output, stderr=output)
        try:
            training = "select count(*) from runs where status = 'RUNNING'"
            mlflow = shared.server.url(f"{kind}_mlflow")
            until(
                lambda: (
                    process.poll() is not None
                    or (
                        all((workers.home(name) / "pixels").is_dir() for name in ("one", "two"))
                        and ask(mlflow, training)
                    )
                ),
                600,
                log.read_text,
            )
            assert process.poll() is None, log.read_text()
            workers.kill("one")
            workers.add("three")
            assert process.wait(900) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()
    for table in ("model", "evaluation", "analysis"):
        by = ask_all(url, f"select distinct provenance ->> 'worker' from {table}")
        assert by <= {"one", "two", "three"}, f"the command itself made nothing of {table}"
        assert by & {"two", "three"}, table
    assert ask_all(url, "select 1 from evaluation where provenance ->> 'worker' = 'one'") == set()
    assert not list(home.path.glob("mlflow/artifacts/**/*.safetensors"))
    expected = outcome(url, home.path)
    assert expected.keys() == alone.keys()
    assert len(alone["auc_results"]) > 100
    for name, content in alone.items():
        assert expected[name] == content, name


def ask(url: str, query: str) -> int:
    values = ask_all(url, query)
    return int(next(iter(values), 0))


def ask_all(url: str, query: str) -> set[Any]:
    try:
        with (
            closing(psycopg2.connect(url.replace("+psycopg2", ""))) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(query)
            return {row[0] for row in cursor.fetchall()}
    except psycopg2.Error:  # no database or no table yet
        return set()

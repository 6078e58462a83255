"""One PostgreSQL server for the whole run, and a migrated database of its own for each test that asks for one."""

import gc
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool
from xdist.scheduler import LoadScopeScheduling

from db.embedded import Server, acquire, stop
from db.migrate import upgrade
from flows import MANY, leave_garbage
from tests.homes import OURS, PROJECT, Home, copy_home

MEMORY = Path("/dev/shm")
ENOUGH = 10 * 2**30
"""Bytes. A run of all tests takes up to 4 GB there; files of runs that were killed stay there, and take memory."""
_numbers = itertools.count()

gc.set_threshold(*MANY)
leave_garbage()
# for the workers of -n 3 and all that is started: threads would wait for each other, modules be compiled at each start
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# ext4 passes over every inode that was freed within minutes, which is half the cost of making a database or copying a home
if (
    MEMORY.is_dir()
    and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    and min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) > ENOUGH
):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
# a shell that runs the tests in the background (&, nohup) lets them ignore these, and so would all that they start
for _number, _default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _default)


class ByFile(LoadScopeScheduling):
    """With `pytest -n 3`: a free worker takes the next file, or the next files of SHARING, which share a costly fixture."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return next((scope for start, scope in SHARING.items() if file.startswith(start)), file)


SHARING = {
    "tests/docs/": "demo",
    "tests/flows/test_demo_": "demo",
    "tests/flows/cli/": "tiny",
    "tests/flows/explore/": "tiny",
    "tests/flows/test_evaluate_pictures": "tiny",
    "tests/flows/test_killed": "tiny",
    "tests/flows/test_tracked": "tiny",
    "tests/flows/standing/": "standing",
}
"""How paths of files start → what these are done together with, the longest first."""


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    """What xdist asks for: scopes in the order of `pytest_collection_modifyitems`."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What one worker does alone comes first, so that at the end small files keep all at work."""
    if hasattr(config, "workerinput"):
        starts = list(SHARING)
        items.sort(
            key=lambda item: next(
                (starts.index(start) for start in starts if item.nodeid.startswith(start)), len(starts)
            )
        )


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not look through it again and again."""
    gc.freeze()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The embedded server, in a folder whose name has a space; it does not wait for the disk."""
    with acquire(tmp_path_factory.mktemp("xray home")) as running:
        with _admin(running).connect() as connection:
            connection.execute(text("alter system set fsync = off"))
            connection.execute(text("select pg_reload_conf()"))
        yield running
        _admin(running).dispose()


@cache
def _admin(server: Server) -> Engine:
    return create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")


def copy_template(server: Server, template: str, name: str) -> str:
    """URL of a new database like the template. Its files are copied, which is three times as quick where fsync is off."""
    with _admin(server).connect() as connection:
        connection.execute(text(f"create database {name} template {template} strategy file_copy"))
    return server.url(name)


@pytest.fixture(scope="session")
def _template(server: Server) -> str:
    server.create_database("template_xray")
    upgrade(create_engine(server.url("template_xray"), poolclass=NullPool))
    return "template_xray"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with all databases and their tables and nothing in them, whose server has ended. The demo makes its own."""
    home = tmp_path_factory.mktemp("prepared") / "xray home"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    variables = environment | {"XRAY_HOME": str(home), "PYTHONPATH": str(PROJECT)}
    subprocess.run([sys.executable, "-m", "flows.standing.migrate"], env=variables, check=True, timeout=300)
    stop(home)
    return home


@dataclass(frozen=True)
class Finished:
    """A command that has ended: on which home, what it printed, how long it took."""

    home: Home
    output: str
    messages: str
    seconds: float


def timed(home: Home, *arguments: str | Path) -> Finished:
    """Run a command to its end."""
    began = time.monotonic()
    process = home.run(*arguments)
    return Finished(home, process.stdout, process.stderr, time.monotonic() - began)


@pytest.fixture(scope="session")
def demo_command(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """`xray demo`, run once; beside its home a copy of that, made while no server runs on it."""
    command = timed(Home(tmp_path_factory.mktemp("folder of demo") / "xray home"), "demo")
    stop(command.home.path)
    copy_home(command.home.path, command.home.path.with_name("copy"))
    return command


@pytest.fixture(scope="session")
def demo_copy(demo_command: Finished) -> Path:
    """A home with the demo for tests that change it."""
    return demo_command.home.path.with_name("copy")


@pytest.fixture
def database(server: Server, _template: str) -> Iterator[str]:
    """URL of a new, migrated, empty database, gone after the test."""
    with copied(server, _template) as url:
        yield url


@contextmanager
def copied(server: Server, template: str) -> Iterator[str]:
    """URL of a new database like the template, gone after the block: hundreds of them would fill a disk."""
    name = f"test_{next(_numbers)}"
    try:
        yield copy_template(server, template, name)
    finally:
        with _admin(server).connect() as connection:
            connection.execute(text(f"drop database if exists {name} with (force)"))


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """An engine on a new, migrated, empty database. Its connections stay open: to make one costs the server 5 to 12 ms."""
    engine = create_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])

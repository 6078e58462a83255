"""Commands of xray as forks of one process that has imported everything, so that a small study takes seconds.

The fork is what a process `xray …` is after its imports: a session of its own, its home and output, its own children. The
processes of its pool are forks too (by multiprocessing's fork server, itself a fork), where the product starts new Pythons.
"""

import contextlib
import faulthandler
import gc
import importlib
import multiprocessing.context
import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from pathlib import Path
from typing import Any, Final

import psutil

OURS: Final = ("XRAY_", "PREFECT_", "MLFLOW_")
SERVERS: Final = ("uvicorn", "flows.standing.serve")
"""How the command of Prefect's server is known."""


def import_all() -> None:
    """What a study needs, and nothing that starts a thread."""
    os.environ |= {"PREFECT_LOGGING_LEVEL": "WARNING", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}
    from flows.standing.warm import NEEDED
    from xray.learning import tracking

    for name in (
        *NEEDED,
        "flows.cli.study",
        "xray.analyses.report",
        "flows.watch",
        "flows.ends",
        "matplotlib.pyplot",
    ):
        importlib.import_module(name)
    tracking.import_all()
    faulthandler.register(signal.SIGUSR2)  # of a fork that hangs: into its own output
    gc.collect()
    gc.freeze()


@dataclass
class Fork:
    """A process of ours under way; its output is in a file."""

    pid: int
    home: Path
    output: Path
    code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative where a signal ended it; None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def wait(self, seconds: float) -> int | None:
        """Its exit code; None where it has not ended by then."""
        deadline = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.code

    def text(self) -> str:
        """What it has written."""
        return self.output.read_text(errors="replace")

    def role(self, name: str) -> list[int]:
        """Its processes of one role: main, pool, api, keeper or database."""
        if name == "main":
            return [self.pid] if self.poll() is None else []
        if name in ("keeper", "database"):
            keepers = [
                pid for pid, command in processes_of(self.home).items() if "db.embedded.keeper" in command
            ]
            return keepers if name == "keeper" else _postmasters(keepers)
        processes = []
        try:
            own = psutil.Process(self.pid)
            for child in own.children():
                servant = any(word in " ".join(child.cmdline()) for word in SERVERS)
                if name == "api" and servant:
                    processes.append(child.pid)
                if name == "pool" and not servant:  # the fork server; its children are the pool
                    processes += [child.pid for child in child.children()]
        except psutil.Error:
            return []
        return processes

    def write_stacks(self) -> None:
        """Let its processes write what they are at into its output: for a run that hangs."""
        with contextlib.suppress(psutil.Error):
            own = psutil.Process(self.pid)
            for process in (own, *own.children(recursive=True)):
                if "python" in process.name():
                    process.send_signal(signal.SIGUSR2)
                    time.sleep(0.5)

    def descendants(self) -> set[int]:
        """All its processes, and those that keep its database."""
        pids = set(processes_of(self.home))
        with contextlib.suppress(psutil.Error):
            pids |= {child.pid for child in psutil.Process(self.pid).children(recursive=True)}
        return pids


def _postmasters(keepers: list[int]) -> list[int]:
    """The servers that these keepers keep; they know their data by a descriptor, and not by its path."""
    servers = []
    for pid in keepers:
        with contextlib.suppress(psutil.Error):
            servers += [child.pid for child in psutil.Process(pid).children() if child.name() == "postgres"]
    return servers


def fork(
    home: Path, output: Path, function: Callable[[], Any], environment: Mapping[str, str] | None = None
) -> Fork:
    """Run a function in a fork that is a command on a home. Its exit code: 0, that of SystemExit, or 1 after a traceback."""
    pid = os.fork()
    if pid:
        return Fork(pid, home, output)
    code: object = 1
    try:
        _become(home, output, environment or {})
        function()
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def xray(*arguments: str) -> Callable[[], None]:
    """A command line as a function, as the console script calls it."""

    def run() -> None:
        from flows.cli import main

        sys.argv = ["xray", *arguments]
        main()

    return run


def _become(home: Path, output: Path, environment: Mapping[str, str]) -> None:
    import numpy as np
    from prefect.context import refresh_global_settings_context

    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    to = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in ((0, null), (1, to), (2, to)):
        os.dup2(descriptor, number)
    for name in [name for name in os.environ if name.startswith(OURS)]:
        del os.environ[name]
    os.environ.update({"XRAY_HOME": str(home), **environment})
    random.seed()
    np.random.seed()  # noqa: NPY002  (whoever still uses the old generator)
    refresh_global_settings_context()
    _look_again()
    _fork_the_pool()


def _look_again() -> None:
    """Let Prefect, which a command imports when its API runs, look at the environment when it does here too."""
    from prefect.context import refresh_global_settings_context

    from flows import platform

    running = platform.prefect_api

    @contextlib.contextmanager
    def checked(*arguments: Any) -> Iterator[str]:
        with running(*arguments) as url:
            refresh_global_settings_context()
            yield url

    vars(platform)["prefect_api"] = checked


def _fork_the_pool() -> None:
    """Let processes of the pool be forks of a fork of this process, made now, before it has any thread."""
    from flows import tasks
    from flows.processes import die_with_parent

    server: Any = forkserver._forkserver
    parent = os.getpid()
    listener = socket.socket(socket.AF_UNIX)
    address = connection.arbitrary_address("AF_UNIX")  # type: ignore[attr-defined]
    listener.bind(address)
    listener.listen()
    reader, writer = os.pipe()
    # a fork of the server dies with the server, which dies with us
    vars(tasks)["die_with_parent"] = lambda parent=None: die_with_parent(None)
    pid = os.fork()
    if pid == 0:
        die_with_parent(parent)
        os.close(writer)
        forkserver.main(listener.detach(), reader, [])
        os._exit(0)
    os.close(reader)
    listener.close()
    server._forkserver_address, server._forkserver_alive_fd, server._forkserver_pid = address, writer, pid
    contexts = multiprocessing.context._concrete_contexts  # type: ignore[attr-defined]
    contexts["spawn"] = contexts["forkserver"]


def processes_of(home: Path) -> dict[int, str]:
    """Living processes that name a home in their arguments: pid → command. The database's, and its keeper."""
    processes = {}
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if (
                any(f"{home}{end}" in f"{command} " for end in "/ ")
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                processes[process.pid] = command
        except psutil.Error:
            continue
    return processes


def lives(pid: int) -> bool:
    """Whether there is such a process, other than one that has ended and was not asked for yet."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False

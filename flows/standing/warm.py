"""A process that has imported what flow runs need, and forks one of them at a time: seconds of CPU less for each.

    python -m flows.standing.warm FOLDER        listens in FOLDER; what workers start (flows.standing.engine) asks it

Importing torch, MLflow and Prefect takes ten seconds of CPU, more than a small training. Nothing is computed here, no
thread of Python's is started and no GPU is touched, so that a fork is as good as a new process. When code or packages have
changed since they were imported, it forks no more, and ends when its forks have: the supervisor starts it again.
"""

import atexit
import contextlib
import json
import os
import runpy
import selectors
import signal
import socket
import struct
import sys
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flows import forked
from flows.processes import die_with_parent
from flows.standing.engine import CODE, LENGTH, SIGNALS, SOCKET, YES, reach, receive

NEEDED: Final = (
    "alembic.context",
    "prefect.flow_engine",
    "prefect.utilities.visualization",
    "flows.steps",
    "flows.study",
    *forked.NEEDED,
)
PATIENCE: Final = 5.0
"""Seconds in which whoever asks must have said what it wants; others wait meanwhile."""
_PEER: Final = struct.Struct("3i")
"""Process, user and group of who is at the other end of a socket."""
ROOT: Final = Path(__file__).resolve().parents[2]
OURS: Final = ("db", "flows", "xray")


@dataclass(frozen=True)
class Request:
    """Where a fork shall run: environment, folder, and descriptors of its input and outputs."""

    environment: dict[str, str]
    folder: str
    descriptors: list[int]


@dataclass(frozen=True)
class Run:
    """A fork under way: its process, a descriptor that tells its end, and the connection to whom asked for it."""

    pid: int
    ending: int
    asker: socket.socket


def main(folder: Path) -> None:
    """Serve; in a fork, be a flow run."""
    (folder / SOCKET).unlink(missing_ok=True)
    before = code_state()
    added = forked.import_all(NEEDED)
    listener = reach(folder, "bind")
    listener.listen(64)
    request = serve(listener, before)
    if request is not None:
        become(request, added)
        run_engine()


def code_state() -> int:
    """A number that is another one when a file of ours or the list of installed packages has changed."""
    import prefect

    files = [path for name in OURS for path in (ROOT / name).rglob("*.py")]
    packages = Path(prefect.__file__).parents[1]
    return hash(tuple(sorted((str(path), path.stat().st_mtime_ns) for path in (*files, packages))))


def serve(listener: socket.socket, before: int) -> Request | None:
    """Fork for whoever asks. Returns in a fork, with what was asked; and None when the code is another one."""
    with selectors.DefaultSelector() as watched:
        watched.register(listener, selectors.EVENT_READ)
        while watched.get_map():
            for key, _ in watched.select():
                if key.fileobj is listener:
                    asker, _ = listener.accept()
                    if not _is_ours(asker):
                        asker.close()
                    elif code_state() != before:
                        asker.close()
                        watched.unregister(listener)
                        listener.close()
                    elif (request := _read(asker)) and _fork(asker, watched, request):
                        listener.close()
                        return request
                elif key.fd == key.data.ending:
                    _tell_end(key.data, watched)
                else:
                    _listen(key.data, watched)
    return None


def _is_ours(asker: socket.socket) -> bool:
    """Whether a process of our own account asks: what it says is run."""
    credentials = asker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return bool(_PEER.unpack(credentials)[1] == os.geteuid())


def _read(asker: socket.socket) -> Request | None:
    """What is asked for, and a yes to it; None where the asker is gone or too slow."""
    asker.settimeout(PATIENCE)
    try:
        head, descriptors, _, _ = socket.recv_fds(asker, LENGTH.size, 3)
        text = json.loads(receive(asker, *LENGTH.unpack(head)))
        asker.send(YES)
    except (OSError, ValueError, struct.error):
        asker.close()
        return None
    return Request(text["environment"], text["folder"], list(descriptors))


def _fork(asker: socket.socket, watched: selectors.BaseSelector, request: Request) -> bool:
    """Whether this is the fork."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        die_with_parent(parent)
        asker.close()
        for key in watched.get_map().values():
            if isinstance(key.data, Run):
                key.data.asker.close()
        return True
    for descriptor in request.descriptors:
        os.close(descriptor)
    run = Run(pid, os.pidfd_open(pid), asker)
    watched.register(run.ending, selectors.EVENT_READ, run)
    watched.register(run.asker, selectors.EVENT_READ, run)
    return False


def _tell_end(run: Run, watched: selectors.BaseSelector) -> None:
    """Tell whoever asked how its run ended."""
    _, status = os.waitpid(run.pid, 0)
    watched.unregister(run.ending)
    os.close(run.ending)
    if run.asker.fileno() >= 0:
        watched.unregister(run.asker)
        with contextlib.suppress(OSError):
            run.asker.send(CODE.pack(os.waitstatus_to_exitcode(status)))
        run.asker.close()


def _listen(run: Run, watched: selectors.BaseSelector) -> None:
    """Hand on the signals that the asker got; without it, end its run."""
    if run.asker.fileno() < 0:  # its end was told just now
        return
    try:
        numbers = run.asker.recv(16)
    except ConnectionError:
        numbers = b""
    for number in numbers:
        if number in SIGNALS:
            os.kill(run.pid, number)
    if not numbers:
        watched.unregister(run.asker)
        run.asker.close()
        os.kill(run.pid, signal.SIGKILL)


def become(request: Request, added: dict[str, str]) -> None:
    """Be as if started by whoever asked. added: environment variables that imports have set."""
    for number, descriptor in enumerate(request.descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request.folder)
    forked.as_if_started(request.environment, added)


def run_engine() -> None:
    """Prefect's engine as `python -m prefect.engine` has it.

    Then what has registered for the end of the process (the last lines of the log); but not the taking apart of five
    thousand modules, which copies most of the shared memory: a second of CPU.
    """
    code: int | str | None = 0
    sys.argv = ["prefect.engine"]
    sys.modules.pop("prefect.engine", None)
    try:
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

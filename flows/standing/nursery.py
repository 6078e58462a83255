"""One service and all that descends from it, as one thing to stop.

    python -m flows.standing.nursery PARENT_PID LOG GRACE -- COMMAND…

Runs COMMAND with its output appended to LOG. Orphans of the service come to us, not to init (on Linux), so that whatever it
started ends with it: when it ends by itself or is killed, when we get SIGTERM (it then has GRACE seconds to end by itself),
and when our parent dies, however it dies. The exit code is that of COMMAND.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from functools import partial
from types import FrameType

import psutil

from db.ties import adopt_orphans, end_with_parent
from flows.processes import die_with_parent

MARK = "XRAY_STACK"
"""Environment variable that every process of a stack has: its home."""
SERVICE = "XRAY_SERVICE"
"""Environment variable that every process of a service has: its name."""


def main(arguments: list[str]) -> int:
    """Run the service to its end, and end what it leaves behind."""
    parent, log, grace, command = int(arguments[0]), arguments[1], int(arguments[2]), arguments[4:]
    adopt_orphans()
    if not end_with_parent(parent, signal.SIGTERM):
        return 0
    with open(log, "ab") as output:
        service = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            close_fds=False,  # what we were given to hand on: the socket that the service listens on
            preexec_fn=partial(die_with_parent, os.getpid()),
        )

    def stop(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGALRM:
            kill(psutil.Process().children(recursive=True))
            return
        with contextlib.suppress(ProcessLookupError):
            service.send_signal(signal.SIGTERM)
        signal.alarm(grace)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, stop)
    code = _wait_for(service.pid)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    kill(psutil.Process().children(recursive=True))
    return code


def _wait_for(pid: int) -> int:
    """Wait for one child, and meanwhile for every orphan that comes to us; the child's exit code as a shell gives it."""
    while True:
        child, status = os.waitpid(-1, 0)
        if child == pid:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code


def marked(home: str, service: str | None = None) -> list[psutil.Process]:
    """Living processes of the stack of this home, of one service or of all; not this process."""
    processes = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            own = process.environ()
            if own.get(MARK) == home and service in (None, own.get(SERVICE)) and process.pid != os.getpid():
                processes.append(process)
    return processes


def kill(processes: Iterable[psutil.Process]) -> None:
    """kill −9 these processes and wait until they are gone."""
    doomed = list(processes)
    for process in doomed:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(doomed, timeout=10)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

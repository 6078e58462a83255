"""What a study can't do without, watched while it runs: Prefect's server, the embedded PostgreSQL, servers of others.

What can be started again is: a child of ours on the socket that we have kept, PostgreSQL on its old port, so that whoever
waits for an answer gets it from the new one. What can't ends the run with one sentence. Each watch is a thread.
"""

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from db.embedded import acquire, status
from db.embedded.folder import Folder, is_held
from db.errors import XrayError
from flows import ends, refusals

LOOK_SECONDS: Final = 0.5
ASK_SECONDS: Final = 2.0
GONE_SECONDS: Final = 20.0
"""How long a server of others may refuse connections: it may be being started again."""
REFUSED_SECONDS: Final = 10.0
"""How long the disk may be full or read-only: what waits for Prefect's server, which can store nothing, would wait for
minutes."""
STARTS: Final = 3
WITHIN_SECONDS: Final = 60.0
RESTART_SECONDS: Final = 25.0
"""How long PostgreSQL may take to come back."""
AGAIN: Final = refusals.AGAIN
End = Callable[[str], None]


@contextlib.contextmanager
def watching(look: Callable[[threading.Event], None], name: str) -> Iterator[None]:
    """A thread that looks after something for the time of a block; it is given an event that says when to leave off."""
    over = threading.Event()
    thread = threading.Thread(target=look, args=(over,), name=f"watch {name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@dataclass
class Child:
    """A server that is a child of ours, started again when it dies. start: starts one, on the same socket each time.

    The thread that starts it lives as long as it may: the kernel ends a child with the thread that made it, if it was asked
    to (`die_with_parent`).
    """

    title: str
    start: Callable[[], "subprocess.Popen[bytes]"]
    log: Path
    end: End = ends.end
    process: "subprocess.Popen[bytes] | None" = None
    deaths: list[float] = field(default_factory=list)
    began: threading.Event = field(default_factory=threading.Event)
    well: threading.Event = field(default_factory=threading.Event)
    """To be set when it has answered for the first time: one that dies twice before will not come up."""

    @property
    def is_hopeless(self) -> bool:
        """Whether it is not started again."""
        return len(self.deaths) > (STARTS if self.well.is_set() else 1)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Started, and started again, for the time of a block; then it is ended."""
        with watching(self._look, self.title):
            self.began.wait()
            yield

    def _look(self, over: threading.Event) -> None:
        try:
            self.process = self.start()
            self.began.set()
            while not over.wait(0.1):
                if self.process.poll() is not None and not self._again():
                    break
            over.wait()
        finally:
            self.began.set()
            if self.process is not None:
                _stop(self.process)

    def _again(self) -> bool:
        """Start it again; not where it dies over and over, which ends the run."""
        now = time.monotonic()
        self.deaths = [death for death in self.deaths if death > now - WITHIN_SECONDS] + [now]
        if self.is_hopeless:
            if self.well.is_set():
                self.end(
                    f"{self.title} ended {len(self.deaths)} times within a minute: see {self.log}; {AGAIN}"
                )
            return False
        self.process = self.start()
        return True


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def database(home: Path, url: str, end: End = ends.end) -> Iterator[None]:
    """See to it that the database of this URL is there: the embedded server of a home is started again on its port.

    Its keeper starts PostgreSQL again when that dies; here it is the keeper that is started again. A server of the user's
    own may be away for some seconds. A disk of the embedded server that stays full or read-only ends the run.
    """
    parts = urlsplit(url)
    running = status(home)
    if running is None or parts.port != running.port:
        with reached("PostgreSQL", url, end):
            yield
        return

    def look(over: threading.Event) -> None:
        last = time.monotonic()
        with contextlib.ExitStack() as resources:
            while not over.wait(LOOK_SECONDS):
                refused = refusals.unwritable(home)
                if refused is None:
                    last = time.monotonic()
                elif time.monotonic() - last > REFUSED_SECONDS:
                    end(refused)
                    return
                if is_held(Folder.of(home).lock("keeper")):
                    continue
                try:
                    server = resources.enter_context(acquire(home, timeout=RESTART_SECONDS))
                except XrayError as error:
                    reason = refusals.full(home) if refusals.is_full(home) else str(error).splitlines()[0]
                    end(f"PostgreSQL ended, and can't be started again: {reason}")
                    return
                if server.port != running.port:
                    end(f"PostgreSQL ended, and another program took its port {running.port}; {AGAIN}")
                    return

    with watching(look, "PostgreSQL"):
        yield


@contextlib.contextmanager
def reached(title: str, url: str, end: End = ends.end, gone_seconds: float = GONE_SECONDS) -> Iterator[None]:
    """End the run where the server of this URL takes no connection for so many seconds. One of many hosts is not asked."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme, 5432)
    except ValueError:  # several hosts
        host, port = None, 0
    if not host:
        yield
        return

    def look(over: threading.Event) -> None:
        last = time.monotonic()
        while not over.wait(ASK_SECONDS):
            if _answers(host, port):
                last = time.monotonic()
            elif time.monotonic() - last > gone_seconds:
                end(f"{title} at {host}:{port} is gone; {AGAIN}")
                return

    with watching(look, title):
        yield


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=5):
            return True
    except OSError:
        return False

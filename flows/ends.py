"""How a command ends when it is told to (Ctrl-C, SIGTERM, SIGHUP), or when what it can't do without is gone for good.

What is done is known by the database, and every file of ours is written whole or not at all, so a command may end at any
moment and nobody waits for work under way. One line says what was; from then on nothing more is written to the terminal, as
whatever breaks now breaks because of the end. Children are told to end, the main thread has a moment to close what it has
open, and then this process ends with all that descends from it, whatever a library would have liked to wait.

A thread attends to signals: Python's own handlers wait until the main thread is back from a query or a computation.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
UNWIND_SECONDS: Final = 1.5
"""How long the main thread may take to close what it has open."""
AGAIN_SECONDS: Final = 0.02
"""Until the main thread is told again, where what was raised in it was swallowed."""
CHILDREN_SECONDS: Final = 2.0
"""After so long children are killed that were told to end."""


class Stopped(KeyboardInterrupt):
    """A signal told the command to end."""


@dataclass
class Command:
    """A command under way. words: what is said when it is told to end, nothing where it has words of its own.

    patience: seconds that its main thread may take to close what it has open.
    """

    words: str = ""
    patience: float = UNWIND_SECONDS
    ending: threading.Event = field(default_factory=threading.Event)
    announced: threading.Event = field(default_factory=threading.Event)
    unwound: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def end(self, code: int, words: str) -> None:
        """Say the words, end all children, then this process. Called in another thread than the main one; once."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            self.ending.set()
            own, others, forks = _descendants()  # which takes a while, so before the words
            _send(forks, signal.SIGSTOP)
            if words:
                _say(words)
                silence()
            _send(forks, signal.SIGKILL)
            _send(own, signal.SIGTERM)
            self.announced.set()
            deadline = time.monotonic() + CHILDREN_SECONDS
            self.unwound.wait(self.patience)
            _end_children([*own, *others], deadline)
        finally:
            os._exit(code)

    def fail(self) -> None:
        """End all children, then this process, as failed, when the error was told: called by the main thread.

        At their own ends libraries would wait for servers that may be gone, and tell of that.
        """
        self.unwound.set()
        silence()
        self.end(1, "")
        threading.Event().wait()  # another thread was first

    def leave(self) -> None:
        """The main thread is done: where the command is ending, wait for that; else nothing."""
        if self.ending.is_set():
            self.unwound.set()
            threading.Event().wait()


_current: Command | None = None


def end(words: str) -> None:
    """End the command under way as failed, from any thread but the main one, with this error."""
    if _current is not None:
        _current.end(1, f"error: {words}")


@contextlib.contextmanager
def attended(command: Command) -> Iterator[Command]:
    """Signals end this command, for the time of a block. A signal that is ignored (nohup) stays so."""
    global _current
    if threading.current_thread() is not threading.main_thread():
        yield command
        return
    main = threading.main_thread().ident or 0
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signals: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if not signals:  # a second one must not break into what closes things
            signals.append(number)
            command.announced.wait(1)  # or what the main thread says of its end comes first
            raise Stopped(number)

    unraisable = sys.unraisablehook

    def swallowed(fault: "sys.UnraisableHookArgs") -> None:
        if not isinstance(fault.exc_value, Stopped):
            unraisable(fault)
            return
        signals.clear()  # a collector's callback or a destructor took it, and the main thread went on: once more, after that
        threading.Timer(AGAIN_SECONDS, signal.pthread_kill, (main, fault.exc_value.args[0])).start()

    sys.unraisablehook = swallowed
    for number in SIGNALS:
        if before[number] not in (signal.SIG_IGN, None):
            signal.signal(number, stop)
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    _current = command
    attendant = threading.Thread(target=_attend, args=(reader, command), name="signals", daemon=True)
    attendant.start()
    try:
        yield command
    finally:
        signals.append(0)
        sys.unraisablehook = unraisable
        command.leave()
        _current = None
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
        os.close(writer)  # the attendant reads the end, and ends
        attendant.join()
        os.close(reader)


def _attend(reader: int, command: Command) -> None:
    while numbers := os.read(reader, 1):
        if numbers[0] in SIGNALS:
            command.end(128 + numbers[0], command.words)


def _in_fork() -> None:
    """A forked child (figures are drawn in such) is ended by its parent, and knows nothing of its parent's signals."""
    global _current
    if _current is None:
        return
    _current = None
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


os.register_at_fork(after_in_child=_in_fork)


def _say(words: str) -> None:
    """Write a line, below a progress bar where there is one, past every buffer and lock."""
    terminal = sys.modules.get("db.terminal")
    start = "\n" if terminal is not None and terminal.live() is not None else ""
    with contextlib.suppress(OSError):
        os.write(2, f"{start}{words}\n".encode())


def silence() -> None:
    """Nothing more is written to standard error."""
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)


def _descendants() -> tuple[list[int], list[int], list[int]]:
    """Our children, which are told to end, all that descends from these, which ends with them, and of that the processes of
    our pool, which nobody waits for: they would still log of their work. Those of others' pools are theirs to end.
    """
    import psutil

    this = psutil.Process()
    own: list[int] = []
    others: list[int] = []
    forks: list[int] = []
    for child in this.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            command, parent = " ".join(child.cmdline()), child.ppid()
            if "multiprocessing.resource_tracker" in command:
                continue  # it ends after us, when it has tidied up
            (own if parent == this.pid else others).append(child.pid)
            if parent in own and "multiprocessing.forkserver" in command:
                forks.append(child.pid)
    return own, others, forks


def _send(processes: list[int], number: signal.Signals) -> None:
    for pid in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _end_children(children: list[int], deadline: float) -> None:
    """Wait for the end of these processes until the deadline, then kill what is left."""
    while (living := [pid for pid in children if _lives(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    _send(living, signal.SIGKILL)


def _lives(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False

"""Whether a process is there, for tests that end one: a signal takes what it ends only when that gets a processor."""

import time

import psutil


def is_alive(pid: int) -> bool:
    """Not where it is a zombie: its sockets and files are closed, and only its parent has not been told."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def has_ended(pid: int, seconds: float = 10) -> bool:
    """Whether it ends within this time."""
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True

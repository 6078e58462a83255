"""Work of somebody else's making that may never end: asked to stop after a time, and not waited for any longer."""

import threading
from collections.abc import Callable
from typing import Final, TypeVar

GRACE: Final = 10.0
"""Seconds between the request to stop and leaving the work to itself."""

Answer = TypeVar("Answer")


class Overtime(Exception):
    """The work has not ended within its time."""


def within(seconds: float, work: Callable[[], Answer], stop: Callable[[], None]) -> Answer:
    """What `work` returns or raises. Raises `Overtime` where that takes longer than `seconds`.

    stop: asks the work to end, from another thread. Work that does not listen goes on in a thread that ends with the
    process. An interrupt (Ctrl-C) stops the work too.
    """
    answers: list[Answer] = []
    failures: list[BaseException] = []
    end = threading.Event()

    def run() -> None:
        try:
            answers.append(work())
        except BaseException as failure:
            failures.append(failure)
        finally:
            end.set()

    threading.Thread(target=run, name="work of limited time", daemon=True).start()
    try:
        in_time = end.wait(seconds)
    except BaseException:
        stop()
        raise
    if not in_time:
        stop()
        end.wait(GRACE)
        raise Overtime
    if failures:
        raise failures[0]
    return answers[0]

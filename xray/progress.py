"""How far a long step is: a bar on a terminal, a line of the log elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from db.logs import is_quiet
from db.terminal import console, drawing, is_terminal, live

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item", covariant=True)
Value = TypeVar("Value")
REFRESH_SECONDS: Final = 0.1
LONG_SECONDS: Final = 2.0
"""What takes longer is told in the log, where no bar was seen."""
_log = logging.getLogger(__name__)


class SizedIterable(Protocol[Item]):
    """What can be counted and gone through."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Item]: ...


@contextmanager
def bar(title: str, total: int, before: int = 0, *, visible: bool = True) -> Iterator[Callable[[int], None]]:
    """Progress for the time of a block: a bar on a terminal, elsewhere a line of the log at the end of what took long.

    Gives what is called with how many more are done. visible: False: nothing is said. Nor where the log is quiet.
    """
    start, count = time.monotonic(), before

    if not visible or is_quiet() or not is_terminal(sys.stderr) or live() is not None:

        def count_on(n: int) -> None:
            nonlocal count
            count += n

        yield count_on
        seconds = time.monotonic() - start
        if visible and seconds > LONG_SECONDS:
            _log.info("%s: %d in %.0f s", title, count - before, seconds)
        return
    display = _progress()
    task, last = display.add_task(title, total=total, completed=before), 0.0

    def advance(n: int) -> None:
        nonlocal last
        display.advance(task, n)
        if time.monotonic() - last > REFRESH_SECONDS:
            last = time.monotonic()
            display.refresh()

    with drawing(display):
        yield advance


def followed(
    values: SizedIterable[Value], title: str, before: int = 0, *, visible: bool = True
) -> Iterator[Value]:
    """The values, with a bar; the first `before` of them were had already."""
    with bar(title, len(values), before, visible=visible) as advance:
        for value in values:
            yield value
            advance(1)


def _progress() -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    screen = console(sys.stderr)
    screen.show_cursor = lambda show=True: False  # type: ignore[method-assign]  # one that is killed can't bring it back
    parts = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(
        *parts, console=screen, auto_refresh=False
    )  # without a thread, so that processes may fork

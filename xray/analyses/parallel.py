"""Work side by side on all cores: in threads, while array operations and compiled loops release the interpreter's lock; in
processes what is mostly Python, such as figures, and parts of a study.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final, TypeVar

from db.ties import end_with_parent
from xray.cores import cores

Item = TypeVar("Item")
Result = TypeVar("Result")
_FORKED: Final[dict[str, tuple[Callable[[Any], Any], Sequence[Any]]]] = {}
"""What forked processes find in their copy of the memory: functions and items need not be pickled, only results."""
_beside: int = 1
"""How many processes share the cores with this one, which counts."""


def side_by_side(function: Callable[..., Result], items: Iterable[tuple[object, ...]]) -> list[Result]:
    """function(*item) of each item, in their order, a thread for each core that is ours."""
    threads = max(1, cores() // _beside)
    if threads == 1:
        return [function(*item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda item: function(*item), items))


@contextmanager
def one_thread() -> Iterator[None]:
    """Have this process compute on one thread: as many processes as there are cores work side by side."""
    global _beside
    before, _beside = _beside, cores()
    try:
        yield
    finally:
        _beside = before


def flat_side_by_side(
    function: Callable[..., Iterable[Item]], items: Iterable[tuple[object, ...]]
) -> Iterator[Item]:
    """What function(*item) yields of each item, in their order, a thread for each core; kept until all are done."""
    return chain.from_iterable(side_by_side(lambda *item: list(function(*item)), items))


def in_processes(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """function(item) of each item, in their order, a forked process for each core; results must be picklable.

    Only for programs that have no other thread: a lock that one holds stays locked in the copy. One after the other where
    processes are not forked safely (not on Linux), or there is one core or item. They end with an error, by Ctrl-C, and with
    this process.
    """
    if min(cores(), len(items)) < 2 or sys.platform != "linux":
        yield from map(function, items)
        return
    name = f"{id(items)}"
    _FORKED[name] = function, items
    others = set(multiprocessing.active_children())
    try:
        n, fork = min(cores(), len(items)), multiprocessing.get_context("fork")
        with ProcessPoolExecutor(n, fork, _begin, (os.getpid(), n)) as pool:
            try:
                yield from pool.map(_forked, [name] * len(items), range(len(items)))
            except BaseException:  # the pool would wait for what is under way
                for process in set(multiprocessing.active_children()) - others:
                    process.terminate()
                raise
    finally:
        del _FORKED[name]


def _begin(parent: int, n: int) -> None:
    """What a forked process does first. n: how many there are."""
    global _beside
    _beside = n
    if not end_with_parent(parent, signal.SIGKILL):
        os._exit(1)


def _forked(name: str, index: int) -> Any:
    function, items = _FORKED[name]
    return function(items[index])

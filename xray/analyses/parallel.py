"""Work side by side on all cores: statistics in threads, since array operations and compiled loops release the
interpreter's lock; figures, which are drawn in Python, in processes.
"""

import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import chain
from typing import Any, Final, TypeVar

from xray.cores import cores

Item = TypeVar("Item")
Result = TypeVar("Result")
_FORKED: Final[dict[str, tuple[Callable[[Any], Any], Sequence[Any]]]] = {}
"""What forked processes find in their copy of the memory: functions and items need not be pickled, only results."""


def side_by_side(function: Callable[..., Result], items: Iterable[tuple[object, ...]]) -> list[Result]:
    """function(*item) of each item, in their order, a thread for each core."""
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(lambda item: function(*item), items))


def flat_side_by_side(
    function: Callable[..., Iterable[Item]], items: Iterable[tuple[object, ...]]
) -> Iterator[Item]:
    """What function(*item) yields of each item, in their order, a thread for each core; kept until all are done."""
    return chain.from_iterable(side_by_side(lambda *item: list(function(*item)), items))


def in_processes(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """function(item) of each item, in their order, a forked process for each core; results must be picklable.

    Only for programs that have no other thread: a lock that one holds stays locked in the copy. One after the other where
    processes are not forked safely (not on Linux), or there is one core or item.
    """
    if min(cores(), len(items)) < 2 or sys.platform != "linux":
        yield from map(function, items)
        return
    name = f"{id(items)}"
    _FORKED[name] = function, items
    try:
        with ProcessPoolExecutor(cores(), mp_context=multiprocessing.get_context("fork")) as pool:
            yield from pool.map(_forked, [name] * len(items), range(len(items)))
    finally:
        del _FORKED[name]


def _forked(name: str, index: int) -> Any:
    function, items = _FORKED[name]
    return function(items[index])

"""Work side by side on all cores: array operations and compiled loops release the interpreter's lock."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(function: Callable[..., Result], items: Iterable[tuple[object, ...]]) -> list[Result]:
    """function(*item) of each item, in their order, a thread for each core."""
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(lambda item: function(*item), items))

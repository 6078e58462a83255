"""The one place where numba's decorator gets its options and its type."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from filelock import FileLock
from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile at first call, keep the machine code on disk, release the interpreter lock while running.

    Processes that start together want the same functions at the same time: one compiles, the others wait and read it.
    """
    dispatcher: Any = njit(cache=True, nogil=True, error_model="numpy")(function)
    compile_one = dispatcher.compile

    def compile_once(signature: Any) -> Any:
        folder = Path(dispatcher.stats.cache_path)
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{function.__module__}.{function.__qualname__}.lock"):
            return compile_one(signature)

    dispatcher.compile = compile_once
    return cast(Function, dispatcher)

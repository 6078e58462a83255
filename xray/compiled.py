"""The one place where numba's decorator gets its options and its type."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from filelock import FileLock
from numba import config, njit
from numba.core.compiler_lock import global_compiler_lock

Function = TypeVar("Function", bound=Callable[..., object])


def compiled_with(**options: Any) -> Callable[[Function], Function]:
    """Compile at first call, keep the machine code on disk, release the interpreter lock while running.

    Processes that start together want the same functions at the same time: one compiles, the others wait and read it. The
    lock of numba, of the threads of a process, is taken first, as a function that is compiled wants those that it calls.
    With NUMBA_DISABLE_JIT=1, to follow it with a debugger, a function stays as it is written.
    """

    def compile_function(function: Function) -> Function:
        if config.DISABLE_JIT:  # type: ignore[attr-defined]
            return function
        dispatcher: Any = njit(cache=True, nogil=True, **options)(function)
        compile_one = dispatcher.compile

        def compile_once(signature: Any) -> Any:
            path = Path(dispatcher.stats.cache_path, f"{function.__module__}.{function.__qualname__}.lock")
            with global_compiler_lock, ExitStack() as locks:
                with suppress(OSError):  # of another account, say: then it is compiled here too
                    path.parent.mkdir(parents=True, exist_ok=True)
                    locks.enter_context(FileLock(path))
                return compile_one(signature)

        dispatcher.compile = compile_once
        return cast(Function, dispatcher)

    return compile_function


compiled = compiled_with(error_model="numpy")
"""For statistics: what is divided by 0 is infinite or NaN, as in numpy."""

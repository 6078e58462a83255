"""The one place where numba's decorator gets its options and its type."""

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile at first call, keep the machine code on disk, release the interpreter lock while running."""
    return cast(Function, njit(cache=True, nogil=True, error_model="numpy")(function))

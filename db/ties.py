"""What the kernel does for a process when its parent or its child ends. Elsewhere than on Linux: nothing."""

import ctypes
import os
import sys
from typing import Final

_DEATH_SIGNAL, _CHILD_SUBREAPER = 1, 36
_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def end_with_parent(parent: int | None, number: int) -> bool:
    """Have this process get signal `number` when its parent dies, even by kill −9; False where that is dead already.

    parent: the parent's process id, None where it can't have died. A change of credentials undoes it. For a fresh fork, too:
    nothing is imported. Raises `OSError`.
    """
    prctl(_DEATH_SIGNAL, number)
    return parent is None or os.getppid() == parent


def adopt_orphans() -> None:
    """Become the parent of whatever descends from this process and loses its own. Raises `OSError`."""
    prctl(_CHILD_SUBREAPER, 1)


def prctl(option: int, value: int) -> None:
    """Ask the kernel for an attribute of this process. Raises `OSError`."""
    if _libc is not None and _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")

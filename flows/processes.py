"""Child processes that never outlive their parent."""

import os
import signal

from db.ties import end_with_parent


def die_with_parent(parent: int | None = None) -> None:
    """Ask the kernel to kill this process when its parent dies, even by kill −9; does nothing where there is no such call.

    `parent`: the parent's process id, to notice that it died before the call.
    """
    if not end_with_parent(parent, signal.SIGKILL):
        os.kill(os.getpid(), signal.SIGKILL)

"""Child processes that never outlive their parent."""

import logging
import os
import signal

from db.ties import end_with_parent


def die_with_parent(parent: int | None = None) -> None:
    """Ask the kernel to kill this process when its parent dies, even by kill −9; does nothing where there is no such call.

    `parent`: the parent's process id, to notice that it died before the call.
    """
    if not end_with_parent(parent, signal.SIGKILL):
        os.kill(os.getpid(), signal.SIGKILL)


def end_with_services() -> None:
    """End this process of a pool when a service of Prefect in it ends early, as where memory is out.

    Prefect waits for such a service's queue without end; a process that ended is seen by the pool, which says so.
    """
    # the handler outlives Prefect's own set-up of logging, which knows only the logger above
    logging.getLogger("prefect._internal.concurrency").addHandler(_EndOfService())


class _EndOfService(logging.Handler):
    """Ends the process where a service failed; that it failed on one item is Prefect's to say."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("Service ") and " pending items" in record.getMessage():
            os._exit(os.EX_OSERR)

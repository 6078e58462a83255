"""Child processes: that they never outlive their parent, and whether they may be forks."""

import logging
import os
import shutil
import signal
import subprocess
import sys

from db.ties import end_with_parent


def die_with_parent(parent: int | None = None) -> None:
    """Ask the kernel to kill this process when its parent dies, even by kill −9; does nothing where there is no such call.

    `parent`: the parent's process id, to notice that it died before the call.
    """
    if not end_with_parent(parent, signal.SIGKILL):
        os.kill(os.getpid(), signal.SIGKILL)


def can_fork() -> bool:
    """Whether processes that compute may be forks of one that has imported what they need.

    Not where there are GPUs: nobody has tried CUDA after a fork there, and beside a training on a GPU the seconds matter
    little. Nor elsewhere than on Linux, where system libraries do not bear it.
    """
    return sys.platform == "linux" and not gpus()


def gpus() -> list[str]:
    """The GPUs of this machine as CUDA_VISIBLE_DEVICES names them; found without starting CUDA."""
    setting = os.environ.get("CUDA_VISIBLE_DEVICES")
    if setting is not None:
        return [device.strip() for device in setting.split(",") if device.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return [str(n) for n, line in enumerate(listing.stdout.splitlines()) if line.startswith("GPU ")]


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

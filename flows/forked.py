"""What the processes of a pool are forks of: one that has imported what tasks need, seconds of CPU once and not for each.

multiprocessing's fork server imports this module, and with it what `NEEDED` names. Nothing is computed in it and no thread
of Python's is started, so that a fork is as good as a new process. `can_fork` says where there are such processes.
"""

import gc
import importlib
import os
import random
import signal
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from multiprocessing import forkserver, parent_process, resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from typing import Final

from flows.processes import die_with_parent
from xray.settings import environment

NEEDED: Final = (
    "flows.tasks",
    "torch._dynamo",  # torch's optimisers import it when first used
    "xray.analyses.run",
    "xray.data.prepare",
    "xray.learning.evaluate",
    "xray.learning.models",
    "xray.plan",
)


_UNTOLD: Final = "ignore:resource_tracker:UserWarning"


def start() -> None:
    """Start this process's fork server where none is running: in the background, as it imports for seconds.

    It ends with this process, and so do its forks. Ctrl-C and a closed terminal are left to this process.
    """
    _keeper().submit(_ensure_running).result()


@cache
def _keeper() -> ThreadPoolExecutor:
    """One thread that lives as long as this process: the kernel ends the server with the thread that starts it."""
    leave_untold()
    # before, as it lets SIGINT through when it has started. It tidies up after us: a closed terminal is not to end it
    others = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_SETMASK, others - {signal.SIGINT, signal.SIGTERM})
    return ThreadPoolExecutor(1, "forks", initializer=leave_signals)


def _ensure_running() -> None:
    """The server looks for modules where this process does, and never in the folder that it is started in."""
    forkserver.set_forkserver_preload([__name__])
    paths = os.pathsep.join(str(Path(path).absolute()) for path in sys.path if path)
    with environment({"PYTHONPATH": paths, "PYTHONSAFEPATH": "1"}):
        forkserver.ensure_running()


def leave_untold() -> None:
    """Have processes not tell of semaphores of a pool that is ended at once: these are tidied up all the same."""
    if _UNTOLD not in sys.warnoptions:
        sys.warnoptions.append(_UNTOLD)


def leave_signals() -> None:
    """Leave Ctrl-C and a closed terminal to the process that started this one; in it and in what this thread starts."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})


def begin(variables: Mapping[str, str]) -> None:
    """What a process of a pool does first: be tied to the process whose pool it is, and as if started with these variables.

    A fork is tied to the server, and that to its owner; a pipe to the owner tells the end of it too where the server was not
    tied yet, or is another's.
    """
    leave_signals()
    die_with_parent(SERVER)
    owner = parent_process()
    if owner is not None:
        Thread(target=_end_with, args=(owner.sentinel,), daemon=True).start()
    as_if_started(variables, ADDED)


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(os.EX_UNAVAILABLE)


def import_all(names: tuple[str, ...]) -> dict[str, str]:
    """Import modules and what MLflow imports when it is first used; the environment variables that they have set."""
    before = dict(os.environ)
    from xray.learning import tracking

    for name in names:
        importlib.import_module(name)
    tracking.import_all()
    gc.freeze()  # what is here stays: a fork's collector need not touch, and so copy, its pages
    return {name: value for name, value in os.environ.items() if name not in before}


def as_if_started(variables: Mapping[str, str], added: Mapping[str, str]) -> None:
    """Be, in a fork, as if started with these environment variables. added: those that imports have set."""
    import numpy as np
    from prefect.context import refresh_global_settings_context

    os.environ.clear()
    os.environ.update({**added, **variables})
    random.seed()
    np.random.seed()  # noqa: NPY002  (whoever still uses the old generator)
    refresh_global_settings_context()


SERVER: int | None = None
"""The process id of the fork server, in it and in its forks."""
ADDED: dict[str, str] = {}
"""Environment variables that its imports have set."""
if "from multiprocessing.forkserver import main" in " ".join(sys.orig_argv[-1:]) and parent_process() is None:
    SERVER = os.getpid()
    die_with_parent()
    os.environ["OMP_NUM_THREADS"] = "1"  # before PyTorch is imported
    ADDED = import_all(NEEDED)

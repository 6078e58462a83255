"""What the processes of a pool are forks of: one that has imported what tasks need, seconds of CPU once and not for each.

multiprocessing's fork server imports this module, and with it what `NEEDED` names. Nothing is computed in it, no thread of
Python's is started and no GPU is touched, so that a fork is as good as a new process.
"""

import gc
import importlib
import os
import random
import signal
import sys
from collections.abc import Mapping
from multiprocessing import forkserver, parent_process, resource_tracker
from typing import Final

from flows.processes import die_with_parent

NEEDED: Final = (
    "flows.tasks",
    "torch._dynamo",  # torch's optimisers import it when first used
    "xray.analyses.run",
    "xray.data.prepare",
    "xray.learning.evaluate",
    "xray.learning.models",
    "xray.plan",
)


def start() -> None:
    """Start this process's fork server where none is running: in the background, as it imports for seconds.

    It ends with the thread that starts it, and so do its forks. Ctrl-C and a closed terminal are left to that process.
    """
    forkserver.set_forkserver_preload([__name__])
    resource_tracker.ensure_running()  # first, as it lets SIGINT through when it has started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def import_all(names: tuple[str, ...]) -> dict[str, str]:
    """Import modules and what MLflow imports when it is first used; the environment variables that they have set."""
    before = dict(os.environ)
    from xray.learning import tracking

    for name in names:
        importlib.import_module(name)
    tracking.import_all()
    gc.collect()
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
if "multiprocessing.forkserver" in sys.orig_argv[-1] and parent_process() is None:
    SERVER = os.getpid()
    die_with_parent()  # where that is dead already, the server ends by itself, as nobody can ask it
    os.environ["OMP_NUM_THREADS"] = "1"  # before PyTorch is imported
    ADDED = import_all(NEEDED)

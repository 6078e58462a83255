"""A program with a pool whose processes are forks: prints what they see, then waits for its end. For test_forked.py."""

import json
import os
import random
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from threading import Thread
from typing import Any

import numpy as np

import flows
from flows import forked, tasks


def look(number: int) -> dict[str, Any]:
    """What a process of the pool is like."""
    time.sleep(0.5)  # so that the other one takes the other number
    heavy = [name for name in ("torch", "mlflow", "xray.analyses.run") if name in sys.modules]
    import torch

    return {
        "pid": os.getpid(),
        "server_is_parent": os.getppid() == forked.SERVER,
        "code": flows.__file__,
        "imported": heavy,
        "variables": sorted(os.environ.keys() & {"EARLY", "LATE", "PYTHONSAFEPATH"}),
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "threads": torch.get_num_threads(),
        "cuda": [torch.cuda.is_initialized(), torch.cuda._is_in_bad_fork()],
        "random": random.random(),
        "numpy": float(np.random.random()),  # noqa: NPY002
    }


def main() -> None:
    """Its argument: whether to say so, and wait, as soon as the first work is asked for, when the server hardly runs."""
    os.environ["EARLY"] = "1"
    if "at once" not in sys.argv:
        forked.start()
    del os.environ["EARLY"]
    os.environ["LATE"] = "1"
    forked.start()
    pool = ProcessPoolExecutor(2, get_context("forkserver"), tasks.start_worker, (dict(os.environ),))
    if "at once" in sys.argv:
        Thread(target=pool.submit, args=(look, 0)).start()
        time.sleep(0.01)
        print("asked for", flush=True)
    else:
        looks = [pool.submit(look, number) for number in range(2)]
        print(json.dumps([future.result() for future in looks]), flush=True)
    time.sleep(300)

"""Which device to compute on: a GPU that no other process of ours has, else the CPU."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from filelock import FileLock, Timeout


@contextlib.contextmanager
def device(home: Path) -> Iterator[torch.device]:
    """A device for the time of a block. Where all GPUs are taken it waits: one training or scoring at a time on each.

    Taken means that a process holds the lock on a file below `home`, which ends with the process. Under
    `accelerate launch` the launcher has said which one is ours.
    """
    if not torch.cuda.is_available():
        yield torch.device("cpu")
        return
    if "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        yield torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        return
    folder = home / "gpus"
    folder.mkdir(exist_ok=True)
    with contextlib.ExitStack() as locks:
        while True:
            for index in range(torch.cuda.device_count()):
                name = str(torch.cuda.get_device_properties(index).uuid)
                with contextlib.suppress(Timeout):
                    locks.enter_context(FileLock(folder / name, blocking=False))
                    torch.cuda.set_device(index)
                    yield torch.device("cuda", index)
                    return
            time.sleep(1)

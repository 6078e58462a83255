"""The processes that a flow's tasks run in, and waiting for them with a progress bar."""

from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from prefect.futures import PrefectFuture, as_completed
from prefect.task_runners import ProcessPoolTaskRunner

from flows import tasks
from xray.errors import XrayError


def process_pool() -> Any:
    """A task runner with one process per core, each computing on one thread; they die with this process."""
    return ProcessPoolTaskRunner(tasks.workers(), initializer=tasks.start_worker)


def run_each(what: str, task: Any, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Results of a task for each of these arguments, in their order; the first failure is raised when all have ended.

    A single call is made in this process: to start one of the pool takes longer than much of what is asked of it.
    """
    if len(calls) == 1:
        tasks.compute_on_one_thread()
        return [task(*calls[0])]
    return collect(what, [task.submit(*call) for call in calls])


def collect(what: str, futures: Sequence[PrefectFuture[Any]]) -> list[Any]:
    """Results in the order of the futures, with a progress bar; the first failure is raised when all have ended."""
    from tqdm import tqdm

    for _ in tqdm(as_completed(list(futures)), what, len(futures), leave=True, disable=not futures):
        pass
    try:
        return [future.result() for future in futures]
    except BrokenProcessPool:
        raise XrayError(
            f"{what}: a process of ours was killed (out of memory?); run the same command again, it goes on where it was"
        ) from None

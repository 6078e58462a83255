"""The processes that a flow's tasks run in, and waiting for them with a progress bar."""

import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Self

from prefect.futures import PrefectFuture, as_completed
from prefect.task_runners import ProcessPoolTaskRunner

from flows import tasks
from xray.cores import cores
from xray.errors import XrayError
from xray.progress import bar


class Pool(ProcessPoolTaskRunner):
    """Prefect's process pool, whose processes leave Ctrl-C and a closed terminal to us: we end them."""

    def __enter__(self) -> Self:
        """Start it. Processes inherit the signals that are blocked in the thread that starts them."""
        # of a pool that is ended at once; its semaphores are tidied up all the same
        sys.warnoptions.append("ignore:resource_tracker:UserWarning")
        super().__enter__()
        self._resolver_executor = ThreadPoolExecutor(self._max_workers, initializer=_leave_signals)
        return self


def _leave_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})


def process_pool() -> Any:
    """A task runner with one process per core, each computing on one thread; they die with this process."""
    return Pool(cores(), initializer=tasks.start_worker)


def result(what: str, future: PrefectFuture[Any]) -> Any:
    """The result of one future. Raises `XrayError` where its process was killed."""
    try:
        return future.result()
    except BrokenProcessPool:
        raise XrayError(
            f"{what}: a process of ours was killed (out of memory?); run the same command again; it continues where "
            "it stopped"
        ) from None


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
    with bar(what, len(futures), shown=bool(futures)) as advance:
        for _ in as_completed(list(futures)):
            advance(1)
    return [result(what, future) for future in futures]

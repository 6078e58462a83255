"""The processes that a flow's tasks run in, here or on a cluster, and waiting for them with a progress bar."""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, Self

from prefect.futures import PrefectFuture, as_completed
from prefect.task_runners import ProcessPoolTaskRunner

from flows import forked, tasks
from flows.clusters import cluster_runner, is_lost, on_cluster
from flows.processes import can_fork
from xray.cores import cores
from xray.errors import XrayError
from xray.progress import bar
from xray.settings import cluster


class Pool(ProcessPoolTaskRunner):
    """Prefect's process pool, whose processes leave Ctrl-C and a closed terminal to us: we end them.

    A flow run asks for a runner of its own (`duplicate`), which is that of a cluster where `XRAY_TASK_RUNNER` names one.
    """

    def duplicate(self) -> Any:
        """The runner of one flow run."""
        address = cluster()
        return super().duplicate() if address is None else cluster_runner(address)

    def __enter__(self) -> Self:
        """Start it. Where it can be, its processes are forks of one that has imported what they need (`forked`)."""
        self._are_forks = can_fork()
        self._initargs = (dict(os.environ),)
        forked.leave_untold()
        super().__enter__()
        executor: Any = self._executor
        start = "forkserver" if self._are_forks else "spawn"
        self._executor = _Processes(
            self._max_workers, get_context(start), executor._initializer, executor._initargs
        )
        # processes inherit the signals that are blocked in the thread that starts them
        self._resolver_executor = ThreadPoolExecutor(self._max_workers, initializer=forked.leave_signals)
        return self

    def submit(self, *arguments: Any, **options: Any) -> Any:
        """Prefect's own. What processes are forks of is started with the first task, as many a flow run has none."""
        if self._are_forks:
            forked.start()
        return super().submit(*arguments, **options)


class _Processes(ProcessPoolExecutor):
    """Python's own, to which what forks processes is one of them: where it was killed, one was."""

    def submit(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().submit(*arguments, **options)
        except (EOFError, ConnectionError) as error:
            raise BrokenProcessPool("what forks processes has ended") from error


def process_pool() -> Any:
    """A task runner with one process per core, each computing on one thread; they die with this process."""
    return Pool(cores(), initializer=tasks.start_worker)


def result(title: str, future: PrefectFuture[Any]) -> Any:
    """The result of one future. Raises `XrayError` where its process was killed, or too many workers under it."""
    try:
        return future.result()
    except Exception as error:
        if is_lost(error):
            raise XrayError(
                f"{title}: the cluster gave up: workers were killed under the same task again and again (out of memory?); "
                "run the same command again; it continues where it stopped"
            ) from None
        if not isinstance(error, BrokenProcessPool):
            raise
        raise XrayError(
            f"{title}: a process of ours was killed (out of memory?); run the same command again; it continues where "
            "it stopped"
        ) from None


def run_each(title: str, task: Any, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Results of a task for each of these arguments, in their order; the first failure is raised when all have ended.

    A single call is made in this process: to start one of the pool takes longer than much of what is asked of it. On a
    cluster it is made there.
    """
    if len(calls) == 1 and not on_cluster():
        tasks.compute_on_one_thread()
        return [task(*calls[0])]
    return collect(title, [task.submit(*call) for call in calls])


def collect(title: str, futures: Sequence[PrefectFuture[Any]]) -> list[Any]:
    """Results in the order of the futures, with a progress bar; the first failure is raised when all have ended."""
    with bar(title, len(futures), visible=bool(futures)) as advance:
        for _ in as_completed(list(futures)):
            advance(1)
    return [result(title, future) for future in futures]

"""A flow's tasks on a cluster of Dask or Ray: `XRAY_TASK_RUNNER` names it, Prefect's own task runners submit to it.

What reads files of the user's runs where the flow runs; training, scoring and analysing run on the cluster. A worker of it
has a home of its own and shares the databases and the store of artifacts with the others, nothing else (docs/deploy.md).
"""

import logging
import os
import socket
import sys
from typing import Any
from urllib.parse import urlsplit

from prefect.task_runners import TaskRunner

from db.connection import is_embedded
from xray.errors import XrayError
from xray.settings import TASK_RUNNER, Cluster, cluster, home_path

SHARED = ("XRAY_DATABASE_URL", "XRAY_ARTIFACTS")
"""What a cluster's worker must have in its environment: where the databases are, and the store of artifacts."""
LOST = frozenset(
    {
        "distributed.scheduler.KilledWorker",
        "distributed.client.FutureCancelledError",
        "ray.exceptions.WorkerCrashedError",
        "ray.exceptions.NodeDiedError",
        "ray.exceptions.OutOfMemoryError",
        "ray.exceptions.OwnerDiedError",
    }
)
"""Names of errors by which a cluster says that it has given up a task whose workers died, one after the other."""


ANSWERS = 10.0
"""Seconds in which the cluster's port must take a connection."""


def cluster_runner(address: Cluster) -> TaskRunner[Any]:
    """Prefect's runner of tasks on a cluster. Raises `XrayError` where its extra, or what its workers share, is missing, or
    nothing listens there.
    """
    url = os.environ.get("XRAY_DATABASE_URL")
    own = url is not None and is_embedded(home_path(), url)
    missing = [name for name in SHARED if not os.environ.get(name) or (own and name == "XRAY_DATABASE_URL")]
    if missing:
        raise XrayError(
            f"{TASK_RUNNER} is set, so {' and '.join(missing)} must be set too: workers of a cluster share databases and "
            "artifacts with this command (docs/deploy.md)"
        )
    if not address.is_local and not os.environ.get("PREFECT_API_URL"):
        raise XrayError(
            f"{TASK_RUNNER} names another machine, so PREFECT_API_URL must name a Prefect server that its workers reach "
            "(docs/deploy.md)"
        )
    try:
        if address.kind == "dask":
            from prefect_dask import DaskTaskRunner

            _check_reachable(address)
            return DaskTaskRunner(address=f"tcp://{address.address}")
        from prefect_ray import RayTaskRunner

        _check_reachable(address)
        logging.getLogger("ray.client_builder").setLevel(logging.WARNING)
        return RayTaskRunner(address=f"ray://{address.address}", init_kwargs={"log_to_driver": False})
    except ImportError:
        raise XrayError(
            f"{TASK_RUNNER} needs the extra {address.kind}: pip install 'xray[{address.kind}]'"
        ) from None


def _check_reachable(address: Cluster) -> None:
    """Ask whether anything listens there, which the clusters' own clients take minutes and many lines to find out."""
    split = urlsplit(f"//{address.address}")
    try:
        socket.create_connection((str(split.hostname), int(split.port or 0)), timeout=ANSWERS).close()
    except OSError as error:
        raise XrayError(
            f"{TASK_RUNNER}: no {address.kind.capitalize()} cluster answers at {address.address}: {error}"
        ) from None


def check_worker() -> None:
    """Raise `XrayError` where this is a cluster's worker without what workers share: it would begin its own platform."""
    kind = _worker_of()
    missing = [name for name in SHARED if not os.environ.get(name)]
    if kind and missing:
        raise XrayError(
            f"the {kind} worker on {socket.gethostname()} has no {' and no '.join(missing)}: start it with the values "
            "that this command has (docs/deploy.md)"
        )


def is_lost(error: BaseException) -> bool:
    """Whether a cluster gave a task up because workers died under it."""
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    return bool(names & LOST)


def on_cluster() -> bool:
    """Whether tasks that are submitted run on a cluster."""
    return cluster() is not None


def _worker_of() -> str:
    """Dask or Ray, where this process is a worker of theirs."""
    if dask := sys.modules.get("distributed.worker"):
        try:
            dask.get_worker()
            return "Dask"
        except ValueError:
            pass
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        worker = getattr(ray.get_runtime_context(), "worker", None)
        return "Ray" if getattr(worker, "mode", None) == ray.WORKER_MODE else ""
    return ""

"""The servers that a command needs, for as long as it runs: PostgreSQL, and Prefect's API on it."""

import contextlib
import logging
import os
from collections.abc import Iterator
from multiprocessing import process
from pathlib import Path

from db import logs
from db.connection import Databases, databases
from flows.migrations import has_tables, prepare
from flows.processes import can_fork
from flows.standing import servers
from flows.standing.place import Stack, client_environment, this_stack
from flows.surroundings import SILENT
from flows.watch import reached
from xray import settings
from xray.home import is_long, settle
from xray.settings import cluster, environment

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def storage() -> Iterator[Databases]:
    """The databases of this installation; child processes find the same ones through the environment."""
    logs.start()  # Prefect would keep our records to itself
    home, own = settings.home(), not os.environ.get("XRAY_DATABASE_URL")
    _log.debug("home %s", home)
    with databases(home) as store, environment({"XRAY_DATABASE_URL": store.psql()}):
        is_tight = is_long((home / settings.ARTIFACTS).as_uri())
        if is_tight and has_tables(store, "mlflow"):  # too narrow, if MLflow made them
            prepare(store, ("mlflow",))
        settle(store.engine(), store.mlflow, home, own=own)
        yield store


@contextlib.contextmanager
def prefect_api(store: Databases) -> Iterator[str]:
    """URL of a Prefect API: that of PREFECT_API_URL, of the standing stack, or of a server that lives as long as we do."""
    api_url = os.environ.get("PREFECT_API_URL")
    begin_forks()
    prepare(store, ("mlflow",) if api_url else ("mlflow", "prefect"))
    if api_url:
        with reached("Prefect's server", api_url):
            yield api_url
        return
    stack = this_stack()
    home = _prefect_home(stack)
    quiet = _quiet(home)
    standing = stack.running()
    if standing is not None and standing.url("prefect"):
        own = client_environment(stack, standing) | {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
        url = own["PREFECT_API_URL"]
        _log.debug("Prefect's API at %s, of the standing platform", url)
        with environment(quiet), environment(own), _inside(home), reached("Prefect's server", url):
            yield own["PREFECT_API_URL"]
        return
    without_pages = {
        "PREFECT_HOME": str(home),
        "PREFECT_UI_ENABLED": "false",
        "PREFECT__SERVER_EPHEMERAL": "1",
    }
    with (
        servers.running("prefect", stack, store, home / "server.log", own=without_pages) as address,
        environment(quiet | {"XRAY_PREFECT_ENDS": "1", "PREFECT_API_URL": f"{address}/api"}),
        environment({"PREFECT_API_AUTH_STRING": f"admin:{stack.passwords()['prefect_password']}"}),
        _inside(home),
    ):
        _log.debug("Prefect's API at %s ends with this command", address)
        yield f"{address}/api"


def begin_forks() -> None:
    """Start what the processes of tasks are forks of, which imports while something else is done: for whoever needs an API
    soon. Nothing where another's processes compute, or none can be forked.
    """
    stack = this_stack()
    standing = stack.running()
    elsewhere = os.environ.get("PREFECT_API_URL") or (standing is not None and standing.url("prefect"))
    if elsewhere or cluster() is not None or not can_fork():
        return
    from flows import forked

    home = _prefect_home(stack)
    with environment(_quiet(home)), _inside(home):
        forked.start()


def _prefect_home(stack: Stack) -> Path:
    home = stack.home / "prefect"
    home.mkdir(exist_ok=True)
    return home


def _quiet(home: Path) -> dict[str, str]:
    """Variables of Prefect that are the same wherever its API is."""
    return {
        **SILENT,
        **_absolute(),
        "PREFECT_HOME": str(home),
        "PREFECT_LOGGING_LEVEL": os.environ.get("PREFECT_LOGGING_LEVEL", "WARNING"),
        # a failed task is raised by the flow; on the terminal its traceback would only be in the way
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": os.environ.get(
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL"
        ),
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",  # while PostgreSQL is started again
    }


def _absolute() -> dict[str, str]:
    """The variables that may name a folder from where we are."""
    variables = {"XRAY_HOME": str(settings.home())}
    artifacts = os.environ.get("XRAY_ARTIFACTS", "")
    return variables | (
        {} if not artifacts or ":" in artifacts else {"XRAY_ARTIFACTS": str(Path(artifacts).resolve())}
    )


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Be in a folder of ours for the time of a block, as processes that are started meanwhile are.

    Prefect reads .env, prefect.toml and pyproject.toml of the folder that it is imported in: the user's, for other work.
    """
    before, first = Path.cwd(), process.ORIGINAL_DIR  # type: ignore[attr-defined]
    os.chdir(folder)
    process.ORIGINAL_DIR = str(folder)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        process.ORIGINAL_DIR = first  # type: ignore[attr-defined]
        os.chdir(before)

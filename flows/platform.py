"""The servers that a command needs, for as long as it runs: PostgreSQL, and Prefect's API on it."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from db.connection import Databases, databases
from flows.migrations import prepare
from flows.processes import die_with_parent
from flows.standing.place import client_environment, here
from xray import settings
from xray.errors import XrayError

START_SECONDS = 180.0


@contextlib.contextmanager
def storage() -> Iterator[Databases]:
    """The databases of this installation; child processes find the same ones through the environment."""
    with databases(settings.home()) as found, _environment({"XRAY_DATABASE_URL": found.psql()}):
        yield found


@contextlib.contextmanager
def prefect_api(found: Databases) -> Iterator[str]:
    """URL of a Prefect API: that of PREFECT_API_URL, of the standing stack, or of a server that lives as long as we do."""
    prepare(found, ("mlflow", "prefect"))
    given = os.environ.get("PREFECT_API_URL")
    if given:
        yield given
        return
    home = settings.home() / "prefect"
    home.mkdir(exist_ok=True)
    quiet = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": os.environ.get("PREFECT_LOGGING_LEVEL", "WARNING"),
        # a failed task is raised by the flow; on the terminal its traceback would only be in the way
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": os.environ.get(
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL"
        ),
        "DO_NOT_TRACK": "1",
    }
    place = here()
    standing = place.running()
    if standing is not None and standing.url("prefect"):
        own = client_environment(place, standing) | {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
        with _environment(quiet), _environment(own):
            yield own["PREFECT_API_URL"]
        return
    with (
        _environment(quiet | {"XRAY_PREFECT_ENDS": "1"}),
        _server(found, home / "server.log") as url,
        _environment({"PREFECT_API_URL": url}),
    ):
        yield url


@contextlib.contextmanager
def _server(found: Databases, log: Path) -> Iterator[str]:
    """Prefect's server as a child process on a free loopback port."""
    environment = {
        **os.environ,
        **found.prefect_environment(),
        "PREFECT_UI_ENABLED": "false",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
    }
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    app = "prefect.server.api.server:create_app"
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        app,
        "--fd",
        str(listener.fileno()),
        "--log-level",
        "error",
    ]
    with log.open("ab") as output, listener:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            preexec_fn=partial(die_with_parent, os.getpid()),
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}/api"
    try:
        _wait_until_healthy(process, url, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_healthy(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(f"{url}/health", timeout=5),
        ):
            return
        time.sleep(0.1)
    tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
    raise XrayError(f"Prefect's server did not start; the end of {log}:\n{tail}")


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for the time of a block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

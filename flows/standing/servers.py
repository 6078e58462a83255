"""Our web servers, Prefect's, MLflow's and the explorer: environment, command, and one of them while a command runs."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from db.connection import Databases
from flows.processes import die_with_parent
from flows.standing.api import ApiError, ask
from flows.standing.place import Stack
from flows.surroundings import LOOPBACK, cleaned
from flows.watch import Child
from xray.errors import XrayError

ROOT: Final = Path(__file__).resolve().parents[2]
SHOWN: Final = {"prefect": "Prefect's server", "mlflow": "MLflow's server", "explorer": "the explorer"}
HEALTH: Final = {"prefect": "/api/health", "mlflow": "/health", "explorer": "/health"}
START_SECONDS: Final = 180.0
EVERYWHERE: Final = ("0.0.0.0", "::")
DAY: Final = 86400


def base_environment(stack: Stack, databases: Databases) -> dict[str, str]:
    """What every process that we start has in its environment."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = cleaned({name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"})
    return {
        **environment,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "XRAY_HOME": str(stack.home),
        "XRAY_DATABASE_URL": databases.psql(),
    }


def server_environment(server: str, stack: Stack, databases: Databases) -> dict[str, str]:
    """What one of the servers is told besides: its database, its password, how it behaves."""
    words = stack.passwords()
    if server == "mlflow":
        return {
            "MLFLOW_BACKEND_STORE_URI": databases.mlflow,
            "XRAY_MLFLOW_PASSWORD": words["mlflow_password"],
        }
    if server == "explorer":
        return {
            "XRAY_EXPLORER_PASSWORD": words["explorer_password"],
            "XRAY_PSEUDONYM_KEY": words["pseudonym_key"],
            "XRAY_READER_URL": databases.reader or databases.xray,
        }
    return {
        **databases.prefect_environment(),
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",  # flows.migrations does it
        "PREFECT_SERVER_API_AUTH_STRING": f"admin:{words['prefect_password']}",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "none",
        "PREFECT_UI_API_URL": "/api",  # of whatever address the page was asked for by
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        **server_settings(),
    }


def server_settings() -> dict[str, str]:
    """Settings of the Prefect server: what is kept for how long, and how quickly waiting runs are looked at again."""
    return {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P7D",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_EVENT_RETENTION_OVERRIDES": (
            f'{{"prefect.flow-run.heartbeat": {DAY}}}'
        ),
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(90 * DAY),
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "5",
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    }


def server_command(server: str, listener: socket.socket, names: Iterable[str]) -> tuple[str, ...]:
    """The program of a server on a socket that it inherits. names: hosts by which it may be asked for."""
    listed = ",".join(sorted(set(names)))
    return (
        *(sys.executable, "-m", "flows.standing.serve", server),
        *("--fd", str(listener.fileno()), "--names", listed),
    )


def names_of(host: str, further: Iterable[str] = ()) -> set[str]:
    """Names and addresses by which a server that listens on `host` may be asked for."""
    names = {*LOOPBACK, host, *further} - set(EVERYWHERE)
    if host in EVERYWHERE:
        own = {interface.address for addresses in psutil.net_if_addrs().values() for interface in addresses}
        names |= {address.partition("%")[0] for address in own if "." in address or ":" in address}
        names |= {socket.gethostname(), socket.getfqdn()}
    return names


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; whoever holds it keeps the port, whether its server lives or not. 0: any port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


@contextlib.contextmanager
def running(
    name: str,
    stack: Stack,
    databases: Databases,
    log: Path,
    port: int = 0,
    own: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """A server on loopback for the time of a block: its address, once it answers. It dies with us, however we end.

    own: further variables of its environment. Raises `XrayError` where the port is taken or the server does not start.
    """
    try:
        listener = listen("127.0.0.1", port)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise XrayError(
            f"port {port} can't be used: {why}; choose another --port, or leave it out for a free one"
        ) from None
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    environment = {
        **base_environment(stack, databases),
        **server_environment(name, stack, databases),
        **(own or {}),
    }

    def start() -> "subprocess.Popen[bytes]":
        with log.open("ab") as output:
            return subprocess.Popen(
                server_command(name, listener, names_of("127.0.0.1")),
                env=environment,
                cwd=log.parent,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
                preexec_fn=partial(die_with_parent, os.getpid()),
                start_new_session=True,
            )

    server = Child(SHOWN[name], start, log)
    with listener, server.running():  # who asks while it is started again waits in the listener's queue
        _wait_until_well(name, server, address, log)
        server.well.set()
        yield address


def _wait_until_well(name: str, server: Child, address: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    refusal: str | None = ""
    while time.monotonic() < deadline:
        refusal = is_well(address + HEALTH[name], timeout=2)
        if refusal is None:
            return
        if server.is_hopeless:
            refusal = f"it ended with {server.process.returncode if server.process else 'nothing'}"
            break
        time.sleep(0.1)
    else:
        refusal = f"{address}{HEALTH[name]} did not answer within {START_SECONDS:.0f} s: {refusal}"
    tail = log.read_text(errors="replace")[-2000:].strip() if log.exists() else ""
    rest = f"the end of {log}:\n{tail}" if tail else f"it wrote nothing into {log}"
    raise XrayError(f"{SHOWN[name]} did not start: {refusal}; {rest}")


def is_well(url: str, timeout: float = 10) -> str | None:
    """None where the page answers 200; else what is the matter. Asked directly, whatever proxy there is."""
    try:
        ask("GET", url, timeout=timeout, trust_env=False)
    except ApiError as error:
        return str(error)
    return None

"""What a stack runs: each service's command, environment, and how its health is seen."""

import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from db.connection import Databases
from flows.processes import can_fork, gpus
from flows.standing import servers
from flows.standing.engine import SOCKET, WARM
from flows.standing.nursery import MARK, SERVICE
from flows.standing.place import Options, Stack
from flows.standing.servers import EVERYWHERE, HEALTH
from flows.surroundings import cleaned
from xray.errors import XrayError

USUAL_PORTS = {"prefect": 4200, "mlflow": 5000, "explorer": 5100}


@dataclass(frozen=True)
class Service:
    """A program to be kept running. url: where it is reached; health: a page that answers 200 when it is well.

    sign: a file that is there when it has started, for a service without such a page. listener: the socket that it answers
    on, which stays ours: no other program can have its port while it is started again, and be told our passwords.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    url: str = ""
    health: str = ""
    grace: int = 10
    sign: Path | None = None
    listener: socket.socket | None = None


def listeners(stack: Stack, options: Options) -> dict[str, socket.socket]:
    """A listening socket per server: on the port asked for, else on that of last time, the usual one, or any that is free.

    Raises `XrayError` where the port that was asked for can't be had.
    """
    last = stack.remembered("ports.json")
    sockets = {}
    ports = (options.prefect_port, options.mlflow_port, options.explorer_port)
    for name, choice in zip(USUAL_PORTS, ports, strict=True):
        candidates = [choice] if choice else [*filter(None, (int(last.get(name, 0)), USUAL_PORTS[name])), 0]
        for port in candidates:
            with suppress(OSError):
                sockets[name] = servers.listen(options.host, port)
                break
        else:
            for listener in sockets.values():
                listener.close()
            raise XrayError(f"can't listen on {options.host}, port {choice or 'any'}, for {name}")
    stack.remember("ports.json", {name: listener.getsockname()[1] for name, listener in sockets.items()})
    return sockets


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    try:
        with servers.listen(host, port):
            return True
    except OSError:
        return False


def free_port(host: str) -> int:
    """Any port that is free now."""
    with servers.listen(host, 0) as listener:
        return int(listener.getsockname()[1])


def web_servers(
    stack: Stack, databases: Databases, options: Options, listening: Mapping[str, socket.socket]
) -> list[Service]:
    """The Prefect and MLflow servers, and the explorer."""
    return [_web_server(name, stack, databases, options, listening[name]) for name in USUAL_PORTS]


def warm(stack: Stack, databases: Databases, options: Options, prefect: str) -> list[Service]:
    """The process that flow runs are forks of, where there is one. prefect: its URL."""
    if not can_fork():
        return []
    command = (*_python("flows.standing.warm"), str(stack.folder))
    own = base_environment(stack, databases, options) | prefect_client(stack, prefect) | {SERVICE: "warm"}
    return [Service("warm", command, own, sign=stack.folder / SOCKET)]


def workers(stack: Stack, databases: Databases, options: Options, prefect: str, mlflow: str) -> list[Service]:
    """One worker per GPU (one where there is none) on pool gpu, and those of pool cpu. prefect, mlflow: their URLs."""
    devices = gpus()
    services = []
    for number in range(options.gpu_workers):
        own = {"CUDA_VISIBLE_DEVICES": devices[number % len(devices)]} if devices else {}
        own |= {"XRAY_MLFLOW_UI": mlflow}
        services.append(_worker(stack, databases, options, prefect, "gpu", number, own))
    # the pool for analysis sees no GPU
    hidden = {"CUDA_VISIBLE_DEVICES": "", "XRAY_MLFLOW_UI": mlflow}
    services += [
        _worker(stack, databases, options, prefect, "cpu", n, hidden) for n in range(options.cpu_workers)
    ]
    return services


def base_environment(stack: Stack, databases: Databases, options: Options) -> dict[str, str]:
    """What every process of the stack has in its environment."""
    own = servers.base_environment(stack, databases)
    marked = {MARK: str(stack.home), "PREFECT_HOME": str(stack.folder / "prefect")}
    return {**cleaned(own, _reached(options)), **marked}


def prefect_client(stack: Stack, url: str) -> dict[str, str]:
    """How workers and flow runs talk to the Prefect server: with patience, as it may be started again meanwhile."""
    return {
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_API_AUTH_STRING": f"admin:{stack.passwords()['prefect_password']}",
        "PREFECT_CLIENT_MAX_RETRIES": "12",
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_LOGGING_LEVEL": os.environ.get("PREFECT_LOGGING_LEVEL", "INFO"),
        "PREFECT_LOGGING_FORMATTERS_STANDARD_DATEFMT": "%Y-%m-%d %H:%M:%S",
    }


def _web_server(
    server: str, stack: Stack, databases: Databases, options: Options, listener: socket.socket
) -> Service:
    address = _reached(options)
    url = f"http://{f'[{address}]' if ':' in address else address}:{listener.getsockname()[1]}"
    own = {
        **base_environment(stack, databases, options),
        **servers.server_environment(server, stack, databases),
    }
    names = servers.names_of(options.host, options.names)
    command = servers.server_command(server, listener, names)
    environment = {**own, SERVICE: server}
    return Service(server, command, environment, url, url + HEALTH[server], grace=5, listener=listener)


def _worker(
    stack: Stack,
    databases: Databases,
    options: Options,
    prefect: str,
    pool: str,
    number: int,
    own: Mapping[str, str],
) -> Service:
    name = f"worker-{pool}-{number}"
    title = f"{socket.gethostname()}-{pool}-{number}"
    command = (
        *_python("flows.standing.worker"),
        str(stack.folder / name),
        "--pool",
        pool,
        "--type",
        "process",
    )
    command += ("--name", title, "--limit", "1", "--install-policy", "never")
    environment = {**base_environment(stack, databases, options), **prefect_client(stack, prefect), **own}
    environment |= {SERVICE: name, "XRAY_WORKER": title, WARM: str(stack.folder)}
    return Service(name, command, environment, grace=15)


def _python(module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module)


def _reached(options: Options) -> str:
    """The address by which this machine reaches its own servers."""
    return "127.0.0.1" if options.host in (*EVERYWHERE, "localhost") else options.host

"""What a stack runs: each service's command, environment, and how its health is seen."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from db.connection import Databases
from flows.standing.engine import SOCKET, WARM
from flows.standing.nursery import MARK, SERVICE
from flows.standing.place import Options, Place, write_mlflow_auth
from xray import settings

ROOT = Path(__file__).resolve().parents[2]
USUAL_PORTS = {"prefect": 4200, "mlflow": 5000}
DAY = 86400
_CAN_FORK = sys.platform == "linux"
_CHOSEN: dict[int, socket.socket] = {}


@dataclass(frozen=True)
class Service:
    """A program to be kept running. url: where it is reached; health: a page that answers 200 when it is well.

    sign: a file that is there when it has started, for a service without such a page.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    url: str = ""
    health: str = ""
    grace: int = 10
    sign: Path | None = None


def ports(place: Place, options: Options) -> dict[str, int]:
    """A port per server: the one asked for, else that of last time, the usual one, or any that is free."""
    last = place.remembered("ports.json")
    found = {}
    for name, asked in (("prefect", options.prefect_port), ("mlflow", options.mlflow_port)):
        wanted = [int(last.get(name, 0)), USUAL_PORTS[name]]
        chosen = asked or next((p for p in wanted if p and is_free(options.host, p) and _is_ours(p)), 0)
        found[name] = chosen or free_port(options.host)
    place.remember("ports.json", found)
    return found


def _is_ours(port: int) -> bool:
    """Whether no other stack that starts now has chosen this port: a server takes seconds until it listens.

    The choice is a name among Linux's abstract sockets, which lasts as long as this process; elsewhere nothing is held.
    """
    if sys.platform != "linux" or port in _CHOSEN:
        return True
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0xray port {port}")
    except OSError:
        name.close()
        return False
    _CHOSEN[port] = name
    return True


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    try:
        with socket.create_server((host, port)):
            return True
    except OSError:
        return False


def free_port(host: str) -> int:
    """Any port that is free now."""
    with socket.create_server((host, 0)) as listener:
        return int(listener.getsockname()[1])


def servers(place: Place, found: Databases, options: Options, port: Mapping[str, int]) -> list[Service]:
    """The MLflow and Prefect servers."""
    base = base_environment(place, found)
    reached = _reached(options)
    return [
        _prefect(place, found, options, port["prefect"], base, reached),
        _mlflow(place, found, options, port["mlflow"], base, reached),
    ]


def warm(place: Place, found: Databases, options: Options, prefect: str) -> list[Service]:
    """The process that flow runs are forks of, where there is one. prefect: its URL.

    Not where there are GPUs: nobody has tried CUDA after a fork there, and beside a training on a GPU the seconds matter
    little.
    """
    if gpus() or not _CAN_FORK:
        return []
    command = (*_python("flows.standing.warm"), str(place.folder))
    own = base_environment(place, found) | prefect_client(place, options, prefect) | {SERVICE: "warm"}
    return [Service("warm", command, own, sign=place.folder / SOCKET)]


def workers(place: Place, found: Databases, options: Options, prefect: str, mlflow: str) -> list[Service]:
    """One worker per GPU (one where there is none) on pool gpu, and those of pool cpu. prefect, mlflow: their URLs."""
    devices = gpus()
    made = []
    for number in range(options.gpu_workers):
        own = {"CUDA_VISIBLE_DEVICES": devices[number % len(devices)]} if devices else {}
        own |= {"XRAY_MLFLOW_UI": mlflow}
        made.append(_worker(place, found, options, prefect, "gpu", number, own))
    # the pool for analysis sees no GPU
    hidden = {"CUDA_VISIBLE_DEVICES": "", "XRAY_MLFLOW_UI": mlflow}
    made += [_worker(place, found, options, prefect, "cpu", n, hidden) for n in range(options.cpu_workers)]
    return made


def gpus() -> list[str]:
    """The GPUs of this machine as CUDA_VISIBLE_DEVICES names them; found without starting CUDA."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [each.strip() for each in given.split(",") if each.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return [str(n) for n, line in enumerate(done.stdout.splitlines()) if line.startswith("GPU ")]


def base_environment(place: Place, found: Databases) -> dict[str, str]:
    """What every process of the stack has in its environment."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {
        **kept,
        MARK: str(place.home),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "XRAY_HOME": str(place.home),
        "XRAY_DATABASE_URL": found.psql(),
        "PREFECT_HOME": str(place.folder / "prefect"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }


def prefect_client(place: Place, options: Options, url: str) -> dict[str, str]:
    """How workers and flow runs talk to the Prefect server: with patience, as it may be started again meanwhile."""
    found = {
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_CLIENT_MAX_RETRIES": "12",
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_LOGGING_LEVEL": os.environ.get("PREFECT_LOGGING_LEVEL", "INFO"),
        "PREFECT_LOGGING_FORMATTERS_STANDARD_DATEFMT": "%Y-%m-%d %H:%M:%S",
    }
    if options.is_open:
        found["PREFECT_API_AUTH_STRING"] = f"admin:{place.passwords()['prefect_password']}"
    return found


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


def _prefect(
    place: Place, found: Databases, options: Options, port: int, base: Mapping[str, str], reached: str
) -> Service:
    url = f"http://{reached}:{port}"
    own = {
        **found.prefect_environment(),
        "PREFECT_UI_API_URL": f"http://{_named(options)}:{port}/api",
        **server_settings(),
    }
    if options.is_open:
        own["PREFECT_SERVER_API_AUTH_STRING"] = f"admin:{place.passwords()['prefect_password']}"
    command = (*_python("prefect"), "server", "start", "--host", options.host, "--port", str(port))
    return Service("prefect", command, {**base, **own, SERVICE: "prefect"}, url, f"{url}/api/health", grace=5)


def _mlflow(
    place: Place, found: Databases, options: Options, port: int, base: Mapping[str, str], reached: str
) -> Service:
    url = f"http://{reached}:{port}"
    command = [*_python("mlflow"), "server", "--workers", "1"]
    command += ["--host", options.host, "--port", str(port)]
    command += ["--default-artifact-root", str(settings.artifacts())]
    names = {"localhost", "127.0.0.1", reached, _named(options)}
    command += ["--allowed-hosts", ",".join(sorted({n for h in names for n in (h, f"{h}:{port}")}))]
    own = {"MLFLOW_BACKEND_STORE_URI": found.mlflow, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    if options.is_open:
        passwords = place.passwords()
        own |= {
            "MLFLOW_AUTH_CONFIG_PATH": str(write_mlflow_auth(place.folder)),
            "MLFLOW_AUTH_ADMIN_PASSWORD": passwords["mlflow_password"],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": passwords["mlflow_secret_key"],
        }
        command += ["--app-name", "basic-auth"]
    return Service(
        "mlflow", tuple(command), {**base, **own, SERVICE: "mlflow"}, url, f"{url}/health", grace=5
    )


def _worker(
    place: Place,
    found: Databases,
    options: Options,
    prefect: str,
    pool: str,
    number: int,
    own: Mapping[str, str],
) -> Service:
    name = f"worker-{pool}-{number}"
    shown = f"{socket.gethostname()}-{pool}-{number}"
    command = (*_python("prefect"), "worker", "start", "--pool", pool, "--type", "process")
    command += ("--name", shown, "--limit", "1", "--install-policy", "never")
    environment = {**base_environment(place, found), **prefect_client(place, options, prefect), **own}
    environment |= {SERVICE: name, "XRAY_WORKER": shown, WARM: str(place.folder)}
    return Service(name, command, environment, grace=15)


def _python(module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module)


def _reached(options: Options) -> str:
    """The address by which this machine reaches its own servers."""
    return "127.0.0.1" if options.host in ("0.0.0.0", "localhost") else options.host


def _named(options: Options) -> str:
    """The address by which browsers reach the servers."""
    return socket.gethostname() if options.host == "0.0.0.0" else options.host

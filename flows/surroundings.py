"""The user's environment, without what would lead our programs to other servers than ours or change what is stored.

A shell has variables of its own Prefect, MLflow and proxy. They are for its programs: our servers are asked directly and as
we say. What is the user's choice for us stays: PREFECT_API_URL with all that belongs to that server, an object store of
MLflow's artifacts, how much Prefect logs, and the proxy for every address but this machine's own.
"""

import importlib.util
import os
from collections.abc import Mapping
from typing import Final

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
STORES: Final = ("MLFLOW_S3_", "MLFLOW_BOTO_", "MLFLOW_GCS_")
LEVELS: Final = ("PREFECT_LOGGING_LEVEL", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL")
SILENT: Final = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
"""Nothing is told to the makers of what we use."""


def enter() -> None:
    """Make the environment of this process, and so of all that it starts, such a one."""
    environment = cleaned(os.environ)
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)


def cleaned(environment: Mapping[str, str], *addresses: str) -> dict[str, str]:
    """What of an environment our programs may see. addresses: further ones of this machine, reached without a proxy."""
    own_prefect = bool(environment.get("PREFECT_API_URL"))
    rest = {name: value for name, value in environment.items() if _may_stay(name, value, own_prefect)}
    direct = [address for name in ("NO_PROXY", "no_proxy") for address in rest.get(name, "").split(",")]
    listed = dict.fromkeys(address.strip() for address in (*direct, *LOOPBACK, *addresses) if address.strip())
    direct_to = "*" if "*" in listed else ",".join(listed)  # urllib knows it alone only
    return {**rest, **SILENT, "NO_PROXY": direct_to, "no_proxy": direct_to}


def _may_stay(name: str, value: str, own_prefect: bool) -> bool:
    if name.startswith("PREFECT_"):
        return own_prefect or (name in LEVELS and value in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
    if name.startswith(("MLFLOW_", "_MLFLOW_")):
        return name.startswith(STORES)
    if name.lower() in ("all_proxy", "http_proxy", "https_proxy") and value.lower().startswith("socks"):
        # httpx does not even ask a server of this machine where it can't speak SOCKS
        return importlib.util.find_spec("socksio") is not None
    return True

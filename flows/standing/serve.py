"""One of our web servers, behind its door, in one process.

    python -m flows.standing.serve prefect --names a,b (--fd N | --host H --port P)
    python -m flows.standing.serve mlflow …
    python -m flows.standing.serve explorer …

Passwords come from the environment: PREFECT_SERVER_API_AUTH_STRING, XRAY_MLFLOW_PASSWORD, XRAY_EXPLORER_PASSWORD. Without
one it does not start.
The address comes from --host and --port, or is that of the listening socket N, which was handed on.
"""

import argparse
import os
import socket
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlparse
from urllib.request import url2pathname

from db import logs
from flows.standing.door import App, Door, names

GRACE_SECONDS = 2


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m flows.standing.serve", allow_abbrev=False)
    parser.add_argument("which", choices=tuple(SERVERS))
    parser.add_argument("--names", required=True)
    parser.add_argument("--fd", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int)
    options = parser.parse_args(arguments)
    if (options.fd is None) == (options.port is None):
        parser.error("either --fd or --port")
    logs.start()
    listed = names(options.names.split(","))
    door = SERVERS[options.which](listed)
    listener = (
        socket.socket(fileno=options.fd) if options.fd is not None else _listen(options.host, options.port)
    )
    serve(door, listener)
    return 0


def prefect(listed: frozenset[str]) -> Door:
    """Prefect's API and pages. The API asks for the password by itself, its websockets too; the pages are no secret."""
    _required("PREFECT_SERVER_API_AUTH_STRING")
    from prefect.server.api.server import create_app

    return Door(create_app(final=True), listed, closed=("/docs", "/redoc", "/openapi.json"))


def mlflow(listed: frozenset[str]) -> Door:
    """MLflow's API and pages."""
    password = _required("XRAY_MLFLOW_PASSWORD")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what MLflow imports
        from xray import settings
        from xray.learning import tracking_server

        artifacts = settings.artifacts()
        roots = [settings.home() / "mlflow" / "artifacts", *_folders(artifacts)]
        app: App = tracking_server.create_app(_required("MLFLOW_BACKEND_STORE_URI"), artifacts, roots)
    return Door(app, listed, password, tracking_server.OPEN, tracking_server.CLOSED)


def explorer(listed: frozenset[str]) -> Door:
    """Our own pages over the database. XRAY_IDENTITIES: set where patients and images go by their own names.

    Without XRAY_DATABASE_URL, the writer's, they only read: no worklist is made or read there.
    """
    password, key = _required("XRAY_EXPLORER_PASSWORD"), _required("XRAY_PSEUDONYM_KEY")
    reader, writer = _required("XRAY_READER_URL"), os.environ.get("XRAY_DATABASE_URL") or None
    from xray import settings
    from xray.explorer.app import POLICY as OWN
    from xray.explorer.app import create_app

    names = bool(os.environ.get("XRAY_IDENTITIES"))
    app: App = create_app(reader, writer, settings.home(), key.encode(), names=names)
    return Door(app, listed, password, frozenset({"/health"}), policy=OWN)


SERVERS: Final[dict[str, Callable[[frozenset[str]], Door]]] = {
    "prefect": prefect,
    "mlflow": mlflow,
    "explorer": explorer,
}


def serve(door: Door, listener: socket.socket) -> None:
    """Answer on a listening socket until SIGTERM or SIGINT; who is being answered then has two seconds more."""
    import uvicorn

    config = uvicorn.Config(
        door,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    from flows.standing.servers import listen

    return listen(host, port)


def _required(name: str) -> str:
    value = os.environ.get(name, "")
    if not value or value.endswith(":"):
        sys.exit(f"{name} is not set: this server does not run without a password and a database")
    return value


def _folders(artifacts: Path | str) -> list[Path]:
    """The folder that XRAY_ARTIFACTS names, if it is one of this machine."""
    if isinstance(artifacts, Path):
        return [artifacts]
    parts = urlparse(artifacts)
    if parts.scheme in ("", "file"):
        return [Path(url2pathname(parts.path)) if parts.scheme else Path(artifacts)]
    return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

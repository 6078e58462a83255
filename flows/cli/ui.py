"""`xray ui`: the web interfaces of MLflow and Prefect on this installation's databases, for as long as the command runs."""

import os
import socket
import subprocess
import sys
from functools import partial

import click


@click.command()
@click.argument("which", type=click.Choice(["mlflow", "prefect"]))
@click.option("--port", default=0, help="Port on 127.0.0.1; a free one is chosen where none is given.")
def ui(which: str, port: int) -> None:
    """Open the MLflow or Prefect web interface; stop it with Ctrl-C."""
    from flows.migrations import prepare
    from flows.platform import storage
    from flows.processes import die_with_parent
    from xray import settings

    port = port or _free_port()
    python = [sys.executable, "-m"]
    with storage() as found:
        prepare(found, ("mlflow" if which == "mlflow" else "prefect",))
        environment = dict(os.environ)
        if which == "mlflow":
            environment |= {"MLFLOW_DISABLE_TELEMETRY": "true"}
            artifacts = str(settings.artifacts())
            command = [
                *python,
                "mlflow",
                "server",
                "--backend-store-uri",
                found.mlflow,
                "--host",
                "127.0.0.1",
            ]
            command += ["--port", str(port), "--default-artifact-root", artifacts, "--workers", "1"]
        else:
            environment |= {"PREFECT_HOME": str(settings.home() / "prefect")}
            environment |= found.prefect_environment()
            command = [*python, "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        click.echo(f"{which}: http://127.0.0.1:{port}   (stop with Ctrl-C)")
        process = subprocess.Popen(command, env=environment, preexec_fn=partial(die_with_parent, os.getpid()))
        try:
            raise SystemExit(process.wait())
        except KeyboardInterrupt:
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])

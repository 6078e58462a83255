"""A standing stack in a folder of its own, for the benchmarks of it: its commands, its flow runs, its processes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]


def say(message: str) -> None:
    """Print with the time."""
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


class Home:
    """One XRAY_HOME and the command line on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("XRAY_", "PREFECT_", "MLFLOW_"))
        }
        self.environment = {**environment, "XRAY_HOME": str(path), "PYTHONPATH": str(ROOT)}

    def run(self, *arguments: str, check: bool = True) -> str:
        """What a command prints."""
        command = [sys.executable, "-c", "from flows.cli import main; main()", *arguments]
        process = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, cwd=self.path.parent
        )
        if check and process.returncode:
            raise RuntimeError(f"{arguments}: {process.returncode}\n{process.stdout}\n{process.stderr}")
        return process.stdout

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Rows of a query; asked again while the database is coming back."""
        for _ in range(60):
            output = self.run("sql", "--json", query, check=False)
            if output:
                return [json.loads(line) for line in output.splitlines()]
            time.sleep(1)
        return []

    def status(self) -> dict[str, Any]:
        """What `xray status --json` says."""
        overview: dict[str, Any] = json.loads(self.run("status", "--json", check=False))
        return overview

    def service(self, name: str) -> dict[str, Any]:
        """The state of one service."""
        state = json.loads((self.path / "stack" / "state.json").read_text())
        (state_of,) = (service for service in state["services"] if service["name"] == name)
        return dict(state_of)

    def processes(self) -> list[psutil.Process]:
        """Everything that belongs to this home."""
        processes = []
        for process in psutil.process_iter():
            try:
                about = " ".join(process.cmdline()) + " ".join(process.environ().values())
            except psutil.Error:
                continue
            if (
                str(self.path) in about
                and process.pid != os.getpid()
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                processes.append(process)
        return processes

    def api(self) -> Any:
        """Prefect's API of the stack."""
        from flows.standing.api import Api
        from flows.standing.place import Stack, client_environment

        stack = Stack(self.path)
        state = stack.running()
        assert state is not None
        own = client_environment(stack, state)
        return Api(own["PREFECT_API_URL"], own.get("PREFECT_API_AUTH_STRING", ""))


def wait(true: Callable[[], bool], seconds: float, title: str, every: float = 0.2) -> float:
    """Seconds until it was true; what raises meanwhile (a server that is away) is not true yet."""
    began = time.monotonic()
    while True:
        try:
            if true():
                return time.monotonic() - began
        except (OSError, ValueError, KeyError, AssertionError):
            pass
        if time.monotonic() > began + seconds:
            raise TimeoutError(title)
        time.sleep(every)


def program(home: Home, service: str) -> psutil.Process:
    """The program of a service, below its nursery."""
    return psutil.Process(home.service(service)["pid"]).children()[0]


def flow_runs(home: Home, *names: str) -> list[dict[str, Any]]:
    """Flow runs of these flows that are or were at work."""
    body = {"flows": {"name": {"any_": list(names)}}, "sort": "START_TIME_DESC"}
    runs: list[dict[str, Any]] = home.api().post("/flow_runs/filter", body)
    return [run for run in runs if not run["auto_scheduled"]]


def start_run(home: Home, deployment: str, parameters: dict[str, Any]) -> str:
    """Start a deployment; the flow run's id."""
    entry = home.api().get(f"/deployments/name/{deployment}")
    run = home.api().post(f"/deployments/{entry['id']}/create_flow_run", {"parameters": parameters})
    return str(run["id"])


def state_of(home: Home, run: str) -> str:
    """The state of a flow run."""
    return str(home.api().get(f"/flow_runs/{run}")["state_name"])

"""`xray up`, `down`, `status`, `logs`, `env`: the standing platform on one machine."""

import contextlib
import json
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli.rows import json_option, print_json
from xray.errors import XrayError
from xray.names import unknown

if TYPE_CHECKING:
    from flows.standing.place import Stack, State

_log = logging.getLogger(__name__)
UP_SECONDS = 600.0
LINE = re.compile(r"(?P<time>\d{4}-\S+ \S+) \| (?P<level>[A-Z]+) *\| (?P<source>.*?) - (?P<message>.*)")
"""As the supervisor, the workers and flow runs write."""


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is all of them."
)
@click.option("--prefect-port", default=0, help="Port of Prefect (default: 4200, or a free one).")
@click.option("--mlflow-port", default=0, help="Port of MLflow (default: 5000, or a free one).")
@click.option("--explorer-port", default=0, help="Port of the explorer (default: 5100, or a free one).")
@click.option(
    "--gpu-workers",
    type=click.IntRange(1),
    help="Workers that train and infer (default: one per GPU, at least 1).",
)
@click.option(
    "--cpu-workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Workers that register and analyse.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    help="Further host name of the web interfaces, such as that of a proxy (repeatable).",
)
def up(
    host: str,
    prefect_port: int,
    mlflow_port: int,
    explorer_port: int,
    gpu_workers: int | None,
    cpu_workers: int,
    names: tuple[str, ...],
) -> None:
    """Start the standing platform: PostgreSQL, MLflow, Prefect, the explorer, workers; it runs until `xray down`.

    The web interfaces ask for the passwords in XRAY_HOME/stack/secrets.json, which only you can read. Other machines can
    reach them only where --host says so.
    """
    from flows.processes import gpus
    from flows.standing.place import Options, this_stack

    stack = this_stack()
    workers = gpu_workers or max(1, len(gpus()))
    options = Options(host, prefect_port, mlflow_port, explorer_port, workers, cpu_workers, names)
    _check_ports(stack, options)
    log = stack.log("supervisor")
    if stack.running() is None:
        stack.clear_state()
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.standing.supervisor", json.dumps(asdict(options))],
                env=_own_environment(),
                cwd=stack.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        _wait_until_up(stack, process)
    else:
        click.echo("it is already running", err=True)
    state = stack.running()
    if state is not None:
        _say_where(stack, state)


@click.command()
def down() -> None:
    """Stop the standing platform and everything that it started."""
    from flows.standing.nursery import kill, marked
    from flows.standing.place import this_stack

    stack = this_stack()
    running = stack.running()
    if running is not None:
        os.kill(running.pid, signal.SIGTERM)
        deadline = time.monotonic() + 120
        while stack.is_held():  # to its process's end
            if time.monotonic() > deadline:
                os.kill(running.pid, signal.SIGKILL)
                break
            time.sleep(0.1)
    kill(marked(str(stack.home)))
    stack.clear_state()
    click.echo("stopped" if running is not None else "it was not running")


@click.command()
@json_option("As one JSON object, for monitoring.")
def status(as_json: bool) -> None:
    """What runs, where the web interfaces are, what waits, and what is missing. Exit code 1 unless everything is well."""
    from flows.standing.place import this_stack
    from flows.standing.status import report

    overview = report(this_stack())
    if as_json:
        print_json(overview)
    else:
        _show(overview)
    if overview["phase"] != "ready":
        raise SystemExit(1)


@click.command()
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines.")
@click.option("-n", "--lines", default=50, show_default=True, help="Number of last lines to print.")
@json_option("A JSON object per line: service, time, level, source, message.")
def logs(name: str | None, follow: bool, lines: int, as_json: bool) -> None:
    """The last lines that service NAME (as `xray status` names it) wrote, or every service."""
    from flows.standing.place import this_stack

    stack = this_stack()
    names = stack.logs()
    if name is not None and name not in names:
        raise XrayError(unknown("log", name, names, "none; nothing has run here"))
    paths = [stack.log(service) for service in ([name] if name else names)]
    positions = {}
    for path in paths:
        text, positions[path] = _tail(path, lines)
        _print(path, text, len(paths) > 1, as_json)
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            for path, text in _grow(positions):
                _print(path, text, len(paths) > 1, as_json)


@click.command()
def env() -> None:
    """Print what a shell needs to talk to the servers: eval "$(xray env)"."""
    from flows.standing.place import client_environment, this_stack
    from flows.surroundings import cleaned

    stack = this_stack()
    running = stack.running()
    if running is None:
        raise XrayError("nothing is running here; start it with xray up")
    own = cleaned(os.environ, str(running.options.get("host", "")).replace("0.0.0.0", ""))
    direct = {name: own[name] for name in ("NO_PROXY", "no_proxy")}
    for name, value in (client_environment(stack, running) | direct).items():
        click.echo(f"export {name}={shlex.quote(value)}")


def _check_ports(stack: "Stack", options: Any) -> None:
    """A port that was asked for must be free, or ours already."""
    from flows.standing.services import is_free

    if stack.running() is not None:
        return
    for name in ("prefect_port", "mlflow_port", "explorer_port"):
        port = getattr(options, name)
        if port and not is_free(options.host, port):
            raise XrayError(
                f"--{name.replace('_', '-')} {port}: it is in use, or {options.host} is not an address of this machine"
            )


def _own_environment() -> dict[str, str]:
    from flows.standing.servers import ROOT

    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def _wait_until_up(stack: "Stack", process: "subprocess.Popen[bytes]") -> None:
    """Until everything is ready, telling what has come up. Raises `XrayError` where it does not."""
    names: set[str] = set()
    deadline = time.monotonic() + UP_SECONDS
    while time.monotonic() < deadline:
        state = stack.state()
        for service in state.services if state else []:
            if service.phase == "ready" and service.name not in names:
                names.add(service.name)
                _log.info("%s is ready", service.name)
        if state is not None and state.phase == "ready":
            return
        if process.poll() is not None:
            detail = state.detail if state is not None and state.detail else f"see {stack.log('supervisor')}"
            raise XrayError(f"it did not start: {detail}")
        time.sleep(0.2)
    raise XrayError(f"it is not ready after {UP_SECONDS:.0f} s: see xray status and xray logs")


def _say_where(stack: "Stack", state: "State") -> None:
    from flows.cli.ui import way_in

    click.echo(f"Prefect   {state.url('prefect')}   flows, deployments, events")
    click.echo(f"          {way_in(stack, 'prefect')}")
    click.echo(f"MLflow    {state.url('mlflow')}   models and their metrics")
    click.echo(f"          {way_in(stack, 'mlflow')}")
    click.echo(f"Explorer  {state.url('explorer')}   findings and sites, scores, images, worklists")
    click.echo(f"          {way_in(stack, 'explorer')}")
    click.echo('To use them from a shell:  eval "$(xray env)"')
    click.echo("then, for example:         prefect deployment run train/phantom-a --watch")


def _show(overview: dict[str, Any]) -> None:
    from flows.cli.sql import table

    click.echo(f"{overview['phase']}{': ' + overview['detail'] if overview['detail'] else ''}")
    if overview["services"]:
        rows = [
            (s["name"], s["phase"], s["pid"] or "", s["restarts"], s["url"], s["detail"])
            for s in overview["services"]
        ]
        click.echo(table(("service", "phase", "pid", "restarts", "url", "last failure"), rows))
    queue = overview["queue"]
    if queue is not None:
        click.echo(
            f"flow runs: {queue['running']} running, {queue['waiting']} waiting, {queue['crashed']} crashed today"
        )
    for failure in overview["failures"]:
        when = failure["time"][:16].replace("T", " ")
        click.echo(f"failed {when} UTC: {failure['flow']} ({failure['run']}): {failure['reason']}")
    missing = overview["missing"]
    if missing is not None:
        click.echo(
            f"missing evaluations: {missing['evaluations']}, stale studies: {missing['stale_studies']}"
        )


def _tail(path: Path, lines: int) -> tuple[str, int]:
    content = path.read_bytes()
    last = content.splitlines(keepends=True)[-lines:] if lines else []
    return b"".join(last).decode(errors="replace"), len(content)


def _grow(positions: dict[Path, int]) -> Iterator[tuple[Path, str]]:
    """What is appended to these files, for ever."""
    while True:
        for path, position in positions.items():
            size = path.stat().st_size if path.exists() else 0
            if size < position:  # it was moved aside
                position = 0
            if size > position:
                with path.open("rb") as file:
                    file.seek(position)
                    text = file.read(size - position).decode(errors="replace")
                yield path, text
            positions[path] = size
        time.sleep(0.2)


def _print(path: Path, text: str, several: bool, as_json: bool) -> None:
    prefix = f"{path.stem}: " if several else ""
    for line in text.splitlines():
        if as_json:
            print_json(parsed(path.stem, line))
        else:
            click.echo(f"{prefix}{line}")


def parsed(service: str, line: str) -> dict[str, str | None]:
    """A line of a log by its parts: service, time, level, source, message. A line of another form is all message."""
    match = LINE.fullmatch(line)
    parts = match.groupdict() if match else {"time": None, "level": None, "source": None, "message": line}
    return {"service": service, **parts}

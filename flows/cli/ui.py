"""`xray ui`: the web interface of MLflow or Prefect on this installation's databases, for as long as the command runs."""

import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from flows.standing.place import Stack


@click.command()
@click.argument("server", type=click.Choice(["mlflow", "prefect"]))
@click.option("--port", default=0, help="Port on 127.0.0.1 (default: a free one).")
def ui(server: str, port: int) -> None:
    """Open the MLflow or Prefect web interface; stop it with Ctrl-C.

    If the standing platform runs (xray up), its address is printed and nothing is started.
    """
    from flows.migrations import prepare
    from flows.platform import storage
    from flows.standing.place import this_stack
    from flows.standing.servers import running

    stack = this_stack()
    standing = stack.running()
    address = standing.url(server) if standing is not None else ""
    if address:
        click.echo(f"{server}: {address}   (started by xray up)")
        click.echo(way_in(stack, server))
        return
    home = stack.home / "prefect"
    with until_stopped(), storage() as databases:
        prepare(databases, ("mlflow" if server == "mlflow" else "prefect",))
        own: dict[str, str] = {}
        if server == "prefect":
            home.mkdir(exist_ok=True)
            own = {"PREFECT_HOME": str(home), "PREFECT__SERVER_WEBSERVER_ONLY": "1"}
        with running(server, stack, databases, stack.log(f"ui-{server}"), port, own) as address:
            click.echo(f"{server}: {address}   (stop with Ctrl-C)")
            click.echo(way_in(stack, server))
            while True:
                time.sleep(3600)


def way_in(stack: "Stack", server: str) -> str:
    """What a browser must be told: the password itself only on a terminal, as what is written elsewhere may be kept."""
    name = f"{server}_password"
    password = stack.passwords()[name] if sys.stdout.isatty() else ""
    secret = password or f"the {name} in {stack.folder / 'secrets.json'}"
    if server == "prefect":
        return f"It asks for   admin:{password}" if password else f"It asks for admin: and {secret}"
    return (
        f"It asks for user admin and password   {password}"
        if password
        else f"It asks for user admin and {secret}"
    )


@contextlib.contextmanager
def until_stopped() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP end the block in order, without a word; `flows.ends` sees to the rest of the end."""
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None

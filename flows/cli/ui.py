"""`xray ui`: the web interface of MLflow or Prefect on this installation's databases, for as long as the command runs."""

import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from flows.standing.place import Place


@click.command()
@click.argument("which", type=click.Choice(["mlflow", "prefect"]))
@click.option("--port", default=0, help="Port on 127.0.0.1; a free one is chosen where none is given.")
def ui(which: str, port: int) -> None:
    """Open the MLflow or Prefect web interface; stop it with Ctrl-C.

    Where the standing platform runs (xray up), its interface is named, and nothing started.
    """
    from flows.migrations import prepare
    from flows.platform import storage
    from flows.standing.place import here
    from flows.standing.servers import running

    place = here()
    standing = place.running()
    address = standing.url(which) if standing is not None else ""
    if address:
        click.echo(f"{which}: {address}   (it runs by xray up)")
        click.echo(way_in(place, which))
        return
    home = place.home / "prefect"
    with until_stopped(), storage() as found:
        prepare(found, ("mlflow" if which == "mlflow" else "prefect",))
        own: dict[str, str] = {}
        if which == "prefect":
            home.mkdir(exist_ok=True)
            own = {"PREFECT_HOME": str(home), "PREFECT__SERVER_WEBSERVER_ONLY": "1"}
        with running(which, place, found, place.log(f"ui-{which}"), port, own) as address:
            click.echo(f"{which}: {address}   (stop with Ctrl-C)")
            click.echo(way_in(place, which))
            while True:
                time.sleep(3600)


def way_in(place: "Place", which: str) -> str:
    """What a browser must be told: the password itself only on a terminal, as what is written elsewhere may be kept."""
    name = f"{which}_password"
    shown = place.passwords()[name] if sys.stdout.isatty() else ""
    secret = shown or f"the {name} in {place.folder / 'secrets.json'}"
    if which == "prefect":
        return f"It asks for   admin:{shown}" if shown else f"It asks for admin: and {secret}"
    return (
        f"It asks for user admin and password   {shown}" if shown else f"It asks for user admin and {secret}"
    )


@contextlib.contextmanager
def until_stopped() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP end the block in order, without a word; `flows.ends` sees to the rest of the end."""
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None

"""`xray ui`: the web interface of MLflow or Prefect on this installation's databases, for as long as the command runs."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from flows.standing.place import Place

END_SECONDS: Final = 4


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
    with until_told_to_end(), storage() as found:
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


class _End(BaseException):
    """A signal that ends the command, on its way out through what is to be closed."""


@contextlib.contextmanager
def until_told_to_end() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP end the block in order; the exit code is that of a program which the signal ended.

    What is not over within four seconds, or has swallowed the exception, ends with the process; the kernel ends the server.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    told: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGALRM:
            os._exit(128 + told[0])
        if not told:  # once: a second one must not break into the ending
            told.append(number)
            signal.alarm(END_SECONDS)
            raise _End

    before = {number: signal.signal(number, end) for number in (*numbers, signal.SIGALRM)}
    try:
        yield
    except _End:
        raise SystemExit(128 + told[0]) from None
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)

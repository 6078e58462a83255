"""`xray cache`: the prepared pictures of this home: what is there, whether it is as it was made, and what nobody uses."""

from typing import TYPE_CHECKING, Any

import click

from flows.cli.groups import Group
from flows.cli.rows import json_option, print_json

if TYPE_CHECKING:
    from xray.data.caches import StoredCache


@click.group(cls=Group)
def cache() -> None:
    """Prepared pictures under XRAY_HOME/pixels: list, verify, prune. All can be rebuilt from the files."""


@cache.command("list")
@json_option("One JSON object per cache.")
def list_(as_json: bool) -> None:
    """Every cache: the datasets whose pictures it holds, image size, bytes, when it was last used."""
    from flows.cli.rows import show_rows
    from flows.platform import storage
    from xray import settings
    from xray.data.caches import caches

    with storage() as databases, databases.engine().begin() as connection:
        stored = caches(connection, settings.home())
    show_rows([_row(entry, as_json) for entry in stored], as_json, "no cache yet: xray study run …")


@cache.command()
@json_option("One JSON object per fault.")
def verify(as_json: bool) -> None:
    """Read every cached picture and compare it with its checksum; exit code 1 if one is damaged.

    A damaged picture is made again from its file when it is next read; it is never used.
    """
    from flows.platform import storage
    from xray import settings
    from xray.data.caches import caches, verify_caches

    with storage() as databases, databases.engine().begin() as connection:
        n = sum(entry.images or 0 for entry in caches(connection, settings.home()) if entry.state == "whole")
        faults = list(verify_caches(connection, settings.home()))
    for fault in faults:
        if as_json:
            print_json({"cache": fault.name, "what": fault.reason})
        else:
            click.echo(f"{fault.name}: {fault.reason}")
    click.echo(f"{n} pictures read, {len(faults) or 'no'} fault{'s' * (len(faults) != 1)}", err=True)
    if faults:
        raise SystemExit(1)


@cache.command()
@click.option(
    "--yes", is_flag=True, help="Remove them. Without this option, only print what would be removed."
)
@json_option("One JSON object per cache.")
def prune(yes: bool, as_json: bool) -> None:
    """Remove the caches that no registered dataset uses: those of an earlier format, and of pictures in no dataset."""
    from flows.cli.rows import show_rows
    from flows.platform import storage
    from xray import settings
    from xray.data.caches import caches
    from xray.data.caches import prune as remove

    with storage() as databases, databases.engine().begin() as connection:
        unused = [entry for entry in caches(connection, settings.home()) if not entry.is_used]
        if yes:
            unused = [entry for entry in unused if remove(entry)]
    show_rows([_row(entry, as_json) for entry in unused], as_json, "every cache is used by a dataset")
    total = f"{sum(entry.bytes for entry in unused):,} bytes"
    if unused:
        click.echo(
            f"removed: {total}" if yes else f"{total} would be removed: xray cache prune --yes", err=True
        )


def _row(stored: "StoredCache", as_json: bool) -> dict[str, Any]:
    return {
        "cache": stored.folder.name,
        "datasets": list(stored.datasets) if as_json else ", ".join(stored.datasets),
        "images": stored.images,
        "size": stored.size,
        "crop": stored.crop,
        "bytes": stored.bytes if as_json else f"{stored.bytes:,}",
        "used": stored.last_used.isoformat(timespec="seconds")
        if as_json
        else f"{stored.last_used:%Y-%m-%d %H:%M}",
        "state": stored.state,
    }

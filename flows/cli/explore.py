"""`xray explore`: our own pages over the database, for as long as the command runs."""

import time

import click


@click.command()
@click.option("--port", default=0, help="Port on 127.0.0.1 (default: a free one).")
@click.option(
    "--identities",
    is_flag=True,
    help="Show patients and images by their own names instead of pseudonyms.",
)
def explore(port: int, identities: bool) -> None:
    """Open the pages: findings and sites, scores, images, worklists.

    Stop it with Ctrl-C. If the standing platform runs (xray up), its address is printed and nothing is started, unless
    --identities is given.
    """
    from flows.cli.ui import until_stopped, way_in
    from flows.platform import storage
    from flows.standing.place import this_stack
    from flows.standing.servers import running

    stack = this_stack()
    standing = stack.running()
    address = standing.url("explorer") if standing is not None and not identities else ""
    if address:
        click.echo(f"explorer: {address}   (started by xray up)")
        click.echo(way_in(stack, "explorer"))
        return
    own = {"XRAY_IDENTITIES": "1"} if identities else {}
    log = stack.log("explore")
    with (
        until_stopped(),
        storage() as databases,
        running("explorer", stack, databases, log, port, own) as address,
    ):
        click.echo(f"explorer: {address}   (stop with Ctrl-C)")
        click.echo(way_in(stack, "explorer"))
        while True:
            time.sleep(3600)

"""`xray db vacuum`: room given back, statistics renewed."""

import click


@click.command()
@click.option(
    "--full",
    is_flag=True,
    help="Write every table anew, which gives the room back to the disk; stop studies first, they would wait.",
)
def vacuum(full: bool) -> None:
    """Make the room of deleted rows usable again, and renew what the planner knows of the tables.

    PostgreSQL does so by itself after a while; after large deletions and imports this is sooner.
    """
    from db.connection import DATABASES
    from db.upkeep.vacuum import vacuum as clean
    from flows.cli.db import owned
    from flows.cli.db.size import words

    with owned() as found:
        for name in DATABASES:
            before, after = clean(found.of(name), full)
            click.echo(f"{name}: {words(before)} before, {words(after)} now")

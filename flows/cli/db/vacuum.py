"""`xray db vacuum`: room given back, statistics renewed."""

import click

from flows.cli.rows import json_option, print_json


@click.command()
@click.option(
    "--full",
    is_flag=True,
    help="Rewrite every table, which gives the room back to the disk; stop studies first, or they wait.",
)
@json_option("One JSON object per database: bytes before and after.")
def vacuum(full: bool, as_json: bool) -> None:
    """Make the room of deleted rows usable again, and update the planner's statistics.

    PostgreSQL does so by itself after a while; run this after large deletions and imports.
    """
    from db.connection import DATABASES
    from db.upkeep.vacuum import vacuum as clean
    from flows.cli.db import owned
    from flows.cli.db.size import words

    with owned() as databases:
        for name in DATABASES:
            before, after = clean(databases.of(name), full)
            if as_json:
                print_json({"database": name, "before": before, "after": after})
            else:
                click.echo(f"{name}: {words(before)} before, {words(after)} now")

"""`xray db`: the database, and who may read it."""

import click

from flows.cli import LazyGroup

COMMANDS = {
    "grant": ("flows.cli.db.grant:grant", "Let an analyst read the database with a client of their own."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def db() -> None:
    """The database: who may read it."""

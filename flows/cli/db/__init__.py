"""`xray db`: the database: its upkeep, and who may read it."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from flows.cli.groups import LazyGroup

if TYPE_CHECKING:
    from db.connection import Databases

COMMANDS = {
    "check": (
        "flows.cli.db.check:check",
        "Look for inconsistencies: half rows, wrong lengths, lost files.",
    ),
    "size": ("flows.cli.db.size:size", "The size of tables, pictures and weights."),
    "vacuum": ("flows.cli.db.vacuum:vacuum", "Reclaim space and update the planner's statistics."),
    "backup": (
        "flows.cli.db.backup:backup",
        "Save databases, weights and cards to a folder, while everything runs.",
    ),
    "restore": ("flows.cli.db.restore:restore", "Restore a backup into an empty home."),
    "upgrade": ("flows.cli.db.upgrade:upgrade", "Move the home's data to the newest PostgreSQL."),
    "grant": ("flows.cli.db.grant:grant", "Let an analyst read the database with a client of their own."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def db() -> None:
    """The database: check, size, vacuum, backup, restore, upgrade, and who may read it."""


@contextlib.contextmanager
def owned() -> Iterator["Databases"]:
    """The databases of this installation as their owner, as upkeep needs them."""
    from db.connection import owned as as_owner
    from flows.platform import storage
    from xray import settings

    with storage(), as_owner(settings.home()) as databases:
        yield databases

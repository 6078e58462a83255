"""`xray db`: upkeep of the database and of what belongs to it."""

import click

from flows.cli import LazyGroup

COMMANDS = {
    "check": (
        "flows.cli.db.check:check",
        "Look for what should not be there: half rows, wrong lengths, lost files.",
    ),
    "size": ("flows.cli.db.size:size", "How much room tables, pictures and weights take."),
    "vacuum": ("flows.cli.db.vacuum:vacuum", "Give room back and renew what the planner knows."),
    "backup": (
        "flows.cli.db.backup:backup",
        "Databases, weights and cards into a folder, while everything runs.",
    ),
    "restore": ("flows.cli.db.restore:restore", "A backup into an empty home."),
    "upgrade": ("flows.cli.db.upgrade:upgrade", "Move the home's data to the newest PostgreSQL."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def db() -> None:
    """Upkeep of the database: check, size, vacuum, backup, restore, upgrade."""

"""`xray db restore`: a backup into an empty home."""

from pathlib import Path

import click


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def restore(folder: Path) -> None:
    """Make the empty home (XRAY_HOME) from the backup in DIR: the same rows, weights, cards and reports.

    Refuses a backup that is incomplete, damaged or made by a newer xray, and a home that is not empty. A restore that fails
    leaves nothing behind. The restored home has passwords of its own.
    """
    from xray import settings
    from xray.upkeep.restore import restore as read

    home = settings.home()
    read(folder, home)
    click.echo(f"{home}: restored; check it with xray db check")

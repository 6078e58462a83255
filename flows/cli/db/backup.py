"""`xray db backup`: everything that can't be made again, into a folder."""

from pathlib import Path

import click


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def backup(folder: Path) -> None:
    """Write the three databases, the weights and cards in MLflow, reports and synthetic pictures to the new folder DIR.

    Nothing has to be stopped: each database is saved as of one moment, and whatever one refers to is in a later one. The
    manifest, with the SHA-256 of every file, is written last; without it DIR is no backup. No password is in it. Pictures
    outside the home and pixel caches are not in it either.
    """
    from flows.cli.db import owned
    from xray import settings
    from xray.upkeep.backup import backup as write

    with owned() as databases:
        manifest = write(databases, settings.home(), folder)
    for part in manifest.left_out:
        click.echo(f"not included: {part}")
    click.echo(
        f"{folder}: {len(manifest.files)} files, {manifest.bytes} bytes; to restore it: "
        f"XRAY_HOME=NEW xray db restore {folder}"
    )

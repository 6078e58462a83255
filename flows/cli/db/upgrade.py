"""`xray db upgrade`: the home's data to the newest PostgreSQL that is here."""

import click


@click.command()
def upgrade() -> None:
    """Move the data of this home's own server to the newest major version of PostgreSQL that is installed.

    Every row is dumped from the old server and loaded into a new one, and both are compared. The old data stay beside the
    new ones, until you delete them. Nobody else can use the server meanwhile. A server that
    XRAY_DATABASE_URL names is upgraded by its administrator.
    """
    import os

    from db.upkeep.newer import move
    from xray import settings
    from xray.errors import DatabaseError

    if os.environ.get("XRAY_DATABASE_URL"):
        raise DatabaseError(
            "XRAY_DATABASE_URL names a server that xray does not run; ask its administrator to upgrade it"
        )
    moved = move(settings.home(), click.echo)
    if moved is None:
        click.echo("nothing to do: the data already belong to the newest PostgreSQL installed")
        return
    for note in moved.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(
        f"PostgreSQL {moved.before} → {moved.after}: {moved.rows} rows compared. The old data are in {moved.old}; "
        "delete that folder when everything works"
    )

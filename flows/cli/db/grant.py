"""`xray db grant`: a personal reader of the database, and how its clients connect."""

from typing import TYPE_CHECKING
from urllib.parse import quote

import click

if TYPE_CHECKING:
    from db.readers import Maker


@click.command()
@click.argument("name")
@click.option("--show", is_flag=True, help="Only print how to connect; keep the password.")
@click.option("--revoke", is_flag=True, help="Remove the reader and end its sessions.")
def grant(name: str, show: bool, revoke: bool) -> None:
    """Create the reader NAME, who may read what `xray sql` reads from any PostgreSQL client; or give it a new password."""
    from db import readers
    from db.errors import DatabaseError
    from flows.platform import storage
    from xray import settings

    if show and revoke:
        raise click.UsageError("choose one of --show and --revoke")
    with storage(), readers.maker(settings.home()) as maker:
        if revoke:
            readers.revoke(maker.cursor, maker.names, name)
            click.echo(f"{name} may no longer read")
            return
        if not show:
            password = readers.grant(maker.cursor, maker.names, name)
            click.echo(f"{name} may read the database {maker.database}.")
            click.echo(f"password  {password}   (it is not shown again; a new one: xray db grant {name})")
        elif name not in readers.readers(maker.cursor, maker.names):
            raise DatabaseError(f"there is no reader {name!r}: xray db grant {name}")
        click.echo(_how_to_connect(maker, name))


def _how_to_connect(maker: "Maker", name: str) -> str:
    at = f"{name}@{maker.host}:{maker.port}/{quote(maker.database)}{maker.options}"
    lines = [
        f'psql      psql "postgresql://{at}"',
        f'pandas    pd.read_sql("select …", "postgresql+psycopg2://{at.replace("@", ":PASSWORD@", 1)}")',
        f"BI tools  PostgreSQL, host {maker.host}, port {maker.port}, database {maker.database}, user {name}",
        "What can be read: docs/sql.md",
    ]
    if maker.embedded:
        lines += [
            f"It is reached from this machine only, while something uses it: xray up keeps it there. Socket: {maker.socket}",
            f"A later start may choose another port: xray db grant --show {name}",
        ]
    return "\n".join(lines)

"""Runs migrations in one transaction, then (re)creates views, functions and guards from db/sql."""

import os

from sqlalchemy import Connection, create_engine, inspect

from alembic import context
from db.migrate import create_objects, drop_objects
from db.results import Analysis

METADATA = Analysis.metadata  # of every table: those of results stand on those of db.schema


def run(connection: Connection) -> None:
    """Migrate on this connection; objects that depend on the tables are dropped before and made anew after."""
    context.configure(
        connection=connection, target_metadata=METADATA, compare_type=True, compare_server_default=True
    )
    with context.begin_transaction():
        drop_objects(connection)
        context.run_migrations()
        if set(METADATA.tables) <= set(inspect(connection).get_table_names()):
            create_objects(connection)  # at an earlier revision not every table that they need is there


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    url = context.get_x_argument(as_dictionary=True).get("url") or os.environ.get("XRAY_DATABASE_URL")
    if not url:
        raise SystemExit("which database? alembic -x url=postgresql+psycopg2://… or XRAY_DATABASE_URL")
    with create_engine(url).connect() as connection:
        run(connection)

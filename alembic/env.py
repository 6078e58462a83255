"""Runs migrations in one transaction. Views, functions and guards of db/sql are dropped first, and made at head only.

At an earlier revision there are none: those of db/sql stand on head's tables. The code of that revision makes its own when
it opens the database (docs/decisions/0023).
"""

import os

from sqlalchemy import Connection, create_engine

from alembic import context
from db.migrate import create_objects, drop_objects
from db.results import Analysis
from db.upkeep.lost_results import forget_lost, stored_results

METADATA = Analysis.metadata  # of every table: those of results stand on those of db.schema


def run(connection: Connection) -> None:
    """Migrate on this connection."""
    context.configure(
        connection=connection, target_metadata=METADATA, compare_type=True, compare_server_default=True
    )
    with context.begin_transaction():
        drop_objects(connection)
        before = stored_results(connection)
        context.run_migrations()
        forget_lost(connection, before)
        if context.get_context().get_current_revision() == context.get_head_revision():
            create_objects(connection)


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    url = context.get_x_argument(as_dictionary=True).get("url") or os.environ.get("XRAY_DATABASE_URL")
    if not url:
        raise SystemExit("which database? alembic -x url=postgresql+psycopg2://… or XRAY_DATABASE_URL")
    with create_engine(url).connect() as connection:
        run(connection)

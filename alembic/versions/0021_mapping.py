"""The mapping by which a dataset's table was read.

Revision: 0021
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.add_column("dataset", sa.Column("mapping", postgresql.JSONB))


def downgrade() -> None:
    op.drop_column("dataset", "mapping")

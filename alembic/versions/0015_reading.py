"""How the pictures of a dataset are read, where their files don't say their range rightly.

Revision: 0015
"""

import sqlalchemy as sa

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("dataset", sa.Column("reading", sa.Text))


def downgrade() -> None:
    op.drop_column("dataset", "reading")

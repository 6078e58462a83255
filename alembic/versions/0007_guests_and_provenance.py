"""Datasets that join a study after it ran, and where evaluations and analyses come from.

Revision: 0007
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column(
        "study_dataset", sa.Column("guest", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("evaluation", sa.Column("provenance", postgresql.JSONB(), nullable=True))
    op.add_column("analysis", sa.Column("provenance", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.execute("delete from study_dataset where guest")
    op.drop_column("analysis", "provenance")
    op.drop_column("evaluation", "provenance")
    op.drop_column("study_dataset", "guest")

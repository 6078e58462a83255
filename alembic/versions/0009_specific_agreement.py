"""Positive and negative agreement, and McNemar's test, beside kappa.

Revision: 0009
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0009"
down_revision = "0008"

ADDED = ("positive_agreement", "negative_agreement", "mcnemar_p")


def upgrade() -> None:
    for name in ADDED:
        op.add_column("agreement", sa.Column(name, postgresql.DOUBLE_PRECISION(), nullable=True))


def downgrade() -> None:
    for name in ADDED:
        op.drop_column("agreement", name)

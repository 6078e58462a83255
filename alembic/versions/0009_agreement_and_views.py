"""Positive and negative agreement, and McNemar's test, beside kappa; which view a classifier tells.

Revision: 0009
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0009"
down_revision = "0008"

ADDED = ("positive_agreement", "negative_agreement", "mcnemar_p")
BEFORE = "uq_view_classifier_analysis_id_evaluation_id"
AFTER = "uq_view_classifier_analysis_id_evaluation_id_told"


def upgrade() -> None:
    for name in ADDED:
        op.add_column("agreement", sa.Column(name, postgresql.DOUBLE_PRECISION(), nullable=True))
    op.add_column("view_classifier", sa.Column("told", sa.Text(), nullable=False, server_default="lateral"))
    op.alter_column("view_classifier", "told", server_default=None)
    op.drop_constraint(op.f(BEFORE), "view_classifier")
    op.create_unique_constraint(op.f(AFTER), "view_classifier", ["analysis_id", "evaluation_id", "told"])


def downgrade() -> None:
    op.execute("delete from view_classifier where told <> 'lateral'")
    op.drop_constraint(op.f(AFTER), "view_classifier")
    op.create_unique_constraint(op.f(BEFORE), "view_classifier", ["analysis_id", "evaluation_id"])
    op.drop_column("view_classifier", "told")
    for name in ADDED:
        op.drop_column("agreement", name)

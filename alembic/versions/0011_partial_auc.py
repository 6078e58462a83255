"""Partial AUC: how well models rank where few negatives may be called.

Revision: 0011
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "partial_auc",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("analysis_id", sa.Integer(), nullable=False),
        sa.Column("cohort_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("trained_on", sa.Text(), nullable=False),
        sa.Column("partial_auc", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("lower", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("upper", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("n_pos", sa.Integer(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("evaluation_ids", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"],
            ["analysis.id"],
            name=op.f("fk_partial_auc_analysis_id_analysis"),
            ondelete="cascade",
        ),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohort.id"], name=op.f("fk_partial_auc_cohort_id_cohort")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_partial_auc_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partial_auc")),
        sa.UniqueConstraint(
            "analysis_id", "cohort_id", "task_id", "trained_on", name=op.f("uq_partial_auc_grain")
        ),
    )


def downgrade() -> None:
    op.drop_table("partial_auc")

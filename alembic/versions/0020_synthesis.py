"""Results over sites, put together, and what a further site will see.

Revision: 0020
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    numbers = ("value", "lower", "upper", "next_lower", "next_upper", "tau2", "i2", "threshold")
    op.create_table(
        "synthesis",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("analysis_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("trained_on", sa.Text(), nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("datasets", sa.Text(), nullable=False),
        sa.Column("cohort_ids", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("n_sites", sa.Integer(), nullable=False),
        *(sa.Column(name, postgresql.DOUBLE_PRECISION(), nullable=True) for name in numbers),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("evaluation_ids", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"],
            ["analysis.id"],
            name=op.f("fk_synthesis_analysis_id_analysis"),
            ondelete="cascade",
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_synthesis_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_synthesis")),
        sa.UniqueConstraint(
            "analysis_id", "task_id", "trained_on", "measure", name=op.f("uq_synthesis_grain")
        ),
    )


def downgrade() -> None:
    op.drop_table("synthesis")

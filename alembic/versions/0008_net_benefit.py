"""Net benefit of acting on a model's calls, at threshold probabilities.

Revision: 0008
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0008"
down_revision = "0007"

MEASURED = (
    "net_benefit", "lower", "upper", "treat_all", "difference", "difference_lower", "difference_upper",
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "net_benefit",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("analysis_id", sa.Integer(), nullable=False),
        sa.Column("cohort_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("trained_on", sa.Text(), nullable=False),
        sa.Column("threshold", postgresql.DOUBLE_PRECISION(), nullable=False),
        *(sa.Column(name, postgresql.DOUBLE_PRECISION(), nullable=True) for name in MEASURED),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("n_pos", sa.Integer(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("evaluation_ids", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"],
            ["analysis.id"],
            name=op.f("fk_net_benefit_analysis_id_analysis"),
            ondelete="cascade",
        ),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohort.id"], name=op.f("fk_net_benefit_cohort_id_cohort")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_net_benefit_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_net_benefit")),
        sa.UniqueConstraint(
            "analysis_id",
            "cohort_id",
            "task_id",
            "trained_on",
            "threshold",
            name=op.f("uq_net_benefit_grain"),
        ),
    )


def downgrade() -> None:
    op.drop_table("net_benefit")

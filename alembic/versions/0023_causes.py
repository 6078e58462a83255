"""Verdicts on models from elsewhere: a probability and a share of the drop for each of four causes.

Revision: 0023
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0023"
down_revision = "0022"

CAUSES = ("image", "population", "prevalence", "label")


def upgrade() -> None:
    numbers = (
        *("auc_a", "auc_b", "auc_drop", "drop_lower", "drop_upper"),
        *(f"probability_{cause}" for cause in CAUSES),
        *(f"share_{cause}{end}" for cause in CAUSES for end in ("", "_lower", "_upper")),
    )
    op.create_table(
        "causes",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("analysis_id", sa.Integer(), nullable=False),
        sa.Column("cohort_a_id", sa.Integer(), nullable=False),
        sa.Column("cohort_b_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("trained_on", sa.Text(), nullable=False),
        sa.Column("at_home", sa.Boolean(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("n_a", "n_pos_a", "n_b", "n_pos_b")),
        *(sa.Column(name, postgresql.DOUBLE_PRECISION(), nullable=True) for name in numbers),
        sa.Column("alike", sa.Boolean(), nullable=True),
        sa.Column("loss_ratio", postgresql.DOUBLE_PRECISION(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("evidence", "verdict", "basis")),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("assumption", "resolve", "reason")),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("evaluation_ids", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analysis.id"], name=op.f("fk_causes_analysis_id_analysis"), ondelete="cascade"
        ),
        sa.ForeignKeyConstraint(["cohort_a_id"], ["cohort.id"], name=op.f("fk_causes_cohort_a_id_cohort")),
        sa.ForeignKeyConstraint(["cohort_b_id"], ["cohort.id"], name=op.f("fk_causes_cohort_b_id_cohort")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_causes_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_causes")),
        sa.UniqueConstraint(
            *("analysis_id", "cohort_a_id", "cohort_b_id", "task_id", "trained_on"),
            name=op.f("uq_causes_grain"),
        ),
    )


def downgrade() -> None:
    op.drop_table("causes")

"""Verdicts: images, prevalence or labels.

Revision: 0005
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "shift",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("analysis_id", sa.Integer(), nullable=False),
        sa.Column("cohort_a_id", sa.Integer(), nullable=False),
        sa.Column("cohort_b_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("trained_on_a", sa.Text(), nullable=False),
        sa.Column("trained_on_b", sa.Text(), nullable=False),
        sa.Column("n_a", sa.Integer(), nullable=False),
        sa.Column("n_pos_a", sa.Integer(), nullable=False),
        sa.Column("n_b", sa.Integer(), nullable=False),
        sa.Column("n_pos_b", sa.Integer(), nullable=False),
        sa.Column("auc_aa", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("auc_ab", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("auc_ba", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("auc_bb", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("auc_drop", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("drop_lower", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("drop_upper", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("intrinsic", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("intrinsic_lower", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("intrinsic_upper", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("p_intrinsic", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("transfer", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("transfer_lower", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("transfer_upper", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("p_transfer", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("excess", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("excess_lower", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("excess_upper", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("p_meaning", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("p_companions", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("p_images", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("p_images_all", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("prevalence_a", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("prevalence_b", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("p_prevalence", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("implied_prevalence", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("implied_lower", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("implied_upper", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("n_shared", sa.Integer(), nullable=False),
        sa.Column("kappa", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("kappa_lower", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("kappa_upper", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("p_adjusted", postgresql.DOUBLE_PRECISION(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("assumption", sa.Text(), nullable=True),
        sa.Column("resolve", sa.Text(), nullable=True),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("evaluation_ids", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analysis.id"], name=op.f("fk_shift_analysis_id_analysis"), ondelete="cascade"
        ),
        sa.ForeignKeyConstraint(["cohort_a_id"], ["cohort.id"], name=op.f("fk_shift_cohort_a_id_cohort")),
        sa.ForeignKeyConstraint(["cohort_b_id"], ["cohort.id"], name=op.f("fk_shift_cohort_b_id_cohort")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_shift_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shift")),
        sa.UniqueConstraint(
            "analysis_id",
            "cohort_a_id",
            "cohort_b_id",
            "task_id",
            name=op.f("uq_shift_analysis_id_cohort_a_id_cohort_b_id_task_id"),
        ),
    )


def downgrade() -> None:
    op.drop_table("shift")

"""Calibrations: maps of a model's logits that were fitted on a cohort.

Revision: 0022
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    numbers = postgresql.ARRAY(sa.Double())
    op.create_table(
        "recalibration",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("cohort_id", sa.Integer(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("intercept", sa.Double(), nullable=True),
        sa.Column("slope", sa.Double(), nullable=True),
        sa.Column("knots", numbers, nullable=True),
        sa.Column("probabilities", numbers, nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("n_pos", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("fitted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_recalibration_model_id_model"), ondelete="cascade"
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_recalibration_task_id_task")),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohort.id"], name=op.f("fk_recalibration_cohort_id_cohort")),
        sa.CheckConstraint(
            "method in ('intercept', 'logistic', 'isotonic')", name=op.f("ck_recalibration_method")
        ),
        sa.CheckConstraint(
            "num_nonnulls(intercept, slope) = case method when 'isotonic' then 0 else 2 end"
            " and num_nonnulls(knots, probabilities) = case method when 'isotonic' then 2 else 0 end",
            name=op.f("ck_recalibration_parameters"),
        ),
        sa.CheckConstraint(
            "cardinality(knots) > 0 and cardinality(knots) = cardinality(probabilities)",
            name=op.f("ck_recalibration_knots"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recalibration")),
        sa.UniqueConstraint(
            "model_id", "task_id", "version", name=op.f("uq_recalibration_model_id_task_id_version")
        ),
        sa.UniqueConstraint(
            "model_id", "task_id", "fingerprint", name=op.f("uq_recalibration_model_id_task_id_fingerprint")
        ),
    )
    op.create_index(op.f("ix_recalibration_cohort_id"), "recalibration", ["cohort_id"])


def downgrade() -> None:
    op.drop_table("recalibration")

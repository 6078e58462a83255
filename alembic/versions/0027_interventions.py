"""Interventions: test images scored again, changed on purpose to look like another site's, and what models lose by it.

Revision: 0027
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.create_table(
        "intervention_evaluation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("target_list_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("changes", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.Column("images", sa.Integer(), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.SmallInteger(), nullable=False),
        sa.Column("pictures", sa.Text(), nullable=False),
        sa.Column("provenance", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind in ('histogram', 'resolution', 'noise', 'borders', 'all', 'pipeline')",
            name=op.f("ck_intervention_evaluation_kind"),
        ),
        sa.CheckConstraint("images > 0", name=op.f("ck_intervention_evaluation_images")),
        sa.ForeignKeyConstraint(
            ["evaluation_id"],
            ["evaluation.id"],
            name=op.f("fk_intervention_evaluation_evaluation_id_evaluation"),
            ondelete="cascade",
        ),
        sa.ForeignKeyConstraint(
            ["target_list_id"],
            ["image_list.id"],
            name=op.f("fk_intervention_evaluation_target_list_id_image_list"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intervention_evaluation")),
        sa.UniqueConstraint(
            "evaluation_id",
            "target_list_id",
            "kind",
            name=op.f("uq_intervention_evaluation_evaluation_id_target_list_id_kind"),
        ),
    )
    op.create_index(
        op.f("ix_intervention_evaluation_target_list_id"), "intervention_evaluation", ["target_list_id"]
    )
    op.create_table(
        "intervention_score",
        sa.Column("intervention_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("logits", postgresql.ARRAY(sa.REAL()), nullable=False),
        sa.ForeignKeyConstraint(
            ["intervention_id"],
            ["intervention_evaluation.id"],
            name=op.f("fk_intervention_score_intervention_id_intervention_evaluation"),
            ondelete="cascade",
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_intervention_score_task_id_task")),
        sa.PrimaryKeyConstraint("intervention_id", "task_id", name=op.f("pk_intervention_score")),
    )
    op.execute("alter table intervention_score alter column logits set storage external")
    op.create_table(
        "intervention",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("analysis_id", sa.Integer(), nullable=False),
        sa.Column("cohort_a_id", sa.Integer(), nullable=False),
        sa.Column("cohort_b_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("trained_on", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("n_pos", sa.Integer(), nullable=False),
        *(
            sa.Column(name, postgresql.DOUBLE_PRECISION(), nullable=True)
            for name in ("before", "after", "loss", "lower", "upper", "p", "q")
        ),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("evaluation_ids", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"],
            ["analysis.id"],
            name=op.f("fk_intervention_analysis_id_analysis"),
            ondelete="cascade",
        ),
        sa.ForeignKeyConstraint(
            ["cohort_a_id"], ["cohort.id"], name=op.f("fk_intervention_cohort_a_id_cohort")
        ),
        sa.ForeignKeyConstraint(
            ["cohort_b_id"], ["cohort.id"], name=op.f("fk_intervention_cohort_b_id_cohort")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_intervention_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intervention")),
        sa.UniqueConstraint(
            "analysis_id",
            "cohort_a_id",
            "cohort_b_id",
            "task_id",
            "trained_on",
            "kind",
            name="uq_intervention_grain",
        ),
    )


def downgrade() -> None:
    for table in ("intervention", "intervention_score", "intervention_evaluation"):
        op.drop_table(table)

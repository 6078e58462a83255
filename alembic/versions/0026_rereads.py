"""Plans of what is read again to settle a verdict, and what such reads changed in it.

Revision: 0026
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.create_table(
        "reread_plan",
        sa.Column("worklist_id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("trained_on", sa.Text(), nullable=False),
        sa.Column("cohort_id", sa.Integer(), nullable=False),
        sa.Column("reference_cohort_id", sa.Integer(), nullable=False),
        sa.Column("strata", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("sizes", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("drawn", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("chance", postgresql.DOUBLE_PRECISION(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("cardinality(sizes) = cardinality(drawn)", name=op.f("ck_reread_plan_strata")),
        sa.CheckConstraint("chance between 0 and 1", name=op.f("ck_reread_plan_chance")),
        sa.ForeignKeyConstraint(
            ["worklist_id"],
            ["worklist.id"],
            name=op.f("fk_reread_plan_worklist_id_worklist"),
            ondelete="cascade",
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_reread_plan_study_id_study"), ondelete="cascade"
        ),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohort.id"], name=op.f("fk_reread_plan_cohort_id_cohort")),
        sa.ForeignKeyConstraint(
            ["reference_cohort_id"], ["cohort.id"], name=op.f("fk_reread_plan_reference_cohort_id_cohort")
        ),
        sa.PrimaryKeyConstraint("worklist_id", name=op.f("pk_reread_plan")),
    )
    for column in ("study_id", "cohort_id", "reference_cohort_id"):
        op.create_index(op.f(f"ix_reread_plan_{column}"), "reread_plan", [column])
    op.add_column("causes", sa.Column("reread", sa.Integer(), nullable=True))
    op.add_column("causes", sa.Column("readers", sa.Integer(), nullable=True))
    op.add_column(
        "causes", sa.Column("probability_label_before", postgresql.DOUBLE_PRECISION(), nullable=True)
    )


def downgrade() -> None:
    for column in ("probability_label_before", "readers", "reread"):
        op.drop_column("causes", column)
    op.drop_table("reread_plan")

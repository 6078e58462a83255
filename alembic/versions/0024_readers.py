"""Labels of several readers, the rule of a dataset's label, and how far readers agree.

Revision: 0024
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.add_column("dataset", sa.Column("reader_rule", sa.Text(), nullable=True))
    op.create_table(
        "reader",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_reader_dataset_id_dataset")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reader")),
        sa.UniqueConstraint("dataset_id", "name", name=op.f("uq_reader_dataset_id_name")),
    )
    op.create_table(
        "reader_label",
        sa.Column("reader_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("states", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.ForeignKeyConstraint(["reader_id"], ["reader.id"], name=op.f("fk_reader_label_reader_id_reader")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_reader_label_task_id_task")),
        sa.PrimaryKeyConstraint("reader_id", "task_id", name=op.f("pk_reader_label")),
    )
    numbers = ("kappa", "lower", "upper", "pabak", "positive_agreement", "negative_agreement")
    op.create_table(
        "reader_agreement",
        sa.Column("trained_on", sa.Text(), nullable=True),
        sa.Column("compared", sa.Text(), nullable=False),
        sa.Column("reader_a", sa.Text(), nullable=True),
        sa.Column("reader_b", sa.Text(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("n_calls", sa.Integer(), nullable=False),
        *(sa.Column(name, postgresql.DOUBLE_PRECISION(), nullable=True) for name in numbers),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("analysis_id", sa.Integer(), nullable=False),
        sa.Column("cohort_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("n_pos", sa.Integer(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("evaluation_ids", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"],
            ["analysis.id"],
            name=op.f("fk_reader_agreement_analysis_id_analysis"),
            ondelete="cascade",
        ),
        sa.ForeignKeyConstraint(
            ["cohort_id"], ["cohort.id"], name=op.f("fk_reader_agreement_cohort_id_cohort")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_reader_agreement_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reader_agreement")),
        sa.UniqueConstraint(
            "analysis_id",
            "cohort_id",
            "task_id",
            "compared",
            "trained_on",
            "reader_a",
            "reader_b",
            name="uq_reader_agreement_grain",
            postgresql_nulls_not_distinct=True,
        ),
    )


def downgrade() -> None:
    op.drop_table("reader_agreement")
    op.drop_table("reader_label")
    op.drop_table("reader")
    op.drop_column("dataset", "reader_rule")

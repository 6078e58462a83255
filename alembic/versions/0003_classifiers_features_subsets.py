"""Classifier weights, pooled features, and models that are trained on part of their cohorts.

Revision: 0003
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0003"
down_revision = "0002"

LEAKAGE_PAIR = "uq_leakage_train_cohort_id_test_cohort_id_task_id"
LEAKAGE_PAIR_OF_MODEL = "uq_leakage_train_cohort_id_test_cohort_id_task_id_model_id"


def upgrade() -> None:
    op.create_table(
        "classifier",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=True),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("weights", postgresql.ARRAY(sa.REAL()), nullable=False),
        sa.Column("bias", sa.REAL(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_classifier_model_id_model"), ondelete="cascade"
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_classifier_dataset_id_dataset")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_classifier_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_classifier")),
        sa.UniqueConstraint(
            "model_id",
            "dataset_id",
            "task_id",
            name=op.f("uq_classifier_model_id_dataset_id_task_id"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_table(
        "feature",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("features", postgresql.ARRAY(sa.REAL()), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation_id"],
            ["evaluation.id"],
            name=op.f("fk_feature_evaluation_id_evaluation"),
            ondelete="cascade",
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "position", name=op.f("pk_feature")),
    )
    op.execute("alter table feature alter column features set storage external")
    op.add_column("training_cohort", sa.Column("image_list_id", sa.Integer(), nullable=True))
    op.create_foreign_key(
        op.f("fk_training_cohort_image_list_id_image_list"),
        "training_cohort",
        "image_list",
        ["image_list_id"],
        ["id"],
    )
    op.add_column("model", sa.Column("configuration", postgresql.JSONB(), nullable=True))
    op.add_column("leakage", sa.Column("model_id", sa.Integer(), nullable=True))
    op.create_foreign_key(
        op.f("fk_leakage_model_id_model"), "leakage", "model", ["model_id"], ["id"], ondelete="cascade"
    )
    op.drop_constraint(LEAKAGE_PAIR, "leakage")
    op.create_unique_constraint(
        op.f(LEAKAGE_PAIR_OF_MODEL),
        "leakage",
        ["train_cohort_id", "test_cohort_id", "task_id", "model_id"],
        postgresql_nulls_not_distinct=True,
    )


def downgrade() -> None:
    op.drop_constraint(LEAKAGE_PAIR_OF_MODEL, "leakage")
    op.execute("delete from leakage where model_id is not null")
    op.drop_column("leakage", "model_id")
    op.create_unique_constraint(
        op.f(LEAKAGE_PAIR),
        "leakage",
        ["train_cohort_id", "test_cohort_id", "task_id"],
        postgresql_nulls_not_distinct=True,
    )
    op.drop_column("model", "configuration")
    op.drop_column("training_cohort", "image_list_id")
    op.drop_table("feature")
    op.drop_table("classifier")

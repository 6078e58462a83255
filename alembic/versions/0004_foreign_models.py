"""Foreign models: rows of `model` that were not trained here, what they are said to be trained on, and a study's protocol.

Revision: 0004
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0004"
down_revision = "0003"

OF_TRAINED_ONES = (
    "seed",
    "network",
    "image_size",
    "protocol_id",
    "recipe",
    "mlflow_run_id",
    "mlflow_model",
    "mlflow_version",
    "best_epoch",
    "trained_at",
)
TRAINED = (
    "kind <> 'trained' or num_nonnulls(seed, network, image_size, protocol_id, recipe, mlflow_run_id, mlflow_model,"
    " mlflow_version, best_epoch, trained_at) = 10 and card is null"
)
FOREIGN = (
    "kind <> 'foreign' or num_nonnulls(seed, protocol_id, recipe, best_epoch, validation_auc, trained_at) = 0"
    " and num_nonnulls(network, image_size, mlflow_run_id, mlflow_model, mlflow_version) in (0, 5)"
    " and card is not null and trained_on = name"
)
STUDY_PROTOCOLS = """
update study set protocol_id = found.protocol_id
from (
    select study_model.study_id, min(model.protocol_id) as protocol_id
    from study_model join model on model.id = study_model.model_id
    group by study_model.study_id
) as found
where found.study_id = study.id
"""
FORGET_RESULTS = """
delete from {table} using evaluation, model
where evaluation.id = any({table}.evaluation_ids) and model.id = evaluation.model_id and model.kind = 'foreign'
"""


def upgrade() -> None:
    op.add_column("model", sa.Column("kind", sa.Text(), server_default="trained", nullable=False))
    op.add_column("model", sa.Column("card", postgresql.JSONB(none_as_null=True), nullable=True))
    for column in OF_TRAINED_ONES:
        op.alter_column("model", column, nullable=True)
    op.create_check_constraint(op.f("ck_model_kind"), "model", "kind in ('trained', 'foreign')")
    op.create_check_constraint(op.f("ck_model_trained"), "model", TRAINED)
    op.create_check_constraint(op.f("ck_model_foreign"), "model", FOREIGN)
    op.create_table(
        "foreign_training",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_foreign_training_model_id_model"), ondelete="cascade"
        ),
        sa.PrimaryKeyConstraint("model_id", "dataset", name=op.f("pk_foreign_training")),
    )
    op.create_table(
        "foreign_leakage",
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("test_cohort_id", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("n_image", sa.Integer(), nullable=False),
        sa.Column("n_patient", sa.Integer(), nullable=False),
        sa.Column("n_unknown", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_foreign_leakage_dataset_id_dataset")
        ),
        sa.ForeignKeyConstraint(
            ["test_cohort_id"], ["cohort.id"], name=op.f("fk_foreign_leakage_test_cohort_id_cohort")
        ),
        sa.PrimaryKeyConstraint("dataset_id", "test_cohort_id", name=op.f("pk_foreign_leakage")),
    )
    op.create_index(
        op.f("ix_foreign_leakage_test_cohort_id"), "foreign_leakage", ["test_cohort_id"], unique=False
    )
    op.add_column("study", sa.Column("protocol_id", sa.Integer(), nullable=True))
    op.create_foreign_key(op.f("fk_study_protocol_id_protocol"), "study", "protocol", ["protocol_id"], ["id"])
    op.execute(STUDY_PROTOCOLS)


def downgrade() -> None:
    op.drop_constraint(op.f("fk_study_protocol_id_protocol"), "study", type_="foreignkey")
    op.drop_column("study", "protocol_id")
    op.drop_table("foreign_leakage")
    op.drop_table("foreign_training")
    for table in ("auc", "auc_difference", "agreement"):
        op.execute(FORGET_RESULTS.format(table=table))
    op.execute("delete from model where kind = 'foreign'")
    for constraint in ("ck_model_foreign", "ck_model_trained", "ck_model_kind"):
        op.drop_constraint(op.f(constraint), "model", type_="check")
    for column in OF_TRAINED_ONES:
        op.alter_column("model", column, nullable=False)
    op.drop_column("model", "card")
    op.drop_column("model", "kind")

"""The first schema: all tables, the 18 tasks in output order, logits stored uncompressed.

Revision: 0001
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

TASKS = (
    "Atelectasis",
    "Consolidation",
    "Infiltration",
    "Pneumothorax",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Effusion",
    "Pneumonia",
    "Pleural_Thickening",
    "Cardiomegaly",
    "Nodule",
    "Mass",
    "Hernia",
    "Lung Lesion",
    "Fracture",
    "Lung Opacity",
    "Enlarged Cardiomediastinum",
)

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "image_list",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("image_ids", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.CheckConstraint("cardinality(image_ids) = length", name=op.f("ck_image_list_length")),
        sa.CheckConstraint("length > 0", name=op.f("ck_image_list_not_empty")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_list")),
        sa.UniqueConstraint("content_hash", name=op.f("uq_image_list_content_hash")),
    )
    op.create_table(
        "protocol",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_protocol")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_protocol_name_version")),
    )
    op.create_table(
        "site",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("synthetic", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site")),
        sa.UniqueConstraint("name", name=op.f("uq_site_name")),
    )
    op.create_table(
        "study",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study")),
        sa.UniqueConstraint("name", name=op.f("uq_study_name")),
    )
    op.create_table(
        "task",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
        sa.UniqueConstraint("name", name=op.f("uq_task_name")),
    )
    op.create_table(
        "analysis",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_analysis_study_id_study"), ondelete="cascade"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_analysis")),
        sa.UniqueConstraint("study_id", "name", name=op.f("uq_analysis_study_id_name")),
    )
    op.create_table(
        "dataset",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Integer(), nullable=False),
        sa.Column("image_list_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column(
            "registered_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["image_list_id"], ["image_list.id"], name=op.f("fk_dataset_image_list_id_image_list")
        ),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_dataset_site_id_site")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset")),
        sa.UniqueConstraint("name", name=op.f("uq_dataset_name")),
    )
    op.create_index(op.f("ix_dataset_site_id"), "dataset", ["site_id"], unique=False)
    op.create_table(
        "image",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("site_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("patient", sa.Text(), nullable=True),
        sa.Column("content_hash", sa.Text(), nullable=True),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("view", sa.Text(), nullable=True),
        sa.Column("age", sa.REAL(), nullable=True),
        sa.Column("sex", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_image_site_id_site")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image")),
        sa.UniqueConstraint("site_id", "name", name=op.f("uq_image_site_id_name")),
    )
    op.create_index(op.f("ix_image_content_hash"), "image", ["content_hash"], unique=False)
    op.create_index(op.f("ix_image_name"), "image", ["name"], unique=False)
    op.create_index(op.f("ix_image_site_id_patient"), "image", ["site_id", "patient"], unique=False)
    op.create_table(
        "model",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("trained_on", sa.Text(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("image_size", sa.Integer(), nullable=False),
        sa.Column("protocol_id", sa.Integer(), nullable=False),
        sa.Column("recipe", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("mlflow_run_id", sa.Text(), nullable=False),
        sa.Column("mlflow_model", sa.Text(), nullable=False),
        sa.Column("mlflow_version", sa.Integer(), nullable=False),
        sa.Column("best_epoch", sa.Integer(), nullable=False),
        sa.Column("validation_auc", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("provenance", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("trained_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["protocol_id"], ["protocol.id"], name=op.f("fk_model_protocol_id_protocol")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
        sa.UniqueConstraint("key", name=op.f("uq_model_key")),
        sa.UniqueConstraint("mlflow_run_id", name=op.f("uq_model_mlflow_run_id")),
        sa.UniqueConstraint("name", name=op.f("uq_model_name")),
    )
    op.create_table(
        "cohort",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("protocol_id", sa.Integer(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("image_list_id", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.CheckConstraint("part in ('train', 'validation', 'test')", name=op.f("ck_cohort_part")),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_cohort_dataset_id_dataset")),
        sa.ForeignKeyConstraint(
            ["image_list_id"], ["image_list.id"], name=op.f("fk_cohort_image_list_id_image_list")
        ),
        sa.ForeignKeyConstraint(
            ["protocol_id"], ["protocol.id"], name=op.f("fk_cohort_protocol_id_protocol")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cohort")),
        sa.UniqueConstraint(
            "dataset_id", "protocol_id", "part", name=op.f("uq_cohort_dataset_id_protocol_id_part")
        ),
    )
    op.create_index(op.f("ix_cohort_image_list_id"), "cohort", ["image_list_id"], unique=False)
    op.create_table(
        "evaluation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("image_list_id", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.REAL(), nullable=True),
        sa.Column(
            "completed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["image_list_id"], ["image_list.id"], name=op.f("fk_evaluation_image_list_id_image_list")
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_evaluation_model_id_model"), ondelete="cascade"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation")),
        sa.UniqueConstraint("model_id", "image_list_id", name=op.f("uq_evaluation_model_id_image_list_id")),
    )
    op.create_index(op.f("ix_evaluation_image_list_id"), "evaluation", ["image_list_id"], unique=False)
    op.create_table(
        "label",
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("states", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("term_ids", postgresql.ARRAY(sa.Integer()), nullable=True),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_label_dataset_id_dataset")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_label_task_id_task")),
        sa.PrimaryKeyConstraint("dataset_id", "task_id", name=op.f("pk_label")),
    )
    op.create_table(
        "model_task",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_model_task_model_id_model"), ondelete="cascade"
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_model_task_task_id_task")),
        sa.PrimaryKeyConstraint("model_id", "task_id", name=op.f("pk_model_task")),
    )
    op.create_table(
        "planted_truth",
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("finding", sa.Text(), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.Column("size", sa.REAL(), nullable=True),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_planted_truth_image_id_image")),
        sa.PrimaryKeyConstraint("image_id", "finding", name=op.f("pk_planted_truth")),
    )
    op.create_table(
        "source_term",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("term", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_source_term_dataset_id_dataset")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_term")),
        sa.UniqueConstraint("dataset_id", "term", name=op.f("uq_source_term_dataset_id_term")),
    )
    op.create_table(
        "study_dataset",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_study_dataset_dataset_id_dataset")
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_study_dataset_study_id_study"), ondelete="cascade"
        ),
        sa.PrimaryKeyConstraint("study_id", "dataset_id", name=op.f("pk_study_dataset")),
    )
    op.create_table(
        "study_model",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_study_model_model_id_model"), ondelete="cascade"
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_study_model_study_id_study"), ondelete="cascade"
        ),
        sa.PrimaryKeyConstraint("study_id", "model_id", name=op.f("pk_study_model")),
    )
    op.create_index(op.f("ix_study_model_model_id"), "study_model", ["model_id"], unique=False)
    op.create_table(
        "agreement",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("analysis_id", sa.Integer(), nullable=False),
        sa.Column("cohort_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("trained_on", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("n_pos", sa.Integer(), nullable=False),
        sa.Column("kappa", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("lower", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("upper", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("pabak", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("threshold_reference", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("threshold", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("evaluation_ids", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"],
            ["analysis.id"],
            name=op.f("fk_agreement_analysis_id_analysis"),
            ondelete="cascade",
        ),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohort.id"], name=op.f("fk_agreement_cohort_id_cohort")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_agreement_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agreement")),
        sa.UniqueConstraint(
            "analysis_id",
            "cohort_id",
            "task_id",
            "reference",
            "trained_on",
            "rule",
            name=op.f("uq_agreement_analysis_id_cohort_id_task_id_reference_trained_on_rule"),
        ),
    )
    op.create_table(
        "auc",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("analysis_id", sa.Integer(), nullable=False),
        sa.Column("trained_on", sa.Text(), nullable=False),
        sa.Column("cohort_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("n_pos", sa.Integer(), nullable=False),
        sa.Column("auc", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("lower", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("upper", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("evaluation_ids", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analysis.id"], name=op.f("fk_auc_analysis_id_analysis"), ondelete="cascade"
        ),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohort.id"], name=op.f("fk_auc_cohort_id_cohort")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_auc_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_auc")),
        sa.UniqueConstraint(
            "analysis_id",
            "trained_on",
            "cohort_id",
            "task_id",
            "seed",
            name=op.f("uq_auc_analysis_id_trained_on_cohort_id_task_id_seed"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_table(
        "auc_difference",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("analysis_id", sa.Integer(), nullable=False),
        sa.Column("cohort_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("arm_a", sa.Text(), nullable=False),
        sa.Column("arm_b", sa.Text(), nullable=False),
        sa.Column("trained_on_a", sa.Text(), nullable=False),
        sa.Column("trained_on_b", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("n_pos", sa.Integer(), nullable=False),
        sa.Column("auc_a", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("auc_b", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("difference", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("lower", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("upper", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("p", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("p_holm", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("evaluation_ids", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"],
            ["analysis.id"],
            name=op.f("fk_auc_difference_analysis_id_analysis"),
            ondelete="cascade",
        ),
        sa.ForeignKeyConstraint(
            ["cohort_id"], ["cohort.id"], name=op.f("fk_auc_difference_cohort_id_cohort")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_auc_difference_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_auc_difference")),
        sa.UniqueConstraint(
            "analysis_id",
            "cohort_id",
            "task_id",
            "arm_a",
            "arm_b",
            name=op.f("uq_auc_difference_analysis_id_cohort_id_task_id_arm_a_arm_b"),
        ),
    )
    op.create_table(
        "cohort_label",
        sa.Column("cohort_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("labels", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("n_pos", sa.Integer(), nullable=False),
        sa.Column("n_neg", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohort.id"], name=op.f("fk_cohort_label_cohort_id_cohort")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_cohort_label_task_id_task")),
        sa.PrimaryKeyConstraint("cohort_id", "task_id", name=op.f("pk_cohort_label")),
    )
    op.create_table(
        "prediction",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("logits", postgresql.ARRAY(sa.REAL()), nullable=True),
        sa.ForeignKeyConstraint(
            ["evaluation_id"],
            ["evaluation.id"],
            name=op.f("fk_prediction_evaluation_id_evaluation"),
            ondelete="cascade",
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_prediction_task_id_task")),
        sa.PrimaryKeyConstraint("evaluation_id", "task_id", name=op.f("pk_prediction")),
    )
    op.create_table(
        "training_cohort",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("cohort_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cohort_id"], ["cohort.id"], name=op.f("fk_training_cohort_cohort_id_cohort")
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_training_cohort_model_id_model"), ondelete="cascade"
        ),
        sa.PrimaryKeyConstraint("model_id", "cohort_id", name=op.f("pk_training_cohort")),
    )
    op.create_index(op.f("ix_training_cohort_cohort_id"), "training_cohort", ["cohort_id"], unique=False)
    task = sa.table("task", sa.column("id", sa.SmallInteger), sa.column("name", sa.Text))
    op.bulk_insert(task, [{"id": position, "name": name} for position, name in enumerate(TASKS)])
    op.execute("alter table prediction alter column logits set storage external")


def downgrade() -> None:
    op.drop_index(op.f("ix_training_cohort_cohort_id"), table_name="training_cohort")
    op.drop_table("training_cohort")
    op.drop_table("prediction")
    op.drop_table("cohort_label")
    op.drop_table("auc_difference")
    op.drop_table("auc")
    op.drop_table("agreement")
    op.drop_index(op.f("ix_study_model_model_id"), table_name="study_model")
    op.drop_table("study_model")
    op.drop_table("study_dataset")
    op.drop_table("source_term")
    op.drop_table("planted_truth")
    op.drop_table("model_task")
    op.drop_table("label")
    op.drop_index(op.f("ix_evaluation_image_list_id"), table_name="evaluation")
    op.drop_table("evaluation")
    op.drop_index(op.f("ix_cohort_image_list_id"), table_name="cohort")
    op.drop_table("cohort")
    op.drop_table("model")
    op.drop_index(op.f("ix_image_site_id_patient"), table_name="image")
    op.drop_index(op.f("ix_image_name"), table_name="image")
    op.drop_index(op.f("ix_image_content_hash"), table_name="image")
    op.drop_table("image")
    op.drop_index(op.f("ix_dataset_site_id"), table_name="dataset")
    op.drop_table("dataset")
    op.drop_table("analysis")
    op.drop_table("task")
    op.drop_table("study")
    op.drop_table("site")
    op.drop_table("protocol")
    op.drop_table("image_list")

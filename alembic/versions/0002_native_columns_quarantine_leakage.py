"""Native columns and label rules per dataset, copies of images, perceptual hashes, quarantine and leakage.

Revision: 0002
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0002"
down_revision = "0001"

METADATA_TO_COLUMNS = """
with listed as materialized (
    select dataset.id as dataset_id, image.metadata, listed.position
    from dataset
    join image_list on image_list.id = dataset.image_list_id
    cross join lateral unnest(image_list.image_ids) with ordinality as listed (image_id, position)
    join image on image.id = listed.image_id
),
named as (select distinct dataset_id, name from listed cross join lateral jsonb_object_keys(metadata) as name),
coded as materialized (
    select dataset_id, name, position, value, dense_rank() over (partition by dataset_id, name order by value) as code
    from (
        select dataset_id, name, position, coalesce(metadata ->> name, '') as value
        from named join listed using (dataset_id)
    ) as cell
),
codes as (select dataset_id, name, array_agg(code order by position) as codes from coded group by dataset_id, name),
terms as (
    select dataset_id, name, array_agg(value order by code) as terms
    from (select distinct dataset_id, name, code, value from coded) as term
    group by dataset_id, name
)
insert into native_column (dataset_id, name, position, terms, codes)
select dataset_id, name, row_number() over (partition by dataset_id order by name) - 1, terms, codes
from codes join terms using (dataset_id, name)
"""
COLUMNS_TO_METADATA = """
with listed as (
    select dataset.id as dataset_id, listed.image_id, native_column.name, listed.code
    from native_column
    join dataset on dataset.id = native_column.dataset_id
    join image_list on image_list.id = dataset.image_list_id
    cross join lateral unnest(image_list.image_ids, native_column.codes) as listed (image_id, code)
),
term as (
    select dataset_id, name, listed.value, listed.code
    from native_column cross join lateral unnest(terms) with ordinality as listed (value, code)
),
cell as (
    select distinct on (image_id, name) image_id, name, value
    from listed join term using (dataset_id, name, code)
    where value <> ''
    order by image_id, name, dataset_id
)
update image set metadata = gathered.metadata
from (select image_id, jsonb_object_agg(name, value) as metadata from cell group by image_id) as gathered
where gathered.image_id = image.id
"""


def upgrade() -> None:
    op.create_table(
        "native_column",
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("terms", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("codes", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_native_column_dataset_id_dataset")
        ),
        sa.PrimaryKeyConstraint("dataset_id", "name", name=op.f("pk_native_column")),
        sa.UniqueConstraint("dataset_id", "position", name=op.f("uq_native_column_dataset_id_position")),
    )
    op.execute(METADATA_TO_COLUMNS)
    op.drop_column("image", "metadata")
    op.add_column("image", sa.Column("original", sa.Text(), nullable=True))
    op.add_column("image", sa.Column("perceptual_hash", sa.Text(), nullable=True))
    op.create_table(
        "label_rule",
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("native_column", sa.Text(), nullable=False),
        sa.Column("term", sa.Text(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("rule_set", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_label_rule_dataset_id_dataset")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_label_rule_task_id_task")),
        sa.PrimaryKeyConstraint("dataset_id", "position", name=op.f("pk_label_rule")),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=True),
        sa.Column("image", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("kept", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_quarantine_dataset_id_dataset")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
    )
    op.create_index(op.f("ix_quarantine_dataset_id"), "quarantine", ["dataset_id"], unique=False)
    op.create_table(
        "leakage",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("train_cohort_id", sa.Integer(), nullable=False),
        sa.Column("test_cohort_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("n_image", sa.Integer(), nullable=False),
        sa.Column("n_patient", sa.Integer(), nullable=False),
        sa.Column("n_unknown", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["train_cohort_id"], ["cohort.id"], name=op.f("fk_leakage_train_cohort_id_cohort")
        ),
        sa.ForeignKeyConstraint(
            ["test_cohort_id"], ["cohort.id"], name=op.f("fk_leakage_test_cohort_id_cohort")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_leakage_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leakage")),
        sa.UniqueConstraint(
            "train_cohort_id",
            "test_cohort_id",
            "task_id",
            name=op.f("uq_leakage_train_cohort_id_test_cohort_id_task_id"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(op.f("ix_leakage_test_cohort_id"), "leakage", ["test_cohort_id"], unique=False)


def downgrade() -> None:
    op.drop_table("leakage")
    op.drop_table("quarantine")
    op.drop_table("label_rule")
    op.drop_column("image", "perceptual_hash")
    op.drop_column("image", "original")
    op.add_column("image", sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.execute(COLUMNS_TO_METADATA)
    op.drop_table("native_column")

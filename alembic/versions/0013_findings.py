"""Findings of one's own: datasets, studies and models have ordered lists of findings; the first 18 are only the default.

Revision: 0013
"""

import sqlalchemy as sa

from alembic import op

revision = "0013"
down_revision = "0012"

# 17: the last finding that the schema below knows, where a finding's id was its place in every list

OUTPUTS = """
update model_task set position = coalesce((
    select said.position - 1
    from model
    cross join lateral jsonb_array_elements_text(model.card -> 'tasks') with ordinality as said (name, position)
    join task on task.name = said.name
    where model.id = model_task.model_id and task.id = model_task.task_id
), task_id)
"""
DATASETS = """
insert into dataset_task (dataset_id, task_id, position)
select dataset_id, task_id, row_number() over (partition by dataset_id order by task_id) - 1 from label
"""
STUDIES = """
insert into study_task (study_id, task_id, position) select study.id, task.id, task.id from study cross join task
"""
STALE = """
update analysis set fingerprint = '' where study_id in (
    select study_id from study_task where task_id > 17
)
"""

OF_ONE = "delete from {table} where task_id > 17"
OF_SEVERAL = "delete from {table} where 17 < any(task_ids)"


def upgrade() -> None:
    op.add_column("model_task", sa.Column("position", sa.SmallInteger(), nullable=True))
    op.execute(OUTPUTS)
    op.alter_column("model_task", "position", nullable=False)
    op.create_unique_constraint(
        op.f("uq_model_task_model_id_position"), "model_task", ["model_id", "position"]
    )
    for owner, ondelete in (("dataset", None), ("study", "cascade")):
        table = f"{owner}_task"
        op.create_table(
            table,
            sa.Column(f"{owner}_id", sa.Integer(), nullable=False),
            sa.Column("task_id", sa.SmallInteger(), nullable=False),
            sa.Column("position", sa.SmallInteger(), nullable=False),
            sa.ForeignKeyConstraint(
                [f"{owner}_id"],
                [f"{owner}.id"],
                name=op.f(f"fk_{table}_{owner}_id_{owner}"),
                ondelete=ondelete,
            ),
            sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f(f"fk_{table}_task_id_task")),
            sa.PrimaryKeyConstraint(f"{owner}_id", "task_id", name=op.f(f"pk_{table}")),
            sa.UniqueConstraint(f"{owner}_id", "position", name=op.f(f"uq_{table}_{owner}_id_position")),
        )
    op.execute(DATASETS)
    op.execute(STUDIES)


def downgrade() -> None:
    """What is of findings that the schema below can't hold goes; results of their studies become stale."""
    op.execute(STALE)
    op.drop_table("study_task")
    op.drop_table("dataset_task")
    op.drop_column("model_task", "position")
    tables = sa.inspect(op.get_bind())
    for table in tables.get_table_names():
        columns = {column["name"] for column in tables.get_columns(table)}
        if "task_id" in columns:
            op.execute(OF_ONE.format(table=table))
        if "task_ids" in columns:
            op.execute(OF_SEVERAL.format(table=table))
    op.execute("delete from task where id > 17")

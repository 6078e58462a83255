"""Score vectors in pieces of a page each, and where every scored image stands in them.

Revision: 0012
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0012"
down_revision = "0011"

# 2000: elements of a piece at this revision, what piece_length() of db/sql gives

CUT = """
insert into prediction (evaluation_id, task_id, piece, logits)
select whole.evaluation_id, whole.task_id, piece, whole.logits[piece * 2000 + 1 : (piece + 1) * 2000]
from prediction_whole as whole
join evaluation on evaluation.id = whole.evaluation_id
join image_list on image_list.id = evaluation.image_list_id
cross join lateral generate_series(0, (image_list.length - 1) / 2000) as piece
where whole.logits is not null
order by whole.evaluation_id, piece, whole.task_id
"""
LISTED = """
insert into listed_image (image_list_id, piece, place, image_id)
select image_list.id, (position - 1) / 2000, (position - 1) % 2000 + 1, image_id
from image_list
cross join lateral unnest(image_ids) with ordinality as listed (image_id, position)
where image_list.id in (select image_list_id from evaluation)
"""
LABELS = """
insert into cohort_label_piece (cohort_id, task_id, piece, labels)
select cohort_id, task_id, piece,
    array_replace(labels[piece * 2000 + 1 : (piece + 1) * 2000], null, -1::smallint)
from cohort_label
cross join lateral generate_series(0, (cardinality(labels) - 1) / 2000) as piece
order by cohort_id, piece, task_id
"""
JOIN = """
insert into prediction (evaluation_id, task_id, logits)
select evaluation.id, task.id, whole.logits
from evaluation
cross join task
left join lateral (
    select array_agg(logit order by piece, place) as logits
    from prediction_piece as cut
    cross join lateral unnest(cut.logits) with ordinality as score (logit, place)
    where cut.evaluation_id = evaluation.id and cut.task_id = task.id
) as whole on true
"""


def upgrade() -> None:
    _set_aside("prediction_whole")
    op.create_table(
        "prediction",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("piece", sa.SmallInteger(), nullable=False),
        sa.Column("logits", postgresql.ARRAY(sa.REAL()), nullable=False),
    )
    op.create_table(
        "listed_image",
        sa.Column("image_list_id", sa.Integer(), nullable=False),
        sa.Column("piece", sa.SmallInteger(), nullable=False),
        sa.Column("place", sa.SmallInteger(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
    )
    op.create_table(
        "cohort_label_piece",
        sa.Column("cohort_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("piece", sa.SmallInteger(), nullable=False),
        sa.Column("labels", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
    )
    for table, column in (("prediction", "logits"), ("cohort_label_piece", "labels")):
        op.execute(
            f"alter table {table} alter column {column} set storage plain, alter column {column} set statistics 0"
        )
    for statement in (CUT, LISTED, LABELS):
        op.execute(statement)
    _index_prediction(("evaluation_id", "piece", "task_id"))
    op.create_primary_key(op.f("pk_listed_image"), "listed_image", ["image_list_id", "piece", "place"])
    op.create_index(op.f("ix_listed_image_image_id"), "listed_image", ["image_id"])
    op.create_primary_key(
        op.f("pk_cohort_label_piece"), "cohort_label_piece", ["cohort_id", "piece", "task_id"]
    )
    for table, key in (
        ("listed_image", "image_list"),
        ("cohort_label_piece", "cohort"),
        ("cohort_label_piece", "task"),
    ):
        op.create_foreign_key(op.f(f"fk_{table}_{key}_id_{key}"), table, key, [f"{key}_id"], ["id"])
    op.drop_table("prediction_whole")
    for table in ("prediction", "listed_image", "cohort_label_piece"):
        op.execute(f"analyze {table}")


def downgrade() -> None:
    _set_aside("prediction_piece")
    op.create_table(
        "prediction",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("logits", postgresql.ARRAY(sa.REAL()), nullable=True),
    )
    op.execute("alter table prediction alter column logits set storage external")
    op.execute(JOIN)
    _index_prediction(("evaluation_id", "task_id"))
    for table in ("prediction_piece", "listed_image", "cohort_label_piece"):
        op.drop_table(table)


def _set_aside(name: str) -> None:
    """The table of predictions under another name, without the constraints whose names the new one takes."""
    for constraint in (
        "pk_prediction",
        "fk_prediction_evaluation_id_evaluation",
        "fk_prediction_task_id_task",
    ):
        op.drop_constraint(op.f(constraint), "prediction")
    op.rename_table("prediction", name)


def _index_prediction(key: tuple[str, ...]) -> None:
    op.create_primary_key(op.f("pk_prediction"), "prediction", list(key))
    for other, ondelete in (("evaluation", "cascade"), ("task", None)):
        op.create_foreign_key(
            op.f(f"fk_prediction_{other}_id_{other}"),
            "prediction",
            other,
            [f"{other}_id"],
            ["id"],
            ondelete=ondelete,
        )

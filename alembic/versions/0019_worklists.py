"""Worklists: images that people read again, and what they said.

Revision: 0019
"""

import sqlalchemy as sa

from alembic import op

revision = "0019"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "worklist",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("task_id", sa.SmallInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_worklist_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worklist")),
        sa.UniqueConstraint("name", name=op.f("uq_worklist_name")),
    )
    op.create_table(
        "worklist_image",
        sa.Column("worklist_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["worklist_id"],
            ["worklist.id"],
            name=op.f("fk_worklist_image_worklist_id_worklist"),
            ondelete="cascade",
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_worklist_image_image_id_image")),
        sa.PrimaryKeyConstraint("worklist_id", "position", name=op.f("pk_worklist_image")),
        sa.UniqueConstraint("worklist_id", "image_id", name=op.f("uq_worklist_image_worklist_id_image_id")),
    )
    op.create_index(op.f("ix_worklist_image_image_id"), "worklist_image", ["image_id"])
    op.create_table(
        "worklist_read",
        sa.Column("worklist_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("read_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["worklist_id", "position"],
            ["worklist_image.worklist_id", "worklist_image.position"],
            name=op.f("fk_worklist_read_worklist_image"),
            ondelete="cascade",
        ),
        sa.CheckConstraint("answer in ('yes', 'no', 'unsure')", name=op.f("ck_worklist_read_answer")),
        sa.CheckConstraint("length(reader) between 1 and 60", name=op.f("ck_worklist_read_reader")),
        sa.CheckConstraint("length(comment) <= 2000", name=op.f("ck_worklist_read_comment")),
        sa.PrimaryKeyConstraint("worklist_id", "position", "reader", name=op.f("pk_worklist_read")),
    )


def downgrade() -> None:
    for table in ("worklist_read", "worklist_image", "worklist"):
        op.drop_table(table)

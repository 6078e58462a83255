"""Changes: what has been written of images and of studies, so that what a process keeps in memory of them is exact.

Revision: 0028
"""

import sqlalchemy as sa

from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.create_table(
        "change",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("subject in ('images', 'studies')", name=op.f("ck_change_subject")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change")),
    )


def downgrade() -> None:
    op.drop_table("change")

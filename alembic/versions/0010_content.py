"""Hashes of weights, and where the home is: files are known by their content, and by paths that move with the home.

Revision: 0010
"""

import sqlalchemy as sa

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "home",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_home")),
    )
    op.add_column("model", sa.Column("weights_sha256", sa.Text(), nullable=True))
    op.add_column("model", sa.Column("weights_since", sa.DateTime(timezone=True), nullable=True))
    op.execute(
        "update model set weights_sha256 = card ->> 'sha256' where kind = 'foreign' and mlflow_model is not null"
    )
    op.create_check_constraint(
        op.f("ck_model_weights"),
        "model",
        "weights_sha256 ~ '^[0-9a-f]{64}$' and mlflow_model is not null"
        " or weights_sha256 is null and weights_since is null",
    )


def downgrade() -> None:
    op.execute(
        "update image set path = (select min(home.path) from home) || '/' || image.path"
        " where not starts_with(image.path, '/') and exists (select from home)"
    )
    op.drop_constraint(op.f("ck_model_weights"), "model")
    op.drop_column("model", "weights_since")
    op.drop_column("model", "weights_sha256")
    op.drop_table("home")

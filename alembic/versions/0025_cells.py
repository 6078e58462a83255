"""Results by cell: the rows of an analysis fall stale by test cohort and configuration, and not as a whole.

Revision: 0025
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0025"
down_revision = "0024"

TABLES = (
    "agreement", "auc", "auc_difference", "average_precision", "bland_altman", "calibration", "causes",
    "classifier_distance", "classifier_map", "feature_map", "mean_auc", "net_benefit", "operating_point", "partial_auc",
    "pooled_agreement", "reader_agreement", "seed_agreement", "shift", "subgroup_auc", "synthesis", "threshold_transfer",
    "view_classifier",
)  # fmt: skip
"""Those whose rows belong to an analysis."""
JOIN = """
update {table} set analysis_id = first.id
from analysis, (select study_id, name, min(id) as id from analysis group by study_id, name) as first
where analysis.id = {table}.analysis_id and first.study_id = analysis.study_id and first.name = analysis.name
    and first.id <> analysis.id
"""
ONE = """
delete from analysis using analysis as first
where first.study_id = analysis.study_id and first.name = analysis.name and first.id < analysis.id
"""
STALE = """
update analysis set fingerprint = ''
where (study_id, name) in (select study_id, name from analysis group by study_id, name having count(*) > 1)
"""


def upgrade() -> None:
    op.add_column(
        "analysis", sa.Column("cell", postgresql.ARRAY(sa.Text()), nullable=False, server_default="{}")
    )
    op.add_column("analysis", sa.Column("place", sa.Integer(), nullable=False, server_default="0"))
    op.drop_constraint(op.f("uq_analysis_study_id_name"), "analysis")
    op.create_unique_constraint(
        op.f("uq_analysis_study_id_name_cell"), "analysis", ["study_id", "name", "cell"]
    )
    op.create_table(
        "partial_result",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cell", postgresql.ARRAY(sa.Text()), nullable=False, server_default="{}"),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_partial_result_study_id_study"), ondelete="cascade"
        ),
        sa.PrimaryKeyConstraint("study_id", "name", "cell", name=op.f("pk_partial_result")),
    )


def downgrade() -> None:
    op.drop_table("partial_result")
    op.execute(STALE)
    for table in TABLES:
        op.execute(JOIN.format(table=table))
    op.execute(ONE)
    op.drop_constraint(op.f("uq_analysis_study_id_name_cell"), "analysis")
    op.create_unique_constraint(op.f("uq_analysis_study_id_name"), "analysis", ["study_id", "name"])
    op.drop_column("analysis", "place")
    op.drop_column("analysis", "cell")

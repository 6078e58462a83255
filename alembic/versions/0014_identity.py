"""Who and what an image shows is stored: patients, and the canonical image of each picture.

Revision: 0014
"""

import sqlalchemy as sa

from alembic import op

revision = "0014"
down_revision = "0013"

PATIENTS = """
insert into patient (site_id, name, key)
select site_id, name, key
from (
    select site_id, patient as name, coalesce('patient ' || patient, 'image ' || name) as key, min(id) as first
    from image
    group by site_id, patient, coalesce('patient ' || patient, 'image ' || name)
) as named
order by first
"""
NAMED = """
update image set canonical_id = image.id, patient_id = patient.id
from patient
where patient.site_id = image.site_id
    and patient.key = coalesce('patient ' || image.patient, 'image ' || image.name)
"""
MERGE_PICTURES = """
with grouped as (
    select 'n' || site_id || ' ' || name as node, canonical_id
    from image as original
    where exists (
        select from image as copy where copy.site_id = original.site_id and copy.original = original.name
    )
    union all
    select 'n' || site_id || ' ' || original, canonical_id from image where original is not null
    union all
    select 'c' || content_hash, canonical_id from image where content_hash is not null
),
first as (
    select node, min(canonical_id) as canonical_id from grouped group by node having min(canonical_id) < max(canonical_id)
),
moved as (
    select grouped.canonical_id as before, min(first.canonical_id) as after
    from grouped
    join first on first.node = grouped.node and first.canonical_id < grouped.canonical_id
    group by grouped.canonical_id
)
update image set canonical_id = moved.after from moved where image.canonical_id = moved.before
"""
MERGE_PATIENTS = """
with grouped as (
    select 'c' || canonical_id as node, patient_id
    from image
    where canonical_id in (select canonical_id from image where canonical_id <> id)
),
first as (
    select node, min(patient_id) as patient_id from grouped group by node having min(patient_id) < max(patient_id)
),
moved as (
    select grouped.patient_id as before, min(first.patient_id) as after
    from grouped
    join first on first.node = grouped.node and first.patient_id < grouped.patient_id
    group by grouped.patient_id
)
update image set patient_id = moved.after from moved where image.patient_id = moved.before
"""
NAMES = """
update patient set name = told.name
from (
    select distinct on (patient_id) patient_id, patient as name
    from image
    where patient is not null
    order by patient_id, id
) as told
where patient.id = told.patient_id and patient.name is null
"""
RECOUNT = ("delete from leakage", "delete from foreign_leakage", "update analysis set fingerprint = ''")
"""What was counted with patients apart who are one; all of it is found anew."""
FORGET = "delete from patient where not exists (select from image where image.patient_id = patient.id)"


def upgrade() -> None:
    op.create_table(
        "patient",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("site_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_patient_site_id_site")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patient")),
        sa.UniqueConstraint("site_id", "key", name=op.f("uq_patient_site_id_key")),
    )
    for column in ("canonical_id", "patient_id"):
        op.add_column("image", sa.Column(column, sa.Integer(), nullable=True))
    for statement in (PATIENTS, "analyze patient", NAMED):
        op.execute(statement)
    _repeat(MERGE_PICTURES)
    if _repeat(MERGE_PATIENTS):
        op.execute(NAMES)
        op.execute(FORGET)
        for statement in RECOUNT:
            op.execute(statement)
    for column, other in (("canonical_id", "image"), ("patient_id", "patient")):
        op.alter_column("image", column, nullable=False)
        op.create_foreign_key(op.f(f"fk_image_{column}_{other}"), "image", other, [column], ["id"])
    op.create_index(op.f("ix_image_patient_id"), "image", ["patient_id"])
    op.create_index(
        op.f("ix_image_copies"), "image", ["canonical_id"], postgresql_where=sa.text("canonical_id <> id")
    )
    op.execute("analyze image")


def _repeat(statement: str) -> int:
    """How many rows the statement changed, until it changed none."""
    total = 0
    while changed := op.get_bind().execute(sa.text(statement)).rowcount:
        total += changed
    return total


def downgrade() -> None:
    op.drop_index(op.f("ix_image_copies"), "image")
    op.drop_index(op.f("ix_image_patient_id"), "image")
    for column, other in (("canonical_id", "image"), ("patient_id", "patient")):
        op.drop_constraint(op.f(f"fk_image_{column}_{other}"), "image")
        op.drop_column("image", column)
    op.drop_table("patient")

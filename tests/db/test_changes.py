"""Whoever keeps in memory what was read of images or of studies sees with each commit that it is old, whoever wrote."""

import re
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from db.migrate import guards
from db.queries import query
from db.schema import Base
from tests.db.test_guards import EFFUSION, refused, run

OF_IMAGES = (
    "update image set age = 50 where name = 'a'",
    "delete from image where name = 'free'",
    "update patient set key = key || ' of old'",
    "insert into native_column (dataset_id, name, position, terms, codes)"
    " select id, 'View', 0, array['PA'], array[1, 1, 1] from dataset",
    "update native_column set terms = array['AP']",
    "delete from native_column",
    "truncate native_column",
)
OF_BOTH = (
    "insert into site (name, synthetic) values ('third', false)",
    "update site set name = 'zz' where name = 'bethesda'",
    "update dataset set source = 'folder'",
    "insert into cohort (dataset_id, protocol_id, part, image_list_id, content_hash)"
    " select dataset_id, protocol_id, 'train', image_list_id, 'of train' from cohort",
    "insert into cohort_label (cohort_id, task_id, labels, n_pos, n_neg)"
    " select cohort_id, 8, array[1, 1, 0], 2, 1 from cohort_label",
)
OF_STUDIES = (
    "insert into study (name, protocol_id, definition) select 'one', id, '{}' from protocol",
    "update study set name = 'two'",
    "insert into study_dataset (study_id, dataset_id, position) select study.id, dataset.id, 0 from study, dataset",
    "insert into study_task (study_id, task_id, position) select id, 7, 0 from study",
    "insert into study_model (study_id, model_id, position) select study.id, model.id, 0 from study, model",
    "update task set name = name where id = 7",
    "update model set seed = 5",
    "delete from model_task where task_id = 8",
    "delete from training_cohort",
    "delete from intervention_evaluation",
    "delete from study",
    "delete from evaluation",
)
READS = (
    "study_datasets", "study_evaluations", "study_test_cohorts", "study_labelled", "image_columns", "native_cells_of_list",
    "list_identities", "cohort_labels",
)  # fmt: skip
"""Queries whose rows `xray.analyses.kept` keeps, beside the lists of findings."""
NEVER_CHANGED = {"image_list"}


@pytest.fixture(scope="module")
def engine(shared_rows: Any) -> Engine:
    rows = shared_rows
    site = rows.site()
    ids = rows.images(site, ["a", "b", "c"], ["x", "y", "z"])
    rows.images(site, ["free"])
    listed = rows.image_list(ids)
    dataset = rows.dataset("nih", site, listed)
    protocol = rows.protocol()
    cohort = rows.cohort(dataset, protocol, listed, {EFFUSION: [1, None, 0]})
    rows.evaluation(rows.model(protocol, [EFFUSION], [cohort]), listed, {EFFUSION: [0.5, 1.5, -2.0]})
    return shared_rows.engine


def counts(connection: Connection) -> tuple[str, str]:
    images, studies = connection.execute(text(query("changes_counted"))).one()
    return images, studies


def watched() -> set[str]:
    """The tables whose changes are counted."""
    return {table for table, name in guards() if name == "guard_change"}


def test_each_table_of_what_is_kept_is_counted():
    names = {*Base.metadata.tables} - NEVER_CHANGED
    read = {table for name in READS for table in re.findall(r"\b(?:from|join) (\w+)", query(name))} & names
    assert {"image", "patient", "study_model"} <= read
    assert read | {"task", "study_task"} <= watched()


def test_each_counted_table_is_written_by_a_statement_of_these_tests():
    statements = [*OF_IMAGES, *OF_BOTH, *OF_STUDIES]
    assert {
        re.split(r"(?:into|update|from|truncate) (\w+)", s, maxsplit=1)[1] for s in statements
    } == watched()


@pytest.mark.parametrize("statement", [*OF_IMAGES, *OF_BOTH, *OF_STUDIES])
def test_a_change_is_counted_with_its_commit_and_not_before(engine, statement):
    with create_engine(engine.url, poolclass=NullPool).connect() as asking:
        asking.execution_options(isolation_level="AUTOCOMMIT")
        before = counts(asking)
        with engine.begin() as writing:
            writing.execute(text(statement))
            assert counts(asking) == before
        images, studies = counts(asking)
    assert (images != before[0]) == (statement not in OF_STUDIES)
    assert (studies != before[1]) == (statement not in OF_IMAGES)


def test_what_was_undone_and_what_was_read_are_not_counted(engine):
    with engine.connect() as connection:
        before = counts(connection)
        connection.execute(text("update image set age = 51"))
        connection.rollback()
        connection.execute(text("select count(*) from image"))
        assert counts(connection) == before


def test_a_change_is_counted_by_whoever_writes_wherever_names_are_looked_up(engine):
    """As a role that may write the table and nothing else, with a table of the same name before ours."""
    with engine.connect() as connection:
        before = counts(connection)
        for statement in (
            "create role clerk",
            "grant usage on schema public to clerk",
            "grant update, select on patient to clerk",
            "set local role clerk",
            "create temp table change (id bigserial, subject text)",
            "set local search_path = pg_catalog",
            "update public.patient set key = key || '.'",
            "reset role",
            "set local search_path = public",
        ):
            connection.execute(text(statement))
        images, studies = connection.execute(
            text(query("changes_counted").replace("from change", "from public.change"))
        ).one()
        connection.rollback()
    assert images != before[0]
    assert studies == before[1]


@pytest.mark.parametrize(
    "statement", ["delete from change", "update change set subject = 'images'", "truncate change"]
)
def test_what_was_counted_is_never_taken_away(engine, statement):
    refused(engine, "change rows are frozen", statement)


def test_new_images_change_nothing_that_is_known_of_others(engine):
    with engine.connect() as connection:
        before = counts(connection)
    run(
        engine,
        "insert into image (site_id, name, patient, path)"
        " select site_id, 'new', 'x', '/new.png' from image where name = 'a'",
    )
    with engine.connect() as connection:
        assert counts(connection) == before

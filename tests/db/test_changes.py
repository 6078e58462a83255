"""Whoever keeps in memory what was read of images or of studies sees with each commit that it is old, whoever wrote."""

from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from db.queries import query
from tests.db.test_guards import EFFUSION, run

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
OF_STUDIES = (
    "insert into study (name, protocol_id, definition) select 'one', id, '{}' from protocol",
    "update study set name = 'two'",
    "update task set name = name where id = 7",
    "insert into site (name, synthetic) values ('third', false)",
    "update dataset set source = 'folder'",
    "update model set seed = 5",
    "delete from study",
    "delete from evaluation",
)


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


def counts(connection: Connection) -> tuple[int, int]:
    images, studies = connection.execute(text(query("changes_counted"))).one()
    return images, studies


@pytest.mark.parametrize("statement", [*OF_IMAGES, *OF_STUDIES])
def test_a_change_is_counted_with_its_commit_and_not_before(engine, statement):
    with create_engine(engine.url, poolclass=NullPool).connect() as asking:
        asking.execution_options(isolation_level="AUTOCOMMIT")
        before = counts(asking)
        with engine.begin() as writing:
            writing.execute(text(statement))
            assert counts(asking) == before
        images, studies = counts(asking)
    assert (images > before[0]) == (statement in OF_IMAGES)
    assert (studies > before[1]) == (statement in OF_STUDIES)


def test_what_was_undone_and_what_was_read_are_not_counted(engine):
    with engine.connect() as connection:
        before = counts(connection)
        connection.execute(text("update image set age = 51"))
        connection.rollback()
        connection.execute(text("select count(*) from image"))
        assert counts(connection) == before


def test_new_images_change_nothing_that_is_known_of_others(engine):
    with engine.connect() as connection:
        before = counts(connection)
    run(
        engine,
        "insert into image (site_id, name, patient, path) select id, 'new', 'x', '/new.png' from site limit 1",
    )
    with engine.connect() as connection:
        assert counts(connection) == before

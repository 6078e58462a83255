"""Who and what images show: a home of before migrates and back, and images that come past registration have both."""

import itertools
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from db.embedded import Server
from db.migrate import downgrade, upgrade
from db.store import StoreError, identities
from db.upkeep.audits import run
from tests.conftest import copy_template
from tests.db.conftest import Rows
from tests.db.test_downgrade import content, revisions

_numbers = itertools.count()
BEFORE = revisions()[revisions().index("0014") - 1]
IMAGES = [  # site, name, patient, original, content
    (1, "x1", "13", None, "c1"),
    (1, "x2", "13", None, "c2"),
    (1, "x3", "14", None, None),
    (1, "r1", None, "x1", None),
    (1, "r2", "14", "r1", None),
    (1, "lone", None, None, "c3"),
    (1, "twin", None, None, "c3"),
    (1, "other", None, None, None),
    (2, "abroad", "9", None, "c2"),
    (2, "abroad 2", "9", None, None),
    (2, "13", "13", None, None),
]
PICTURES = [{"x1", "r1", "r2"}, {"x2", "abroad"}, {"lone", "twin"}]
PATIENTS = [{"x1", "x2", "x3", "r1", "r2", "abroad", "abroad 2"}, {"lone", "twin"}]


@pytest.fixture
def old(server: Server, _template: str) -> Engine:
    """A database at the revision before, with images of two sites."""
    engine = create_engine(copy_template(server, _template, f"identity_{next(_numbers)}"), poolclass=NullPool)
    downgrade(engine, BEFORE)
    with engine.begin() as connection:
        connection.execute(text("insert into site (name) values ('here'), ('there')"))
        connection.execute(
            text(
                "insert into image (site_id, name, patient, original, content_hash) values (:s, :n, :p, :o, :c)"
            ),
            [dict(zip("snpoc", row, strict=True)) for row in IMAGES],
        )
    return engine


def groups(engine: Engine) -> tuple[list[set[str]], list[set[str]]]:
    """Names of the images of each picture, and of each patient, where there are several."""
    groups: list[dict[int, set[str]]] = [{}, {}]
    with engine.connect() as connection:
        for name, *ids in connection.execute(
            text("select name, canonical_id, patient_id from image order by id")
        ):
            for group, number in zip(groups, ids, strict=True):
                group.setdefault(number, set()).add(name)
    pictures, patients = ([names for names in group.values() if len(names) > 1] for group in groups)
    return pictures, patients


def ask(engine: Engine, statement: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def test_a_home_of_an_earlier_version_migrates_with_its_images_and_back(old: Engine) -> None:
    before = content(old)["image"]
    upgrade(old)
    for _ in range(2):
        assert groups(old) == (PICTURES, PATIENTS)
        keys = ask(
            old,
            "select site.name, patient.name, key from patient join site on site.id = site_id order by patient.id",
        )
        assert keys == [("here", "13", "patient 13"), ("here", None, "image lone"), ("here", None, "image other"),
                        ("there", "13", "patient 13")]  # fmt: skip
        with old.connect() as connection:
            assert [outcome.audit.name for outcome in run(connection) if outcome.rows] == []
        downgrade(old, BEFORE)
        assert content(old)["image"] == before
        upgrade(old)


def test_results_that_counted_one_patient_as_two_are_computed_again(old: Engine) -> None:
    def count(engine: Engine) -> list[tuple[Any, ...]]:
        return ask(engine, "select (select count(*) from leakage), (select fingerprint from analysis)")

    with old.begin() as connection:
        connection.execute(text("insert into study (name, definition) values ('s', '{}')"))
        connection.execute(
            text("insert into analysis (study_id, name, fingerprint) values (1, 'auc', 'now')")
        )
        connection.execute(text("insert into protocol (name, version, definition) values ('p', 1, '{}')"))
        connection.execute(
            text("insert into image_list (content_hash, length, image_ids) values ('l', 1, '{1}')")
        )
        connection.execute(
            text(
                "insert into dataset (name, site_id, image_list_id, source, content_hash) values ('d', 1, 1, 's', 'd')"
            )
        )
        for part in ("train", "test"):
            connection.execute(
                text("insert into cohort (dataset_id, protocol_id, part, image_list_id, content_hash)"
                     " values (1, 1, :part, 1, :part)"), {"part": part},
            )  # fmt: skip
        connection.execute(
            text("insert into leakage (train_cohort_id, test_cohort_id, n, n_image, n_patient, n_unknown)"
                 " values (1, 2, 1, 1, 1, 0)")
        )  # fmt: skip
    upgrade(old)
    assert count(old) == [(0, "")]
    with old.begin() as connection:
        connection.execute(text("update analysis set fingerprint = 'now'"))
        connection.execute(text("insert into leakage (train_cohort_id, test_cohort_id, n, n_image, n_patient, n_unknown)"
                                " values (1, 2, 1, 1, 1, 0)"))  # fmt: skip
        connection.execute(text("update image set original = null, content_hash = null"))
    downgrade(old, BEFORE)
    upgrade(old)
    assert count(old) == [(1, "now")], "nobody is merged: what was counted stays"


def test_an_image_inserted_without_registration_has_a_patient_and_is_its_own_original(rows: Rows) -> None:
    first, second = rows.site("here"), rows.site("there")
    images = rows.images(first, ["a", "b", "c", "d"], ["p", "p", None, None]) + rows.images(
        second, ["a"], ["p"]
    )
    assert groups(rows.engine) == ([], [{"a", "b"}])
    with rows.engine.connect() as connection:
        ids = identities(connection, rows.image_list([images[4], images[1], images[2], images[0]]))
        assert ids.pictures.tolist() == [images[4], images[1], images[2], images[0]]
        assert ids.unnamed.tolist() == [False, False, True, False]
        assert ids.ranks.tolist() == [3, 2, 1, 2], "by site, then unknown ones, then names"
        assert ids.of([1, 2]).patients.tolist() == ids.patients[[1, 2]].tolist()
        with pytest.raises(StoreError, match="no image list 77"):
            identities(connection, 77)


def test_images_inserted_without_registration_never_read_the_whole_table(rows: Rows) -> None:
    """The first plan is of an empty table, and lasts as long as the connection."""
    site = rows.site("here")
    statement = (
        "insert into image (site_id, name, patient) select :site, :block || n, :block || n / 2"
        " from generate_series(1, 300) as n"
    )
    scans = "select seq_scan from pg_stat_xact_user_tables where relname = 'image'"
    with rows.engine.begin() as connection:
        before = connection.scalar(text(scans))
        for block in ("a", "b"):
            connection.execute(text(statement), {"site": site, "block": block})
        assert connection.scalar(text(scans)) == before
    assert ask(rows.engine, "select count(distinct patient_id) from image") == [(302,)]


def test_an_image_with_two_names_is_shown_under_both(rows: Rows) -> None:
    """The view shows each dataset's image as the first name of its picture."""
    site = rows.site("here")
    one, two = rows.images(site, ["x", "r"], ["13", None])
    with rows.engine.begin() as connection:
        connection.execute(text("update image set canonical_id = :one, patient_id = (select patient_id from image"
                                " where id = :one) where id = :two"), {"one": one, "two": two})  # fmt: skip
    for name, image in (("nih", one), ("rsna", two)):
        rows.dataset(name, site, rows.image_list([image]))
    columns = "dataset, image, picture_site, picture, patient_site, patient"
    assert ask(rows.engine, f"select {columns} from identities order by 1") == [
        ("nih", "x", "here", "x", "here", "13"),
        ("rsna", "r", "here", "x", "here", "13"),
    ]

"""Youden points at home are kept by configuration: what is current is read, what is stale is computed and replaced."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from sqlalchemy import text

from xray.analyses import home
from xray.analyses.home import points_at_home
from xray.analyses.stored import load_study

ROWS = text("select cell[1], fingerprint, value from partial_result where name = 'points at home' order by 1")


def test_a_stale_cell_is_replaced_and_a_current_one_is_read_as_it_is(two_sites):
    with two_sites.engine.connect() as connection:
        study = load_study(connection, "test")
        first = points_at_home(connection, study, ["x", "y"])
        assert sorted(first) == ["x", "y"]
        before = connection.execute(ROWS).all()
        assert [row[0] for row in before] == ["x", "y"]
        marked = json.loads(before[1].value) | {"threshold": [7.0] * len(first["y"].threshold)}
        change = text(
            "update partial_result set fingerprint = :fingerprint, value = :value where cell[1] = :cell"
        )
        connection.execute(change, {"cell": "x", "fingerprint": "of earlier scores", "value": "{}"})
        connection.execute(
            change, {"cell": "y", "fingerprint": before[1].fingerprint, "value": json.dumps(marked)}
        )
        connection.commit()
        again = points_at_home(connection, study, ["x", "y"])
        after = connection.execute(ROWS).all()
    np.testing.assert_array_equal(again["x"].threshold, first["x"].threshold)
    assert (again["y"].threshold == 7).all()
    assert [tuple(row) for row in after] == [
        tuple(before[0]),
        ("y", before[1].fingerprint, json.dumps(marked)),
    ]


def test_only_what_is_named_is_computed(two_sites):
    with two_sites.engine.connect() as connection:
        study = load_study(connection, "test")
        assert points_at_home(connection, study, []) == {}
        assert list(points_at_home(connection, study, ["y"])) == ["y"]
        assert [row[0] for row in connection.execute(ROWS)] == ["y"]


def test_who_asks_beside_another_takes_what_the_other_is_not_at_and_waits_for_the_rest(two_sites):
    """The other has the lock of x, and stores its points while we wait: they are not computed twice."""
    engine, order = two_sites.engine, []
    with engine.connect() as connection, engine.connect() as other, ThreadPoolExecutor(1) as thread:
        study = load_study(connection, "test")
        name = f"{study.id}/x"
        lock = text("select pg_advisory_lock(hashtext('xray points at home'), hashtext(:name))")
        other.execute(lock, {"name": name})
        future = thread.submit(points_at_home, connection, study, ["x", "y"])
        while not (stored := [row[0] for row in other.execute(ROWS)]):
            other.rollback()
        assert stored == ["y"]
        order.append(future.done())
        with engine.connect() as third:
            marked = home._as_json(home._computed(third, study, home._cells(study, ["x"])[0])).replace(
                "0.", "7."
            )
            fingerprint = home._fingerprint(study, home._cells(study, ["x"])[0])
        insert = (
            "insert into partial_result (study_id, name, cell, fingerprint, value)"
            " values (:study, :of, '{x}', :print, :value)"
        )
        other.execute(
            text(insert), {"study": study.id, "of": home.NAME, "print": fingerprint, "value": marked}
        )
        other.commit()
        other.execute(text("select pg_advisory_unlock_all()"))
        assert json.loads(home._as_json(future.result(60)["x"])) == json.loads(marked)
    assert order == [False], "it waited"

"""Ordered lists of findings by name, and findings that nobody has declared before."""

import numpy as np
import pytest
from sqlalchemy import Engine, text

from db.errors import StoreError
from db.findings import all_findings, finding_ids, put_findings, put_list, read_list
from db.store import read_cohort, read_logits, write_evaluation
from tests.db.conftest import Rows

OWN = ("Tuberculosis", "Effusion", "COVID-19")


def test_a_new_finding_gets_a_number_once(engine: Engine) -> None:
    with engine.begin() as connection:
        before = all_findings(connection)
        first = put_findings(connection, OWN)
    with engine.begin() as connection:
        assert put_findings(connection, OWN) == finding_ids(connection, OWN) == first
        assert all_findings(connection).keys() == before.keys() | set(OWN)
    assert first[1] == before["Effusion"]
    with engine.begin() as connection, pytest.raises(StoreError, match="no finding 'Rickets'; known: Atel"):
        finding_ids(connection, ["Rickets"])


def test_a_list_keeps_its_order_and_is_replaced_whole(rows: Rows) -> None:
    study = rows.add("study", name="s", definition={})
    with rows.engine.begin() as connection:
        put_list(connection, "study", study, OWN)
        assert read_list(connection, "study", study) == OWN
        put_list(connection, "study", study, [None, "COVID-19", "Mass"])
        assert read_list(connection, "study", study) == ("COVID-19", "Mass")
        positions = text("select position from study_task order by position")
        assert connection.scalars(positions).all() == [1, 2]


def test_labels_and_logits_come_in_the_requested_order(rows: Rows) -> None:
    site = rows.site()
    listed = rows.image_list(rows.images(site, ["a", "b"]))
    with rows.engine.begin() as connection:
        own, effusion = put_findings(connection, ["Tuberculosis", "Effusion"])
    protocol = rows.protocol()
    cohort = rows.cohort(rows.dataset("d", site, listed), protocol, listed, {effusion: [1, 0], own: [0, 1]})
    model = rows.model(protocol, [own, effusion])
    logits = np.array([[1, 9, 2], [3, 9, 4]], np.float32)
    with rows.engine.begin() as connection:
        evaluation = write_evaluation(connection, model, listed, logits, [own, None, effusion])
        assert evaluation is not None
        order = [effusion, 0, own]
        np.testing.assert_array_equal(
            read_logits(connection, evaluation, order), [[2, 4], [np.nan, np.nan], [1, 3]]
        )
        labels = read_cohort(connection, cohort, order).labels
    np.testing.assert_array_equal(labels, [[1, np.nan, 0], [0, np.nan, 1]])

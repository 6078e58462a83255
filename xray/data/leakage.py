"""Leakage: images and patients of a test cohort that are also in training or model selection, across datasets.

Which images and patients are one, the database says (`xray.data.identity`).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from db.copy import copy_out, read_array, read_scalar
from db.queries import query
from db.schema import ForeignLeakage, Leakage
from db.store import Identities, identities, image_ids


@dataclass(frozen=True)
class Member:
    """Who and what is in a cohort, row by row. positive: task → bool (n_rows,), of tasks that are labelled."""

    identities: Identities
    positive: dict[int, NDArray[np.bool_]]


def record(connection: Connection, protocol_id: int) -> int:
    """Store the overlaps of every pair of cohorts of a protocol that has none stored yet; how many pairs that were.

    Of a model that was trained on some images of a cohort, those of its own images too.
    """
    record_foreign(connection)
    _record_chosen(connection, protocol_id)
    pairs = connection.execute(text(query("leakage_pairs")), {"protocol_id": protocol_id}).all()
    if not pairs:
        return 0
    tests = {pair.test_cohort_id for pair in pairs}
    members = _members(connection, sorted({pair.train_cohort_id for pair in pairs} | tests), tests)
    rows = []
    for pair in pairs:
        train, test = members[pair.train_cohort_id], members[pair.test_cohort_id]
        rows += [
            {"train_cohort_id": pair.train_cohort_id, "test_cohort_id": pair.test_cohort_id, **counts}
            for counts in overlap(train, test)
        ]
    connection.execute(insert(Leakage), rows)
    return len(pairs)


def record_foreign(connection: Connection) -> int:
    """Store the overlaps of test cohorts with the datasets that foreign models are said to be trained on; how many were new.

    Which of a dataset's images were used is not known: all of them are taken for known.
    """
    pairs = connection.execute(text(query("foreign_leakage_pairs"))).all()
    if not pairs:
        return 0
    lists = {pair.image_list_id for pair in pairs} | {pair.test_list_id for pair in pairs}
    members = _members_of_lists(connection, sorted(lists))
    rows = []
    for pair in pairs:
        (counts,) = overlap(members[pair.image_list_id], members[pair.test_list_id])
        del counts["task_id"]
        rows.append({"dataset_id": pair.dataset_id, "test_cohort_id": pair.test_cohort_id, **counts})
    connection.execute(insert(ForeignLeakage), rows)
    return len(pairs)


def _record_chosen(connection: Connection, protocol_id: int) -> None:
    pairs = connection.execute(text(query("leakage_pairs_of_models")), {"protocol_id": protocol_id}).all()
    tests = {pair.test_cohort_id for pair in pairs}
    members = (
        _members(connection, sorted({pair.train_cohort_id for pair in pairs} | tests), tests) if pairs else {}
    )
    rows = []
    for pair in pairs:
        cohort = members[pair.train_cohort_id]
        in_list = np.isin(
            image_ids(connection, pair.whole_list_id), image_ids(connection, pair.image_list_id)
        )
        training = Member(cohort.identities.of(in_list), {})
        rows += [
            {
                "train_cohort_id": pair.train_cohort_id,
                "test_cohort_id": pair.test_cohort_id,
                "model_id": pair.model_id,
                **counts,
            }
            for counts in overlap(training, members[pair.test_cohort_id])
        ]
    if rows:
        connection.execute(insert(Leakage), rows)


def forget(connection: Connection) -> None:
    """Drop what is stored: more is known of who and what is in the images. `record` finds it anew."""
    connection.execute(text("delete from leakage"))
    connection.execute(text("delete from foreign_leakage"))


def record_all(connection: Connection) -> int:
    """`record` for every protocol."""
    protocols = connection.scalars(text("select id from protocol order by id")).all()
    return sum(record(connection, protocol) for protocol in protocols)


def overlap(train: Member, test: Member) -> list[dict[str, Any]]:
    """Rows of table `leakage` of one pair: for all test rows, and per task for the positive ones that leak."""
    same_image = np.isin(test.identities.pictures, train.identities.pictures)
    same_patient = np.isin(test.identities.patients, train.identities.patients)
    all_rows = np.ones(len(same_image), dtype=bool)
    groups: list[tuple[int | None, NDArray[np.bool_]]] = [(None, all_rows), *test.positive.items()]
    counts = [
        {
            "task_id": task,
            "n": int(of.sum()),
            "n_image": int((of & same_image).sum()),
            "n_patient": int((of & same_patient).sum()),
            "n_unknown": int((of & test.identities.unnamed).sum()),
        }
        for task, of in groups
    ]
    return [row for row in counts if row["task_id"] is None or row["n_patient"]]


def _members(connection: Connection, cohorts: list[int], tests: set[int]) -> dict[int, Member]:
    lists = connection.execute(
        text("select id, image_list_id from cohort where id = any(:ids)"), {"ids": cohorts}
    ).all()
    members = _members_of_lists(connection, [row.image_list_id for row in lists])
    return {
        row.id: replace(
            members[row.image_list_id], positive=_positive(connection, row.id) if row.id in tests else {}
        )
        for row in lists
    }


def _members_of_lists(connection: Connection, lists: list[int]) -> dict[int, Member]:
    return {list_id: Member(identities(connection, list_id), {}) for list_id in set(lists)}


def _positive(connection: Connection, cohort_id: int) -> dict[int, NDArray[np.bool_]]:
    positive = {}
    for task, vector in copy_out(connection, query("cohort_labels"), cohort_id=cohort_id):
        assert task is not None
        assert vector is not None
        positive[read_scalar(task)] = read_array(vector, "int2") == 1
    return positive

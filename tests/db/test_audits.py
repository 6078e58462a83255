"""Each audit finds the fault that it is for, planted behind the guards' back, and nothing in a database that is well."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, CursorResult, Engine, create_engine, text

from db.embedded import Server
from db.store import list_hash
from db.upkeep import audits
from db.upkeep.audits import Outcome, run
from tests.conftest import copy_template
from tests.db.conftest import Rows
from tests.db.everything import fill

FAULTS = {
    "prediction_length": ("update prediction set logits = logits[1:3] where evaluation_id = 1 and task_id = 8",
                          {"evaluation_id": 1, "task": "Pneumonia", "scores": 3, "images": 4}),
    "prediction_length ": ("update prediction set piece = 1 where evaluation_id = 1 and task_id = 8",
                           {"evaluation_id": 1, "task": "Pneumonia", "scores": 4, "images": 4}),
    "pieces": ("update listed_image set image_id = image_id + 1", {"what": "listed_image"}),
    "pieces ": ("update cohort_label_piece set labels[1] = 0 where cohort_id = 2 and task_id = 0",
                {"what": "cohort_label_piece", "of": 2, "task_id": 0}),
    "label_length": ("update label set states = states[1:7] where dataset_id = 1",
                     {"dataset": "guest", "task": "Pneumonia", "states": 7, "images": 8}),
    "reader_labels": ("update reader_label set states = states[1:7] where reader_id = 1",
                      {"dataset": "guest", "reader": "a", "task": "Pneumonia", "states": 7, "images": 8}),
    "reader_labels ": ("update dataset set reader_rule = null where id = 1",
                       {"dataset": "guest", "reader": None, "rule": None}),
    "reader_labels  ": ("update dataset set reader_rule = 'c' where id = 1",
                        {"dataset": "guest", "reader": None, "rule": "c"}),
    "native_column_cells": ("update native_column set codes[3] = 7 where dataset_id = 1",
                            {"dataset": "guest", "native_column": "View", "terms": 2, "highest": 7}),
    "cohort_label_length": ("update cohort_label set labels = labels[1:3] where cohort_id = 2 and task_id = 0",
                            {"dataset": "guest", "part": "test", "task": "Atelectasis", "labels": 3, "images": 4}),
    "cohort_label_length ": ("update cohort_label set labels[1] = 0 where cohort_id = 2 and task_id = 0",
                             {"dataset": "guest", "labels": 4, "n_pos": 2, "counted_pos": 1}),
    "feature_rows": ("delete from feature where position = 2", {"evaluation_id": 1, "vectors": 3, "images": 4}),
    "half_evaluations": ("delete from prediction where evaluation_id = 2 and task_id = 0",
                         {"evaluation_id": 2, "task": "Atelectasis"}),
    "half_evaluations ": ("delete from prediction where evaluation_id = 3", {"evaluation_id": 3, "task": None}),
    "orphans": ("delete from model where id = 1", {"table_name": "evaluation", "row": {"id": 1}, "missing": "1"}),
    "orphans ": ("delete from evaluation where id = 1",
                 {"table_name": "prediction", "row": {"evaluation_id": 1, "task_id": 8, "piece": 0},
                  "refers_to": "evaluation"}),
    "orphans  ": ("delete from image where id = 1", {"table_name": "planted_truth", "refers_to": "image"}),
    "image_lists": ("update image_list set image_ids = image_ids[2:2] || image_ids[1:1] || image_ids[3:]",
                    {"image_list_id": 2, "used_by": ["guest/test", "nih/test"]}),
    "image_lists ": ("update image set name = 'other' where id = 1", {"image_list_id": 1}),
    "image_lists  ": ("delete from image where id = 5", {"image_list_id": 2, "content": None}),
    "cohort_images": ("update image_list set image_ids = array[1, 2, 3, 4], length = 4 where id = 3",
                      {"dataset": "guest", "part": "test", "foreign_images": 4}),
    "cohort_images ": ("update image_list set image_ids[2] = image_ids[1] where id = 2",
                       {"dataset": "guest", "part": "test", "repeated": 1}),
    "patients_in_two_parts": ("update image set patient_id = 1 where id = 5",
                              {"site": "bethesda", "patient": "patient p0", "protocol": "corrected 1",
                               "parts": ["guest/test", "guest/train", "nih/test", "nih/train"]}),
    "identities": ("update image set content_hash = 'same' where id in (2, 3)",
                   {"what": "picture", "site": None, "name": "same", "as_many": 2}),
    "identities ": ("update image set original = 'i0' where id = 2",
                    {"what": "original", "site": "bethesda", "name": "i0", "as_many": 2}),
    "identities  ": ("update image set patient = 'p0' where id = 2",
                     {"what": "patient", "site": "bethesda", "name": "p0", "as_many": 2}),
    "identities   ": ("update image set canonical_id = 1 where id = 2",
                      {"what": "patient of a picture", "name": "i0", "as_many": 2}),
    "identities    ": ("update image set canonical_id = 4 where id = 5; update image set canonical_id = 3 where id = 4",
                       {"what": "canonical image", "site": "bethesda", "name": "i4"}),
    "results_without_evaluation": ("delete from evaluation where id = 3",
                                   {"table_name": "auc", "analysis": "paper/auc", "results": 1, "evaluation_ids": [3]}),
    "labels_without_source": ("update label set term_ids[2] = null where dataset_id = 1",
                              {"dataset": "guest", "task": "Pneumonia", "labels": 1}),
    "labels_without_source ": ("update dataset set source = '' where id = 1", {"dataset": "guest", "task": None}),
    "duplicates": ("alter table evaluation drop constraint uq_evaluation_model_id_image_list_id;"
                   " insert into evaluation (model_id, image_list_id) values (1, 2)",
                   {"table_name": "evaluation", "key": {"model_id": 1, "image_list_id": 2}, "rows": 2}),
    "duplicates ": ("alter table image drop constraint uq_image_site_id_name;"
                    " update image set name = 'i0' where id = 2", {"table_name": "image", "rows": 2}),
    "interventions": ("update intervention_score set logits = logits[1:3] where task_id = 8",
                      {"intervention_id": 1, "kind": "noise", "task": "Pneumonia", "scores": 3, "images": 4}),
    "interventions ": ("delete from intervention_score", {"intervention_id": 1, "task": None}),
    "interventions  ": ("update intervention_score set task_id = 3 where task_id = 8", {"intervention_id": 1, "scores": 4}),
    "schema": ("alter table prediction disable trigger guard_frozen",
               {"kind": "guard", "of": "prediction", "name": "guard_frozen"}),
    "schema ": ("drop index ix_image_name", {"kind": "index", "name": "ix_image_name"}),
    "schema  ": ("drop trigger guard_features on feature", {"kind": "guard", "name": "guard_features"}),
    "schema   ": ("alter table auc drop constraint fk_auc_analysis_id_analysis", {"kind": "constraint", "of": "auc"}),
    "schema    ": ("alter table image drop column sex cascade", {"kind": "column", "of": "image", "name": "sex"}),
}  # fmt: skip
"""Audit → a change that goes around every guard, and what is said of it. A blank behind a name: one more fault of it."""


@pytest.fixture(scope="module")
def well(server: Server, _template: str) -> Engine:
    """A database with rows in every table, in which all is well."""
    engine = create_engine(copy_template(server, _template, "audited"))
    rows = Rows(engine)
    fill(rows)
    with engine.begin() as connection:
        connection.execute(text("set local session_replication_role = replica"))
        connection.execute(text('update protocol set definition = \'{"split": {"method": "patient"}}\''))
        term = "select id from source_term where dataset_id = label.dataset_id"
        connection.execute(
            text(
                "insert into source_term (dataset_id, term) select id, 'Pneumonia' from dataset on conflict do nothing"
            )
        )
        connection.execute(text(f"update label set term_ids = array_fill(({term} limit 1), array[8])"))
        for number, listed in connection.execute(text("select id, image_ids from image_list")).all():
            names = [f"bethesda/i{image - 1}" for image in listed]
            connection.execute(
                text("update image_list set content_hash = :digest where id = :id"),
                {"id": number, "digest": list_hash(names)},
            )
    return engine


@pytest.fixture
def audited(well: Engine) -> Iterator[Connection]:
    """A transaction that goes around every guard, and is rolled back."""
    with well.connect() as connection:
        connection.execute(text("set local session_replication_role = replica"))
        yield connection
        connection.rollback()


def ask(connection: Connection, statement: str) -> CursorResult[Any]:
    return connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def look(connection: Connection) -> dict[str, Outcome]:
    return {outcome.audit.name: outcome for outcome in run(connection)}


def test_audits_find_nothing_in_a_sound_database(well: Engine, engine: Engine) -> None:
    for database in (well, engine):
        with database.connect() as connection:
            assert {name: outcome.rows for name, outcome in look(connection).items() if outcome.rows} == {}


def test_every_audit_has_a_planted_fault() -> None:
    assert {name.strip() for name in FAULTS} == {audit.name for audit in audits.audits()} | {"schema"}


@pytest.mark.parametrize("name", FAULTS)
def test_every_audit_finds_its_planted_fault(audited: Connection, name: str) -> None:
    change, expected = FAULTS[name]
    audited.exec_driver_sql(change)
    outcome = look(audited)[name.strip()]
    rows = [{key: row.get(key) for key in expected} for row in outcome.rows]
    assert expected in [{**row, "missing": str(row["missing"])} if "missing" in row else row for row in rows]


def test_an_audit_keeps_a_limited_number_of_rows(
    audited: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audits, "SHOWN", 2)
    audited.execute(text("delete from evaluation"))
    outcome = look(audited)["orphans"]
    assert len(outcome.rows) == 2
    assert outcome.more


def test_headers_of_audits_name_their_columns(audited: Connection) -> None:
    """The columns that a header names are those of the query, or of the queries that it makes."""
    for audit in audits.audits():
        script = (audits.resources.files("db") / "sql" / "audits" / f"{audit.name}.sql").read_text()
        header = re.sub(r"\([^()]*\)", "", re.findall(r"-- Columns: (.*?)\n-- Then", script, re.S)[0])
        statement = audit.statement
        if header.startswith("statement"):
            statement = ask(audited, statement).scalars().all()[0]
            header = header.split("their columns:")[1]
        columns = [column.strip(" .\n-") for column in header.split(",")]
        assert columns == list(ask(audited, f"select * from ({statement}) as a limit 0").keys()), audit.name

"""Overlaps against a plain double loop, in the database, and on the published label files."""

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from db.embedded import Server
from db.schema import Model, TrainingCohort
from db.store import Identities
from tests.xray.data.conftest import write_family
from xray.data.labeller_agreement import labeller_agreement
from xray.data.leakage import Member, overlap
from xray.data.prepare import freeze_all, register_request
from xray.data.register import register
from xray.data.request import DatasetRequest
from xray.data.sources.base import SourceTable
from xray.data.sources.datasets import dataset

MEMBERS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 5), st.booleans(), st.booleans()), max_size=15)


def member(rows: list[tuple[int, int, bool, bool]]) -> Member:
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4)
    identities = Identities(columns[:, 0], columns[:, 1], columns[:, 3] == 1, columns[:, 1])
    return Member(identities, {3: columns[:, 2].astype(bool)})


@given(MEMBERS, MEMBERS)
@settings(max_examples=100, deadline=None)
def test_overlap_equals_a_row_by_row_count(
    train: list[tuple[int, int, bool, bool]], test: list[tuple[int, int, bool, bool]]
) -> None:
    def count(rows: list[tuple[int, int, bool, bool]]) -> dict[str, int]:
        image = [any(row[0] == other[0] for other in train) for row in rows]
        patient = [any(row[1] == other[1] for other in train) for row in rows]
        unnamed = sum(row[3] for row in rows)
        return {"n": len(rows), "n_image": sum(image), "n_patient": sum(patient), "n_unknown": unnamed}

    expected: list[dict[str, Any]] = [{"task_id": None} | count(test)]
    positive = {"task_id": 3} | count([row for row in test if row[2]])
    assert overlap(member(train), member(test)) == expected + [positive] * (positive["n_patient"] > 0)


def add(engine: Engine, name: str, labels: Path) -> None:
    request = DatasetRequest(name, dataset(name).site, name, labels, None, None, labels_only=True)
    register_request(engine, request, "corrected")


def test_copies_leak_under_paper_but_not_under_corrected(engine: Engine, tmp_path: Path) -> None:
    write_family(tmp_path)
    add(engine, "nih", tmp_path / "Data_Entry_2017.csv")
    add(engine, "rsna", tmp_path / "stage_2_train_labels.csv")
    with engine.begin() as connection:
        assert freeze_all(connection, ["paper"]) == []
        rows = connection.execute(text("select * from leaking_cohorts where task is null")).all()
        across = {(row.train_dataset, row.test_dataset): row for row in rows}
        pairs = connection.execute(text("select count(*) from leakage where task_id is null")).scalar_one()
    assert {row.protocol for row in rows} == {"paper"}
    assert set(across) == {("nih", "rsna"), ("rsna", "nih"), ("rsna", "rsna")}
    assert across["nih", "rsna"].n_image == across["nih", "rsna"].n_patient > 10
    assert across["nih", "rsna"].n_unknown == 0
    assert pairs == 2 * 2 + 4 * 2


def test_models_evaluated_on_training_images_are_marked(engine: Engine, tmp_path: Path) -> None:
    write_family(tmp_path)
    add(engine, "nih", tmp_path / "Data_Entry_2017.csv")
    with engine.begin() as connection:
        freeze_all(connection, ["paper"])
        train, protocol = connection.execute(
            text("select cohort.id, protocol_id from cohort join protocol on protocol.id = protocol_id"
                 " where protocol.name = 'paper' and part = 'train'")
        ).one()  # fmt: skip
        fixed = dict(
            trained_on="nih", seed=0, network="n", image_size=8, protocol_id=protocol, recipe={}, mlflow_model="m",
            mlflow_version=1, best_epoch=1, provenance={},
        )  # fmt: skip
        model = connection.execute(
            Model.__table__.insert().values(name="m", key="k", mlflow_run_id="r", **fixed).returning(Model.id)
        ).scalar_one()
        connection.execute(TrainingCohort.__table__.insert().values(model_id=model, cohort_id=train))
        assert connection.execute(text("select count(*) from leaking_models")).scalar_one() == 0
    add(engine, "rsna", tmp_path / "stage_2_train_labels.csv")
    with engine.begin() as connection:
        freeze_all(connection, ["paper"])
        (leak,) = connection.execute(text("select * from leaking_models")).all()
        assert (leak.model, leak.test_dataset) == ("m", "rsna")
        assert leak.warning == (
            f"{leak.n_image} of {leak.n} rsna test rows show an image, {leak.n_patient} a patient of nih train"
        )
        assert connection.execute(text("select count(*) from leaking_evaluations")).scalar_one() == 0
        connection.execute(
            text(
                "insert into evaluation (model_id, image_list_id)"
                " select distinct :model, image_list_id from cohort where part = 'test'"
            ),
            {"model": model},
        )
        marked = connection.execute(text("select test_dataset, n_image from leaking_evaluations")).all()
        assert marked == [("rsna", leak.n_image)]


def test_copies_that_become_known_later_count(engine: Engine, tmp_path: Path) -> None:
    rows = "\n".join(f"i{i},,{i}.png,1" for i in range(30))
    (tmp_path / "a.csv").write_text(f"image_id,patient_id,path,Mass\n{rows}")
    for name in ("a", "b"):
        rows = "\n".join(f"{name}{i},,{i}.png,1" for i in range(30))
        (tmp_path / f"{name}.csv").write_text(f"image_id,patient_id,path,Mass\n{rows}")
        register_request(
            engine,
            DatasetRequest(name, "here", "manifest", tmp_path / f"{name}.csv", None, None, True),
            "corrected",
        )
    with engine.begin() as connection:
        assert connection.execute(text("select count(*) from leaking_cohorts")).scalar_one() == 0
    rows = "\n".join(f"{name}{i},p{i},{i}.png,1" for i in range(30) for name in "ab")
    (tmp_path / "c.csv").write_text(f"image_id,patient_id,path,Mass\n{rows}")
    register_request(
        engine, DatasetRequest("c", "here", "manifest", tmp_path / "c.csv", None, None, True), "corrected"
    )
    with engine.begin() as connection:
        result = connection.execute(
            text("select train_dataset, test_dataset from leaking_cohorts where task is null")
        ).all()
    assert ("a", "b") in {tuple(row) for row in result}


@pytest.fixture(scope="module")
def real(server: Server, _template: str, published: dict[str, SourceTable]) -> Engine:
    """nih, google and rsna as published, split under both protocols."""
    admin = create_engine(server.url("postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database real_labels template {_template}"))
    engine = create_engine(server.url("real_labels"))
    with engine.begin() as connection:
        for name in ("nih", "google", "rsna"):
            register(connection, name, dataset(name).site, name, published[name], None)
        freeze_all(connection, ["paper", "corrected"])
    return engine


def leak(engine: Engine, protocol: str, train: str, test: str, task: str | None = None) -> Any:
    with engine.connect() as connection:
        return connection.execute(
            text(
                "select n, n_image, n_patient from leaking_cohorts where (protocol, train_dataset, test_dataset)"
                " = (:protocol, :train, :test) and task is not distinct from :task"
            ),
            {"protocol": protocol, "train": train, "test": test, "task": task},
        ).one()


def test_the_paper_protocol_has_the_published_leaks(real: Engine) -> None:
    assert leak(real, "paper", "nih", "google") == (848, 129, 419)
    assert leak(real, "paper", "rsna", "rsna", "Pneumonia") == (4_751, 1_781, 1_781)
    assert leak(real, "paper", "rsna", "rsna", "Lung Opacity") == (4_751, 1_781, 1_781)


def test_the_corrected_protocol_leaks_nothing(real: Engine) -> None:
    with real.connect() as connection:
        pairs, leaking = connection.execute(
            text(
                "select count(*), count(*) filter (where n_patient > 0) from leakage"
                " join cohort on cohort.id = test_cohort_id"
                " join protocol on protocol.id = protocol_id where protocol.name = 'corrected'"
            )
        ).one()
    assert (pairs, leaking) == (3 * 2 * 3, 0)


def test_agreement_of_googles_and_nihs_pneumothorax_labels_is_reproduced(
    real: Engine, published: dict[str, SourceTable]
) -> None:
    from sklearn.metrics import cohen_kappa_score, confusion_matrix

    with real.connect() as connection:
        (result,) = labeller_agreement(connection, "google", "nih")
    google, nih = (published[name].rows for name in ("google", "nih"))
    both = google.merge(nih, on="image", suffixes=("_g", "_n"))
    google_calls = (both["Pneumothorax"] == "YES").to_numpy(int)
    nih_calls = both["Finding Labels_n"].str.contains("Pneumothorax").to_numpy(int)
    assert (result.task, result.n) == ("Pneumothorax", len(both))
    assert result.kappa.value == pytest.approx(cohen_kappa_score(google_calls, nih_calls), abs=1e-12)
    cells = [result.both_negative, result.second_only, result.first_only, result.both_positive]
    assert cells == confusion_matrix(google_calls, nih_calls).ravel().tolist()
    assert result.pabak.value == pytest.approx(2 * np.mean(google_calls == nih_calls) - 1)

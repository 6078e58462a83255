"""Test images scored again, changed to look like another site's: stored apart, and just what the network says of them."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from db.embedded import Server
from db.schema import Base
from db.store import image_ids, read_logits
from tests.conftest import copy_template
from xray.analyses.intervene_plan import Asking, steps
from xray.analyses.run import by_name, run
from xray.data.interventions import changed_logits, intervention_scores, stored_interventions
from xray.data.pictures import pixel_cache
from xray.data.prepare import prepare
from xray.data.registered import read_named
from xray.data.remove import remove
from xray.errors import AnalysisError, DataError
from xray.learning.evaluate import evaluate
from xray.learning.infer import score
from xray.learning.intervene import InterventionRequest, intervene
from xray.learning.missing import missing
from xray.learning.models import ensure_model
from xray.learning.network import load
from xray.learning.tracking import Tracker
from xray.pixels.changes import KINDS, Changed, change, keys_of
from xray.plan import record_study, requests
from xray.study import read_study

STUDY = """
name = "changed"
title = "Two hospitals"
configurations = ["each"]
seeds = [0, 1]
[[datasets]]
name = "a"
phantom = { site = "alpha", patients = 60, size = 32 }
[[datasets]]
name = "e"
phantom = { site = "echo", patients = 60, size = 32 }
[network]
name = "small_convnet"
image_size = 32
[training]
epochs = 1
batch_size = 16
"""
OURS = ("intervention_evaluation", "intervention_score")


_numbers = itertools.count()


@dataclass(frozen=True)
class Built:
    """Sites a and e, of which e's pictures are worse, and a's own model with two seeds, scored, in a database to copy."""

    database: str
    tracker: Tracker
    home: Path


@pytest.fixture(scope="module")
def built(server: Server, _template: str, mlflow_url: str, tmp_path_factory: pytest.TempPathFactory) -> Built:
    name, home = "changed", tmp_path_factory.mktemp("home of changed")
    tracker = Tracker(mlflow_url, tmp_path_factory.mktemp("artifacts of changed"))
    engine = create_engine(copy_template(server, _template, name), poolclass=NullPool)
    (home / "changed.toml").write_text(STUDY)
    study = read_study(home / "changed.toml")
    for dataset in study.datasets:
        prepare(engine, home, dataset, study.protocol, study.image_size)
    own = [request for request in requests(study) if request.trained_on == "a"]
    models = [ensure_model(engine, tracker, home, request)[0] for request in own]
    with engine.begin() as connection:
        record_study(connection, study, models)
        lists_missing = missing(connection, study.name)
    for model, lists in lists_missing.items():
        evaluate(engine, tracker, home, model, lists)
    return Built(name, tracker, home)


@pytest.fixture
def engine(server: Server, built: Built) -> Engine:
    return create_engine(
        copy_template(server, built.database, f"changed_{next(_numbers)}"), poolclass=NullPool
    )


@pytest.fixture
def tracker(built: Built) -> Tracker:
    return built.tracker


@pytest.fixture
def home(built: Built) -> Path:
    return built.home


def do(engine, tracker, home, **options) -> list:
    """What `xray intervene run` does, without Prefect; the steps."""
    asking = Asking(**options)
    with engine.begin() as connection:
        jobs = steps(connection, "changed", asking)
    for step in jobs:
        request = InterventionRequest(
            step.evaluation_id, step.target_list_id, step.kinds, asking.images, asking.seed
        )
        assert intervene(engine, tracker, home, request) == len(step.kinds)
    return jobs


def content(engine) -> dict[str, list]:
    """Rows of all tables but those of interventions."""
    with engine.connect() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(table.select()).all()))
            for table in Base.metadata.sorted_tables
            if table.name not in {*OURS, "change"}
        }


def test_changed_images_are_scored_by_the_same_network_and_kept_apart(engine, tracker, home):
    before = content(engine)
    jobs = do(engine, tracker, home, model="a")
    assert [(s.trained_on, s.model_seed, s.test_dataset, s.target_dataset, s.kinds) for s in jobs] == [
        ("a", 0, "a", "e", KINDS),
        ("a", 1, "a", "e", KINDS),
    ]
    assert content(engine) == before  # no evaluation, no prediction, nothing missing or stale
    assert do(engine, tracker, home, model="a") == []

    with engine.begin() as connection:
        datasets = {name: read_named(connection, name) for name in "ae"}
        rows = connection.execute(text("select * from interventions order by kind, seed")).mappings().all()
        stored = stored_interventions(connection, [step.evaluation_id for step in jobs])
        model = connection.execute(
            text("select mlflow_model, mlflow_version from model where seed = 1 and trained_on = 'a'")
        ).one()
        evaluation = jobs[1].evaluation_id
        lists = [
            connection.scalar(
                text("select image_list_id from evaluation where id = :id"), {"id": evaluation}
            ),
            jobs[1].target_list_id,
        ]
        listed = [image_ids(connection, list_id) for list_id in lists]
        tasks = connection.scalars(text("select distinct task_id from intervention_score order by 1")).all()
        logits = read_logits(connection, evaluation, tasks).T
        after = {
            intervention.kind: changed_logits(connection, [intervention.id], tasks)
            for intervention in stored
            if intervention.evaluation_id == evaluation
        }
    assert [(row["kind"], row["seed"], row["test_dataset"], row["target_dataset"]) for row in rows] == [
        (kind, seed, "a", "e") for kind in sorted(KINDS) for seed in (0, 1)
    ]
    assert all(intervention.is_current for intervention in stored)
    caches = [pixel_cache(datasets[name], home, 32, "centre") for name in "ae"]
    own, other = (datasets[name].places(ids) for name, ids in zip("ae", listed, strict=True))
    network = load(tracker.weights(*model))
    for kind in KINDS:
        changes = change(kind, caches[0][own], caches[1][other])
        changed = Changed(caches[0], keys_of(datasets["a"].content), changes, 0)
        columns = score(network, changed, own)[:, tasks] if changes.steps else logits
        np.testing.assert_allclose(after[kind], columns, atol=1e-5)
    assert np.abs(after["all"] - logits).max() > 1e-3


def test_other_samples_seeds_and_pictures_are_scored_again(engine, tracker, home):
    options = {"model": "a", "kinds": ("noise",)}
    first, _ = do(engine, tracker, home, **options, images=5)
    with engine.begin() as connection:
        (intervention,) = stored_interventions(connection, [first.evaluation_id])
        tasks = connection.scalars(text("select distinct task_id from intervention_score order by 1")).all()
        logits = changed_logits(connection, [intervention.id], tasks)
        n = connection.scalar(
            text("select count(distinct image) from intervention_predictions where seed = 0")
        )
    assert (np.isfinite(logits).any(axis=1).sum(), n) == (5, 5)
    assert do(engine, tracker, home, **options, images=5) == []
    with engine.begin() as connection:  # as after a kill between two kinds: each is stored when it is ready
        rest = steps(connection, "changed", Asking(model="a", kinds=("noise", "borders"), images=5))
    assert [step.kinds for step in rest] == [("borders",), ("borders",)]
    assert len(do(engine, tracker, home, **options, images=5, seed=1)) == 2
    assert len(do(engine, tracker, home, **options)) == 2
    run(engine, "changed", [by_name("interventions")])
    with engine.begin() as connection:  # as if another file lay there, and the dataset was registered anew
        listed = "select image_ids[1] from image_list where id = :id"
        changed = f"update image set content_hash = repeat('0', 64) where id = ({listed})"
        connection.execute(text(changed), {"id": first.target_list_id})
        assert not any(
            intervention.is_current
            for intervention in stored_interventions(connection, [first.evaluation_id])
        )
    assert run(engine, "changed", [by_name("interventions")]) == {"interventions": True}
    with engine.begin() as connection:
        assert connection.scalar(text("select count(*) from intervention_results")) == 0
        assert len(steps(connection, "changed", Asking(**options))) == 2


def test_the_loss_by_an_intervention_is_stored_as_a_result(engine, tracker, home):
    run(engine, "changed", [by_name("interventions")])
    do(engine, tracker, home, model="a", kinds=("all", "noise"))
    assert run(engine, "changed", [by_name("interventions")]) == {"interventions": True}
    assert run(engine, "changed", [by_name("interventions")]) == {"interventions": False}
    with engine.begin() as connection:
        rows = (
            connection.execute(text("select * from intervention_results where study = 'changed'"))
            .mappings()
            .all()
        )
        frame = intervention_scores(connection, "changed", "a", "a", "e", "all")
        run(engine, "changed", [by_name("performance")])
        stored = (
            "select task, auc from auc_results where trained_on = 'a' and test_dataset = 'a' and seed is null"
        )
        performance = {row.task: row.auc for row in connection.execute(text(stored))}
    assert {(row["trained_on"], row["train_dataset"], row["test_dataset"]) for row in rows} == {
        ("a", "a", "e")
    }
    assert {row["kind"] for row in rows} == {"all", "noise"}
    for row in (row for row in rows if row["kind"] == "all" and row["before"] is not None):
        own = frame[(frame["task"] == row["task"]) & frame["label"].notna()]
        assert row["n"] == len(own)
        assert row["before"] == pytest.approx(
            roc_auc_score(own["label"].astype(int), own["before"]), abs=1e-6
        )
        assert row["after"] == pytest.approx(roc_auc_score(own["label"].astype(int), own["after"]), abs=1e-6)
        assert row["before"] == pytest.approx(performance[row["task"]], abs=1e-6)
        assert row["loss"] == pytest.approx(row["before"] - row["after"], abs=1e-9)
        assert row["lower"] <= row["loss"] <= row["upper"]
    tested = [row for row in rows if row["p"] is not None]
    assert len(tested) > 5
    assert all(row["q"] >= row["p"] for row in tested)


def test_interventions_are_deleted_with_their_target_model_or_evaluation(engine, tracker, home):
    do(engine, tracker, home, kinds=("histogram",))
    with engine.begin() as connection:
        assert connection.scalar(text("select count(*) from intervention_evaluation")) == 2
        with pytest.raises(DataError, match="interventions"):
            remove(connection, "e")
    with engine.begin() as connection:
        remove(connection, "e", with_results=True)
        assert connection.scalar(text("select count(*) from intervention_evaluation")) == 0
        assert connection.scalar(text("select count(*) from intervention_score")) == 0


def test_an_impossible_change_is_refused_with_the_reason(engine, tracker, home):
    with engine.begin() as connection:
        for options, message in (
            ({"model": "vendor"}, "there is no model 'vendor'"),
            ({"a": "c"}, "'c'"),
            ({"a": "a", "b": "a"}, "--from and --to are both a"),
            ({"model": "a", "a": "a", "b": "e"}, None),
        ):
            if message is None:
                assert len(steps(connection, "changed", Asking(**options))) == 2
                continue
            with pytest.raises(AnalysisError, match=message):
                steps(connection, "changed", Asking(**options))
        with connection.begin_nested() as lost:
            connection.execute(text("update image set path = null"))
            with pytest.raises(AnalysisError, match="registered without pictures"):
                steps(connection, "changed", Asking(model="a"))
            lost.rollback()
        connection.execute(
            text(
                "update model set mlflow_model = null, mlflow_version = null, weights_sha256 = null,"
                " kind = 'foreign', seed = null, protocol_id = null, recipe = null, best_epoch = null,"
                " validation_auc = null, trained_at = null, card = '{}', network = null, image_size = null,"
                " mlflow_run_id = null, trained_on = name where trained_on = 'a'"
            )
        )
        name = connection.scalar(text("select min(name) from model where kind = 'foreign'"))
        with pytest.raises(AnalysisError, match=f"{name}: only its scores are here, not its network"):
            steps(connection, "changed", Asking(model=name))
        connection.rollback()

"""A model that is asked for is trained once, recorded whole, and found again."""

import dataclasses
import threading

import numpy as np
import pytest
from mlflow.tracking import MlflowClient
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from db.store import read_features, read_logits
from xray.analyses.stored import load_study
from xray.configuration import Condition
from xray.data import leakage
from xray.data.pictures import pixel_cache
from xray.errors import LearningError
from xray.learning import models
from xray.learning.evaluate import evaluate
from xray.learning.infer import outputs, score
from xray.learning.missing import missing
from xray.learning.models import ensure_model
from xray.learning.network import load
from xray.learning.request import ModelRequest, find_model, model_key, part_cohorts
from xray.plan import record_study, requests
from xray.study import read_study
from xray.tasks import TASK_INDEX

SIZE = 16


@pytest.fixture
def ask(request, quick):
    """A request of this test's own study."""
    study = request.node.name.replace("_", "-")[:50]

    def make(trained_on="a", datasets=("a",), seed=0, protocol="corrected", **changes) -> ModelRequest:
        return ModelRequest(
            study, trained_on, datasets, protocol, dataclasses.replace(quick, **changes), seed
        )

    return make


@pytest.fixture
def client(mlflow_url) -> MlflowClient:
    return MlflowClient(mlflow_url, mlflow_url)


def rows(engine, query: str) -> list:
    with engine.begin() as connection:
        return list(connection.execute(text(query)))


def test_a_model_is_trained_once_and_recorded_whole(engine, tracker, home, draw, ask, client):
    draw("a", "b")
    request = ask("both", ("a", "b"), seed=4)
    model_id, new = ensure_model(engine, tracker, home, request)
    assert new
    assert ensure_model(engine, tracker, home, request) == (model_id, False)
    (row,) = rows(engine, "select * from model")
    assert (row.id, row.trained_on, row.seed, row.network, row.image_size) == (
        model_id,
        "both",
        4,
        "small_convnet",
        16,
    )
    assert row.name == f"{request.study}.both/1"
    assert row.recipe == dataclasses.asdict(request.recipe)
    assert row.provenance["torch"]
    assert row.provenance["hardware"]["cores"] >= 1
    assert row.configuration == {
        "name": "both",
        "datasets": ["a", "b"],
        "tasks": [],
        "where": [],
        "findings": list(TASK_INDEX),
    }
    card = client.get_model_version(row.mlflow_model, str(row.mlflow_version)).description
    assert f"# {request.study}.both, seed 4" in card
    assert f"Mean validation AUC: {row.validation_auc:.3f}." in card
    for line in ("| a | a | train |", "| b | b | validation |", "## Limits"):
        assert line in card
    run = client.get_run(row.mlflow_run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["validation_auc"] == pytest.approx(row.validation_auc)
    assert 0 <= run.data.metrics["waiting"] <= 1
    (saved,) = [file.path for file in client.list_artifacts(row.mlflow_run_id) if file.path.endswith(".md")]
    assert saved == "model_card.md"
    cohorts = rows(
        engine,
        "select dataset.name || ' ' || part as part from training_cohort join cohort on cohort.id = cohort_id"
        " join dataset on dataset.id = dataset_id",
    )
    assert sorted(cohort.part for cohort in cohorts) == ["a train", "a validation", "b train", "b validation"]
    inputs = {(i.dataset.name, i.tags[0].value) for i in run.inputs.dataset_inputs}
    assert inputs == {("a", "train"), ("a", "validation"), ("b", "train"), ("b", "validation")}
    outputs = {
        task.name for task in rows(engine, "select name from task join model_task on task_id = task.id")
    }
    labelled = rows(
        engine,
        "select task_id, sum(n_pos) as pos, sum(n_neg) as neg from cohort_label"
        " join cohort on cohort.id = cohort_id where part = 'train' group by 1",
    )
    assert {TASK_INDEX[name] for name in outputs} == {r.task_id for r in labelled if r.pos and r.neg}
    weights, bias = load(tracker.weights(row.mlflow_model, row.mlflow_version)).classifier()
    stored = rows(engine, "select dataset_id, task_id, weights, bias from classifier")
    assert {row.task_id for row in stored} == {TASK_INDEX[name] for name in outputs}
    for model_row in stored:
        assert model_row.dataset_id is None
        np.testing.assert_array_equal(np.float32(model_row.weights), weights[model_row.task_id].numpy())
        assert np.float32(model_row.bias) == bias[model_row.task_id].numpy()


def test_simultaneous_requests_train_one_model(engine, tracker, home, draw, ask, client):
    draw("a")
    outcomes: list[tuple[int, bool]] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(ensure_model(engine, tracker, home, ask())))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new for _, new in outcomes) == [False, False, True]
    assert len({model for model, _ in outcomes}) == 1
    assert len(client.search_model_versions(f"name = '{ask().study}.a'")) == 1


def test_a_model_of_unprepared_datasets_is_refused(engine, tracker, home, draw, ask):
    draw("a")
    request = ask("both", ("a", "b"))
    with engine.begin() as connection:
        assert model_key(connection, request) is None
    with pytest.raises(LearningError, match="both: its datasets are not all prepared yet"):
        ensure_model(engine, tracker, home, request)


def test_a_failed_training_leaves_no_model_and_can_be_repeated(
    engine, tracker, home, draw, ask, client, monkeypatch
):
    draw("a")
    bad = ask(learning_rate=1e30, epochs=4)
    with pytest.raises(LearningError, match="loss is not finite"):
        ensure_model(engine, tracker, home, bad)
    assert rows(engine, "select * from model") == []
    experiment = client.get_experiment_by_name(bad.study).experiment_id
    (run,) = client.search_runs([experiment])
    assert run.info.status == "FAILED"
    assert "not finite" in run.data.tags["xray.failure"]
    with pytest.raises(LearningError):
        ensure_model(engine, tracker, home, bad)
    assert len(client.search_runs([experiment])) == 1
    _, new = ensure_model(engine, tracker, home, ask())
    assert new


def test_a_training_interrupted_before_its_record_is_removed(
    engine, tracker, home, draw, ask, client, monkeypatch
):
    """The database goes away between MLflow's version and our row: the version must not stay."""
    draw("a")

    def cut(*_):
        raise OperationalError("insert", {}, Exception("server closed the connection"))

    with monkeypatch.context() as patch:
        patch.setattr(models, "_record", cut)
        with pytest.raises(OperationalError):
            ensure_model(engine, tracker, home, ask())
    name = f"{ask().study}.a"
    (left,) = client.search_model_versions(f"name = '{name}'")
    model_id, new = ensure_model(engine, tracker, home, ask())
    assert new
    (version,) = client.search_model_versions(f"name = '{name}'")
    assert version.run_id != left.run_id
    (row,) = rows(engine, "select * from model")
    assert (row.id, str(row.mlflow_version), row.mlflow_run_id) == (
        model_id,
        str(version.version),
        version.run_id,
    )
    assert str(client.get_model_version_by_alias(name, "seed-0").version) == str(version.version)


def test_the_paper_cuts_its_validation_part_by_the_seed_of_the_run(engine, tracker, home, draw, ask):
    draw("a", protocol="paper", patients=60)
    first, _ = ensure_model(engine, tracker, home, ask(protocol="paper"))
    second, _ = ensure_model(engine, tracker, home, ask(protocol="paper", seed=1))
    assert first != second
    parts = rows(engine, "select part from training_cohort join cohort on cohort.id = cohort_id")
    assert {row.part for row in parts} == {"train"}
    fits = []
    for seed in (0, 1):
        request = ask(protocol="paper", seed=seed)
        with engine.begin() as connection:
            whole = part_cohorts(connection, request, "train")
            none = part_cohorts(connection, request, "validation")
        fit, select_on = models._parts(whole, none, home, request)
        together = np.concatenate([fit.positions, select_on.positions])
        assert len(select_on.positions) == pytest.approx(0.2 * len(together), abs=1)
        everything = whole.datasets[0].places(whole.cohorts[0].images)
        assert sorted(together) == sorted(everything)
        fits.append(set(select_on.positions))
    assert fits[0] != fits[1]


def test_pooled_parts_have_the_pictures_and_labels_of_each_dataset(engine, home, draw, ask):
    draw("a", "b")
    request = ask("both", ("b", "a"))
    with engine.begin() as connection:
        training, validation = (part_cohorts(connection, request, p) for p in ("train", "validation"))
    part, _ = models._parts(training, validation, home, request)
    assert [dataset.name for dataset in training.datasets] == ["b", "a"]
    start = 0
    for dataset, cohort in zip(training.datasets, training.cohorts, strict=True):
        n = len(cohort.images)
        places = dataset.places(cohort.images)
        expected = pixel_cache(dataset, home, SIZE, "centre").pixels[places]
        np.testing.assert_array_equal(part.pixels[part.positions[start : start + n]], expected)
        np.testing.assert_array_equal(part.labels[start : start + n], cohort.labels)
        start += n
    assert start == len(part.positions) == len(part.labels)


def test_the_same_data_under_two_names_are_two_models(engine, tracker, home, draw, ask):
    """ "all" of two sites is "all but c" once there is a third; results of the two must not be mixed up."""
    draw("a", "b")
    first, _ = ensure_model(engine, tracker, home, ask("all", ("a", "b")))
    second, new = ensure_model(engine, tracker, home, ask("all-but-c", ("a", "b")))
    assert new
    assert first != second
    names = rows(engine, "select trained_on from model order by id")
    assert [row.trained_on for row in names] == ["all", "all-but-c"]


def test_other_studies_reuse_the_model(engine, tracker, home, draw, ask):
    draw("a")
    model_id, _ = ensure_model(engine, tracker, home, ask())
    elsewhere = dataclasses.replace(ask(), study="another-study")
    assert ensure_model(engine, tracker, home, elsewhere) == (model_id, False)
    with engine.begin() as connection:
        assert find_model(connection, "no such key") is None


# Configurations


def test_a_study_trains_every_kind_of_configuration(engine, tracker, home, draw, ask):
    """Trained, recorded with what they used, and scored; a second run finds them all."""
    draw("a", "b", "c")
    (home / "study.toml").write_text(
        f"""
        name = "{ask().study}"
        configurations = ["each", "all", "all but one site", "pairs"]
        seeds = [0]
        {"".join(f'[[datasets]]{chr(10)}name = "{name}"{chr(10)}' for name in "abc")}
        [[configuration]]
        name = "men"
        datasets = ["a"]
        where = {{ sex = "M" }}
        [[configuration]]
        name = "two-tasks"
        datasets = ["a", "b"]
        tasks = ["Effusion", "Mass"]
        """
    )
    study = dataclasses.replace(read_study(home / "study.toml"), recipe=ask().recipe)
    configurations = requests(study)
    names = ["a", "b", "c", "all", "all-but-a", "all-but-b", "all-but-c", "men", "two-tasks"]
    assert [
        request.trained_on for request in configurations
    ] == names  # of three sites, all but one are the pairs
    models = {request.trained_on: ensure_model(engine, tracker, home, request) for request in configurations}
    assert all(new for _, new in models.values())
    assert {
        name: ensure_model(engine, tracker, home, r)[0] for name, r in zip(names, configurations, strict=True)
    } == {name: model for name, (model, _) in models.items()}
    ids = {name: model for name, (model, _) in models.items()}
    cohorts = rows(
        engine,
        "select trained_on, part, cohort.image_list_id as whole, training_cohort.image_list_id as used"
        " from training_cohort join model on model.id = model_id join cohort on cohort.id = cohort_id",
    )
    assert {row.trained_on for row in cohorts if row.used is not None} == {"men"}
    for row in cohorts:
        if row.trained_on == "men":
            (stored_model,) = rows(
                engine,
                "select array_agg(distinct sex) as sexes, count(*) as n,"
                f" (select count(*) from image_list, unnest(image_ids) as i join image on image.id = i"
                f"   where image_list.id = {row.whole} and sex = 'M') as expected"
                f" from image_list, unnest(image_ids) as listed join image on image.id = listed"
                f" where image_list.id = {row.used}",
            )
            assert stored_model.sexes == ["M"]
            assert stored_model.n == stored_model.expected
    tasks = rows(
        engine,
        f"select name from model_task join task on task.id = task_id where model_id = {ids['two-tasks']}",
    )
    assert {row.name for row in tasks} <= {"Effusion", "Mass"}
    assert tasks
    with engine.begin() as connection:
        record_study(connection, study, list(ids.values()))
        for model, lists in missing(connection, study.name).items():
            assert len(lists) == 3, model
    for model, lists in missing_of(engine, study.name).items():
        evaluate(engine, tracker, home, model, lists)
    assert missing_of(engine, study.name) == {}
    with engine.begin() as connection:
        stored = load_study(connection, study.name)
    assert stored.partial == {"men", "two-tasks"}
    assert stored.trained_on_exactly(("a",)) == "a"
    assert stored.trained_on_exactly(("a", "b")) == "all-but-c"


def missing_of(engine, study: str) -> dict[int, list[int]]:
    with engine.begin() as connection:
        return missing(connection, study)


def test_only_training_images_leak_into_a_model(engine, tracker, home, draw, ask):
    """Two labellers of one site under a split of rows: only the images that a model used can leak into its tests."""
    draw("a", protocol="paper", patients=60)
    with engine.begin() as connection:
        connection.execute(
            text(  # the same pictures, tested: a training cohort's list as a test cohort of another dataset
                "insert into dataset (name, site_id, image_list_id, source, content_hash)"
                " select 'again', site_id, cohort.image_list_id, 'csv', 'again' from dataset join cohort on dataset_id ="
                " dataset.id where name = 'a' and part = 'train'"
            )
        )
        connection.execute(
            text(
                "insert into cohort (dataset_id, protocol_id, part, image_list_id, content_hash)"
                " select again.id, protocol_id, 'test', again.image_list_id, 'again' from dataset as again, cohort"
                " where again.name = 'again' and part = 'train'"
            )
        )
    whole, _ = ensure_model(engine, tracker, home, ask(protocol="paper"))
    men = dataclasses.replace(ask(protocol="paper"), trained_on="men", where=(Condition("sex", ("M",)),))
    part, _ = ensure_model(engine, tracker, home, men)
    with engine.begin() as connection:
        leakage.record_all(connection)
        leakage.record_all(connection)
        n_men = len(part_cohorts(connection, men, "train").cohorts[0].images)
        n_all = len(part_cohorts(connection, ask(protocol="paper"), "train").cohorts[0].images)
    assert 0 < n_men < n_all
    leaks = {
        row.model_id: row for row in rows(engine, "select * from leaking_models where test_dataset = 'again'")
    }
    assert (leaks[whole].n, leaks[whole].n_image) == (n_all, n_all)
    assert (leaks[part].n, leaks[part].n_image) == (n_all, n_men)
    assert (
        len(rows(engine, "select * from leaking_cohorts where test_dataset = 'again' and task is null")) == 1
    )


def test_a_condition_that_no_image_fits_is_an_error(engine, tracker, home, draw, ask):
    draw("a")
    nobody = dataclasses.replace(ask(), where=(Condition("age", least=200.0),))
    with pytest.raises(LearningError, match="a: no train image of a fits age from 200"):
        ensure_model(engine, tracker, home, nobody)


def test_a_head_per_dataset_is_recorded_and_used_for_its_own_images(engine, tracker, home, draw, ask):
    draw("a", "b", "c")
    request = ask("heads", ("a", "b"), heads="per dataset", penalty=0.1)
    model_id, _ = ensure_model(engine, tracker, home, request)
    stored = rows(
        engine, "select name, task_id, bias from classifier join dataset on dataset.id = dataset_id"
    )
    network = load(tracker.weights(f"{request.study}.heads", 1))
    assert len(stored) == network.trained.sum()
    bias = network.classifier()[1].numpy().reshape(network.trained.shape)
    for row in stored:
        head = network.heads.index(row.name)
        assert network.trained[head, row.task_id]
        assert np.float32(row.bias) == bias[head, row.task_id]
    evaluate(engine, tracker, home, model_id, missing_of(engine, None)[model_id])
    for name in "abc":
        with engine.begin() as connection:
            test = part_cohorts(connection, ask(name, (name,)), "test")
            (evaluation,) = connection.scalars(
                text("select id from evaluation where image_list_id = :id"),
                {"id": test.cohorts[0].image_list_id},
            )
            logits = read_logits(connection, evaluation, range(len(TASK_INDEX)))
        positions = test.datasets[0].places(test.cohorts[0].images)
        every = outputs(network, pixel_cache(test.datasets[0], home, SIZE, "centre"), positions)
        task = int(np.flatnonzero(network.trained.all(axis=0))[0])
        expected = (
            every[:, :, task].mean(axis=1) if name == "c" else every[:, network.heads.index(name), task]
        )
        np.testing.assert_allclose(logits[task], expected, atol=1e-4)


# Evaluations


def test_missing_evaluations_are_filled_once_with_the_networks_logits(engine, tracker, home, draw, ask):
    draw("a", "b")
    model_id, _ = ensure_model(engine, tracker, home, ask())
    with engine.begin() as connection:
        lists_missing = missing(connection)
    assert list(lists_missing) == [model_id]
    assert len(lists_missing[model_id]) == 2
    assert evaluate(engine, tracker, home, model_id, lists_missing[model_id]) == 2
    with engine.begin() as connection:
        assert missing(connection) == {}
    assert evaluate(engine, tracker, home, model_id, lists_missing[model_id]) == 0
    assert len(rows(engine, "select * from evaluation")) == 2

    (model,) = rows(engine, "select * from model")
    network = load(tracker.weights(model.mlflow_model, model.mlflow_version))
    stored = rows(
        engine,
        "select image, task, logit, path from predictions join image on name = image and"
        " path like '%' || test_dataset || '%' where test_dataset = 'b' order by image, task",
    )
    assert len(stored) > 20
    with engine.begin() as connection:
        cohort = part_cohorts(connection, ask("b", ("b",)), "test")
    cache = pixel_cache(cohort.datasets[0], home, SIZE, "centre")
    images = dict(
        zip(cohort.cohorts[0].images, cohort.datasets[0].places(cohort.cohorts[0].images), strict=True)
    )
    ids = {
        row.name: row.id
        for row in rows(
            engine,
            "select image.name, image.id from image join site on site.id = site_id where site.name = 'b'",
        )
    }
    for row in stored:
        logits = score(network, cache.pixels, np.array([images[ids[row.image]]]))
        assert logits[0, TASK_INDEX[row.task]] == pytest.approx(row.logit, abs=1e-4)


def test_features_that_a_study_asks_for_are_stored_with_the_scores(engine, tracker, home, draw, ask):
    """Of every image of the dataset, also those in no cohort; logits follow from them and the stored classifier."""
    draw("a", "b")
    first, _ = ensure_model(engine, tracker, home, ask(seed=3))
    second, _ = ensure_model(engine, tracker, home, ask(seed=1))
    text_of = f"""
        name = "{ask().study}"
        seeds = [3, 1]
        features = ["b"]
        [[datasets]]
        name = "a"
        [[datasets]]
        name = "b"
    """
    (home / "study.toml").write_text(text_of)
    study = read_study(home / "study.toml")
    with engine.begin() as connection:
        record_study(connection, study, [first, second])
        requested = connection.execute(text("select model_id, dataset from missing_features")).all()
        lists_missing = missing(connection, study.name)
    assert [tuple(row) for row in requested] == [(first, "b")]
    assert [len(lists_missing[first]), len(lists_missing[second])] == [3, 2]
    evaluate(engine, tracker, home, first, lists_missing[first])
    evaluate(engine, tracker, home, second, lists_missing[second])
    with engine.begin() as connection:
        assert missing(connection, study.name) == {}
    (list_id, length, evaluation) = rows(
        engine,
        "select image_list.id, length, evaluation.id from dataset join image_list on image_list.id = image_list_id"
        f" join evaluation on evaluation.image_list_id = image_list.id where name = 'b' and model_id = {first}",
    )[0]
    with engine.begin() as connection:
        features = read_features(connection, evaluation)
        logits = read_logits(connection, evaluation, range(len(TASK_INDEX)))
    assert features.shape == (length, 96)
    assert len(rows(engine, "select distinct evaluation_id from feature")) == 1
    for row in rows(engine, f"select task_id, weights, bias from classifier where model_id = {first}"):
        expected = features @ np.float32(row.weights) + row.bias
        np.testing.assert_allclose(logits[row.task_id], expected, atol=1e-3)
    # an evaluation that is there already gets its features too
    with engine.begin() as connection:
        connection.execute(text("delete from feature"))
        assert missing(connection, study.name) == {first: [list_id]}
    assert evaluate(engine, tracker, home, first, [list_id]) == 0
    with engine.begin() as connection:
        np.testing.assert_array_equal(read_features(connection, evaluation), features)


def test_a_list_that_another_process_scored_meanwhile_is_left_unchanged(engine, tracker, home, draw, ask):
    draw("a")
    model_id, _ = ensure_model(engine, tracker, home, ask())
    with engine.begin() as connection:
        lists_missing = missing(connection)[model_id]
    counts: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: counts.append(evaluate(engine, tracker, home, model_id, lists_missing))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 1
    assert len(rows(engine, "select * from evaluation")) == 1

"""Classifier vectors and features: against scikit-learn's PCA and by hand, from rows as training stores them."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sqlalchemy import insert, select, text

from db.schema import Classifier, Dataset, Label
from db.store import write_features
from xray.analyses import shown
from xray.analyses.classifier_map import components
from xray.analyses.run import by_name, run, run_all
from xray.analyses.view_classifier import features
from xray.report import spots
from xray.tasks import TASK_INDEX, TASKS

CLASSIFIERS = [by_name("classifier_map"), by_name("classifier_distance")]
FEATURES = [by_name("feature_map"), by_name("view_classifier")]


def rows_of(engine, table):
    with engine.begin() as connection:
        return [
            dict(r)
            for r in connection.execute(text(f"select * from {table}_results order by position")).mappings()
        ]


@pytest.fixture
def heads(two_sites):
    """Weights of the two seeds of "all": Effusion is alike at both datasets, Edema far apart."""
    rng = np.random.default_rng(4)
    weights = {}
    with two_sites.engine.begin() as connection:
        models = connection.execute(
            text("select id, seed from model where trained_on = 'all' order by seed")
        ).all()
        datasets = {r.name: r.id for r in connection.execute(select(Dataset.name, Dataset.id))}
        for model in models:
            base = rng.normal(size=(2, 12))
            for index, task in enumerate(("Effusion", "Edema")):
                for name in "xy":
                    vector = (base[index] + (0.1, 2.0)[index] * rng.normal(size=12)).astype(np.float32)
                    weights[model.seed, name, task] = vector
                    connection.execute(
                        insert(Classifier).values(
                            model_id=model.id, dataset_id=datasets[name], task_id=TASK_INDEX[task],
                            weights=vector.tolist(), bias=0.0,
                        )
                    )  # fmt: skip
    return weights


def test_axes_equal_scikit_learn(two_sites, heads):
    run(two_sites.engine, "test", CLASSIFIERS)
    rows = rows_of(two_sites.engine, "classifier_map")
    assert len(rows) == 8
    for seed in (0, 1):
        rows_of_model = [r for r in rows if r["seed"] == seed]
        vectors = np.array([heads[seed, r["dataset"], r["task"]] for r in rows_of_model], dtype=float)
        fitted = PCA(2).fit(vectors)
        expected = fitted.transform(vectors)
        for axis, name in enumerate("xy"):
            values = np.array([r[name] for r in rows_of_model])
            sign = np.sign(values @ expected[:, axis])
            np.testing.assert_allclose(values, sign * expected[:, axis], atol=1e-6)
            assert rows_of_model[0][f"explained_{name}"] == pytest.approx(
                fitted.explained_variance_ratio_[axis], abs=1e-6
            )


def test_the_share_that_an_axis_explains_does_not_depend_on_the_unit():
    vectors = np.random.default_rng(3).normal(size=(6, 9))
    for unit in (1, 1e-3, 1e3):
        _, explained = components(unit * vectors)
        assert explained == pytest.approx(PCA(2).fit(vectors).explained_variance_ratio_)
    _, explained = components(np.ones((4, 3)))
    assert explained.tolist() == [0, 0]


def test_distances_are_relative_to_the_other_tasks(two_sites, heads):
    run_all(two_sites.engine, "test")
    rows = {(r["task"], r["seed"]): r for r in rows_of(two_sites.engine, "classifier_distance")}
    apart = {
        (task, seed): np.linalg.norm(heads[seed, "x", task].astype(float) - heads[seed, "y", task])
        for task in ("Effusion", "Edema")
        for seed in (0, 1)
    }
    for seed in (0, 1):
        mean = (apart["Effusion", seed] + apart["Edema", seed]) / 2
        for task in ("Effusion", "Edema"):
            assert rows[task, seed]["distance"] == pytest.approx(apart[task, seed])
            assert rows[task, seed]["relative"] == pytest.approx(apart[task, seed] / mean)
    mean = (rows["Edema", 0]["relative"] + rows["Edema", 1]["relative"]) / 2
    assert rows["Edema", None]["relative"] == pytest.approx(mean)
    assert mean > 1
    areas = rows_of_auc(two_sites.engine)
    assert rows["Effusion", None]["cross_domain_auc"] == pytest.approx(
        (areas["x", "y"] + areas["y", "x"]) / 2
    )
    assert rows["Edema", None]["cross_domain_auc"] is None  # y's labels of it are of one class


def rows_of_auc(engine):
    with engine.begin() as connection:
        rows = connection.execute(
            text(
                "select trained_on, test_dataset, auc from auc_results where seed is null and task = 'Effusion'"
            )
        )
        return {(r.trained_on, r.test_dataset): r.auc for r in rows}


def test_new_heads_of_a_model_make_only_the_classifier_analyses_stale(two_sites, heads):
    assert all(run_all(two_sites.engine, "test").values())
    with two_sites.engine.begin() as connection:
        connection.execute(text("delete from classifier where id = (select max(id) from classifier)"))
    stale = {name for name, computed in run_all(two_sites.engine, "test").items() if computed}
    assert stale == {"classifier_map", "classifier_distance"}


def test_lateral_and_frontal_views_are_separated_by_features(two_sites, tmp_path):
    rng = np.random.default_rng(6)
    lateral = np.arange(60) % 3 == 0
    with two_sites.engine.begin() as connection:
        evaluation = connection.scalar(text("select min(id) from evaluation"))
        listed = connection.scalar(
            text("select image_list_id from evaluation where id = :id"), {"id": evaluation}
        )
        connection.execute(
            text(
                "update image set view = case when listed.position % 3 = 1 then 'LATERAL' else 'PA' end from image_list,"
                " unnest(image_ids) with ordinality as listed (image_id, position) where image_list.id = :listed"
                " and image.id = listed.image_id"
            ),
            {"listed": listed},
        )
        images, dataset = connection.execute(
            text(
                "select image_ids, dataset.id from image_list join dataset on image_list_id = image_list.id"
                " where image_list.id = :listed"
            ),
            {"listed": listed},
        ).one()
        states = [1] + [0] * 59
        connection.execute(
            insert(Label).values(dataset_id=dataset, task_id=TASK_INDEX["Effusion"], states=states)
        )
        shifted = rng.normal(size=(60, 8)) + 4 * lateral[:, None]
        write_features(connection, evaluation, shifted.astype(np.float32))
    assert run(two_sites.engine, "test", FEATURES) == {"feature_map": True, "view_classifier": True}
    contrasts, without = rows_of(two_sites.engine, "view_classifier")
    assert (contrasts["told"], contrasts["n"], contrasts["n_pos"]) == ("lateral", 60, 20)
    assert contrasts["auc"] > 0.99
    assert (without["told"], without["n"], without["auc"]) == ("AP", 40, None)
    positions = rows_of(two_sites.engine, "feature_map")
    assert len(positions) == 60
    at = {
        view: np.array([[r["x"], r["y"]] for r in positions if r["view"] == view])
        for view in ("PA", "LATERAL")
    }
    spread = max(part.std(axis=0).max() for part in at.values())
    assert np.linalg.norm(at["PA"].mean(axis=0) - at["LATERAL"].mean(axis=0)) > spread
    with two_sites.engine.begin() as connection:
        parts = [shown.part(connection, "test", name) for name in FEATURES]
    assert [path.suffix for path in shown.write_figure(parts[0], tmp_path)] == [".png", ".svg", ".csv"]
    assert parts[0].draw is not None
    answering = spots.of(parts[0].draw())
    assert sorted(spot.image or 0 for spot in answering) == sorted(images)
    (lines,) = [spot.lines for spot in answering if spot.image == images[0]]
    assert lines == (f"image {images[0]}, view LATERAL", "x: Effusion", positions[0]["method"])
    assert [spot.lines[1] for spot in answering if spot.image == images[1]] == ["x: no finding is positive"]
    assert "lateral views are told from frontal ones" in parts[1].findings[0]


@pytest.mark.parametrize(
    ("view", "is_lateral"),
    [("LATERAL", 1), ("LL", 1), ("PA", 0), ("ap", 0), ("AP_HORIZONTAL", 0), (None, None), ("X", None)],
)
def test_names_of_views_are_classified_as_lateral_or_frontal(view, is_lateral):
    label = features.is_view(view, features.LATERAL, features.FRONTAL)
    assert np.isnan(label) if is_lateral is None else label == is_lateral


def test_without_heads_and_features_there_are_no_rows_and_a_sentence_says_why(two_sites):
    run_all(two_sites.engine, "test")
    with two_sites.engine.begin() as connection:
        parts = [shown.part(connection, "test", name) for name in (*CLASSIFIERS, *FEATURES)]
    assert [len(part.data) for part in parts] == [0, 0, 0, 0]
    assert all(part.findings for part in parts)
    assert len(TASKS) == 18

"""AUC rows: against scikit-learn, and a reason wherever there is no number."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sqlalchemy import Engine, text

from xray.analyses import performance
from xray.analyses.stored import load_study, load_tests
from xray.data.foreign_models import add_foreign
from xray.tasks import TASK_INDEX, TASKS


def rows_of(engine: Engine) -> dict[tuple[str, str, str, int | None], dict]:
    with engine.begin() as connection:
        study = load_study(connection, "test")
        tests = load_tests(connection, study)
    names = {test.cohort.id: test.dataset for test in tests}
    rows = list(performance.compute(study, tests))
    by_key = {(r["trained_on"], names[r["cohort_id"]], TASKS[r["task_id"]], r["seed"]): r for r in rows}
    assert len(by_key) == len(rows)
    return by_key


def test_values_equal_scikit_learn(two_sites):
    rows = rows_of(two_sites.engine)
    with two_sites.engine.begin() as connection:
        tests = load_tests(connection, load_study(connection, "test"))
    checked = 0
    for test in tests:
        labels = test.cohort.labels
        for name in ("x", "y", "all"):
            logits = {e.seed: test.logits[e.evaluation_id] for e in test.of(name)}
            logits[None] = np.mean([logits[0], logits[1]], axis=0, dtype=np.float64)
            for seed, scores in logits.items():
                for task in ("Effusion", "Mass", "Edema"):
                    column = TASK_INDEX[task]
                    labelled = ~np.isnan(labels[:, column]) & ~np.isnan(scores[column])
                    row = rows[name, test.dataset, task, seed]
                    assert row["n"] == (~np.isnan(labels[:, column])).sum()
                    assert row["n_pos"] == (labels[:, column] == 1).sum()
                    if labelled.any() and len(set(labels[labelled, column])) == 2:
                        expected = roc_auc_score(labels[labelled, column], scores[column, labelled])
                        assert row["auc"] == pytest.approx(expected, abs=1e-12)
                        assert row["lower"] < row["auc"] < row["upper"]
                        assert row["reason"] is None
                        checked += 1
                    else:
                        assert row["auc"] is row["lower"] is row["upper"] is None
                        assert row["reason"]
    assert checked == 3 * (3 + 1 + 1 + 1 + 3 + 1)


def test_untrained_and_unlabelled_cells_have_a_reason(two_sites):
    rows = rows_of(two_sites.engine)
    for seed in (None, 0, 1):
        assert rows["y", "x", "Mass", seed]["reason"] == "not trained"
        assert rows["x", "y", "Mass", seed]["reason"] == "not labelled"
        assert rows["y", "y", "Mass", seed]["reason"] == "not labelled"
        assert rows["x", "y", "Edema", seed]["reason"] == "one class"
        assert rows["y", "y", "Edema", seed]["reason"] == "not trained"
        assert rows["x", "x", "Effusion", seed]["reason"] is None
    assert {task for _, _, task, _ in rows} == {"Effusion", "Mass", "Edema"}


def test_rows_name_the_evaluations_that_they_come_from(two_sites):
    rows = rows_of(two_sites.engine)
    with two_sites.engine.begin() as connection:
        study = load_study(connection, "test")
    for (trained_on, _, _, seed), row in rows.items():
        rows_of_model = [
            e.evaluation_id
            for e in study.evaluations
            if e.trained_on == trained_on and e.cohort_id == row["cohort_id"] and seed in (None, e.seed)
        ]
        assert row["evaluation_ids"] == rows_of_model
        assert len(rows_of_model) == (2 if seed is None else 1)
        assert ("mean logits" in row["method"]) == (seed is None)


def test_an_output_that_only_one_seed_trained_has_no_ensemble(world):
    """Its AUC stands with that seed; the ensemble and the other seed have none."""
    labels = [0, 1] * 10
    scores = np.arange(20.0) + 3 * np.array(labels)
    world.dataset("x", {"Effusion": labels, "Mass": labels})
    both = world.model("x", 0, ["x"], ["Effusion", "Mass"])
    one = world.model("x", 1, ["x"], ["Effusion"])
    world.score(both, "x", {"Effusion": scores, "Mass": scores})
    world.score(one, "x", {"Effusion": -scores})
    world.study(["x"], [both, one])
    rows = rows_of(world.engine)
    expected = roc_auc_score(labels, scores)
    assert rows["x", "x", "Mass", 0]["auc"] == pytest.approx(expected, abs=1e-12)
    assert rows["x", "x", "Mass", 0]["reason"] is None
    for seed in (1, None):
        assert (rows["x", "x", "Mass", seed]["auc"], rows["x", "x", "Mass", seed]["reason"]) == (
            None,
            "not trained",
        )
    assert rows["x", "x", "Effusion", None]["auc"] == 0.5  # the seeds cancel out: the mean is constant


def test_an_image_that_could_not_be_scored_is_left_out(world):
    labels = [0.0, 1, 0, 1, 0, 1, 1, 0]
    scores = np.array([0.1, 0.9, 0.2, 0.4, 0.5, 0.6, np.nan, 3])
    world.dataset("x", {"Effusion": labels})
    model = world.model("x", 0, ["x"], ["Effusion"])
    world.score(model, "x", {"Effusion": scores})
    world.study(["x"], [model])
    row = rows_of(world.engine)["x", "x", "Effusion", 0]
    labelled = ~np.isnan(scores)
    assert row["auc"] == pytest.approx(roc_auc_score(np.array(labels)[labelled], scores[labelled]), abs=1e-12)
    assert (row["n"], row["n_pos"]) == (7, 3)


def test_one_positive_has_a_value_without_an_interval(world):
    world.dataset("x", {"Effusion": [1, 0, 0, 0]})
    model = world.model("x", 0, ["x"], ["Effusion"])
    world.score(model, "x", {"Effusion": [2, 1, 3, 0]})
    world.study(["x"], [model])
    row = rows_of(world.engine)["x", "x", "Effusion", 0]
    assert row["auc"] == pytest.approx(2 / 3)
    assert (row["lower"], row["upper"], row["reason"]) == (None, None, "fewer than two positives")


@pytest.mark.parametrize(
    ("value", "expected"), [(0.5, 0.5), (np.float32(0.25), 0.25), (np.nan, None), (0.0, 0.0)]
)
def test_non_finite_numbers_become_null_in_the_database(value, expected):
    stored_value = performance.number(value)
    assert stored_value == expected
    assert stored_value is None or type(stored_value) is float


@pytest.mark.parametrize(("images", "clustered"), [(1, False), (4, True)])
def test_the_method_says_whose_model_it_is_and_whether_patients_are_the_units(world, images, clustered):
    rng = np.random.default_rng(1)
    label = (np.arange(240) // images % 3 == 0).astype(float)
    world.dataset("x", {"Effusion": label}, images_per_patient=images)
    own = world.model("x", 0, ["x"], ["Effusion"])
    with world.engine.begin() as connection:
        foreign = add_foreign(connection, "theirs", {"kind": "scores"}, ["Effusion"], ["x"])
    for model in (own, foreign):
        world.score(model, "x", {"Effusion": label + rng.normal(size=240)})
    world.study(["x"], [own, foreign])
    with world.engine.begin() as connection:
        connection.execute(text("update study set protocol_id = (select id from protocol)"))
    rows = rows_of(world.engine)
    own_method, foreign_method = (
        rows["x", "x", "Effusion", None]["method"],
        rows["theirs", "x", "Effusion", None]["method"],
    )
    assert own_method.startswith("AUC of mean logits over seeds, ")
    assert foreign_method.startswith("AUC of one foreign model, ")
    for method in (own_method, foreign_method):
        assert ("bootstrap over patients" in method) == clustered
        assert ("DeLong" in method) != clustered

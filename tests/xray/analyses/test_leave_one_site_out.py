"""Differences between the arms of leaving a site out."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from xray.analyses import leave_one_site_out, results
from xray.analyses.run import run_all
from xray.analyses.stored import load_study, load_tests
from xray.tasks import TASK_INDEX, TASKS


def loaded(engine):
    with engine.begin() as connection:
        study = load_study(connection, "test")
        return study, load_tests(connection, study)


@pytest.fixture
def three_sites(world):
    """Sites p (two datasets), q and r; every configuration with two seeds, all scored everywhere. q's own know no Mass."""
    rng = np.random.default_rng(11)
    sites = {"p1": "p", "p2": "p", "q": "q", "r": "r"}
    labels = {}
    for name, site in sites.items():
        labels[name] = (rng.random(80) < 0.4).astype(float)
        mass = np.zeros(80) if name == "r" else labels[name]
        world.dataset(name, {"Effusion": labels[name], "Mass": mass}, site=site)
    configurations = {
        **{name: [name] for name in sites},
        "all": list(sites),
        "all-but-p": ["q", "r"],
        "all-but-q": ["p1", "p2", "r"],
        "all-but-r": ["p1", "p2", "q"],
    }
    models = []
    for name, datasets in configurations.items():
        for seed in (0, 1):
            tasks = ["Effusion"] if name == "q" else ["Effusion", "Mass"]
            model = world.model(name, seed, datasets, tasks)
            models.append(model)
            for dataset in sites:
                skill = 1.5 if dataset in datasets else 0.7
                logits = skill * labels[dataset] + rng.normal(size=80)
                scores = {"Effusion": logits, "Mass": logits + rng.normal(size=80)}
                world.score(model, dataset, {task: scores[task] for task in tasks})
    world.study(list(sites), models)
    return world


def test_an_arm_leaves_out_all_datasets_of_the_site(three_sites):
    study, _ = loaded(three_sites.engine)
    assert leave_one_site_out.arms(study, "p1") == {"own": "p1", "all-but-site": "all-but-p", "all": "all"}
    assert leave_one_site_out.arms(study, "p2") == {"own": "p2", "all-but-site": "all-but-p", "all": "all"}
    assert leave_one_site_out.arms(study, "q") == {"own": "q", "all-but-site": "all-but-q", "all": "all"}


def test_with_two_sites_the_model_of_the_other_site_is_the_all_but_one_arm(two_sites):
    study, _ = loaded(two_sites.engine)
    assert leave_one_site_out.arms(study, "x") == {"own": "x", "all-but-site": "y", "all": "all"}


def test_differences_are_those_of_scikit_learn_aucs_of_ensembles(three_sites):
    study, tests = loaded(three_sites.engine)
    by_id = {test.cohort.id: test for test in tests}
    rows = list(leave_one_site_out.compute(study, tests))
    assert len(rows) == 4 * 2 * 3 - 2  # of Mass at q there is no own model to compare with
    for row in rows:
        test, task = by_id[row["cohort_id"]], row["task_id"]
        labels = test.cohort.labels[:, task]
        if len(set(labels)) == 1:
            assert (test.dataset, TASKS[task]) == ("r", "Mass")
            assert row["difference"] is row["p"] is row["p_holm"] is row["auc_a"] is None
            assert row["reason"] == "one class"
            continue
        a, b = (roc_auc_score(labels, test.ensemble(row[f"trained_on_{arm}"])[:, task]) for arm in "ab")
        assert (row["auc_a"], row["auc_b"]) == (pytest.approx(a, abs=1e-12), pytest.approx(b, abs=1e-12))
        assert row["difference"] == pytest.approx(a - b, abs=1e-12)
        assert row["lower"] < row["difference"] < row["upper"]
        assert len(row["evaluation_ids"]) == 4
    p = [row["p"] for row in rows if row["p"] is not None]
    adjusted = [row["p_holm"] for row in rows if row["p"] is not None]
    assert len(p) == 19
    np.testing.assert_allclose(adjusted, multipletests(p, method="holm")[1], rtol=1e-12)
    assert any(a > b for a, b in zip(adjusted, p, strict=True))


def test_an_arm_that_is_missing_is_left_out(world):
    world.dataset("x", {"Effusion": [0, 1, 0, 1, 1]})
    world.dataset("y", {"Effusion": [0, 1, 0, 1, 0]})
    sets = {"x": ["x"], "all": ["x", "y"]}
    models = {name: world.model(name, 0, datasets, ["Effusion"]) for name, datasets in sets.items()}
    for model in models.values():
        for name in "xy":
            world.score(model, name, {"Effusion": [1, 2, 3, 4, 0]})
    world.study(["x", "y"], list(models.values()))
    study, tests = loaded(world.engine)
    rows = list(leave_one_site_out.compute(study, tests))
    # at y the model of x plays "all but the site"
    assert [(r["arm_a"], r["arm_b"]) for r in rows] == [("own", "all"), ("all-but-site", "all")]
    assert all(row["difference"] == 0 and row["p"] is None for row in rows)
    assert all(row["p_holm"] is None and row["reason"] == "no variance" for row in rows)


def test_one_configuration_is_not_compared_with_itself(world):
    world.dataset("x", {"Effusion": [0, 1]})
    model = world.model("x", 0, ["x"], ["Effusion"])
    world.score(model, "x", {"Effusion": [0, 1]})
    world.study(["x"], [model])
    study, tests = loaded(world.engine)
    assert leave_one_site_out.arms(study, "x") == {"own": "x"}
    assert list(leave_one_site_out.compute(study, tests)) == []


def test_a_task_that_one_arm_has_not_learned_is_not_compared(two_sites):
    study, tests = loaded(two_sites.engine)
    names = {test.cohort.id: test.dataset for test in tests}
    result = {
        (names[r["cohort_id"]], TASKS[r["task_id"]], r["arm_a"], r["arm_b"])
        for r in leave_one_site_out.compute(study, tests)
    }
    assert ("x", "Mass", "own", "all") in result
    assert ("x", "Mass", "own", "all-but-site") not in result  # y's model has no output for Mass


def test_means_in_the_figure_are_over_the_tasks_of_every_arm(three_sites):
    run_all(three_sites.engine, "test")
    study, tests = loaded(three_sites.engine)
    with three_sites.engine.begin() as connection:
        auc = results.performance(connection, "test")
    means = leave_one_site_out.means_by_arm(study, auc).set_index(["test_dataset", "arm", "seed"])
    assert len(means) == 4 * 3 * 2
    for test in tests:
        n_tasks = 1 if test.dataset in ("q", "r") else 2
        for arm, name in leave_one_site_out.arms(study, test.dataset).items():
            for evaluation in test.of(name):
                row = means.loc[test.dataset, arm, evaluation.seed]
                tasks = [TASK_INDEX["Effusion"], TASK_INDEX["Mass"]][:n_tasks]
                expected = [
                    roc_auc_score(test.cohort.labels[:, t], test.logits[evaluation.evaluation_id][t])
                    for t in tasks
                ]
                assert row["auc"] == pytest.approx(np.mean(expected), abs=1e-12)
                assert row["n_tasks"] == n_tasks
                assert row["site"] == study.datasets[test.dataset]

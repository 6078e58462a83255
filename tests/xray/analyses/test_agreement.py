"""Kappa rows: against scikit-learn at thresholds found by looking at every score."""

import numpy as np
import pytest
from scipy.stats import kendalltau
from sklearn.metrics import cohen_kappa_score, f1_score
from sqlalchemy import Engine
from statsmodels.stats.contingency_tables import mcnemar

from xray.analyses import agreement
from xray.analyses.stored import load_study, load_tests
from xray.tasks import TASK_INDEX, TASKS


def loaded(engine: Engine):
    with engine.begin() as connection:
        study = load_study(connection, "test")
        return study, load_tests(connection, study)


def rows_of(engine: Engine) -> dict[tuple[str, str, str, str], dict]:
    study, tests = loaded(engine)
    names = {test.cohort.id: test.dataset for test in tests}
    rows = [row for row in agreement.compute(study, tests) if row["trained_on"] != row["reference"]]
    by_key = {(names[r["cohort_id"]], TASKS[r["task_id"]], r["trained_on"], r["rule"]): r for r in rows}
    assert len(by_key) == len(rows)
    return by_key


def best_threshold(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """The highest score at which sensitivity + specificity is largest, if it is above chance."""
    gains = {
        cut: (scores[labels == 1] >= cut).mean() - (scores[labels == 0] >= cut).mean()
        for cut in sorted(set(scores), reverse=True)
    }
    best = max(gains.values())
    return next(cut for cut, gain in gains.items() if gain > best - 1e-12) if best > 1e-12 else None


def test_kappas_equal_scikit_learn(two_sites):
    rows = rows_of(two_sites.engine)
    study, tests = loaded(two_sites.engine)
    by_name = {test.dataset: test for test in tests}

    def scores(test, name, task):
        column = TASK_INDEX[task]
        defined = ~np.isnan(test.cohort.labels[:, column])
        return test.cohort.labels[defined, column], test.ensemble(name)[defined, column]

    checked = 0
    for (dataset, task, name, rule), row in rows.items():
        test = by_name[dataset]
        labels, own = scores(test, dataset, task)
        _, other = scores(test, name, task)
        home = [dataset] if rule == "target" else study.configurations[name]
        labelled = [d for d in home if TASK_INDEX[task] in by_name[d].labelled_tasks()]
        at_home = [scores(by_name[d], name, task) for d in labelled]
        cut = best_threshold(labels, own)
        other_cut = best_threshold(*(np.concatenate(part) for part in zip(*at_home, strict=True)))
        assert cut is not None
        assert other_cut is not None
        assert row["threshold_reference"] == cut
        assert row["threshold"] == other_cut
        assert row["kappa"] == pytest.approx(cohen_kappa_score(own >= cut, other >= other_cut), abs=1e-12)
        one, two = own >= cut, other >= other_cut
        assert row["positive_agreement"] == pytest.approx(f1_score(one, two), abs=1e-12)
        assert row["negative_agreement"] == pytest.approx(f1_score(~one, ~two), abs=1e-12)
        table = [[(one & two).sum(), (one & ~two).sum()], [(~one & two).sum(), (~one & ~two).sum()]]
        assert row["mcnemar_p"] == pytest.approx(mcnemar(table, exact=True).pvalue, abs=1e-12)
        assert (row["n"], row["n_pos"]) == (len(labels), (labels == 1).sum())
        assert row["reference"] == dataset
        assert row["tau"] == pytest.approx(kendalltau(own, other).statistic, abs=1e-12)
        assert row["reason"] is None
        checked += 1
    assert checked == len(rows)
    assert {key[1:3] for key in rows if key[0] == "x"} == {
        ("Effusion", "y"),
        ("Effusion", "all"),
        ("Mass", "all"),
        ("Edema", "all"),
    }
    assert {key[1:3] for key in rows if key[0] == "y"} == {("Effusion", "x"), ("Effusion", "all")}


def small(world, own, foreign, labels=(0, 0, 0, 1, 1, 1), at_home=None):
    """x with its own model, and y's model on both."""
    n = len(labels)
    world.dataset("x", {"Effusion": labels})
    world.dataset("y", {"Effusion": labels})
    own_model, other = (world.model(name, 0, [name], ["Effusion"]) for name in "xy")
    world.score(own_model, "x", {"Effusion": own})
    world.score(other, "x", {"Effusion": foreign})
    world.score(other, "y", {"Effusion": np.linspace(0, 1, n) if at_home is None else at_home})
    world.study(["x", "y"], [own_model, other])
    return rows_of(world.engine)


def test_models_with_equal_ranks_agree_fully_at_the_targets_own_points(world):
    rows = small(world, [1, 2, 3, 4, 5, 6], [10, 20, 30, 40, 50, 60])
    row = rows["x", "Effusion", "y", "target"]
    assert (row["kappa"], row["pabak"], row["threshold_reference"], row["threshold"]) == (1, 1, 4, 40)
    assert row["reason"] is None
    assert row["lower"] < 0.6 < row["upper"] == 1


def test_a_threshold_from_home_may_call_everything_positive(world):
    rows = small(world, [1, 2, 3, 4, 5, 6], [10, 20, 30, 40, 50, 60])
    row = rows["x", "Effusion", "y", "own"]
    assert row["threshold"] == pytest.approx(0.6)
    assert row["kappa"] == 0  # six of six against three of six
    assert row["pabak"] == 0


def test_an_inverted_model_has_an_operating_point_at_home_but_none_on_the_target(world):
    rows = small(world, [1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1], at_home=[1, 2, 3, 4, 5, 6])
    target, own = rows["x", "Effusion", "y", "target"], rows["x", "Effusion", "y", "own"]
    assert target["kappa"] is target["lower"] is target["pabak"] is target["threshold"] is None
    assert target["reason"] == "y: no threshold is better than chance"
    assert target["threshold_reference"] == 4
    assert own["kappa"] == -1
    assert own["threshold"] == 4


def test_a_reference_without_an_operating_point_has_a_reason(world):
    rows = small(world, [6, 5, 4, 3, 2, 1], [1, 2, 3, 4, 5, 6])
    for rule in ("target", "own"):
        row = rows["x", "Effusion", "y", rule]
        assert row["kappa"] is None
        assert row["reason"] == "x: no threshold is better than chance"


def test_only_images_with_a_label_and_both_scores_count(world):
    labels = [0.0, 0, 0, 1, 1, 1, np.nan, 1]
    own = [1.0, 2, 3, 4, 5, 6, 9, 9]
    foreign = [1.0, 4, 3, 2, 5, 6, -9, np.nan]
    rows = small(world, own, foreign, labels)
    row = rows["x", "Effusion", "y", "target"]
    calls = np.array(own)[:6] >= row["threshold_reference"], np.array(foreign)[:6] >= row["threshold"]
    assert row["kappa"] == pytest.approx(cohen_kappa_score(*calls), abs=1e-12)
    assert row["n"] == 6


def test_a_cohort_of_one_class_has_a_reason(world):
    row = small(world, [1, 2, 3], [3, 2, 1], labels=[0, 0, 0])["x", "Effusion", "y", "target"]
    assert row["kappa"] is None
    assert row["reason"] == "y: one class"


def test_without_a_model_of_its_own_a_cohort_has_no_reference(world):
    world.dataset("x", {"Effusion": [0, 1, 0, 1]})
    world.dataset("y", {"Effusion": [0, 1, 0, 1]})
    model = world.model("all", 0, ["x", "y"], ["Effusion"])
    for name in "xy":
        world.score(model, name, {"Effusion": [1, 2, 3, 4]})
    world.study(["x", "y"], [model])
    assert rows_of(world.engine) == {}


def test_a_model_that_was_not_scored_at_home_has_no_threshold_of_its_own(world):
    world.dataset("x", {"Effusion": [0, 1, 0, 1]})
    world.dataset("z", {"Effusion": [0, 1, 0, 1]})
    own_model, other = world.model("x", 0, ["x"], ["Effusion"]), world.model("z", 0, ["z"], ["Effusion"])
    for model in (own_model, other):
        world.score(model, "x", {"Effusion": [1, 2, 3, 4]})
    world.study(["x", "z"], [own_model, other])
    assert {rule for *_, rule in rows_of(world.engine)} == {"target"}

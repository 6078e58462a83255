"""Verdicts from the store: what was planted is found, the models are those of one dataset alone, labellers are compared."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from sqlalchemy import create_engine, text

from tests.conftest import copy_template
from tests.xray.analyses.conftest import World
from xray.analyses import images_or_labels, results
from xray.analyses.run import by_name, run, run_all
from xray.analyses.shown import part
from xray.analyses.stored import load_study, load_tests
from xray.stats.agreement import cohen_kappa

TASKS = ["Effusion", "Mass", "Edema", "Nodule"]
CHANGED = "Mass"
N = 700


def labelled(rng, n=N):
    """What is in n images, per task, and what would be called so at the other place."""
    truth = {task: (rng.random(n) < 0.3).astype(float) for task in TASKS}
    return truth, {**truth, CHANGED: (rng.random(n) < 0.3).astype(float)}


@pytest.fixture(scope="module")
def planted(server, _template):
    """Sites x and y, where Mass means something else; y2 has y's images under x's reader. Two seeds, a model of all."""
    world = World(create_engine(copy_template(server, _template, "images_or_labels")))
    rng = np.random.default_rng(3)
    in_x, other_x = labelled(rng)
    in_y, other_y = labelled(rng)
    world.dataset("x", in_x)
    world.dataset("y", other_y)
    world.dataset("y2", in_y, site="y", like="y")
    meanings = {("x", "x"): in_x, ("x", "y"): other_x, ("y", "x"): in_y, ("y", "y"): other_y}
    evaluations, models = {}, []
    for trained_on, datasets, meaning in (
        ("x", ["x"], "x"),
        ("y", ["y"], "y"),
        ("y2", ["y2"], "x"),
        ("all", "xy", "x"),
    ):
        for seed in (0, 1):
            model = world.model(trained_on, seed, list(datasets), TASKS)
            models.append(model)
            for dataset in ("x", "y"):
                logits = {t: 1.5 * meanings[dataset, meaning][t] + rng.normal(size=N) for t in TASKS}
                evaluations[trained_on, seed, dataset] = (world.score(model, dataset, logits), logits)
    world.study(["x", "y", "y2"], models)
    run_all(world.engine, "test")
    with world.engine.begin() as connection:
        frame = results.images_or_labels(connection, "test")
    return world, frame.set_index(["train_dataset", "test_dataset", "task"]), evaluations, other_y, in_y


def test_only_the_label_of_another_meaning_gets_a_verdict(planted):
    _, frame, *_ = planted
    assert len(frame) == 6 * len(TASKS)
    for (a, b, task), row in frame.iterrows():
        changed = task == CHANGED and {a, b} != {"x", "y2"}
        assert row.verdict == ("label" if changed else "none"), (a, b, task, row)
        if changed:
            assert row.p_adjusted < 0.001
            assert row.basis
        assert row.assumption, "every verdict here rests on one"


def test_numbers_are_those_of_ensembles_trained_on_one_dataset(planted):
    _, frame, evaluations, other_y, _ = planted
    row = frame.loc["x", "y", "Mass"]
    ensemble = np.mean([np.float32(evaluations["x", s, "y"][1]["Mass"]) for s in (0, 1)], axis=0)
    assert row.auc_ab == pytest.approx(roc_auc_score(other_y["Mass"], ensemble), abs=1e-6)
    assert row.auc_drop == pytest.approx(row.intrinsic + row.transfer)
    assert row.drop_lower < row.auc_drop < row.drop_upper
    assert (row.n_a, row.n_b) == (N, N)
    assert row.n_pos_b == other_y["Mass"].sum()
    assert row.prevalence_b == pytest.approx(other_y["Mass"].mean())
    assert row.n_shared == 0
    assert pd.isna(row.kappa)


def test_rows_name_their_evaluations(planted):
    world, _, evaluations, *_ = planted
    with world.engine.begin() as connection:
        study = load_study(connection, "test")
        rows = list(images_or_labels.compute(study, load_tests(connection, study)))
    (row,) = [r for r in rows if (r["trained_on_a"], r["trained_on_b"], r["task_id"]) == ("x", "y", 12)]
    ids = {evaluations[model, seed, dataset][0] for model in "xy" for seed in (0, 1) for dataset in "xy"}
    assert set(row["evaluation_ids"]) == ids


def test_two_labellers_of_the_same_images_give_direct_evidence(planted):
    _, frame, _, other_y, in_y = planted
    row = frame.loc["y", "y2", CHANGED]
    assert row.n_shared == N
    assert row.kappa == pytest.approx(float(cohen_kappa(other_y[CHANGED], in_y[CHANGED]).value))
    assert "same images" in row.basis
    assert frame.loc["y", "y2", "Edema"].kappa == pytest.approx(1)


def test_the_page_says_which_datasets_have_no_model_of_their_own_and_so_no_verdict(two_sites):
    run(two_sites.engine, "test", [by_name("images_or_labels")])
    with two_sites.engine.begin() as connection:
        sentences = part(connection, "test", by_name("images_or_labels")).findings
    assert not any("No verdict at" in text for text in sentences), "both have"
    effusion = np.resize([0.0, 1.0], 30)
    two_sites.dataset("guest", {"Effusion": effusion})
    with two_sites.engine.begin() as connection:
        scored = connection.execute(text("select id, trained_on from model order by id")).all()
        connection.execute(
            text(
                "insert into study_dataset (study_id, dataset_id, position)"
                " select study.id, dataset.id, 9 from study, dataset where dataset.name = 'guest'"
            )
        )
    for model, trained_on in scored:
        tasks = ("Effusion",) if trained_on == "y" else ("Effusion", "Mass", "Edema")
        two_sites.score(model, "guest", dict.fromkeys(tasks, effusion + np.arange(30) / 40))
    run(two_sites.engine, "test", [by_name("images_or_labels")])
    with two_sites.engine.begin() as connection:
        sentences = part(connection, "test", by_name("images_or_labels")).findings
    (why,) = [text for text in sentences if text.startswith("No verdict at guest:")]
    assert "no model was trained on these images alone" in why


def test_a_dataset_without_a_model_of_its_own_has_no_verdict(two_sites):
    with two_sites.engine.begin() as connection:
        study = load_study(connection, "test")
        rows = list(images_or_labels.compute(study, load_tests(connection, study)))
        alone = {k: v for k, v in study.configurations.items() if k != "y"}
        object.__setattr__(study, "configurations", alone)
        assert list(images_or_labels.compute(study, load_tests(connection, study))) == []
    assert {(r["trained_on_a"], r["trained_on_b"]) for r in rows} == {("x", "y"), ("y", "x")}
    assert {r["task_id"] for r in rows} == {7}
    assert all(r["verdict"] and r["basis"] for r in rows)


def test_an_undecided_row_says_what_would_settle_it(world):
    random, few = np.random.default_rng(8), np.repeat([1.0, 0.0], [5, 55])
    for name in "xy":
        world.dataset(name, {"Effusion": few, "Edema": few})
    models = [world.model(name, 0, [name], ["Effusion", "Edema"]) for name in "xy"]
    for model in models:
        for name in "xy":
            world.score(model, name, {task: few + random.normal(size=60) for task in ("Effusion", "Edema")})
    world.study(["x", "y"], models)
    with world.engine.begin() as connection:
        study = load_study(connection, "test")
        rows = list(images_or_labels.compute(study, load_tests(connection, study)))
    assert len(rows) == 4
    assert {(row["verdict"], row["resolve"]) for row in rows} == {
        ("cannot tell", "test more of the rarer class")
    }
    assert {row["assumption"] for row in rows} == {None}

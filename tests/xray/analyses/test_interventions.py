"""What a model loses on changed images: the paired difference of the same images, apart from every other result."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from sqlalchemy import text

from db.findings import finding_ids
from tests.xray.analyses.conftest import World
from xray.analyses.analysis import Stored, stored_rows
from xray.analyses.explained import explain_result
from xray.analyses.intervened import interventions
from xray.analyses.interventions import before_and_after, show
from xray.analyses.run import by_name, run
from xray.analyses.stored import load_study, load_tests
from xray.data.intervention_files import add_intervention
from xray.data.interventions import Intervention, of_both, pictures_of, put_intervention
from xray.data.score_files import Manner
from xray.errors import DataError, PredictionsError
from xray.report.interventions import findings, sentence
from xray.stats.comparisons import compare_paired

N = 120


@pytest.fixture
def hospitals(world: World) -> World:
    """Sites x and y, and a second labeller of y's images; x's own model with two seeds and one from elsewhere scored x."""
    rng = np.random.default_rng(3)
    effusion, mass = ((rng.random(N) < 0.4).astype(float) for _ in range(2))
    world.dataset("x", {"Effusion": effusion, "Mass": mass}, images_per_patient=2)
    world.dataset("y", {"Effusion": effusion[:30], "Mass": mass[:30]})
    world.dataset("z", {"Effusion": effusion[:30]}, site="y", like="y")
    models = [world.model("x", seed, ["x"], ["Effusion", "Mass"]) for seed in (0, 1)]
    for model in models:
        scores = {
            name: labels + rng.normal(0, 0.7, N) for name, labels in (("Effusion", effusion), ("Mass", mass))
        }
        world.score(model, "x", scores)
        world.score(model, "y", {name: values[:30] for name, values in scores.items()})
    world.study(["x", "y", "z"], models)
    return world


def store(world: World, target: str, kind: str, logits: Mapping[str, Any], seed: int = 0) -> None:
    """Store an intervention on x's scores of one seed: logits (N,) by finding."""
    with world.engine.begin() as connection:
        evaluation = connection.execute(
            text(
                "select evaluation.id, evaluation.image_list_id from evaluation join model on model.id = model_id"
                " join cohort using (image_list_id) join dataset on dataset.id = dataset_id"
                " where dataset.name = 'x' and model.seed = :s"
            ),
            {"s": seed},
        ).one()
        listed = connection.scalar(
            text("select cohort.image_list_id from cohort join dataset on dataset.id = dataset_id"
                 " where dataset.name = :name and part = 'test'"),
            {"name": target},
        )  # fmt: skip
        pictures = pictures_of(connection, [evaluation.image_list_id, listed])
        hashed = of_both(pictures[evaluation.image_list_id], pictures[listed])
        changes = {} if kind == "borders" else {"noise_added": 3.0, "blur_added": 0.5}
        intervention = Intervention(evaluation.id, listed, kind, changes, None, 0, hashed)
        vectors = np.stack([np.asarray(values, np.float32) for values in logits.values()], axis=1)
        put_intervention(connection, intervention, vectors, finding_ids(connection, list(logits)), {})


def stored(world: World) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Labels and x's ensemble logits by finding."""
    with world.engine.begin() as connection:
        study = load_study(connection, "test")
        (test,) = load_tests(connection, study, datasets=["x"])
    places = {name: study.findings.index(name) for name in ("Effusion", "Mass")}
    labels = {name: test.cohort.labels[:, at] for name, at in places.items()}
    return labels, {name: test.ensemble("x")[:, at] for name, at in places.items()}


def results(world: World) -> pd.DataFrame:
    run(world.engine, "test", [by_name("interventions")])
    with world.engine.begin() as connection:
        return stored_rows(connection, "test", by_name("interventions"))


def test_the_loss_is_the_paired_difference_of_ensembles_with_patients_as_units(hospitals):
    rng = np.random.default_rng(1)
    labels, before = stored(hospitals)
    after = {name: [values + rng.normal(0, 1, N) for _ in range(2)] for name, values in before.items()}
    for seed in (0, 1):
        store(hospitals, "y", "noise", {name: values[seed] for name, values in after.items()}, seed)
    rows = results(hospitals)
    assert list(zip(rows["test_dataset"], rows["task"], strict=True)) == [
        ("y", "Effusion"),
        (
            "z",
            "Effusion",
        ),  # both label the images that x's were made like: what is lost knows no label of theirs
        ("y", "Mass"),
        ("z", "Mass"),
    ]
    for row in rows.to_dict("records"):
        name = row["task"]
        mean = np.mean(
            [np.float32(logits_of_seed) for logits_of_seed in after[name]], axis=0, dtype=np.float64
        )
        truth = labels[name].astype(int)
        assert row["before"] == pytest.approx(roc_auc_score(truth, before[name]))
        assert row["after"] == pytest.approx(roc_auc_score(truth, mean))
        patients = np.arange(N) // 2
        expected = compare_paired(labels[name], before[name], mean, patients=patients)
        assert row["loss"] == pytest.approx(row["before"] - row["after"])
        for column in ("lower", "upper", "p"):
            assert row[column] == pytest.approx(
                float(getattr(expected, "difference" if column == "loss" else column))
            )
        assert "by patient" in row["method"]
    assert (rows["q"] >= rows["p"]).all()
    assert rows["reason"].isna().all()
    assert set(rows["changes"]) == {'{"blur_added": 0.5, "noise_added": 3.0}'}


def test_an_ensemble_needs_all_seeds_and_leaves_out_images_that_were_not_drawn(hospitals):
    labels, before = stored(hospitals)
    after = {name: np.where(np.arange(N) < 80, values, np.nan) for name, values in before.items()}
    store(hospitals, "y", "all", after, 0)
    assert results(hospitals).empty
    store(hospitals, "y", "all", after, 1)
    rows = results(hospitals)
    assert set(rows["n"]) == {80}
    assert rows["before"].iloc[0] == pytest.approx(
        roc_auc_score(labels["Effusion"][:80].astype(int), before["Effusion"][:80])
    )


def test_an_intervention_without_a_change_costs_nothing_and_says_so(hospitals):
    with hospitals.engine.begin() as connection:
        values = {
            seed: dict(
                connection.execute(
                    text(
                        "select task.name, logits from prediction join evaluation on evaluation.id = evaluation_id"
                        " join model on model.id = model_id join task on task.id = task_id"
                        " where seed = :s and cardinality(logits) = :n"
                    ),
                    {"s": seed, "n": N},
                ).all()
            )
            for seed in (0, 1)
        }
    for seed in (0, 1):
        store(hospitals, "y", "borders", values[seed], seed)
    rows = results(hospitals)
    assert (rows["loss"] == 0).all()
    assert rows["p"].isna().all()
    assert set(rows["reason"]) == {"nothing to change: the target's are not worse in this way"}


def test_what_can_not_be_compared_has_its_reason(hospitals):
    """Scores that are all higher order no image anew; of changed pictures with the finding alone there is no AUC."""
    labels, before = stored(hospitals)
    for seed in (0, 1):
        store(hospitals, "y", "noise", {name: values + 1 for name, values in before.items()}, seed)
        positives = {name: np.where(labels[name] == 1, values, np.nan) for name, values in before.items()}
        store(hospitals, "y", "histogram", positives, seed)
    of = results(hospitals).groupby("kind")["reason"].unique()
    assert of["noise"].tolist() == ["the change moves no image past another"]
    assert of["histogram"].tolist() == ["one class"]


def test_interventions_enter_no_other_analysis_and_no_count(hospitals):
    others = [by_name(name) for name in ("performance", "images_or_labels", "causes", "mean_auc")]
    run(hospitals.engine, "test", others)
    with hospitals.engine.begin() as connection:
        counts = "select (select count(*) from predictions), (select count(*) from missing_evaluations)"
        before = connection.execute(text(counts)).one()
    _, logits = stored(hospitals)
    for seed in (0, 1):
        store(hospitals, "y", "noise", logits, seed)
    assert not any(run(hospitals.engine, "test", others).values())
    with hospitals.engine.begin() as connection:
        assert connection.execute(text(counts)).one() == before


def test_scores_before_and_after_are_aligned_with_the_cohort(hospitals):
    _, before = stored(hospitals)
    after = {name: np.where(np.arange(N) % 3 == 0, np.nan, values + 1) for name, values in before.items()}
    for seed in (0, 1):
        store(hospitals, "y", "noise", after, seed)
    with hospitals.engine.begin() as connection:
        study = load_study(connection, "test")
        (test,) = load_tests(connection, study, datasets=["x"])
        stored_scores = interventions(connection, study)
        (changed,) = stored_scores.of[test.cohort.id, "x"]
        tasks, one, two = before_and_after(test, "x", changed, stored_scores)
    assert [study.findings[task] for task in tasks] == ["Effusion", "Mass"]
    is_drawn = np.arange(N) % 3 != 0
    np.testing.assert_allclose(one[is_drawn, 0], before["Effusion"][is_drawn])
    np.testing.assert_allclose(two[is_drawn, 0], before["Effusion"][is_drawn] + 1, atol=1e-5)
    assert np.isnan(one[~is_drawn]).all()
    assert np.isnan(two[~is_drawn]).all()


def write(path: Path, logits: Mapping[str, Any], names: list[str]) -> Path:
    pd.DataFrame({"image": names, **logits}).to_csv(path, index=False)
    return path


def test_scores_through_the_other_pipeline_are_read_from_a_file(hospitals, tmp_path):
    labels, before = stored(hospitals)
    names = [f"x-test{k}" for k in range(N)]
    order = np.random.default_rng(0).permutation(N)
    drawn_names = [names[k] for k in order]
    worse = before["Effusion"] - 0.8 * labels["Effusion"]
    file = write(tmp_path / "piped.csv", {"Effusion": worse[order]}, drawn_names)
    with hospitals.engine.begin() as connection:
        models = connection.scalars(text("select name from model order by seed")).all()
        for model, new in ((models[0], True), (models[0], False), (models[1], True)):
            added = add_intervention(connection, file, model, "x", "y", Manner("logit", False, None))
            assert (added.new, added.tasks, added.n_images, added.studies) == (
                new,
                ("Effusion",),
                N,
                ("test",),
            )
    rows = results(hospitals)
    assert set(rows["kind"]) == {"pipeline"}
    assert rows["reason"].isna().all()
    row = rows.to_dict("records")[0]
    assert row["after"] == pytest.approx(roc_auc_score(labels["Effusion"].astype(int), np.float32(worse)))
    assert sentence(row).startswith("x's pictures through the pipeline of y cost 0.")
    with hospitals.engine.begin() as connection:
        (origin,) = connection.scalars(text("select distinct scores ->> 'file' from interventions")).all()
        assert origin == "piped.csv"
        run(hospitals.engine, "test", [by_name("performance")])
        about = explain_result(connection, "test/x/y/Effusion")
    assert [row["kind"] for row in about["interventions"]] == ["pipeline"]
    assert about["interventions"][0]["loss"] == pytest.approx(row["loss"])


def test_a_file_that_does_not_fit_is_refused_as_a_whole(hospitals, tmp_path):
    names = [f"x-test{k}" for k in range(N)]
    with hospitals.engine.begin() as connection:
        model = connection.scalar(text("select min(name) from model"))
        cases = [
            ({"Effusion": np.zeros(N)}, [*names[1:], "x-test999"], {}, "x-test999"),
            ({"Pneumonia": np.zeros(N)}, names, {}, "has no scores of Pneumonia of the images as they are"),
            ({"Effusion": np.full(N, np.nan)}, names, {}, "there is no score of any task in it"),
            ({"Effusion": np.zeros(N)}, names, {"model": "vendor"}, "there is no model 'vendor'"),
            ({"Effusion": np.zeros(N)}, names, {"b": "x"}, "--from and --to are both x"),
            (
                {"Effusion": np.zeros(N)},
                names,
                {"a": "z", "b": "x", "protocol": "paper"},
                "has not scored the test images of z",
            ),
        ]
        for logits, images, changes, message in cases:
            arguments = {"model": model, "a": "x", "b": "y", "protocol": None, **changes}
            file = write(tmp_path / "scores.csv", logits, images)
            with pytest.raises(PredictionsError, match=message):
                add_intervention(
                    connection, file, arguments["model"], arguments["a"], arguments["b"], Manner("logit", False, None),
                    protocol=arguments["protocol"],
                )  # fmt: skip
        with pytest.raises(DataError, match="'w'"):
            add_intervention(connection, file, model, "x", "w", Manner("logit", False, None))
        assert connection.scalar(text("select count(*) from intervention_evaluation")) == 0


def test_the_page_says_what_a_change_costs(hospitals):
    _, before = stored(hospitals)
    rng = np.random.default_rng(2)
    noise = {name: values + rng.normal(0, 3, N) for name, values in before.items()}
    for seed in (0, 1):
        store(hospitals, "y", "noise", noise, seed)
        store(
            hospitals,
            "y",
            "histogram",
            {name: values + rng.normal(0, 0.01, N) for name, values in before.items()},
            seed,
        )
    rows = results(hospitals)
    with hospitals.engine.begin() as connection:
        part = show(Stored(connection, "test", rows))
    assert part.findings[0].startswith("x's pictures made to look like y's in noise cost 0.")
    assert part.findings[0].endswith(" of AUC (Mass, model x).") or "(Effusion, model x)" in part.findings[0]
    assert "measured changes cost nothing that is shown." in part.findings[-1]
    assert "made like" in part.text


def test_losses_gains_and_undefined_values_have_their_sentences():
    row = {"train_dataset": "a", "test_dataset": "b", "task": "Lung_Lesion", "trained_on": "a", "kind": "noise",
           "loss": 0.031, "lower": 0.021, "upper": 0.041, "q": 0.001, "reason": None}  # fmt: skip
    cost = (
        "a's pictures made to look like b's in noise cost 0.03 (0.02 to 0.04) of AUC (Lung Lesion, model a)"
    )
    assert sentence(row) == cost
    gain = row | {"loss": -0.03, "lower": -0.05, "upper": -0.01}
    assert "gain 0.03 (0.01 to 0.05) of AUC" in sentence(gain)
    unsure = row | {"loss": -0.02, "lower": -0.05, "upper": 0.01}
    assert "cost −0.02 (−0.05 to 0.01) of AUC" in sentence(unsure)
    undefined = row | {"loss": None, "lower": None, "upper": None, "q": None, "reason": "one class only"}
    assert sentence(undefined).startswith("a's pictures made to look like b's in noise: one class only")
    assert findings([undefined]) == ["1 of 1 measured changes cost nothing that is shown."]
    assert findings([]) == []
    piped, other = findings([row | {"loss": 0.5}, row | {"kind": "pipeline", "q": 0.8}])
    assert "in noise cost 0.50" in other
    assert piped.startswith("a's pictures through the pipeline of b cost 0.03")
    many = findings([row | {"loss": k / 100} for k in range(1, 21)])
    assert "cost 0.20" in many[0]
    assert (len(many), many[-1]) == (13, "8 more changes cost, or gain, less.")

"""The views that people query: grain, names of columns, what is NULL and what is not there."""

from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from sqlalchemy import Engine, text

from db.queries import query

ATELECTASIS, EFFUSION, PNEUMONIA = 0, 7, 8


def select(engine: Engine, statement: str, **parameters: Any) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(text(statement), parameters)]


@pytest.fixture
def mimic(rows: Any) -> dict[str, int]:
    """Two datasets of the same three images of a site, with labels of their own, and one scored model.

    mimic_ch and mimic_nb share the image list of the test part. Another protocol has the same list as well.
    """
    site = rows.site("bidmc")
    ids = rows.images(site, ["m1", "m2", "m3"], ["p1", "p1", None])
    listed, reverse = rows.image_list(ids), rows.image_list(ids[::-1])
    ch, nb = rows.dataset("mimic_ch", site, listed), rows.dataset("mimic_nb", site, reverse)
    protocol, paper = rows.protocol("corrected"), rows.protocol("paper")
    part = rows.cohort(ch, protocol, listed, {EFFUSION: [1, None, 0], PNEUMONIA: [0, 0, 1]})
    rows.cohort(nb, protocol, listed, {EFFUSION: [0, 1, 1]})
    rows.cohort(ch, paper, listed, {EFFUSION: [1, 1, 1]})
    train = rows.cohort(ch, protocol, reverse, {EFFUSION: [1, 1, 0]}, part="train")
    model = rows.model(protocol, [EFFUSION, PNEUMONIA], [train], seed=2)
    rows.evaluation(model, listed, {EFFUSION: [0.5, np.nan, -3.0], PNEUMONIA: [1.0, -1.0, 0.0]})
    return {"model": model, "image_list": listed, "protocol": protocol, "cohort": part, "site": site}


def test_predictions_has_a_row_per_image_task_and_labeller(engine: Engine, mimic: dict[str, int]) -> None:
    """Every image of the shared list twice per task, once per labeller; the other protocol's cohort has no rows."""
    view = select(engine, "select * from predictions order by test_dataset, task, image")
    assert list(view[0]) == [
        "model", "seed", "trained_on", "test_dataset", "part", "image", "patient", "view", "age", "sex", "task",
        "logit", "probability", "label", "protocol",
    ]  # fmt: skip
    assert {(row["seed"], row["trained_on"], row["part"]) for row in view} == {(2, "nih", "test")}
    values = [(r["test_dataset"], r["task"], r["image"], r["patient"], r["logit"], r["label"]) for r in view]
    assert values == [
        ("mimic_ch", "Effusion", "m1", "p1", 0.5, 1),
        ("mimic_ch", "Effusion", "m2", "p1", None, None),
        ("mimic_ch", "Effusion", "m3", None, -3.0, 0),
        ("mimic_ch", "Pneumonia", "m1", "p1", 1.0, 0),
        ("mimic_ch", "Pneumonia", "m2", "p1", -1.0, 0),
        ("mimic_ch", "Pneumonia", "m3", None, 0.0, 1),
        ("mimic_nb", "Effusion", "m1", "p1", 0.5, 0),
        ("mimic_nb", "Effusion", "m2", "p1", None, 1),
        ("mimic_nb", "Effusion", "m3", None, -3.0, 1),
        ("mimic_nb", "Pneumonia", "m1", "p1", 1.0, None),
        ("mimic_nb", "Pneumonia", "m2", "p1", -1.0, None),
        ("mimic_nb", "Pneumonia", "m3", None, 0.0, None),
    ]
    for row in view:
        if row["logit"] is None:
            assert row["probability"] is None
        else:
            assert row["probability"] == pytest.approx(expit(row["logit"]), rel=1e-15)


def test_predictions_pairs_each_model_with_each_part(
    engine: Engine, rows: Any, mimic: dict[str, int]
) -> None:
    """Two models and two lists: the grain stays one row per (model, dataset, part, image, task)."""
    other = rows.model(mimic["protocol"], [EFFUSION], seed=3)
    rows.evaluation(other, mimic["image_list"], {EFFUSION: [1.0, 2.0, 3.0]})
    with engine.connect() as connection:
        reverse = connection.scalar(text("select image_list_id from cohort where part = 'train'"))
    rows.evaluation(other, reverse, {EFFUSION: [3.0, 2.0, 1.0]})
    grain = "model, test_dataset, part, image, task"
    assert select(engine, f"select {grain} from predictions group by {grain} having count(*) > 1") == []
    view = select(
        engine,
        "select part, test_dataset, string_agg(logit::text, ' ' order by image) as logits from predictions"
        " where seed = 3 group by part, test_dataset order by part, test_dataset",
    )
    assert [tuple(row.values()) for row in view] == [
        ("test", "mimic_ch", "1 2 3"),
        ("test", "mimic_nb", "1 2 3"),
        ("train", "mimic_ch", "1 2 3"),
    ]


def test_extreme_logits_have_finite_probabilities(engine: Engine, rows: Any) -> None:
    logits = np.float32([0, 1e-30, 20, -20, 88, -88, 700, -700, 710, -745, 3e38, -3e38, np.inf, -np.inf])
    site = rows.site()
    listed = rows.image_list(rows.images(site, [f"{i:02d}" for i in range(len(logits))]))
    protocol = rows.protocol()
    rows.cohort(rows.dataset("nih", site, listed), protocol, listed, {EFFUSION: [1] * len(logits)})
    rows.evaluation(rows.model(protocol, [EFFUSION]), listed, {EFFUSION: logits.tolist()})
    view = select(engine, "select probability from predictions order by image")
    one_by_one = [
        select(engine, "select probability from image_predictions(:name)", name=f"{i:02d}")[0]["probability"]
        for i in range(len(logits))
    ]
    probabilities = [row["probability"] for row in view]
    assert probabilities == one_by_one
    np.testing.assert_allclose(probabilities, expit(logits.astype(np.float64)), rtol=1e-14, atol=1e-300)
    assert np.isfinite(probabilities).all()


def test_labels_has_a_row_per_image_and_task(engine: Engine, rows: Any) -> None:
    site = rows.site()
    ids = rows.images(site, ["a", "b", "c", "d"], ["p", None, "q", "q"])
    dataset = rows.dataset("padchest", site, rows.image_list([ids[2], ids[0], ids[3], ids[1]]))
    term = rows.add("source_term", dataset_id=dataset, term="derrame pleural")
    rows.add(
        "label",
        dataset_id=dataset,
        task_id=EFFUSION,
        states=[1, 0, -1, -2],
        term_ids=[term, None, term, None],
    )
    rows.add("label", dataset_id=dataset, task_id=PNEUMONIA, states=[0, 0, 1, 1])
    view = select(engine, "select * from labels order by task, image")
    assert list(view[0]) == ["dataset", "image", "patient", "task", "state", "source_term"]
    assert [tuple(row.values())[1:] for row in view if row["task"] == "Effusion"] == [
        ("a", "p", "Effusion", "negative", None),
        ("b", None, "Effusion", "not mentioned", None),
        ("c", "q", "Effusion", "positive", "derrame pleural"),
        ("d", "q", "Effusion", "uncertain", "derrame pleural"),
    ]
    assert [row["state"] for row in view if row["task"] == "Pneumonia"] == [
        "negative", "positive", "negative", "positive",
    ]  # fmt: skip
    assert len(view) == 8


def missing(engine: Engine) -> set[tuple[int, int, int, str]]:
    rows = select(engine, "select model_id, image_list_id, n_images, test_datasets from missing_evaluations")
    return {
        (row["model_id"], row["image_list_id"], row["n_images"], " ".join(row["test_datasets"]))
        for row in rows
    }


def test_missing_evaluations_pairs_models_with_their_test_cohorts(engine: Engine, rows: Any) -> None:
    """Test cohorts under the model's protocol that share a task, drawn with drawn and real with real."""
    real, synthetic_site = rows.site("real"), rows.site("drawn", synthetic=True)
    a, b = rows.images(real, ["1", "2", "3"]), rows.images(synthetic_site, ["1", "2"])
    whole, tested, painted = rows.image_list(a), rows.image_list(a[1:]), rows.image_list(b)
    protocol, paper = rows.protocol(), rows.protocol("paper")
    nih, google = rows.dataset("nih", real, whole), rows.dataset("google", real, whole)
    phantom = rows.dataset("phantom", synthetic_site, painted)
    train = rows.cohort(nih, protocol, whole, {EFFUSION: [1, 0, 1]}, part="train")
    paint = rows.cohort(phantom, protocol, painted, {EFFUSION: [1, 0]}, part="train")
    assert missing(engine) == set()
    effusion = rows.model(protocol, [EFFUSION], [train])
    pneumonia = rows.model(protocol, [PNEUMONIA], [train])
    synthetic = rows.model(protocol, [EFFUSION], [paint])
    assert missing(engine) == set(), "there is no test cohort yet"
    rows.cohort(nih, paper, tested, {EFFUSION: [0, 1]})
    assert missing(engine) == set(), "another protocol's"
    rows.cohort(nih, protocol, tested, {EFFUSION: [0, 1]})
    rows.cohort(google, protocol, tested, {EFFUSION: [1, 1], ATELECTASIS: [0, 1]})
    rows.cohort(phantom, protocol, painted, {EFFUSION: [1, 0]})
    expected = {(effusion, tested, 2, "google nih"), (synthetic, painted, 2, "phantom")}
    assert missing(engine) == expected
    rows.cohort(google, protocol, whole, {PNEUMONIA: [1, 1, 0]}, part="validation")
    assert missing(engine) == expected, "only tests are wanted"
    rows.evaluation(effusion, tested, {EFFUSION: [1.0, 2.0]})
    assert missing(engine) == {(synthetic, painted, 2, "phantom")}
    chexpert = rows.dataset("chexpert", real, whole)
    rows.cohort(chexpert, protocol, whole, {PNEUMONIA: [0, 1, None]})
    assert missing(engine) == {(synthetic, painted, 2, "phantom"), (pneumonia, whole, 3, "chexpert")}
    with engine.begin() as connection:
        connection.execute(text("delete from evaluation"))
    assert (effusion, tested, 2, "google nih") in missing(engine)


def test_images_without_files_are_not_missing(engine: Engine, rows: Any, mimic: dict[str, int]) -> None:
    """Registered by their labels only, they can't be scored here; one such image is enough. With its file it is missing."""
    with engine.connect() as connection:
        train = connection.scalar(text("select id from cohort where part = 'train'"))
    other = rows.model(mimic["protocol"], [EFFUSION], [train], seed=5)
    expected = {(other, mimic["image_list"], 3, "mimic_ch mimic_nb")}
    assert missing(engine) == expected
    with engine.begin() as connection:
        connection.execute(text("update image set path = null where name = 'm2'"))
    assert missing(engine) == set()
    with engine.begin() as connection:
        connection.execute(text("update image set path = '/m2.png' where name = 'm2'"))
    assert missing(engine) == expected


def test_an_evaluation_that_is_being_written_is_still_missing(
    engine: Engine, mimic: dict[str, int], rows: Any
) -> None:
    """Until it is committed; a killed one is never anything else."""
    with engine.connect() as connection:
        train = connection.scalar(text("select id from cohort where part = 'train'"))
        other = rows.model(mimic["protocol"], [EFFUSION], [train], seed=5)
        connection.execute(
            text("insert into evaluation (model_id, image_list_id) values (:model, :listed)"),
            {"model": other, "listed": mimic["image_list"]},
        )
        assert {row[0] for row in missing(engine)} == {other}


@pytest.mark.parametrize(
    "view", ["auc_results", "auc_difference_results", "agreement_results", "shift_results"]
)
def test_views_of_results_start_empty(engine: Engine, view: str) -> None:
    assert (
        select(engine, f"select study, test_dataset, task, dataset_position, task_position from {view}") == []
    )


def test_joins_of_views_take_seconds(engine: Engine, rows: Any) -> None:
    """The planner must expect many rows of a view: two models, or two labellers, on the same 20,000 images."""
    n = 20_000
    site = rows.site()
    with engine.begin() as connection:
        statement = text(
            "insert into image (site_id, name) select :site, 'i' || n from generate_series(1, :n) as n returning id"
        )
        ids = connection.execute(statement, {"site": site, "n": n}).scalars().all()
    listed, protocol = rows.image_list(ids), rows.protocol()
    for name in ("mimic_ch", "mimic_nb"):
        dataset = rows.dataset(name, site, listed)
        for task in range(9):
            rows.add("label", dataset_id=dataset, task_id=task, states=[1, 0] * (n // 2))
    rows.cohort(dataset, protocol, listed, {EFFUSION: [1, 0] * (n // 2)})
    for seed in range(2):
        rows.evaluation(rows.model(protocol, [EFFUSION], seed=seed), listed, {EFFUSION: [float(seed)] * n})
    models = (
        "select count(*), count(distinct b.logit) from predictions a join predictions b using (image, task)"
        " where a.seed = 0 and b.seed = 1"
    )
    labellers = (
        "select count(*) from labels a join labels b using (image, task) where a.dataset = 'mimic_ch'"
        " and b.dataset = 'mimic_nb' and task = 'Effusion' and a.state = 'positive'"
    )
    with engine.begin() as connection:
        connection.execute(text("set local statement_timeout = '30s'"))
        assert tuple(connection.execute(text(models)).one()) == (n, 1)
        assert connection.scalar(text(labellers)) == n // 2


def foreign(rows: Any, name: str, file: bool) -> int:
    """A foreign model for Effusion, with its file or by its scores alone."""
    file_columns = {
        "network": "onnx",
        "image_size": 64,
        "mlflow_run_id": name,
        "mlflow_model": name,
        "mlflow_version": 1,
    }
    columns = {"name": name, "key": name, "trained_on": name, "kind": "foreign", "card": {}, "provenance": {}}
    model_id: int = rows.add("model", **columns, trained_at=None, **(file_columns if file else {}))
    rows.add("model_task", model_id=model_id, task_id=EFFUSION, position=0)
    return model_id


def test_evaluations_of_foreign_models_are_missing_only_where_they_can_be_scored(
    engine: Engine, rows: Any
) -> None:
    """On real test cohorts of every protocol, or drawn ones where they know those, and on what a study asks of them."""
    real, synthetic_site = rows.site("real"), rows.site("drawn", synthetic=True)
    a, b = rows.images(real, ["1", "2", "3"]), rows.images(synthetic_site, ["1", "2"])
    whole, tested, painted = rows.image_list(a), rows.image_list(a[1:]), rows.image_list(b)
    protocol, paper = rows.protocol(), rows.protocol("paper")
    nih, phantom = rows.dataset("nih", real, whole), rows.dataset("phantom", synthetic_site, painted)
    rows.cohort(nih, protocol, tested, {EFFUSION: [1, 0]})
    rows.cohort(nih, paper, whole, {EFFUSION: [1, 0, 1]})
    rows.cohort(phantom, protocol, painted, {EFFUSION: [1, 0]})
    foreign(rows, "scores", file=False)
    assert missing(engine) == set()
    foreign_id = foreign(rows, "theirs", file=True)
    on_real = {(foreign_id, tested, 2, "nih"), (foreign_id, whole, 3, "nih")}
    assert missing(engine) == on_real
    study = rows.add("study", name="s", definition={}, protocol_id=protocol)
    for position, dataset in enumerate((nih, phantom)):
        rows.add("study_dataset", study_id=study, dataset_id=dataset, position=position)
    rows.add("study_model", study_id=study, model_id=foreign_id, position=0)
    assert missing(engine) == on_real | {(foreign_id, painted, 2, "phantom")}
    of_study = select(engine, query("missing"), study="s")
    assert [row["image_list_id"] for row in of_study] == [tested, painted], "only under the study's protocol"
    of_file = {"study": "s", "datasets": ["nih", "phantom"], "models": []}
    assert select(engine, query("study_progress"), **of_file) == [{"evaluations_missing": 2}]
    rows.evaluation(foreign_id, tested, {EFFUSION: [0.5, 1.0]})
    rows.evaluation(foreign_id, whole, {EFFUSION: [0.0, 0.5, 1.0]})
    rows.add("foreign_training", model_id=foreign_id, dataset="phantom")
    assert missing(engine) == {(foreign_id, painted, 2, "phantom")}
    view = select(
        engine, "select seed, trained_on, protocol, count(*) as n from predictions group by 1, 2, 3"
    )
    assert sorted((row["seed"], row["trained_on"], row["protocol"], row["n"]) for row in view) == [
        (None, "theirs", "corrected", 2),
        (None, "theirs", "paper", 3),
    ]
    models = {row["model"]: row for row in select(engine, "select * from foreign_models")}
    assert models["scores"]["trained_on"] is None
    assert models["theirs"]["trained_on"] == ["phantom"]
    assert models["theirs"]["scored"] == ["nih/corrected", "nih/paper"]


def test_interventions_appear_only_in_their_own_views(engine: Engine, rows: Any) -> None:
    """A score before and after for each image that was drawn; predictions don't know of it."""
    site = rows.site()
    ids = rows.images(site, ["i1", "i2", "i3", "j1"], ["p1", "p2", None, "q1"])
    own, other = rows.image_list(ids[:3]), rows.image_list(ids[3:])
    protocol = rows.protocol()
    labels = {"nih": {EFFUSION: [1, None, 0]}, "openi": {EFFUSION: [1]}}
    for name, listed in (("nih", own), ("openi", other)):
        rows.cohort(rows.dataset(name, site, listed), protocol, listed, labels[name])
    train = rows.cohort(rows.dataset("old", site, other), protocol, other, {EFFUSION: [1]}, part="train")
    model = rows.model(protocol, [EFFUSION, PNEUMONIA], [train], seed=2)
    evaluation = rows.evaluation(model, own, {EFFUSION: [0.5, np.nan, -3.0], PNEUMONIA: [1.0, -1.0, 0.0]})
    before = select(engine, "select * from predictions order by task, image")
    with engine.begin() as connection:
        evaluation_id = connection.scalar(
            text(
                "insert into intervention_evaluation"
                " (evaluation_id, target_list_id, kind, changes, images, seed, version, pictures)"
                " values (:e, :t, 'noise', '{\"noise_added\": 2.5}', 2, 7, 1, 'p') returning id"
            ),
            {"e": evaluation, "t": other},
        )
        for task, logits in ((EFFUSION, [0.25, "NaN", "NaN"]), (PNEUMONIA, [-1.0, 2.0, "NaN"])):
            values = {"i": evaluation_id, "t": task, "l": logits}
            connection.execute(
                text("insert into intervention_score values (:i, :t, cast(:l as real[]))"), values
            )
    assert select(engine, "select * from predictions order by task, image") == before
    (row,) = select(engine, "select * from interventions")
    about = [
        row[name]
        for name in ("test_dataset", "target_dataset", "kind", "changes", "images", "random_seed", "scores")
    ]
    assert about == ["nih", "openi", "noise", {"noise_added": 2.5}, 2, 7, None]
    view = select(engine, "select * from intervention_predictions order by task, image")
    rows_seen = [(r["task"], r["image"], r["logit_before"], r["logit_after"], r["label"]) for r in view]
    assert rows_seen == [
        ("Effusion", "i1", 0.5, 0.25, 1),
        ("Pneumonia", "i1", 1.0, -1.0, None),
        ("Pneumonia", "i2", -1.0, 2.0, None),
    ]
    assert view[0]["probability_before"] == pytest.approx(expit(0.5))
    assert view[0]["probability_after"] == pytest.approx(expit(0.25))

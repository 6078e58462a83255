"""Every stored result of the demo is what scikit-learn makes of the rows of the view `predictions`."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, roc_auc_score, roc_curve

SITES = ["phantom-a", "phantom-b", "phantom-c", "phantom-d"]
TRAINED_ON = [*SITES, "all", *(f"all-but-{site}" for site in SITES)]
NOT_LABELLED = {"phantom-c": {"Nodule"}, "phantom-d": {"Emphysema"}}
TASKS = {
    "Atelectasis",
    "Infiltration",
    "Pneumothorax",
    "Emphysema",
    "Effusion",
    "Cardiomegaly",
    "Nodule",
    "Mass",
}
WHERE = ["trained_on", "test_dataset", "task"]

pytestmark = pytest.mark.timeout(900)


def labelled(site: str) -> set[str]:
    return TASKS - NOT_LABELLED.get(site, set())


@pytest.fixture(scope="module")
def ensembles(predictions: pd.DataFrame) -> dict[tuple[str, str, str], pd.DataFrame]:
    """(trained on, test dataset, task) → one row per image: logit, the mean of the seeds' logits, and label."""
    test = predictions[predictions["part"] == "test"].astype({"logit": np.float32}).astype({"logit": float})
    mean = test.groupby([*WHERE, "image"], sort=False).agg(logit=("logit", "mean"), label=("label", "first"))
    return {key: rows.droplevel(WHERE) for key, rows in mean.groupby(WHERE, sort=False)}


# Counts


def test_predictions_are_models_times_images_times_trained_tasks(demo, predictions):
    sizes = demo.ask(
        "select dataset.name, length from cohort join dataset on dataset.id = dataset_id"
        " join image_list on image_list.id = cohort.image_list_id where part = 'test'"
    )
    n_images = int(sizes["length"].sum())
    assert sorted(sizes["name"]) == SITES
    assert n_images > 4 * 500
    models = demo.ask("select name, trained_on, seed from model")
    assert sorted(zip(models["trained_on"], models["seed"], strict=True)) == sorted(
        (name, seed) for name in TRAINED_ON for seed in (0, 1)
    )
    n_tasks = {name: len(TASKS - NOT_LABELLED.get(name, set())) for name in TRAINED_ON}
    (n_rows,) = demo.ask("select count(*) as n from predictions")["n"]
    assert n_rows == len(predictions) == n_images * sum(2 * n_tasks[name] for name in TRAINED_ON)


def test_predictions_has_one_row_per_model_image_and_task(demo, predictions):
    assert not predictions.duplicated(["model", "test_dataset", "part", "image", "task"]).any()
    assert set(predictions["part"]) == {"test"}
    assert predictions[["logit", "probability", "patient", "view", "age", "sex"]].notna().all().all()
    logit = predictions["logit"].astype(float)
    np.testing.assert_allclose(predictions["probability"], 1 / (1 + np.exp(-logit)), atol=1e-6)
    for model, rows in predictions.groupby("model"):
        (trained_on,) = rows["trained_on"].unique()
        assert set(rows["task"]) == labelled(trained_on), model
    assert set(predictions["view"]) == {"PA", "AP"}


def test_stored_labels_equal_those_of_the_manifests(demo, predictions):
    """The label of every row is that of the site's own CSV; it is missing just where the site says nothing."""
    for site in SITES:
        folder = demo.home.path / "phantom" / f"{site}-0"
        manifest = pd.read_csv(folder / "labels.csv").set_index("image_id")
        rows = predictions[predictions["test_dataset"] == site]
        assert set(rows.loc[rows["label"].notna(), "task"]) == labelled(site)
        for task in labelled(site):
            own = rows[rows["task"] == task]
            assert (manifest.loc[own["image"], task].to_numpy() == own["label"].to_numpy()).all()
        patients = manifest.loc[rows["image"], "patient_id"].to_numpy()
        assert (patients == rows["patient"].to_numpy()).all()


def test_no_patient_is_in_two_parts_and_each_gives_one_image(demo):
    rows = demo.ask(
        "select dataset.name as dataset, cohort.part, image.site_id, image.patient from cohort"
        " join dataset on dataset.id = cohort.dataset_id join image_list on image_list.id = cohort.image_list_id"
        " cross join lateral unnest(image_ids) as listed (id) join image on image.id = listed.id"
    )
    assert len(rows) == 4 * 1200
    assert not rows.duplicated(["site_id", "patient"]).any()


# AUC


def test_auc_rows_are_complete(demo):
    stored = demo.ask("select * from auc_results where study = 'phantom'").fillna({"reason": ""})
    assert len(stored) == len(TRAINED_ON) * len(SITES) * len(TASKS) * 3
    for row in stored.itertuples():
        if row.task not in labelled(row.test_dataset):
            assert (row.n, row.reason) == (0, "not labelled")
        elif row.task not in labelled(row.trained_on):
            assert row.reason == "not trained"
        else:
            assert row.reason == ""
            assert 0 <= row.lower <= row.auc <= row.upper <= 1
            assert 10 < row.n_pos < row.n - 10
            continue
        assert math.isnan(row.auc)
        assert math.isnan(row.lower)
        assert math.isnan(row.upper)


def test_the_auc_of_every_seed_equals_scikit_learn(demo, predictions):
    stored = demo.ask("select * from auc_results where seed is not null and auc is not null")
    aucs = stored.set_index([*WHERE, "seed"])[["auc", "n", "n_pos"]].to_dict("index")
    labelled = predictions[predictions["label"].notna()]
    checked = 0
    for key, rows in labelled.groupby([*WHERE, "seed"]):
        row = aucs[key]
        expected = roc_auc_score(rows["label"], rows["logit"])
        assert row["auc"] == pytest.approx(expected, abs=1e-12), key
        assert (row["n"], row["n_pos"]) == (len(rows), rows["label"].sum()), key
        checked += 1
    assert checked == len(aucs) == len(stored)


def test_the_auc_of_every_ensemble_equals_scikit_learn(demo, ensembles):
    stored = demo.ask("select * from auc_results where seed is null and auc is not null")
    aucs = stored.set_index(WHERE)[["auc", "n", "n_pos"]].to_dict("index")
    checked = 0
    for key, rows in ensembles.items():
        labelled = rows[rows["label"].notna()]
        if labelled.empty:
            assert key not in aucs
            continue
        row = aucs[key]
        assert row["auc"] == pytest.approx(roc_auc_score(labelled["label"], labelled["logit"]), abs=1e-12), (
            key
        )
        assert (row["n"], row["n_pos"]) == (len(labelled), labelled["label"].sum()), key
        checked += 1
    assert checked == len(aucs) == len(stored)


def test_auc_in_sql_equals_the_stored_rows(demo):
    in_sql = demo.ask(
        "select trained_on, test_dataset, task, seed, auc(array_agg(logit), array_agg(label)) as value"
        " from predictions where trained_on = 'phantom-a' group by 1, 2, 3, 4"
    ).set_index([*WHERE, "seed"])["value"]
    stored = demo.ask("select * from auc_results where trained_on = 'phantom-a' and seed is not null")
    stored = stored.set_index([*WHERE, "seed"])["auc"].reindex(in_sql.index)
    pd.testing.assert_series_equal(in_sql, stored, check_names=False, atol=1e-12, rtol=0)
    assert in_sql.notna().sum() > 50


# Kappa


def youden_point(labels: np.ndarray, scores: np.ndarray) -> float:
    """The highest of the thresholds that maximise TPR − FPR, by scikit-learn's curve; NaN where none is above 0."""
    false, true, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    n_pos, n_neg = int(labels.sum()), int((1 - labels).sum())
    gain = np.rint(true * n_pos).astype(int) * n_neg - np.rint(false * n_neg).astype(int) * n_pos
    return float(thresholds[np.argmax(gain)]) if gain.max() > 0 else math.nan


def pooled(ensembles, trained_on: str, task: str) -> pd.DataFrame:
    """Test images of the datasets that a configuration was trained on, with labels."""
    others = [site for site in SITES if trained_on != f"all-but-{site}"]
    own = [trained_on] if trained_on in SITES else others
    rows = pd.concat([ensembles[trained_on, site, task] for site in own])
    return rows[rows["label"].notna()]


def test_every_kappa_equals_scikit_learn(demo, ensembles):
    stored = demo.ask("select * from agreement_results where study = 'phantom'")
    checked = undefined = 0
    for row in stored.itertuples():
        own = ensembles[row.reference, row.test_dataset, row.task]
        other = ensembles[row.trained_on, row.test_dataset, row.task].reindex(own.index)
        labelled = own["label"].notna().to_numpy()
        labels = own["label"].to_numpy()[labelled].astype(int)
        first, second = own["logit"].to_numpy()[labelled], other["logit"].to_numpy()[labelled]
        cut = youden_point(labels, first)
        if row.rule == "target":
            other_cut = youden_point(labels, second)
        else:
            home = pooled(ensembles, row.trained_on, row.task)
            other_cut = youden_point(home["label"].to_numpy().astype(int), home["logit"].to_numpy())
        if math.isnan(cut) or math.isnan(other_cut):
            assert math.isnan(row.kappa)
            assert "no threshold is better than chance" in row.reason
            undefined += 1
            continue
        assert row.threshold_reference == pytest.approx(cut, abs=1e-12)
        assert row.threshold == pytest.approx(other_cut, abs=1e-12)
        expected = cohen_kappa_score(first >= cut, second >= other_cut)
        assert row.kappa == pytest.approx(expected, abs=1e-12), row
        assert row.n == len(labels)
        checked += 1
    assert checked + undefined == len(stored)
    assert checked > 300


def test_every_model_has_a_kappa_against_the_sites_own_by_both_rules(demo):
    stored = demo.ask("select * from agreement_results where study = 'phantom'")
    expected = {
        (site, task, site, trained_on, rule)
        for site in SITES
        for trained_on in TRAINED_ON
        if trained_on != site
        for task in labelled(site) & labelled(trained_on)
        for rule in ("target", "own")
    }
    columns = ["test_dataset", "task", "reference", "trained_on", "rule"]
    keys = list(stored[columns].itertuples(index=False, name=None))
    assert len(keys) == len(set(keys))
    of_itself = {row for row in keys if row[2] == row[3]}
    assert set(keys) - of_itself == expected
    assert {row[4] for row in of_itself} <= {"target"}


# Leave one site out


def test_every_difference_is_that_of_two_scikit_learn_aucs(demo, ensembles):
    stored = demo.ask("select * from auc_difference_results where study = 'phantom'")
    plays = {"own": "{site}", "all-but-site": "all-but-{site}", "all": "all"}
    compared = set()
    for row in stored.itertuples():
        names = tuple(plays[arm].format(site=row.test_dataset) for arm in (row.arm_a, row.arm_b))
        assert (row.trained_on_a, row.trained_on_b) == names
        values = []
        for name in names:
            rows = ensembles[name, row.test_dataset, row.task]
            rows = rows[rows["label"].notna()]
            values.append(roc_auc_score(rows["label"], rows["logit"]))
        assert row.auc_a == pytest.approx(values[0], abs=1e-12)
        assert row.auc_b == pytest.approx(values[1], abs=1e-12)
        assert row.difference == pytest.approx(values[0] - values[1], abs=1e-12)
        assert row.lower <= row.difference <= row.upper
        compared.add((row.test_dataset, row.task, frozenset((row.arm_a, row.arm_b))))
    pairs = [frozenset(pair) for pair in (*pairwise(plays), ("own", "all"))]
    assert compared == {(site, task, pair) for site in SITES for task in labelled(site) for pair in pairs}
    assert len(stored) == len(compared)


def test_adjusted_p_values_follow_holm_over_the_study(demo):
    from statsmodels.stats.multitest import multipletests

    stored = demo.ask("select * from auc_difference_results where study = 'phantom' and p is not null")
    assert len(stored) > 60
    expected = multipletests(stored["p"], method="holm")[1]
    np.testing.assert_allclose(stored["p_holm"], expected, rtol=1e-10)

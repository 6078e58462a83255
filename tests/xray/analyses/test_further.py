"""Rows of the further analyses of the paper: against scikit-learn, scipy and statsmodels, from the stored scores."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import kendalltau
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    cohen_kappa_score,
    recall_score,
    roc_auc_score,
)
from sqlalchemy import Engine, text
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from xray.analyses import (
    average_precision,
    bland_altman,
    calibration,
    mean_auc,
    net_benefit,
    operating_points,
    performance,
    pooled_agreement,
    seed_agreement,
    subgroups,
    threshold_transfer,
)
from xray.analyses.run import by_column, run, run_all
from xray.analyses.stored import OF_IMAGES, load_study, load_tests
from xray.data.foreign_models import add_foreign
from xray.errors import AnalysisError
from xray.stats.bootstrap import patient_weights
from xray.tasks import TASK_INDEX, TASKS


@pytest.fixture
def loaded(two_sites):
    return load(two_sites.engine)


def load(engine: Engine):
    with engine.begin() as connection:
        study = load_study(connection, "test")
        return study, load_tests(connection, study, OF_IMAGES)


def pick(test, name, task):
    """Labels and ensemble scores of the labelled images of a test cohort."""
    labels = test.cohort.labels[:, TASK_INDEX[task]]
    labelled = ~np.isnan(labels)
    return labels[labelled], test.ensemble(name)[labelled, TASK_INDEX[task]]


def youden_point(labels, scores):
    cuts = sorted(set(scores), reverse=True)
    gains = [(scores[labels == 1] >= c).mean() - (scores[labels == 0] >= c).mean() for c in cuts]
    return cuts[int(np.argmax(np.round(gains, 12)))]


def test_threshold_transfer_is_the_difference_between_the_two_thresholds(loaded):
    study, tests = loaded
    by_name = {test.dataset: test for test in tests}
    rows = {
        (r["cohort_id"], TASKS[r["task_id"]], r["trained_on"], r["measure"]): r
        for r in threshold_transfer.compute(study, tests)
    }
    for test, name in itertools.product(tests, ("x", "y", "all")):
        labels, scores = pick(test, name, "Effusion")
        home = [pick(by_name[d], name, "Effusion") for d in study.configurations[name]]
        cut = youden_point(*(np.concatenate(part) for part in zip(*home, strict=True)))
        point = youden_point(labels, scores)
        for measure, right in (
            ("accuracy", lambda at, y=labels, s=scores: (y == (s >= at)).mean()),
            ("sensitivity", lambda at, y=labels, s=scores: recall_score(y, s >= at)),
            ("specificity", lambda at, y=labels, s=scores: recall_score(1 - y, s < at)),
        ):
            row = rows[test.cohort.id, "Effusion", name, measure]
            assert row["at_home"] == pytest.approx(right(cut), abs=1e-12)
            assert row["at_target"] == pytest.approx(right(point), abs=1e-12)
            assert row["difference"] == pytest.approx(right(cut) - right(point), abs=1e-12)
            assert row["lower"] <= row["difference"] <= row["upper"]
            assert row["n"] == {"accuracy": len(labels), "sensitivity": sum(labels == 1)}.get(
                measure, sum(labels == 0)
            )
    own = rows[by_name["x"].cohort.id, "Effusion", "x", "accuracy"]
    assert own["difference"] == 0
    one_class = rows[by_name["y"].cohort.id, "Edema", "x", "accuracy"]
    assert (one_class["difference"], one_class["reason"]) == (None, "target: one class")
    assert rows[by_name["y"].cohort.id, "Edema", "y", "accuracy"]["reason"] == "not trained"


def test_agreement_of_seeds_equals_scikit_learn(loaded):
    study, tests = loaded
    rows = list(seed_agreement.compute(study, tests))
    assert {(r["seed_a"], r["seed_b"]) for r in rows} == {(0, 1)}
    for row in rows:
        test = next(t for t in tests if t.cohort.id == row["cohort_id"])
        labels = test.cohort.labels[:, row["task_id"]]
        labelled = ~np.isnan(labels)
        if row["kappa"] is None:
            assert row["reason"] is not None
            continue
        scores = [test.logits[e].astype(float)[row["task_id"], labelled] for e in row["evaluation_ids"]]
        calls = [s >= youden_point(labels[labelled], s) for s in scores]
        assert row["kappa"] == pytest.approx(cohen_kappa_score(*calls), abs=1e-12)


def test_pooled_agreement_is_of_all_cohorts_together(loaded):
    study, tests = loaded
    rows = {(TASKS[r["task_id"]], r["rule"]): r for r in pooled_agreement.compute(study, tests)}
    assert set(rows) == {("Effusion", "target"), ("Effusion", "own")}
    picked = {name: [pick(test, name, "Effusion") for test in tests] for name in "xy"}
    scores = {name: np.concatenate([s for _, s in parts]) for name, parts in picked.items()}
    tau = kendalltau(scores["x"], scores["y"]).statistic
    at_target = {
        name: np.concatenate([s >= youden_point(y, s) for y, s in parts]) for name, parts in picked.items()
    }
    home = {name: youden_point(*picked[name]["xy".index(name)]) for name in "xy"}
    at_home = {name: scores[name] >= home[name] for name in "xy"}
    for rule, calls in (("target", at_target), ("own", at_home)):
        row = rows["Effusion", rule]
        assert (row["trained_on_a"], row["trained_on_b"]) == ("x", "y")
        assert row["kappa"] == pytest.approx(cohen_kappa_score(calls["x"], calls["y"]), abs=1e-12)
        assert row["tau"] == pytest.approx(tau, abs=1e-12)
        assert row["n"] == len(scores["x"])
        assert len(row["evaluation_ids"]) == 8


def test_positives_of_pooled_agreement_are_of_the_images_that_it_compares(loaded):
    """A cohort of one class has no threshold: none of its images is compared, and none of its positives counts."""
    study, tests = loaded
    task = TASK_INDEX["Effusion"]
    first, second = tests
    labels = second.cohort.labels.copy()
    labels[~np.isnan(labels[:, task]), task] = 1
    tests = [first, replace(second, cohort=replace(second.cohort, labels=labels), _points={}, cache={})]
    row = next(
        r for r in pooled_agreement.compute(study, tests) if (r["task_id"], r["rule"]) == (task, "target")
    )
    own_labels = first.cohort.labels[:, task]
    assert row["n"] == (~np.isnan(own_labels)).sum()
    assert row["n_pos"] == (own_labels == 1).sum()
    assert row["n_pos"] >= 10
    assert row["n"] - row["n_pos"] >= 10


def test_models_without_a_home_have_no_threshold_of_their_own_to_agree_at(world):
    rng = np.random.default_rng(3)
    label = (np.arange(80) % 3 == 0).astype(float)
    world.dataset("x", {"Effusion": label})
    with world.engine.begin() as connection:
        models = [
            add_foreign(connection, name, {"kind": "scores"}, ["Effusion"], None) for name in ("a", "b")
        ]
    for model in models:
        world.score(model, "x", {"Effusion": label + rng.normal(size=80)})
    world.study(["x"], models)
    with world.engine.begin() as connection:
        connection.execute(text("update study set protocol_id = (select id from protocol)"))
    rows = list(pooled_agreement.compute(*load(world.engine)))
    assert [(r["trained_on_a"], r["trained_on_b"], r["rule"]) for r in rows] == [("a", "b", "target")]
    assert rows[0]["kappa"] is not None


def test_limits_of_agreement_are_of_scores_whose_threshold_is_one_half(loaded):
    study, tests = loaded
    rows = list(bland_altman.compute(study, tests))
    row = next(r for r in rows if TASKS[r["task_id"]] == "Effusion" and r["trained_on"] == "y")
    (test,) = (t for t in tests if t.cohort.id == row["cohort_id"])
    stretched = []
    for name in ("x", "y"):
        labels, scores = pick(test, name, "Effusion")
        p, opt = expit(scores), expit(youden_point(labels, scores))
        stretched.append(np.where(p <= opt, p / (2 * opt), 1 - (1 - p) / (2 * (1 - opt))))
        assert row["auc_reference" if name == "x" else "auc"] == pytest.approx(roc_auc_score(labels, scores))
    difference = stretched[0] - stretched[1]
    assert row["bias"] == pytest.approx(difference.mean())
    assert row["lower_limit"] == pytest.approx(
        difference.mean() - 1.959964 * difference.std(ddof=1), abs=1e-6
    )
    assert (
        row["lower_limit_from"] < row["lower_limit"] < row["lower_limit_to"] < row["bias_from"] < row["bias"]
    )
    assert row["kappa"] == pytest.approx(cohen_kappa_score(*(s >= 0.5 for s in stretched)))


def test_operating_points_average_precision_and_calibration_equal_scikit_learn(loaded):
    study, tests = loaded
    points = {
        (r["cohort_id"], TASKS[r["task_id"]], r["trained_on"], r["rule"], r["measure"]): r
        for r in operating_points.compute(study, tests)
    }
    areas = {
        (r["cohort_id"], TASKS[r["task_id"]], r["trained_on"]): r
        for r in average_precision.compute(study, tests)
    }
    curves = {
        (r["cohort_id"], TASKS[r["task_id"]], r["trained_on"]): r for r in calibration.compute(study, tests)
    }
    (x, y) = tests
    labels, scores = pick(y, "x", "Effusion")
    cut = youden_point(*pick(x, "x", "Effusion"))
    row = points[y.cohort.id, "Effusion", "x", "own", "ppv"]
    calls = scores >= cut
    assert (row["numerator"], row["denominator"]) == ((labels[calls] == 1).sum(), calls.sum())
    assert [row["lower"], row["upper"]] == pytest.approx(
        proportion_confint(row["numerator"], row["denominator"], method="wilson")
    )
    cell = y.cohort.id, "Effusion", "x"
    assert areas[cell]["average_precision"] == pytest.approx(average_precision_score(labels, scores))
    assert areas[cell]["prevalence"] == pytest.approx(labels.mean())
    row = curves[cell]
    assert row["brier"] == pytest.approx(brier_score_loss(labels, expit(scores)))
    assert row["brier"] == pytest.approx(row["reliability"] - row["resolution"] + row["uncertainty"])
    assert sum(row["bin_n"]) == len(labels)
    assert row["ece"] == pytest.approx(
        sum(
            n * abs(o - p)
            for n, o, p in zip(row["bin_n"], row["bin_observed"], row["bin_predicted"], strict=True)
        )
        / len(labels)
    )
    assert row["slope_lower"] < row["slope"] < row["slope_upper"]
    untrained = areas[y.cohort.id, "Edema", "y"]
    assert (untrained["average_precision"], untrained["reason"], untrained["n"]) == (None, "not trained", 60)


def test_net_benefit_uses_the_uncalibrated_probabilities(loaded):
    study, tests = loaded
    rows = list(net_benefit.compute(study, tests))
    by_cell = {(r["cohort_id"], TASKS[r["task_id"]], r["trained_on"], r["threshold"]): r for r in rows}
    assert len(by_cell) == len(rows)
    for test, name, t in itertools.product(tests, ("x", "y", "all"), net_benefit.THRESHOLDS):
        labels, scores = pick(test, name, "Effusion")
        calls = 1 / (1 + np.exp(-scores)) >= t
        hits, alarms = (calls & (labels == 1)).sum(), (calls & (labels == 0)).sum()
        row = by_cell[test.cohort.id, "Effusion", name, t]
        n, n_pos = len(labels), int(labels.sum())
        assert (row["n"], row["n_pos"]) == (n, n_pos)
        value, everyone = hits / n - alarms / n * t / (1 - t), n_pos / n - (n - n_pos) / n * t / (1 - t)
        assert [row["net_benefit"], row["treat_all"]] == pytest.approx([value, everyone])
        assert row["difference"] == pytest.approx(value - everyone, abs=1e-12)
        if calls.any() and not calls.all():
            spread = (hits + alarms * (t / (1 - t)) ** 2) / n - value**2
            half = 1.959964 * np.sqrt(spread / n)
            if min(hits, alarms) >= 10:
                assert [row["lower"], row["upper"]] == pytest.approx([value - half, value + half])
            assert row["lower"] <= value - half + 1e-6
            assert row["difference_lower"] < row["difference"] < row["difference_upper"]
            assert row["reason"] is None
        else:
            why = "every image is called" if calls.all() else "no image is called"
            assert row["reason"] == why
            assert row["difference_lower" if calls.all() else "lower"] is None
    (_, y) = tests
    untrained = by_cell[y.cohort.id, "Edema", "y", 0.1]
    assert (untrained["net_benefit"], untrained["reason"]) == (None, "not trained")


def test_subgroups_are_compared_with_the_rest_and_adjusted_over_the_grouping(loaded):
    study, tests = loaded
    rows = list(subgroups.compute(study, tests))
    assert {r["grouping"] for r in rows} == {"age", "sex"}  # no view is known, so there are no groups of it
    for test in tests:
        labels, scores = (
            test.cohort.labels[:, TASK_INDEX["Effusion"]],
            test.ensemble("all")[:, TASK_INDEX["Effusion"]],
        )
        labelled, women = ~np.isnan(labels), np.arange(60) % 2 == 1
        by_key = {
            r["subgroup"]: r
            for r in rows
            if (r["cohort_id"], TASKS[r["task_id"]], r["trained_on"], r["grouping"])
            == (test.cohort.id, "Effusion", "all", "sex")
        }
        assert by_key["F"]["auc"] == pytest.approx(
            roc_auc_score(labels[labelled & women], scores[labelled & women])
        )
        assert by_key["F"]["auc_rest"] == by_key["M"]["auc"]
        assert by_key["F"]["difference"] == pytest.approx(-by_key["M"]["difference"])
        assert [r["is_worst"] for r in by_key.values()] == [
            by_key[s]["auc"] == min(m["auc"] for m in by_key.values()) for s in by_key
        ]
        assert by_key["F"]["n"] + by_key["M"]["n"] == labelled.sum()
    tested = [r for r in rows if r["grouping"] == "sex" and r["p"] is not None]
    for method, name in (("holm", "p_holm"), ("fdr_bh", "q")):
        expected = multipletests([r["p"] for r in tested], method=method)[1]
        assert [r[name] for r in tested] == pytest.approx(expected)
    ages = [
        r for r in rows if r["grouping"] == "age" and TASKS[r["task_id"]] == "Mass" and r["trained_on"] == "x"
    ]
    assert [(r["subgroup"], r["n"]) for r in ages] == [
        ("0-17", 8),
        ("18-39", 22),
        ("40-64", 25),
        ("65-79", 5),
    ]


@pytest.mark.parametrize(
    ("age", "band"),
    [(0, "0-17"), (17.9, "0-17"), (18, "18-39"), (39, "18-39"), (40, "40-64"), (64, "40-64"), (65, "65-79"),
     (79, "65-79"), (80, "80+"), (104, "80+"), (None, "unknown"), (np.nan, "unknown")],
)  # fmt: skip
def test_an_age_is_in_the_band_that_begins_at_or_below_it(age, band):
    assert subgroups.subgroups("age", np.array([age, 30], dtype=object)).tolist() == [band, "18-39"]


def test_a_planted_worst_group_is_found(world):
    rng = np.random.default_rng(2)
    n = 600
    labels = (rng.random(n) < 0.5).astype(float)
    world.dataset("x", {"Effusion": labels})
    model = world.model("x", 0, ["x"], ["Effusion"])
    women = np.arange(n) % 2 == 1
    world.score(model, "x", {"Effusion": labels * np.where(women, 0.1, 3.0) + rng.normal(size=n)})
    world.study(["x"], [model])
    study, tests = load(world.engine)
    (worst,) = (r for r in subgroups.compute(study, tests, ("sex",)) if r["is_worst"])
    assert (worst["subgroup"], worst["n"]) == ("F", 300)
    assert worst["p_holm"] < 1e-6


def test_a_column_that_is_missing_or_groups_nothing_is_refused(two_sites):
    with pytest.raises(AnalysisError, match="has a column 'Scanner': age, sex, view or one of none"):
        run(two_sites.engine, "test", [by_column("Scanner")])
    with pytest.raises(AnalysisError, match="60 distinct values, which are no subgroups"):
        subgroups.subgroups("Scanner", np.array([f"s{k}" for k in range(60)], dtype=object))


def test_native_columns_form_subgroups_beside_age_sex_and_view(two_sites):
    run_all(two_sites.engine, "test")
    with two_sites.engine.begin() as connection:
        connection.execute(
            text(
                "insert into native_column (dataset_id, name, position, terms, codes) select dataset.id, 'Scanner',"
                " 0, array['A', 'B', ''], array(select 1 + k % 3 from generate_series(1, 60) as k)"
                " from dataset where name = 'x'"
            )
        )
    assert run(two_sites.engine, "test", [by_column("Scanner")]) == {"subgroups by Scanner": True}
    assert run(two_sites.engine, "test", [by_column("Scanner")]) == {"subgroups by Scanner": False}
    with two_sites.engine.begin() as connection:
        result = connection.execute(
            text(
                "select subgroup, n from subgroup_auc_results where grouping = 'Scanner' and trained_on = 'x'"
                " and task = 'Mass' order by subgroup"
            )
        ).all()
        usual = connection.scalar(text("select count(*) from subgroup_auc_results where grouping = 'sex'"))
    assert [tuple(row) for row in result] == [("A", 20), ("B", 20), ("unknown", 20)]
    assert usual > 0


def clustered(world):
    """x with two images per patient, its own model of two seeds and one of all."""
    rng = np.random.default_rng(11)
    n = 400
    labels = {t: np.repeat(rng.random(n // 2) < 0.4, 2).astype(float) for t in ("Effusion", "Mass")}
    labels["Mass"][:7] = np.nan
    world.dataset("x", labels, images_per_patient=2)
    world.dataset("y", labels)
    models = []
    for trained_on, datasets in (("x", ["x"]), ("all", ["x", "y"])):
        for seed in (0, 1):
            models.append(world.model(trained_on, seed, datasets, list(labels)))
            world.score(
                models[-1],
                "x",
                {t: np.nan_to_num(y) + np.repeat(rng.normal(size=n // 2), 2) for t, y in labels.items()},
            )
    world.study(["x", "y"], models)
    return load(world.engine)


def resampled(labels, scores, weights):
    """AUC under each row of weights (n_draws, n_images): the share of pairs with the positive above. One is sklearn's."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    above = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    of_positive, of_negative = weights[:, labels == 1].astype(float), weights[:, labels == 0].astype(float)
    pairs = of_positive.sum(axis=1) * of_negative.sum(axis=1)
    aucs = ((of_positive @ above) * of_negative).sum(axis=1) / pairs
    assert aucs[0] == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights[0]), abs=1e-12)
    return aucs


def test_intervals_have_patients_as_units(world):
    study, tests = clustered(world)
    (test,) = tests
    rows = list(performance.compute(study, tests))
    ensembles = [r for r in rows if r["seed"] is None]
    seeds = [r for r in rows if r["seed"] is not None]
    assert {r["method"] for r in ensembles} == {performance.CLUSTERED_METHOD}
    assert {r["method"] for r in seeds} == {performance.CLUSTERED_SEED_METHOD}
    weights = patient_weights(200, 1000, 0)
    patients = test.cohort.identities.ranks - 1
    for row in (r for r in ensembles if r["trained_on"] == "x"):
        column = test.cohort.labels[:, row["task_id"]]
        scores, usable = test.ensemble("x")[:, row["task_id"]], ~np.isnan(column)
        replicates = resampled(column[usable], scores[usable], weights[:, patients[usable]])
        assert [row["lower"], row["upper"]] == pytest.approx(
            np.quantile(replicates, [0.025, 0.975]), abs=1e-9
        )
        assert row["auc"] == pytest.approx(roc_auc_score(column[usable], scores[usable]))


def test_net_benefit_has_patients_as_units(world):
    study, tests = clustered(world)
    (test,) = tests
    rows = list(net_benefit.compute(study, tests))
    assert {r["method"] for r in rows} == {net_benefit.CLUSTERED_METHOD}
    row = next(r for r in rows if r["trained_on"] == "x" and r["threshold"] == 0.5 and r["reason"] is None)
    column = test.cohort.labels[:, row["task_id"]]
    labelled = ~np.isnan(column)
    gain = np.where(column == 1, 1.0, -1.0)[labelled] * (test.ensemble("x")[labelled, row["task_id"]] >= 0)
    patients = test.cohort.patients[labelled]
    sums = [(gain - gain.mean())[patients == patient].sum() for patient in np.unique(patients)]
    half = 1.959964 * np.sqrt(np.square(sums).sum()) / labelled.sum()
    assert row["net_benefit"] == pytest.approx(gain.mean())
    assert [row["lower"], row["upper"]] == pytest.approx([gain.mean() - half, gain.mean() + half])


def test_the_headline_is_the_mean_over_common_tasks_with_paired_draws(world):
    study, tests = clustered(world)
    (test,) = tests
    rows = {r["trained_on"]: r for r in mean_auc.compute(study, tests)}
    areas = {
        (r["trained_on"], r["task_id"]): r["auc"]
        for r in performance.compute(study, tests)
        if r["seed"] is None
    }
    tasks = [TASK_INDEX["Effusion"], TASK_INDEX["Mass"]]
    weights = patient_weights(200, 1000, 0)
    patients = test.cohort.identities.ranks - 1
    replicates = {}
    for name, row in rows.items():
        assert row["task_ids"] == tasks
        assert row["auc"] == pytest.approx(np.mean([areas[name, task] for task in tasks]))
        assert (row["n"], row["n_patients"]) == (400, 200)
        per_task = []
        for task in tasks:
            column, scores = test.cohort.labels[:, task], test.ensemble(name)[:, task]
            usable = ~np.isnan(column)
            per_task.append(resampled(column[usable], scores[usable], weights[:, patients[usable]]))
        replicates[name] = np.mean(per_task, axis=0)
        assert [row["lower"], row["upper"]] == pytest.approx(
            np.quantile(replicates[name], [0.025, 0.975]), abs=0.02
        )
    change = replicates["all"] - replicates["x"]
    row = rows["all"]
    assert row["reference"] == "x"
    assert row["difference"] == pytest.approx(rows["all"]["auc"] - rows["x"]["auc"])
    assert [row["difference_lower"], row["difference_upper"]] == pytest.approx(
        np.quantile(change, [0.025, 0.975]), abs=0.02
    )
    assert row["difference_lower"] + row["difference_upper"] == pytest.approx(2 * row["difference"])
    assert rows["x"]["difference"] is rows["x"]["p"] is None


def test_a_subgroup_with_few_of_a_class_is_not_tested(world):
    labels = np.zeros(200)
    labels[:30:2] = 1  # fifteen men, no woman
    labels[1:8:2] = 1  # four women
    world.dataset("x", {"Effusion": labels})
    model = world.model("x", 0, ["x"], ["Effusion"])
    world.score(model, "x", {"Effusion": np.random.default_rng(0).normal(size=200) + labels})
    world.study(["x"], [model])
    study, tests = load(world.engine)
    rows = {r["subgroup"]: r for r in subgroups.compute(study, tests, ("sex",))}
    assert (rows["M"]["n_pos"], rows["F"]["n_pos"]) == (15, 4)
    assert all(row["difference"] is not None for row in rows.values())
    assert [row["p"] for row in rows.values()] == [None, None]
    assert not any(row["is_worst"] for row in rows.values())


def test_an_own_model_that_knows_none_of_the_findings_is_no_reference_of_the_headline(world):
    rng = np.random.default_rng(4)
    effusion, mass = (rng.random(120) < 0.4).astype(float), (np.arange(120) < 3).astype(float)
    world.dataset("x", {"Effusion": effusion, "Mass": mass})
    world.dataset("y", {"Effusion": effusion, "Mass": mass})
    own = world.model("x", 0, ["x"], ["Mass"])
    both = world.model("all", 0, ["x", "y"], ["Effusion", "Mass"])
    world.score(own, "x", {"Mass": rng.normal(size=120)})
    world.score(both, "x", {"Effusion": effusion + rng.normal(size=120), "Mass": rng.normal(size=120)})
    world.study(["x", "y"], [own, both])
    rows = {r["trained_on"]: r for r in mean_auc.compute(*load(world.engine))}
    assert {r["reference"] for r in rows.values()} == {None}
    assert rows["all"]["task_ids"] == [TASK_INDEX["Effusion"]]
    assert rows["all"]["auc"] > 0.6
    assert (rows["x"]["auc"], rows["x"]["task_ids"]) == (None, [])

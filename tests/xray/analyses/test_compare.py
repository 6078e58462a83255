"""`xray compare`: two models on the same images, against scikit-learn and statsmodels; which images they differ on."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar

from flows.cli import cli
from xray.analyses.compare import compare
from xray.analyses.stored import load_study, load_tests
from xray.analyses.where import fit, parse
from xray.errors import AnalysisError
from xray.stats.comparisons import compare_paired
from xray.stats.multiplicity import holm
from xray.stats.roc import youden
from xray.stats.shares import paired_by_patient
from xray.tasks import TASK_INDEX


def test_every_number_equals_an_independent_computation(two_sites):
    with two_sites.engine.begin() as connection:
        comparison = compare(connection, "test", "x", "y", margin=0.1, probability=0.6)
        tests = {test.dataset: test for test in load_tests(connection, load_study(connection, "test"))}
    assert {row["test_dataset"] for row in comparison.rows} == {"x", "y"}
    for row in comparison.rows:
        test, task = tests[row["test_dataset"]], TASK_INDEX[row["task"]]
        label = test.cohort.labels[:, task]
        labelled = ~np.isnan(label)
        label = label[labelled]
        a, b = (test.ensemble(name)[labelled, task] for name in ("x", "y"))
        assert (row["n"], row["n_pos"]) == (labelled.sum(), label.sum())
        assert (row["auc_a"], row["auc_b"]) == pytest.approx(
            (roc_auc_score(label, a), roc_auc_score(label, b))
        )
        delong = compare_paired(label, a, b)
        assert (row["difference"], row["lower"], row["p"]) == pytest.approx(
            (float(delong.difference), float(delong.lower), float(delong.p))
        )
        assert row["no_worse"] == (row["lower"] > -0.1)
        calls = [scores >= float(youden(label, scores).threshold) for scores in (a, b)]
        assert row["kappa"] == pytest.approx(cohen_kappa_score(*calls))
        on = label == 1
        assert row["sensitivity_difference"] == pytest.approx(calls[0][on].mean() - calls[1][on].mean())
        assert row["specificity_difference"] == pytest.approx(calls[1][~on].mean() - calls[0][~on].mean())
        cells = pd.crosstab(calls[0][on], calls[1][on]).reindex(
            index=[False, True], columns=[False, True], fill_value=0
        )
        assert row["sensitivity_p"] == pytest.approx(mcnemar(cells, exact=True).pvalue)
        cut = np.log(0.6 / 0.4)
        worth = [(((s >= cut) & on).sum() - ((s >= cut) & ~on).sum() * 1.5) / len(label) for s in (a, b)]
        assert worth[0] != worth[1]
        assert row["net_benefit_difference"] == pytest.approx(worth[0] - worth[1])
        differing = comparison.images.query("dataset == @test.dataset and task == @row['task']")
        assert len(differing) == row["differ"] == (calls[0] != calls[1]).sum()
        assert (differing["first"] != differing["second"]).all()
    tested = [row for row in comparison.rows if row["p"] is not None]
    assert [row["p_holm"] for row in tested] == pytest.approx(holm([row["p"] for row in tested]))


def test_a_condition_restricts_the_comparison_to_some_images(two_sites):
    with two_sites.engine.begin() as connection:
        women = compare(connection, "test", "x", "y", where="sex = 'F' and age >= 12").rows
        with pytest.raises(AnalysisError, match="no labelled image that both models scored fits"):
            compare(connection, "test", "x", "y", where="age > 999")
        with pytest.raises(AnalysisError, match="has a column 'ward'"):
            compare(connection, "test", "x", "y", where="ward = 3")
        whole = compare(connection, "test", "x", "y").rows
    for some, every in zip(women, whole, strict=True):
        assert 0 < some["n"] < every["n"]


def test_the_command_prints_a_comparison_and_writes_disagreements(two_sites, database, tmp_path, monkeypatch):
    monkeypatch.setenv("XRAY_DATABASE_URL", database)
    monkeypatch.setenv("XRAY_HOME", str(tmp_path / "home"))
    words = ["compare", "x", "y", "--study", "test"]
    file = tmp_path / "differ.csv"
    result = CliRunner().invoke(
        cli, [*words, "--margin", "0.05", "--disagreements", str(file)], catch_exceptions=False
    )
    assert "no worse" in result.stdout
    assert "which flatters sensitivity" in result.stdout
    assert list(pd.read_csv(file)) == ["dataset", "task", "image", "label", "first", "second"]
    rows = [json.loads(line) for line in CliRunner().invoke(cli, [*words, "--json"]).stdout.splitlines()]
    assert sum(row["differ"] for row in rows) == len(pd.read_csv(file))


@pytest.mark.parametrize(
    ("first", "second", "message"), [("x", "x", "another one"), ("x", "q", "no model of study")]
)
def test_a_comparison_needs_two_different_models(two_sites, first, second, message):
    with two_sites.engine.begin() as connection, pytest.raises(AnalysisError, match=message):
        compare(connection, "test", first, second)


COLUMNS = {
    "age": np.array([70, 69.5, None, 90], dtype=object),
    "sex": np.array(["F", "f", "M", None], dtype=object),
    "Scanner Name": np.array(["a b", "c", "1.0", "1"], dtype=object),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age >= 70", [True, False, False, True]),
        ("age<70 AND sex='F'", [False, True, False, False]),
        ("sex != F", [False, False, True, False]),
        ("\"Scanner Name\" = 'a b'", [True, False, False, False]),
        ('"Scanner Name" = 1', [False, False, True, True]),
        ("ward = 3", [False] * 4),
    ],
)
def test_conditions_select_the_rows_that_fit(text, expected):
    assert fit(parse(text), COLUMNS, 4).tolist() == expected


@pytest.mark.parametrize(
    "text", ["", "age", "age >= ", "age >= 70 or sex = F", "age >= 70 and", "age >= 'old"]
)
def test_an_invalid_condition_is_refused(text):
    with pytest.raises(AnalysisError, match="expected conditions joined by and"):
        parse(text)


def test_values_are_ordered_as_numbers():
    with pytest.raises(AnalysisError, match="> is for numbers"):
        fit(parse("sex > F"), COLUMNS, 4)


def test_repeated_images_of_a_patient_do_not_narrow_intervals():
    random = np.random.default_rng(0)
    gain = random.choice([-1, 0, 1], size=80, p=[0.1, 0.6, 0.3])
    once = paired_by_patient(np.ones(80, bool), gain, np.arange(80))
    four = paired_by_patient(np.ones(320, bool), np.repeat(gain, 4), np.repeat(np.arange(80), 4))
    assert (float(four.lower), float(four.p)) == pytest.approx((float(once.lower), float(once.p)))
    assert float(once.se) == pytest.approx(gain.std(ddof=1) / 80**0.5)


@pytest.fixture(params=[9, 10])
def several_images(world, request):
    """40 patients with five images each, of whom some are positive; two models that are right more and less often."""
    rng = np.random.default_rng(3)
    patient = np.arange(200) // 5
    label = (patient < request.param).astype(float)
    world.dataset("x", {"Effusion": label}, images_per_patient=5)
    own = rng.normal(size=(2, 40)).repeat(5, axis=1)  # what all images of a patient share
    scores = np.array([[1.0], [0.8]]) * label + own + 0.3 * rng.normal(size=(2, 200))
    models = [world.model(name, 0, ["x"], ["Effusion"]) for name in ("x", "y")]
    for model, score in zip(models, scores, strict=True):
        world.score(model, "x", {"Effusion": score})
    world.study(["x"], models)
    return world, request.param, label, scores.astype(np.float32), patient


def test_where_patients_have_several_images_they_are_counted_and_compared(several_images):
    world, n, label, scores, patient = several_images
    with world.engine.begin() as connection:
        (row,) = compare(connection, "test", "x", "y").rows
    assert (row["n"], row["n_pos"]) == (200, 5 * n)
    if n < 10:
        assert row["reason"] == "fewer than 10 patients of a class"
        assert (row["difference"], row["p"], row["sensitivity_p"], row["net_benefit_p"]) == (None,) * 4
        return
    by_patient, by_image = (compare_paired(label, *scores, patients=of) for of in (patient, None))
    assert (row["lower"], row["upper"], row["p"]) == pytest.approx(
        (float(by_patient.lower), float(by_patient.upper), float(by_patient.p)), rel=1e-6
    )
    assert row["upper"] - row["lower"] > 1.3 * float(by_image.upper - by_image.lower)
    cuts = [float(youden(label.astype(np.float32), s.astype(np.float64)).threshold) for s in scores]
    gain = (scores[0] >= cuts[0]).astype(int) - (scores[1] >= cuts[1])
    paired = paired_by_patient(label == 1, gain, patient)
    assert row["sensitivity_p"] == pytest.approx(float(paired.p))
    paired = paired_by_patient(label == 0, -gain, patient)
    assert (row["specificity_difference"], row["specificity_p"]) == pytest.approx(
        (float(paired.difference), float(paired.p))
    )


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5])
def test_a_threshold_probability_and_a_margin_lie_within_their_bounds(two_sites, share):
    with two_sites.engine.begin() as connection:
        with pytest.raises(AnalysisError, match="--probability: expected a share above 0 and below 1"):
            compare(connection, "test", "x", "y", probability=share)
        with pytest.raises(AnalysisError, match="--margin: expected a difference of AUC above 0"):
            compare(connection, "test", "x", "y", margin=share / 2)

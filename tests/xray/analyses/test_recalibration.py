"""`xray recalibrate`: fitted at one hospital, judged there and at the others, stored, and read through by the database."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.special import expit
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from flows.cli import cli
from xray.analyses.recalibration import recalibrate_model
from xray.errors import AnalysisError
from xray.stats.calibration_intervals import calibration_measures
from xray.stats.recalibration import METHODS, cross_fitted, recalibrate

N = 400
READ = """
select image, test_dataset, logit, probability, label, calibrated_logit, calibrated_probability, fitted_on, fitted_here
from calibrated_predictions where model = 'test.v/1' and task = 'Effusion' and calibration = :version
order by test_dataset, image
"""


@pytest.fixture
def vendor(world):
    """A model v that says too extreme things at x and too much of everything at y; its truth is planted."""
    random = np.random.default_rng(8)
    logits = random.normal(0, 2, (2, N)).astype(np.float32)
    logits[0, :2] = [-746, np.nan]
    truth = [expit(-0.5 + 0.6 * logits[0]), expit(-1.5 + logits[1])]
    labels = [(random.random(N) < np.nan_to_num(p, nan=0.5)).astype(float) for p in truth]
    labels[0][2:6] = np.nan
    for name, label in zip("xy", labels, strict=True):
        world.dataset(name, {"Effusion": label, "Edema": np.repeat([1.0, 0.0], [4, N - 4])})
    model = world.model("v", 0, ["x"], ["Effusion", "Edema"])
    for name, score in zip("xy", logits, strict=True):
        world.score(model, name, {"Effusion": score, "Edema": random.normal(size=N)})
    world.study(["x", "y"], [model])
    return world


def ask(world, statement, **parameters):
    with world.engine.connect() as connection:
        return pd.read_sql(text(statement), connection, params=parameters)


def numbers(rows, name):
    """A column; the text of a stored logit is short, and names one real number only."""
    column = rows[name].to_numpy(np.float64)
    return column.astype(np.float32).astype(np.float64) if name == "logit" else column


@pytest.mark.parametrize("method", METHODS)
def test_calibrated_predictions_apply_the_map_and_stored_logits_stay(vendor, method):
    stored = ask(vendor, "select * from prediction order by evaluation_id, task_id")
    with vendor.engine.begin() as connection:
        calibration = recalibrate_model(connection, "test", "v", "effusion", method)
    rows = ask(vendor, READ, version=calibration.version)
    plain = ask(vendor, "select * from predictions where task = 'Effusion' order by test_dataset, image")
    for name in ("image", "logit", "probability", "label"):
        pd.testing.assert_series_equal(rows[name], plain[name])
    expected = calibration.fitted.apply(numbers(rows, "logit"))
    np.testing.assert_allclose(numbers(rows, "calibrated_logit"), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(numbers(rows, "calibrated_probability"), expit(expected), atol=1e-9)
    assert np.isnan(expected).sum() == 1
    assert set(rows["fitted_on"]) == {"x"}
    assert (rows["fitted_here"] == (rows["test_dataset"] == "x")).all()
    at_x = rows[(rows["test_dataset"] == "x") & rows["label"].notna()]
    assert calibration.fitted.n == len(at_x.dropna(subset="logit")) == N - 5
    pd.testing.assert_frame_equal(
        ask(vendor, "select * from prediction order by evaluation_id, task_id"), stored
    )


def test_values_before_and_after_equal_those_of_the_statistics(vendor, database, tmp_path, monkeypatch):
    monkeypatch.setenv("XRAY_DATABASE_URL", database)
    monkeypatch.setenv("XRAY_HOME", str(tmp_path / "home"))
    words = ["recalibrate", "v", "--task", "Effusion", "--dataset", "x"]
    report = json.loads(CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False).stdout)
    at = ask(vendor, "select * from predictions where task = 'Effusion' order by image")
    by = {
        name: rows.sort_values("image", key=lambda s: s.str[6:].astype(int))
        for name, rows in at.groupby("test_dataset")
    }
    label, score = (numbers(by["x"], name) for name in ("label", "logit"))
    expected = recalibrate(label, score, "logistic")
    assert (report["intercept"], report["slope"]) == pytest.approx((expected.intercept, expected.slope))
    order = ask(vendor, "select name, rank() over (order by patient) from image where name like 'x-test%'")
    ranks = order.set_index("name")["rank"].loc[by["x"]["image"]].to_numpy()
    after, _ = cross_fitted(label, score, ranks, "logistic")
    for when, logits in (("before", score), ("after", after)):
        measures = calibration_measures(label, logits, ranks, when == "after").measures
        for name, measure in measures.items():
            assert report["here"][when][name]["value"] == pytest.approx(measure.value, abs=1e-9)
            assert report["here"][when][name]["upper"] == pytest.approx(measure.upper, abs=1e-9)
    assert report["here"]["before"]["slope"]["upper"] < 1
    assert report["here"]["after"]["slope"]["lower"] < 1 < report["here"]["after"]["slope"]["upper"]
    assert report["here"]["brier difference"]["upper"] < 0
    assert len(report["here"]["after"]["curve"]["observed"]) == 50
    (other,) = report["elsewhere"]
    label, score = (numbers(by["y"], name) for name in ("label", "logit"))
    measures = calibration_measures(label, expected.apply(score), np.arange(N)).measures
    assert other["after"]["slope"]["value"] == pytest.approx(measures["slope"].value)
    printed = CliRunner().invoke(cli, words, catch_exceptions=False).stdout
    assert printed.startswith("test.v/1, Effusion: calibration 1, logistic, calibrated logit = ")
    assert "at x (395 images" in printed
    assert "at y (400 images" in printed


def test_an_equal_fit_is_stored_once_and_each_new_fit_gets_a_version(vendor):
    with vendor.engine.begin() as connection:
        versions = [
            recalibrate_model(connection, "test", "v", "Effusion", method, dataset).version
            for method, dataset in (
                ("logistic", "x"), ("isotonic", "x"), ("logistic", "y"), ("logistic", "x"), ("isotonic", "x"),
            )
        ]  # fmt: skip
    assert versions == [1, 2, 3, 1, 2]
    stored = ask(vendor, "select * from recalibrations order by calibration")
    assert stored["fitted_on"].tolist() == ["x", "x", "y"]
    assert stored["slope"].isna().tolist() == [False, True, False]
    assert len(stored["knots"][1]) == len(stored["probabilities"][1])
    with vendor.engine.begin() as connection, pytest.raises(DBAPIError, match="frozen"):
        connection.execute(text("update recalibration set slope = 1 where version = 1"))


def test_patients_of_the_fit_are_left_out_at_other_hospitals(vendor):
    with vendor.engine.begin() as connection:
        connection.execute(
            text(
                "update image set patient_id = (select patient_id from image where name = 'x-test7')"
                " where name in ('y-test0', 'y-test1')"
            )
        )
        calibration = recalibrate_model(connection, "test", "v", "Effusion", "intercept", "x")
    (other,) = calibration.elsewhere
    assert (other.left_out, other.after.n) == (2, N - 2)


@pytest.mark.parametrize(
    ("model", "task", "dataset", "message"),
    [
        ("nobody", "Effusion", None, "there is no model of study test 'nobody'"),
        ("v", "Effusions", None, "did you mean 'Effusion'"),
        ("v", "Effusion", "zz", "there is no dataset where test.v/1 scored labelled images for Effusion"),
        ("v", "Edema", None, "test.v/1, Edema at x: 4 patients with a positive image that is scored"),
        (
            "v",
            "edema",
            "y",
            "test.v/1, Edema at y: 4 patients with a positive image that is scored; logistic needs 10",
        ),
        ("v", "Hernia", None, "test.v/1 scored no image that is labelled for Hernia"),
    ],
)
def test_an_impossible_calibration_is_refused_with_the_reason(vendor, model, task, dataset, message):
    with vendor.engine.begin() as connection, pytest.raises(AnalysisError, match=message):
        recalibrate_model(connection, "test", model, task, "logistic", dataset)


def test_an_isotonic_fit_needs_more_images(two_sites):
    with two_sites.engine.begin() as connection, pytest.raises(AnalysisError, match="isotonic needs 100"):
        recalibrate_model(connection, "test", "test.x/2", "Effusion", "isotonic")


def test_one_of_several_seeds_must_be_named(two_sites):
    with two_sites.engine.begin() as connection:
        with pytest.raises(AnalysisError, match=r"x has 2 models.*name one of test\.x/1, test\.x/2"):
            recalibrate_model(connection, "test", "x", "Effusion", "logistic")
        assert recalibrate_model(connection, "test", "test.x/2", "Effusion", "logistic").model == "test.x/2"


def test_only_patients_with_a_label_and_a_score_are_enough_to_fit_on(world):
    """Twelve positives of whom eight were not scored."""
    random = np.random.default_rng(9)
    label = (np.arange(100) < 12).astype(float)
    scores = random.normal(size=100)
    scores[:8] = np.nan
    world.dataset("x", {"Effusion": label})
    model = world.model("v", 0, ["x"], ["Effusion"])
    world.score(model, "x", {"Effusion": scores})
    world.study(["x"], [model])
    with (
        world.engine.begin() as connection,
        pytest.raises(AnalysisError, match="4 patients with a positive image"),
    ):
        recalibrate_model(connection, "test", "v", "Effusion", "logistic")

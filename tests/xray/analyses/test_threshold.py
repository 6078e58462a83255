"""`xray threshold`: chosen at one hospital, judged there and at the others."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.special import expit

from flows.cli import cli
from xray.analyses.stored import load_study, load_tests
from xray.analyses.threshold import threshold
from xray.errors import AnalysisError
from xray.stats.chosen import choose
from xray.tasks import TASK_INDEX

EFFUSION = TASK_INDEX["Effusion"]


def test_the_threshold_is_judged_on_its_dataset_and_at_other_hospitals(
    two_sites, database, tmp_path, monkeypatch
):
    monkeypatch.setenv("XRAY_DATABASE_URL", database)
    monkeypatch.setenv("XRAY_HOME", str(tmp_path / "home"))
    words = ["threshold", "x", "--task", "effusion", "--sensitivity", "0.8", "--study", "test"]
    result = CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False)
    report = json.loads(result.stdout)
    with two_sites.engine.begin() as connection:
        own, elsewhere = load_tests(connection, load_study(connection, "test"))
    label, score = own.cohort.labels[:, EFFUSION], own.ensemble("x")[:, EFFUSION]
    choice = choose(label, score, own.cohort.patients, "sensitivity", 0.8)
    assert report["dataset"] == own.dataset
    assert report["threshold"] == pytest.approx(expit(choice.threshold), abs=1e-12)
    assert report["measures"]["sensitivity"]["apparent"] >= 0.8
    (other,) = report["elsewhere"]
    label, score = elsewhere.cohort.labels[:, EFFUSION], elsewhere.ensemble("x")[:, EFFUSION]
    assert other["dataset"] == elsewhere.dataset
    assert other["sensitivity"]["value"] == pytest.approx(np.mean(score[label == 1] >= choice.threshold))
    assert other["specificity"]["value"] == pytest.approx(np.mean(score[label == 0] < choice.threshold))
    printed = CliRunner().invoke(cli, words, catch_exceptions=False).stdout
    assert "on further images" in printed
    assert f"at {elsewhere.dataset}" in printed
    assert CliRunner().invoke(cli, [*words, "--youden"]).exit_code == 2


@pytest.mark.parametrize(
    ("model", "task", "dataset", "message"),
    [
        ("nobody", "Effusion", None, "there is no model of study test 'nobody'"),
        ("x", "Effusions", None, "did you mean 'Effusion'"),
        ("x", "Effusion", "zz", "there is no dataset where x scored labelled images for Effusion"),
        ("x", "Hernia", None, "x scored no image that is labelled for Hernia"),
    ],
)
def test_an_unknown_model_finding_or_dataset_is_named(two_sites, model, task, dataset, message):
    with two_sites.engine.begin() as connection, pytest.raises(AnalysisError, match=message):
        threshold(connection, "test", model, task, "youden", dataset=dataset)


@pytest.mark.parametrize("share", [-0.1, 0.0, 1.0, 1.2])
def test_a_target_and_a_prevalence_lie_between_0_and_1(two_sites, share):
    with two_sites.engine.begin() as connection:
        with pytest.raises(
            AnalysisError, match=rf"sensitivity: expected a share above 0 and below 1, found {share:g}"
        ):
            threshold(connection, "test", "x", "Effusion", "sensitivity", share)
        with pytest.raises(
            AnalysisError, match=rf"--prevalence: expected a share above 0 and below 1, found {share:g}"
        ):
            threshold(connection, "test", "x", "Effusion", "youden", prevalence=share)


def test_another_prevalence_is_that_of_the_choice(two_sites):
    with two_sites.engine.begin() as connection:
        rare = threshold(connection, "test", "x", "Effusion", "sensitivity", 0.8, prevalence=0.05)
        as_here = threshold(connection, "test", "x", "Effusion", "sensitivity", 0.8)
    assert rare.choice.threshold == as_here.choice.threshold
    assert rare.choice.value[2] < as_here.choice.value[2], "PPV"

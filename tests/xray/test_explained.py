"""A vendor's score is followed to the file it came in, and its model to its card, its scores and what it may know."""

import hashlib
import json
import os
import pwd

import pandas as pd
import pytest
from scipy.special import logit
from sqlalchemy import text

from tests.conftest import copy_template
from tests.xray.test_evaluate import N, call, run, without_figures, write_site  # noqa: F401  (fixtures)
from xray.analyses import shown

pytestmark = pytest.mark.filterwarnings("ignore:The Result.tuples")


@pytest.fixture(scope="module")
def once(server, _template, tmp_path_factory):
    """Percentages of a vendor under names of its own, with a declared threshold: database, file, labels and scores."""
    folder = tmp_path_factory.mktemp("explained")
    labels, (file,) = write_site(folder / "ours", 1, "vendor")
    scores = pd.read_csv(file)
    table = scores.assign(Mass=100 * scores["Mass"], Erguss=100 * scores["Effusion"]).drop(columns="Effusion")
    table.rename(columns={"Mass": "lung mass"}).to_csv(file, index=False)
    (folder / "scores.toml").write_text('[findings]\nErguss = "Effusion"\n"lung mass" = "Mass"\n')
    words = ("evaluate", file, "--labels", labels, "--site", "ours", "--kind", "percent")
    url = copy_template(server, _template, "explained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAY_DATABASE_URL", url.replace("+psycopg2", ""))
        patch.setenv("XRAY_HOME", str(folder / "home"))
        patch.setenv("XRAY_COMMAND", "xray evaluate 'vendor.csv'")
        patch.setattr(shown, "_figure", lambda part: None)  # most of the time, and not looked at
        call(*words, "--scores-map", folder / "scores.toml", "--threshold", "Effusion=40")
        call("recalibrate", "vendor", "--task", "Effusion", "--method", "logistic", "--study", "evaluation")
    return url, file, pd.read_csv(labels), scores


@pytest.fixture
def database(once) -> str:
    """That database, for all tests: the last ones change it."""
    return once[0]


@pytest.fixture
def judged(run, once):  # noqa: F811
    """Runs commands on such a copy; file, labels and scores."""
    return run, *once[1:]


def test_one_score_is_followed_to_its_file(judged):
    run, file, labels, scores = judged  # noqa: F811
    command = ("explain", "evaluation/vendor/ours/Effusion", "--image", "i3.png")
    about = json.loads(run(*command, "--json").stdout)
    (evaluation,) = about["evaluations"]
    assert evaluation["scores"] == {
        "file": "vendor.csv",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "kind": "percent",
        "conversion": "p = value / 100; logit = ln(p / (1 - p))",
        "names": {
            "Effusion": {"name": "Erguss", "by": "mapping file"},
            "Mass": {"name": "lung mass", "by": "mapping file"},
        },
    }
    assert evaluation["scored_by"] == pwd.getpwuid(os.getuid()).pw_name
    assert evaluation["scored_command"] == "xray evaluate 'vendor.csv'"
    assert (evaluation["kind"], evaluation["seed"], evaluation["said_trained_on"]) == ("foreign", None, None)
    assert about["operating_point"] == {
        "threshold": 40.0,
        "kind": "percent",
        "logit": pytest.approx(float(logit(0.4))),
    }
    (calibration,) = about["calibrations"]
    assert (calibration["calibration"], calibration["method"]) == (1, "logistic")
    labels_seen = labels[:-1]
    assert {
        key: about["labels"][key] for key in ("dataset", "site", "positive", "negative", "unlabelled")
    } == {
        "dataset": "ours",
        "site": "ours",
        "positive": labels_seen["Effusion"].sum(),
        "negative": (labels_seen["Effusion"] == 0).sum(),
        "unlabelled": 0,
    }
    assert about["labels"]["states"] == {
        "positive": labels["Effusion"].sum(),
        "negative": (labels["Effusion"] == 0).sum(),
    }, "the dataset's, the lateral image among them"
    exact = float(scores["Effusion"][3])
    score = about["score"]
    assert (score["image"], score["patient"], score["position"]) == ("i3.png", "p1", 4)
    assert score["logit"] == pytest.approx(float(logit(exact)), rel=1e-6)
    assert score["as_given"] == pytest.approx(100 * exact, rel=1e-6)
    assert score["called_positive"] == (exact >= 0.4)
    assert score["label"]["label"] == labels["Effusion"][3]
    words = run(*command).stdout
    for line in (
        "vendor on ours, Effusion, a model from elsewhere",
        f"file vendor.csv  sha256 {evaluation['scores']['sha256']}",
        "Effusion is its 'Erguss' (mapping file)",
        "operating point 40 (percent; logit -0.4055), declared by its maker",
        f"{100 * exact:.6g} as percent",
        "said to be trained on unknown",
    ):
        assert line in words


def test_every_evaluation_has_its_provenance(judged, engine):
    with engine.connect() as connection:
        counts = connection.execute(
            text("select (select count(*) from evaluation), (select count(*) from provenance)")
        ).one()
    assert counts[0] == counts[1] > 0


def test_an_image_outside_the_test_cohort_is_named(judged):
    run = judged[0]  # noqa: F811
    words = ("explain", "evaluation/vendor/ours/Effusion", "--image")
    for image in (f"i{N - 1}.png", "nobody.png"):
        with pytest.raises(Exception, match=f"'{image}' is no test image of ours in evaluation"):
            run(*words, image)


def test_scores_without_recorded_files_say_so(judged, engine):
    run = judged[0]  # noqa: F811
    with engine.begin() as connection:
        connection.execute(text("update evaluation set provenance = null"))
        connection.execute(text("update model set provenance = '{}'"))
    words = run("explain", "evaluation/vendor/ours/Effusion").stdout
    assert "it was scored, or imported, before xray recorded them" in words
    assert "first imported at a time not on record" in run("provenance", "vendor").stdout


def test_synonyms_are_distinguished_from_equal_names(run, without_figures, tmp_path):  # noqa: F811
    labels, (file,) = write_site(tmp_path / "theirs", 2, "another")
    pd.read_csv(file).rename(columns={"Effusion": "pleural effusion"}).to_csv(file, index=False)
    run("evaluate", file, "--labels", labels, "--site", "theirs")
    about = json.loads(run("provenance", "another", "--json").stdout)
    (evaluation,) = about["evaluations"]
    assert evaluation["scores"]["names"] == {
        "Effusion": {"name": "pleural effusion", "by": "synonym"},
        "Mass": {"name": "Mass", "by": "the same name"},
    }
    assert about["leaks"] == []
    assert "would leak: unknown" in run("provenance", "another").stdout


def test_the_provenance_of_a_model_lists_where_it_would_leak(judged, tmp_path):
    """Datasets that it knows and that it has not scored are told of, too, and those that nobody here has."""
    run, file, _, _ = judged  # noqa: F811
    scores = pd.read_csv(file).rename(columns={"Erguss": "Effusion", "lung mass": "Mass"})
    scores.to_csv(tmp_path / "again.csv", index=False)
    options = ("--trained-on", "ours", "--trained-on", "far-away")
    import_options = ("--cohort", "ours", "--protocol", "external", "--kind", "percent")
    run("predictions", "import", tmp_path / "again.csv", "--model", "knows", *import_options, *options)
    about = json.loads(run("provenance", "knows", "--json").stdout)
    assert about["said_trained_on"] == ["far-away", "ours"]
    assert about["unregistered"] == ["far-away"]
    (leak,) = about["leaks"]
    assert f"{N - 1} of {N - 1} ours test rows show an image" in leak
    words = run("provenance", "knows").stdout
    assert f"would leak: {leak}" in words
    assert "overlap with them can't be counted: far-away" in words

"""Analyses on a cut: as if no other image was there, to the last bit, and as scikit-learn has it; what is read once."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.metrics import brier_score_loss, cohen_kappa_score, confusion_matrix, roc_auc_score
from sqlalchemy import create_engine, text
from statsmodels.stats.proportion import proportion_confint

import xray
from db.store import read_vectors
from flows.cli import cli
from tests.conftest import copy_template
from tests.xray.analyses.conftest import World
from tests.xray.analyses.hospitals import Hospitals
from xray.analyses.analysis import stored_rows
from xray.analyses.cuts import Cut, Selection, can_be_cut, cut, cut_frame
from xray.analyses.kept import Cache
from xray.analyses.run import ANALYSES, by_name, run_all
from xray.analyses.stored import load_study, load_tests
from xray.errors import AnalysisError

CUTTABLE = [analysis for analysis in ANALYSES if can_be_cut(analysis)]
OLD = np.array([10 + k >= 30 for k in range(60)])
"""Of the 60 images of each dataset those of whom age >= 30 holds."""
DAYS = [f"2024-{1 + k // 28:02d}-{1 + k % 28:02d}" for k in range(60)]


@pytest.fixture(scope="module")
def databases(server: Any, _template: str) -> list[str]:
    """Two databases for all tests of this file."""
    return [copy_template(server, _template, f"cuts_{number}") for number in range(2)]


@pytest.fixture(scope="module")
def hospitals(databases: list[str]) -> Hospitals:
    """Three hospitals with a model from elsewhere; x's label file has days."""
    sites = Hospitals(World(create_engine(databases[0])))
    sites.one_more_from_elsewhere()
    with sites.world.engine.begin() as connection:
        connection.execute(
            text(
                "insert into native_column (dataset_id, name, position, terms, codes)"
                " select id, 'StudyDate', 1, :terms, :codes from dataset where name = 'x'"
            ),
            {"terms": DAYS, "codes": list(range(1, 61))},
        )
    run_all(sites.world.engine, "test")
    return sites


@pytest.fixture(scope="module")
def without_the_young(databases: list[str]) -> Hospitals:
    """The same hospitals of which nobody under 30 was ever registered."""
    sites = Hospitals(World(create_engine(databases[1])), OLD)
    sites.one_more_from_elsewhere()
    run_all(sites.world.engine, "test")
    return sites


def stored(hospitals: Hospitals, name: str) -> pd.DataFrame:
    with hospitals.world.engine.connect() as connection:
        return stored_rows(connection, "test", by_name(name))


def cut_of(hospitals: Hospitals, name: str, images: Cut, *, cache: Cache | None = None, **selection: Any):
    with hospitals.world.engine.connect() as connection:
        return cut_frame(connection, "test", by_name(name), images, Selection(**selection), cache)


def same(one: pd.DataFrame, two: pd.DataFrame, without: tuple[str, ...] = ()) -> None:
    """Equal to the last bit."""
    left_out = ("warning", "foreign", "evaluation_ids", *without)
    one, two = (frame.drop(columns=[c for c in left_out if c in frame]) for frame in (one, two))
    pd.testing.assert_frame_equal(one, two, check_exact=True, check_dtype=False)


@pytest.mark.parametrize("name", [analysis.name for analysis in CUTTABLE])
def test_the_cut_of_all_images_equals_the_stored_rows(hospitals, name):
    rows = stored(hospitals, name)
    assert len(rows)
    same(cut_of(hospitals, name, Cut()), rows)


OF_THE_CUT = (
    "performance",
    "calibration",
    "average_precision",
    "net_benefit",
    "partial_auc",
    "subgroups",
    "mean_auc",
)
"""Analyses that choose no threshold on the test cohort itself."""


@pytest.mark.parametrize("name", OF_THE_CUT)
def test_a_cut_equals_a_study_without_the_other_images(hospitals, without_the_young, name):
    rows = stored(without_the_young, name)
    assert len(rows)
    same(cut_of(hospitals, name, cut("age >= 30")), rows)


def test_calls_on_a_cut_equal_those_of_a_study_without_the_other_images(hospitals, without_the_young):
    """At a declared threshold, which does not depend on who else was there."""
    own, expected = (
        rows[rows["rule"] == "declared"].reset_index(drop=True)
        for rows in (
            cut_of(hospitals, "operating_points", cut("age >= 30")),
            stored(without_the_young, "operating_points"),
        )
    )
    assert set(own["test_dataset"]) == set("xyz")
    same(own, expected)


@pytest.mark.parametrize("name", [analysis.name for analysis in CUTTABLE if analysis.name != "mean_auc"])
def test_other_models_and_findings_in_the_request_do_not_change_a_row(hospitals, name):
    whole = cut_of(hospitals, name, cut("sex = 'F'"))
    selection = {"models": ("all",), "datasets": ("y", "z"), "tasks": ("mass",)}
    part = cut_of(hospitals, name, cut("sex = 'F'"), **selection)
    fits = (whole["trained_on"] == "all") & (whole["task"] == "Mass") & (whole["test_dataset"] != "x")
    assert len(part)
    same(part, whole[fits].reset_index(drop=True), ("p_holm", "q"))


CUTS = {
    "where": (cut("age >= 25 and sex = 'F'"), lambda k: 10 + k >= 25 and k % 2 == 1),
    "days": (cut(since="2024-01-10", until="2024-02-20"), lambda k: "2024-01-10" <= DAYS[k] <= "2024-02-20"),
    "names": (cut(images=[f"x-test{k}" for k in range(7, 50)]), lambda k: 7 <= k < 50),
}


@pytest.mark.parametrize("kind", CUTS)
def test_every_number_equals_an_independent_computation(hospitals, kind):
    """x is of one image a patient: the intervals of its shares are Wilson's."""
    images, fits = CUTS[kind]
    with hospitals.world.engine.connect() as connection:
        (test,) = load_tests(connection, load_study(connection, "test"), datasets=["x"])
    of_cut = np.array([fits(k) for k in range(60)])
    thresholds = {
        (row.trained_on, row.task, row.rule): row.threshold
        for row in stored(hospitals, "operating_points").itertuples()
        if row.test_dataset == "x"
    }
    frames = {
        name: cut_of(hospitals, name, images, datasets=("x",), tasks=("Effusion", "Mass", "Edema"))
        for name in ("performance", "operating_points", "calibration", "agreement")
    }
    study = load_study_of(hospitals)
    for (name, task), row in frames["performance"].query("seed.isna()").groupby(["trained_on", "task"]):
        label, score = test.cohort.labels[:, study.index(task)], test.ensemble(name)[:, study.index(task)]
        usable = of_cut & ~np.isnan(label) & ~np.isnan(score)
        y, s = label[usable] == 1, score[usable]
        assert (row["n"].item(), row["n_pos"].item()) == (usable.sum(), y.sum())
        assert row["auc"].item() == pytest.approx(roc_auc_score(y, s), abs=1e-12)
        assert row["lower"].item() < row["auc"].item() < row["upper"].item()
        assert own_rows(frames["calibration"], name, task)["brier"].item() == pytest.approx(
            brier_score_loss(y, 1 / (1 + np.exp(-s)))
        )
        for rule, rows in own_rows(frames["operating_points"], name, task).groupby("rule"):
            cutoff = thresholds[name, task, rule]
            (tn, fp), (fn, tp) = confusion_matrix(y, s >= cutoff, labels=[False, True])
            expected = {"sensitivity": (tp, tp + fn), "specificity": (tn, tn + fp)}
            expected |= {"ppv": (tp, tp + fp), "npv": (tn, tn + fn)}
            for measure, (part, of) in expected.items():
                share = rows[rows["measure"] == measure].iloc[0]
                assert share[["threshold", "numerator", "denominator"]].tolist() == [cutoff, part, of]
                assert share[["lower", "upper"]].tolist() == pytest.approx(
                    proportion_confint(part, of, method="wilson"), abs=1e-12
                )
        if name != "x":
            agreement = own_rows(frames["agreement"], name, task).query("rule == 'target'")
            own = test.ensemble("x")[:, study.index(task)]
            both = usable & ~np.isnan(own)
            calls = (
                own[both] >= thresholds["x", task, "target"],
                score[both] >= thresholds[name, task, "target"],
            )
            assert agreement["kappa"].item() == pytest.approx(cohen_kappa_score(*calls))


def own_rows(frame: pd.DataFrame, name: str, task: str) -> pd.DataFrame:
    return frame[(frame["trained_on"] == name) & (frame["task"] == task)]


def load_study_of(hospitals: Hospitals) -> list[str]:
    with hospitals.world.engine.connect() as connection:
        return list(load_study(connection, "test").findings)


def test_a_column_of_one_hospital_excludes_the_others(hospitals):
    assert set(cut_of(hospitals, "performance", cut(since="2024-01-01"))["test_dataset"]) == {"x"}


@pytest.mark.parametrize(
    ("name", "images", "selection", "words"),
    [
        ("performance", {"where": "age > 200"}, {}, "age > 200: no image of the test cohorts fits"),
        ("performance", {"where": "weight > 2"}, {}, "no dataset of study 'test' has a column 'weight'"),
        ("performance", {"images": ["x-test1", "nowhere"]}, {}, "no image 'nowhere' is registered"),
        ("performance", {"images": ["x-train1"]}, {}, "1 images by name: no image of the test cohorts fits"),
        ("performance", {}, {"models": ("alll",)}, "no model of study test 'alll'; did you mean 'all'"),
        ("performance", {}, {"datasets": ("w",)}, "no test dataset of study test 'w'"),
        ("performance", {}, {"tasks": ("Mas",)}, "no finding 'Mas'"),
        ("synthesis", {}, {}, "synthesis is not of single models on single datasets"),
    ],
)
def test_unknown_columns_images_and_models_are_named(hospitals, name, images, selection, words):
    with pytest.raises(AnalysisError, match=words):
        cut_of(hospitals, name, cut(**images), **selection)


def test_an_invalid_day_is_refused():
    with pytest.raises(AnalysisError, match="'January' is no day"):
        cut(since="January")


def test_scores_are_read_once_until_images_change(hospitals, monkeypatch):
    reads = []
    monkeypatch.setattr(
        "xray.analyses.kept.read_vectors",
        lambda *arguments: reads.append(arguments[1:]) or read_vectors(*arguments),
    )
    cache = Cache()
    options = {"cache": cache, "models": ("all",), "datasets": ("y",), "tasks": ("Mass",)}
    first = cut_of(hospitals, "performance", cut("age >= 30"), **options)
    cut_of(hospitals, "performance", cut("age >= 40"), **options)
    assert len([arguments for arguments in reads if arguments[0]]) == 1
    change = "update image set age = age {} 50 where name like 'y-%'"
    try:
        with hospitals.world.engine.begin() as connection:
            connection.execute(text(change.format("+")))
        everybody = cut_of(hospitals, "performance", cut("age >= 30"), **options)
        assert first["n"].max() < everybody["n"].max()
    finally:
        with hospitals.world.engine.begin() as connection:
            connection.execute(text(change.format("-")))


def test_the_cache_stays_within_its_bytes():
    cache = Cache(3 * 800)
    for number in range(5):
        cache.of(number, lambda: np.zeros(100))
        cache.of(0, lambda: np.zeros(100))
    assert cache.nbytes == 3 * 800
    assert [number for number in range(5) if cache.get(number) is not None] == [0, 3, 4]
    cache.put("too large", np.zeros(1000))
    assert cache.nbytes == 0


def test_the_command_prints_the_rows_of_a_cut(hospitals, tmp_path, monkeypatch):
    url = hospitals.world.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("XRAY_DATABASE_URL", url)
    listed = tmp_path / "list.csv"
    listed.write_text(
        "image,why\nx-test3,doubtful\nx-test4,\n" + "".join(f"x-test{k},\n" for k in range(5, 60))
    )
    words = ["analyse", "performance", "--model", "all", "--dataset", "x", "--task", "Mass"]
    result = CliRunner().invoke(cli, [*words, "--images", str(listed), "--from", "2024-01-05", "--json"])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    images = cut(since="2024-01-05", images=[f"x-test{k}" for k in range(3, 60)])
    expected = cut_of(hospitals, "performance", images, models=("all",), datasets=("x",), tasks=("Mass",))
    assert [row["auc"] for row in rows] == expected["auc"].tolist()
    output = CliRunner().invoke(cli, [*words, "--where", "age >= 30"])
    assert "age >= 30; thresholds are those of the whole test cohorts; nothing is stored" in output.stdout
    refused = CliRunner().invoke(cli, ["analyse", "all", "--where", "age >= 30"])
    assert (refused.exit_code, "a cut needs one analysis" in refused.output) == (2, True)


def test_a_cut_from_python_equals_that_of_the_command(hospitals, tmp_path, monkeypatch):
    url = hospitals.world.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("XRAY_DATABASE_URL", url)
    listed = tmp_path / "list.txt"
    listed.write_text("x-test8\nx-test9\nx-test10\nx-test11\n")
    with xray.connect(tmp_path / "home") as platform:
        rows = platform.cut("operating_points", where="age >= 30", model="all", task=["Mass", "Edema"])
        same(
            rows,
            cut_of(hospitals, "operating_points", cut("age >= 30"), models=("all",), tasks=("Mass", "Edema")),
        )
        assert platform.cut(images=listed)["n"].max() <= 4
        assert set(platform.cut(since="2024-02-01", dataset="x")["test_dataset"]) == {"x"}

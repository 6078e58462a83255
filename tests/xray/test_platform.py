"""What scripts and notebooks get of the platform: frames, an evaluation in one call, figures; and what it refuses."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import xray
from xray.errors import AnalysisError, DatabaseError, StudyError
from xray.platform import Platform

N = 120


def tables(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels and scores of a hospital's images, a finding each."""
    draw = np.random.default_rng(seed)
    images = [f"{seed}-{k}.png" for k in range(N)]
    labels = pd.DataFrame({"image": images, "Mass": (draw.random(N) < 0.4).astype(int)})
    chance = 1 / (1 + np.exp(-(draw.normal(size=N) + labels["Mass"])))
    return labels, pd.DataFrame({"image": images, "Mass": chance})


@pytest.fixture
def platform(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XRAY_DATABASE_URL", database.replace("+psycopg2", ""))
    with xray.connect(tmp_path / "home") as connection:
        yield connection


def test_a_judged_model_is_read_back_as_it_was_given(platform: Platform, tmp_path: Path) -> None:
    (labels, scores), (others, of_others) = tables(1), tables(2)
    others.to_csv(tmp_path / "labels.csv", index=False)
    of_others.to_csv(tmp_path / "scores.csv", index=False)
    platform.evaluate({"vendor-a": scores}, labels, site="here")
    rows = platform.evaluate({"vendor-a": tmp_path / "scores.csv"}, tmp_path / "labels.csv", site="there")
    rows = rows.set_index("test_dataset")
    assert rows.loc["here", "auc"] == pytest.approx(roc_auc_score(labels["Mass"], scores["Mass"]))
    assert rows.loc["there", "auc"] == pytest.approx(roc_auc_score(others["Mass"], of_others["Mass"]))
    assert platform.results("performance", "evaluation").equals(
        rows.reset_index()[platform.results().columns]
    )

    stored = platform.predictions(model="vendor-a", dataset="there", task="Mass")
    both = stored.merge(of_others.assign(truth=others["Mass"]), on="image")
    assert len(stored) == len(both) == N
    assert np.allclose(both["probability"], both["Mass"], atol=1e-6)
    assert (both["label"] == both["truth"]).all()
    assert len(platform.predictions(model="vendor-a")) == 2 * N

    assert platform.studies() == ["evaluation"]
    assert platform.figure("auc", format="svg").read_text().lstrip().startswith("<?xml")
    counts = platform.sql("select count(*) as n from predictions where test_dataset = %(name)s", name="here")
    assert counts["n"].tolist() == [N]


def test_unknown_names_are_reported(platform: Platform) -> None:
    labels, scores = tables(1)
    platform.evaluate({"vendor-a": scores}, labels, site="here")
    with pytest.raises(AnalysisError, match="no task 'Mas'; did you mean 'Mass'"):
        platform.predictions(task="Mas")
    with pytest.raises(AnalysisError, match=r"no dataset .*or true --.*; known: here"):
        platform.predictions(dataset="x' or true --")
    with pytest.raises(AnalysisError, match="no analysis 'performances'"):
        platform.results("performances")
    with pytest.raises(AnalysisError, match="no study 'other'; known: evaluation"):
        platform.results(study="other")
    with pytest.raises(StudyError, match="no figure of evaluation 'performance'; known: "):
        platform.figure("performance")
    with pytest.raises(StudyError, match=r"png, svg, csv"):
        platform.figure("auc", format="pdf")
    with pytest.raises(StudyError, match="give labels and a site"):
        platform.evaluate({"vendor-a": scores})
    with pytest.raises(StudyError, match="give site"):
        platform.evaluate({"vendor-a": scores}, labels)


@pytest.mark.parametrize("question", ["delete from study", "commit; create table mine (n int)"])
def test_queries_can_only_read(platform: Platform, question: str) -> None:
    with pytest.raises(DatabaseError, match="one question at a time"):
        platform.sql(question)


def test_another_home_is_used_and_the_environment_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XRAY_DATABASE_URL", raising=False)
    monkeypatch.setenv("XRAY_HOME", str(tmp_path / "another"))
    before = dict(os.environ)
    with xray.connect(str(tmp_path / "mine")) as platform:
        assert platform.home == (tmp_path / "mine").resolve()
        assert platform.studies() == []
        with pytest.raises(DatabaseError, match="one question at a time"):
            platform.sql("commit; begin read write; create table mine (n int)")
    assert dict(os.environ) == before
    assert not (tmp_path / "another").exists()


def test_the_version_is_that_of_the_package() -> None:
    assert xray.__version__.count(".") >= 1
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        xray.conect  # noqa: B018

"""What is stored is computed once, and again when what it comes from has changed."""

import dataclasses
import threading

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text

from xray.analyses import code, home, results, run, steps
from xray.analyses.current import count_current
from xray.analyses.report import write_report
from xray.analyses.run import ANALYSES, run_all
from xray.analyses.shown import drawn_in_processes, drawn_in_turn
from xray.analyses.stored import load_study, load_tests
from xray.errors import AnalysisError
from xray.tasks import TASK_INDEX

WITHOUT_ROWS = (
    "classifier_map",
    "classifier_distance",
    "feature_map",
    "view_classifier",
    "reader_agreement",
    "interventions",
)
TABLES = (
    "analysis",
    *(analysis.table.__tablename__ for analysis in ANALYSES if analysis.name not in WITHOUT_ROWS),
)
NAMES = [analysis.name for analysis in ANALYSES]
UNSCORED = {"causes", "classifier_map", "feature_map", "view_classifier", "interventions"}
"""Analyses that no score of the study's own models enters."""


def ids(engine) -> dict[str, list[int]]:
    with engine.begin() as connection:
        return {t: list(connection.scalars(text(f"select id from {t} order by id"))) for t in TABLES}


def current(engine) -> int:
    with engine.begin() as connection:
        return count_current(connection, "test")


def add_seed(world, trained_on="x", seed=2, shift=0.0):
    """One more seed of x, scored at both sites and part of the study."""
    rng = np.random.default_rng(seed)
    with world.engine.begin() as connection:
        study = connection.scalar(text("select id from study"))
    model = world.model(trained_on, seed, ["x"], ["Effusion", "Mass", "Edema"])
    world.add_models(study, [model], first=100 + seed)
    for dataset in "xy":
        world.score(model, dataset, {t: rng.normal(size=60) + shift for t in ("Effusion", "Mass", "Edema")})
    return model


def test_every_analysis_is_computed_once(two_sites):
    assert current(two_sites.engine) == 0
    assert run_all(two_sites.engine, "test") == dict.fromkeys(NAMES, True)
    assert current(two_sites.engine) == len(ANALYSES)
    before = ids(two_sites.engine)
    # two sites are too few for the first; the others are of models from elsewhere, and of several readers
    without = ("synthesis", "causes", "reader_agreement")
    assert all(rows for name, rows in before.items() if name not in without), "an analysis has no rows"
    assert run_all(two_sites.engine, "test") == dict.fromkeys(NAMES, False)
    assert ids(two_sites.engine) == before


def test_nothing_is_loaded_when_nothing_is_stale(two_sites, monkeypatch):
    run_all(two_sites.engine, "test")

    def refuse(*_):
        raise AssertionError("scores were read")

    for module in (steps, home):
        monkeypatch.setattr(module, "load_test", refuse)
    assert not any(run_all(two_sites.engine, "test").values())


def test_a_new_evaluation_makes_its_analyses_stale(two_sites):
    run_all(two_sites.engine, "test")
    before = ids(two_sites.engine)
    add_seed(two_sites)
    assert current(two_sites.engine) == len(UNSCORED)
    assert run_all(two_sites.engine, "test") == {name: name not in UNSCORED for name in NAMES}
    after = ids(two_sites.engine)
    assert len(after["auc"]) == len(before["auc"]) + 2 * 3
    assert len(after["agreement"]) == len(before["agreement"])
    with two_sites.engine.begin() as connection:
        auc = results.performance(connection, "test")
    rows_of_model = auc[
        (auc["trained_on"] == "x") & (auc["test_dataset"] == "x") & (auc["task"] == "Effusion")
    ]
    assert rows_of_model["seed"].dropna().tolist() == [0, 1, 2]


def test_a_repeated_evaluation_counts_as_a_new_one(two_sites):
    run_all(two_sites.engine, "test")
    with two_sites.engine.begin() as connection:
        model = connection.scalar(text("select model_id from evaluation order by id limit 1"))
        connection.execute(text("delete from evaluation where id = (select min(id) from evaluation)"))
    assert current(two_sites.engine) == len(UNSCORED)
    two_sites.score(model, "x", dict.fromkeys(("Effusion", "Mass", "Edema"), np.arange(60.0)))
    assert current(two_sites.engine) == len(UNSCORED)
    assert run_all(two_sites.engine, "test") == {name: name not in UNSCORED for name in NAMES}


def test_evaluations_of_other_studies_make_nothing_stale(two_sites):
    run_all(two_sites.engine, "test")
    model = two_sites.model("elsewhere", 0, ["x"], ["Effusion"])
    two_sites.score(model, "x", {"Effusion": np.arange(60.0)})
    assert not any(run_all(two_sites.engine, "test").values())


@pytest.fixture
def changed_source(monkeypatch, tmp_path):
    """changed(module, before, after): the module's source as the code's hash sees it, with one text replaced."""

    def changed(module, before, after):
        original = code._source
        text = original(module).read_text()
        assert before in text
        (tmp_path / "changed.py").write_text(text.replace(before, after))
        monkeypatch.setattr(
            code, "_source", lambda name: tmp_path / "changed.py" if name == module else original(name)
        )
        for cached in (code.code_hash, code._read):
            cached.cache_clear()

    yield changed
    monkeypatch.undo()
    for cached in (code.code_hash, code._read):
        cached.cache_clear()


def test_changed_code_makes_only_the_analyses_that_use_it_stale(two_sites, changed_source):
    run_all(two_sites.engine, "test")
    changed_source("xray.stats.precision_recall", "0.5 + level / 2", "0.5 + level / 3")
    assert run_all(two_sites.engine, "test") == {name: name == "average_precision" for name in NAMES}


def test_changed_code_of_indirect_imports_makes_an_analysis_stale(two_sites, changed_source):
    run_all(two_sites.engine, "test")
    changed_source("xray.stats.intervals", "return", "return 0 or")
    computed = run_all(two_sites.engine, "test")
    assert {name for name, now in computed.items() if now} >= {
        "operating_points",
        "threshold_transfer",
        "net_benefit",
    }
    assert not computed["classifier_map"]


def test_changed_comments_docstrings_and_layout_make_nothing_stale(changed_source):
    before = {analysis.name: analysis.code_hash for analysis in ANALYSES}
    changed_source("xray.stats.delong", '"""DeLong', '"""Said otherwise. DeLong')
    assert {analysis.name: analysis.code_hash for analysis in ANALYSES} == before
    changed_source("xray.stats.delong", "\n\n\n", "\n\n# a remark\n\n\n")
    assert {analysis.name: analysis.code_hash for analysis in ANALYSES} == before


def test_a_failed_analysis_keeps_its_old_rows_while_others_get_new_ones(two_sites, monkeypatch):
    run_all(two_sites.engine, "test")
    before = ids(two_sites.engine)
    add_seed(two_sites)
    last = next(analysis for analysis in ANALYSES if analysis.name == "subgroups")

    def fail(study, tests):
        yield from []
        raise ZeroDivisionError

    changed = [
        dataclasses.replace(analysis, compute=fail) if analysis is last else analysis for analysis in ANALYSES
    ]
    monkeypatch.setattr(run, "ANALYSES", changed)
    with pytest.raises(ZeroDivisionError):
        run_all(two_sites.engine, "test")
    after = ids(two_sites.engine)
    assert after[last.table.__tablename__] == before[last.table.__tablename__]
    assert set(after["auc"]) - set(before["auc"])
    assert current(two_sites.engine) == len(ANALYSES) - 1


def test_two_processes_at_once_compute_an_analysis_once(two_sites):
    outcomes = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(run_all(two_sites.engine, "test"))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sum(outcome.values()) for outcome in outcomes) == [0, 0, len(ANALYSES)]
    with two_sites.engine.begin() as connection:
        assert connection.scalar(text("select count(distinct name) from analysis")) == len(ANALYSES)


def test_an_unknown_or_unscored_study_is_refused(two_sites):
    with pytest.raises(AnalysisError, match="there is no study 'other'; known: test"):
        run_all(two_sites.engine, "other")
    two_sites.study(["x"], [two_sites.model("x", 7, ["x"], ["Effusion"])], name="empty")
    with pytest.raises(AnalysisError, match="study 'empty' has no scored test cohort yet"):
        run_all(two_sites.engine, "empty")
    with two_sites.engine.begin() as connection:
        assert count_current(connection, "other") == count_current(connection, "empty") == 0


def test_the_stored_study_has_its_order(two_sites):
    with two_sites.engine.begin() as connection:
        study = load_study(connection, "test")
        tests = load_tests(connection, study)
    assert study.datasets == {"x": "x", "y": "y"}
    assert study.configurations == {"x": ("x",), "y": ("y",), "all": ("x", "y")}
    assert study.trained_on_exactly(("y", "x")) == "all"
    assert study.trained_on_exactly(("z",)) is None
    assert [test.dataset for test in tests] == ["x", "y"]
    assert tests[0].trained_on == ["x", "y", "all"]
    assert [e.seed for e in tests[0].of("y")] == [0, 1]
    assert study.tasks(tests) == sorted(TASK_INDEX[t] for t in ("Effusion", "Mass", "Edema"))


def test_an_ensemble_is_the_mean_of_logits_in_double_precision(two_sites):
    with two_sites.engine.begin() as connection:
        (test, _) = load_tests(connection, load_study(connection, "test"))
    first, second = (test.logits[e.evaluation_id] for e in test.of("x"))
    ensemble = test.ensemble("x")
    assert ensemble.dtype == np.float64
    np.testing.assert_array_equal(ensemble, (first.astype(float) + second.astype(float)).T / 2)
    assert np.isnan(ensemble[:, TASK_INDEX["Hernia"]]).all()


@pytest.mark.filterwarnings("ignore:.*fewer than.*:UserWarning")
def test_the_report_is_the_same_bytes_for_the_same_results_on_one_core_and_on_all(
    two_sites, tmp_path, study_file
):
    run_all(two_sites.engine, "test")
    study = study_file(tmp_path)
    pages = []
    for name, draw in (("first", drawn_in_turn), ("second", drawn_in_processes)):
        (tmp_path / name).mkdir()
        with two_sites.engine.begin() as connection:
            page = write_report(connection, study, tmp_path / name, ["xray study run x.toml"], draw)
        assert page == tmp_path / name / "report.html"
        pages.append({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()})
    assert pages[0] == pages[1]
    assert len(pages[0]) == 2 + 3 * 14
    table = pd.read_csv(tmp_path / "first" / "auc.csv")
    with two_sites.engine.begin() as connection:
        stored = results.performance(connection, "test")
    assert len(table) == len(stored)
    np.testing.assert_allclose(table["auc"], stored["auc"].astype(float), rtol=1e-12)


def test_results_can_be_limited_to_one_rule(two_sites):
    run_all(two_sites.engine, "test")
    with two_sites.engine.begin() as connection:
        target, own = (results.agreement(connection, "test", rule) for rule in ("target", "own"))
        (stored,) = connection.execute(text("select count(*) from agreement")).one()
    assert set(target["rule"]) == {"target"}
    assert len(target) + len(own) == stored
    assert target.index.tolist() == list(range(len(target)))

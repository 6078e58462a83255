"""One more model or dataset costs its own cells, and the results are those of computing all anew, to the last bit."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, text

from db.embedded import Server
from tests.conftest import copied
from tests.xray.analyses.hospitals import Hospitals, cells, computed
from xray.analyses.current import is_current
from xray.analyses.run import by_name, cohorts_to_compute, run_all, run_cohort
from xray.analyses.stored import load_study

PER_MODEL = (
    "performance", "seed_agreement", "partial_auc", "average_precision", "calibration", "net_benefit", "subgroups",
    "threshold_transfer", "operating_points", "reader_agreement",
)  # fmt: skip
"""Analyses whose rows are of one configuration on one test cohort."""
AGAINST = ("agreement", "mean_auc", "bland_altman")
"""Those that compare it with the cohort's own model."""


@pytest.fixture
def hospitals(server: Server, analysed: Hospitals) -> Iterator[Hospitals]:
    with copied(server, "hospitals_analysed") as url:
        yield analysed.at(create_engine(url))


def test_another_seed_makes_only_its_models_cells_stale(hospitals: Hospitals) -> None:
    before = cells(hospitals.world.engine)
    hospitals.one_more_seed()
    cells_computed = computed(hospitals.world.engine, before)
    own = {(dataset, "y") for dataset in "xyz"}
    for name in PER_MODEL:
        assert {cell for analysis, cell in cells_computed if analysis == name} == own, name
    for name in AGAINST:
        beside = {("y", trained_on) for trained_on in ("x", "y", "z", "all")}
        assert {cell for analysis, cell in cells_computed if analysis == name} == own | beside, name
    assert {cell for name, cell in cells_computed if name == "pooled_agreement"} == {("x", "y"), ("y", "z")}
    assert {cell for name, cell in cells_computed if name == "leave_one_site_out"} == {("y",)}
    assert {cell for name, cell in cells_computed if name == "parts of images_or_labels"} == {
        ("x", "y"),
        ("y", "z"),
    }
    assert {cell for name, cell in cells_computed if name == "synthesis"} == {("y",)}
    assert {cell for name, cell in cells_computed if name == "parts of synthesis"} == {("x", "y"), ("z", "y")}
    assert {cell for name, cell in cells_computed if name == "parts of points at home"} == {("y",)}
    assert not {name for name, _ in cells_computed} & {
        "feature_map",
        "view_classifier",
        "classifier_map",
        "causes",
    }


def test_another_dataset_makes_only_its_own_cells_stale(hospitals: Hospitals) -> None:
    before = cells(hospitals.world.engine)
    hospitals.one_more_dataset()
    cells_computed = computed(hospitals.world.engine, before)
    new = {("w", trained_on) for trained_on in ("x", "y", "z", "all")}
    for name in {*PER_MODEL, *AGAINST} - {"performance"}:
        assert {cell for analysis, cell in cells_computed if analysis == name} - {("w", "")} == new, name
    everywhere = {(dataset, trained_on) for dataset in "wxyz" for trained_on in ("x", "y", "z", "all")}
    assert {cell for analysis, cell in cells_computed if analysis == "performance"} == everywhere, (
        "it lists every finding that is labelled"
    )
    assert {cell for name, cell in cells_computed if name == "leave_one_site_out"} == {("w",)}
    assert {cell for name, cell in cells_computed if name == "parts of synthesis"} == new
    assert not {name for name, _ in cells_computed} & {"parts of images_or_labels", "parts of points at home"}


def test_another_foreign_model_makes_only_its_own_cells_stale(hospitals: Hospitals) -> None:
    before = cells(hospitals.world.engine)
    hospitals.one_more_from_elsewhere()
    cells_computed = computed(hospitals.world.engine, before)
    for name in (*PER_MODEL, *AGAINST):
        assert {cell for analysis, cell in cells_computed if analysis == name} == {
            (dataset, "theirs") for dataset in "xyz"
        }, name
    assert "leave_one_site_out" not in {name for name, _ in cells_computed}


def test_new_scores_at_home_make_every_cell_with_a_threshold_from_home_stale(hospitals: Hospitals) -> None:
    """Thresholds that are read off at home come from them, wherever they are used."""
    before = cells(hospitals.world.engine)
    hospitals.score_again("y")
    cells_computed = computed(hospitals.world.engine, before)
    assert {cell for name, cell in cells_computed if name == "performance"} == {("y", "y")}
    for name in ("operating_points", "threshold_transfer"):
        assert {cell for analysis, cell in cells_computed if analysis == name} == {
            (dataset, "y") for dataset in "xyz"
        }, name


def test_a_dataset_removed_from_a_study_leaves_no_rows(hospitals: Hospitals) -> None:
    engine = hospitals.world.engine
    hospitals.one_more_dataset()
    run_all(engine, "test")
    with engine.begin() as connection:
        connection.execute(text("delete from study_dataset where guest"))
    cells_computed = computed(engine, cells(engine))
    left = {*PER_MODEL, *AGAINST} - {"performance"}  # which listed the finding that only w was labelled for
    assert not {name for name, _ in cells_computed} & left, "what is left of them is as it was"
    with engine.begin() as connection:
        tested = connection.scalars(text("select distinct cohort_id from auc")).all()
    assert len(tested) == 3


def test_test_cohorts_computed_in_parallel_give_the_same_results(hospitals: Hospitals) -> None:
    engine = hospitals.world.engine
    hospitals.one_more_from_elsewhere()
    before = cells(engine)
    assert cohorts_to_compute(engine, "test") == ["x", "y", "z"]
    assert run_cohort(engine, "test", "x")["subgroups"]
    now = cells(engine)
    assert {key: now[key] for key in before} == before, "what is of others is left"
    assert {cell for name, cell in now.keys() - before.keys() if name == "subgroups"} == {("x", "theirs")}
    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(lambda dataset: run_cohort(engine, "test", dataset), "xyz"))
    assert [outcome["subgroups"] for outcome in outcomes] == [False, True, True]
    with engine.begin() as connection:
        study = load_study(connection, "test")
        assert is_current(connection, study, by_name("performance"))
        assert not is_current(connection, study, by_name("subgroups")), "p values are to be adjusted"
    now = cells(engine)
    assert run_all(engine, "test")["subgroups"]
    finished = {key for key, number in cells(engine).items() if now.get(key) == number}
    assert finished >= {(name, (dataset, "theirs")) for name in PER_MODEL for dataset in "xyz"}
    assert cohorts_to_compute(engine, "test") == []
    assert computed(engine, cells(engine)) == set(), "nothing was left"

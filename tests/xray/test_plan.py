"""A study in the database: what it asks for, how far it is, and that it may grow."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from xray.analyses import results
from xray.analyses.run import ANALYSES, run_all
from xray.data.prepare import prepare
from xray.errors import DataError
from xray.learning.evaluate import evaluate
from xray.learning.missing import missing
from xray.learning.models import ensure_model
from xray.plan import Progress, progress, read_sited, record_study, requests
from xray.study import Study, read_study

ALL = len(ANALYSES)

HEAD = """name = "growing"
seeds = [0, 1]
{more}
[network]
name = "small_convnet"
image_size = 16
[training]
epochs = 1
batch_size = 8
[augmentation]
rotation = 0
translation = 0
scale = 0
"""


@pytest.fixture
def study_of(tmp_path):
    def make(*names: str, more: str = "") -> Study:
        tables = "".join(
            f'[[datasets]]\nname = "{n}"\nphantom = {{ site = "alpha", patients = 40, size = 16 }}\n'
            for n in names
        )
        file = tmp_path / "growing.toml"
        file.write_text(HEAD.format(more=more) + tables)
        return read_study(file)

    return make


def now(engine, study: Study) -> Progress:
    with engine.begin() as connection:
        return progress(connection, study)


def train(engine, tracker, home, study: Study) -> int:
    """Every model of the study; how many are new. Records the study."""
    models = [ensure_model(engine, tracker, home, request) for request in requests(study)]
    with engine.begin() as connection:
        record_study(connection, study, [model_id for model_id, _ in models])
    return sum(new for _, new in models)


def fill(engine, tracker, home, study: Study) -> int:
    with engine.begin() as connection:
        lists_missing = missing(connection, study.name)
    return sum(evaluate(engine, tracker, home, model, lists) for model, lists in lists_missing.items())


def test_requests_are_ordered_by_configuration_and_seed(study_of):
    ordered = requests(study_of("a", "b", more='configurations = ["all", "each"]'))
    assert [(r.trained_on, r.seed) for r in ordered] == [
        (name, seed) for name in ("a", "b", "all") for seed in (0, 1)
    ]
    assert {r.study for r in ordered} == {"growing"}
    assert ordered[-1].datasets == ("a", "b")
    assert ordered[0].recipe.image_size == 16


def test_progress_is_counted_step_by_step_also_when_a_study_grows(engine, tracker, home, draw, study_of):
    study = study_of("a", "b")
    assert now(engine, study) == Progress(2, 0, 6, 0, 12, 0, ALL), (
        "scores of models to be trained are missing, too"
    )
    draw("a")
    assert now(engine, study) == Progress(2, 1, 6, 0, 12, 0, ALL)
    draw("b")
    assert now(engine, study) == Progress(2, 2, 6, 0, 12, 0, ALL)
    assert train(engine, tracker, home, study) == 6
    assert now(engine, study) == Progress(2, 2, 6, 6, 12, 0, ALL)
    assert not now(engine, study).is_done
    assert fill(engine, tracker, home, study) == 12
    assert now(engine, study) == Progress(2, 2, 6, 6, 0, 0, ALL)
    run_all(engine, study.name)
    assert now(engine, study) == Progress(2, 2, 6, 6, 0, ALL, ALL)
    assert now(engine, study).is_done
    assert train(engine, tracker, home, study) == 0

    # a third site: "all" is now of three, and what was "all" would be "all but c"
    larger = study_of("a", "b", "c")
    to_score = 2 * 2 + 5 * 2 * 3  # models of a and b have still to score c, and the new ones all three
    assert now(engine, larger).evaluations_missing == to_score
    draw("c")
    assert now(engine, larger).evaluations_missing == to_score
    trained = {(r.trained_on, r.datasets) for r in requests(study)}
    added = [r for r in requests(larger) if (r.trained_on, r.datasets) not in trained]
    assert {r.trained_on for r in added} == {"c", "all", "all-but-a", "all-but-b", "all-but-c"}
    assert train(engine, tracker, home, larger) == len(added)
    assert now(engine, larger).evaluations_missing == to_score
    assert fill(engine, tracker, home, larger) == to_score
    run_all(engine, larger.name)
    assert now(engine, larger).is_done
    with engine.begin() as connection:
        auc = results.performance(connection, larger.name)
        names = [
            name
            for (name,) in connection.execute(
                text("select trained_on from model join study_model on model_id = model.id order by position")
            )
        ]
    assert names == [configuration.name for configuration in larger.configurations() for _ in (0, 1)]
    assert not auc.duplicated(["trained_on", "test_dataset", "task", "seed"]).any()
    assert set(auc["trained_on"]) == set(names)
    assert set(auc["test_dataset"]) == {"a", "b", "c"}


def test_scores_count_as_missing_with_and_without_a_trained_model(engine, tracker, home, draw, study_of):
    draw("a", "b")
    study = study_of("a", "b", more='features = ["b"]')
    to_score = 6 * 2 + 3  # the three models of the first seed also score every image of b, for their features
    assert now(engine, study).evaluations_missing == to_score
    train(engine, tracker, home, study)
    assert now(engine, study).evaluations_missing == to_score
    assert fill(engine, tracker, home, study) == to_score
    assert now(engine, study).evaluations_missing == 0
    with engine.begin() as connection:
        connection.execute(text("delete from study_model where model_id = (select max(id) from model)"))
        connection.execute(text("delete from evaluation where model_id = (select max(id) from model)"))
    assert now(engine, study).evaluations_missing == 2, "trained, though not recorded in its study yet"


def test_a_study_that_shrinks_counts_only_what_it_asks_for(engine, tracker, home, draw, study_of):
    draw("a", "b")
    study = study_of("a", "b", more='configurations = ["each"]')
    train(engine, tracker, home, study)
    fill(engine, tracker, home, study)
    smaller = study_of("a", more='configurations = ["each"]')
    assert train(engine, tracker, home, smaller) == 0
    run_all(engine, smaller.name)
    with engine.begin() as connection:
        auc = results.performance(connection, smaller.name)
        (evaluations,) = connection.execute(text("select count(*) from evaluation")).one()
    assert set(auc["trained_on"]) == set(auc["test_dataset"]) == {"a"}
    assert evaluations == 8  # nothing is thrown away
    assert now(engine, smaller).is_done


def test_a_recorded_study_has_one_row_with_its_definition(engine, draw, study_of):
    draw("a", "b")
    for study in (study_of("a", "b"), study_of("b", "a")):
        with engine.begin() as connection:
            study_id = record_study(connection, study, [])
            order = connection.scalars(
                text(
                    "select name from study_dataset join dataset on dataset.id = dataset_id order by position"
                )
            ).all()
            stored = connection.execute(text("select id, definition from study")).one()
        assert list(order) == [dataset.name for dataset in study.datasets]
        assert stored == (study_id, study.definition())


def test_a_protocol_file_beside_the_study_file_is_used(engine, home, tmp_path, study_of):
    from xray.data.prepare import prepare

    (tmp_path / "mine.toml").write_text(
        'base = "corrected"\nname = "mine"\nversion = 1\n[split]\ntrain = 0.5\nvalidation = 0.2\ntest = 0.3\n'
    )
    study = study_of("a", "b", more='protocol = "mine.toml"')
    assert study.protocol == str(tmp_path / "mine.toml")
    assert now(engine, study).datasets_ready == 0
    for dataset in study.datasets:
        prepare(engine, home, dataset, study.protocol, 16)
    assert now(engine, study).datasets_ready == 2


def test_a_registered_dataset_is_of_its_registered_site_unless_the_study_says_another(
    engine, home, tmp_path, study_of
):
    ward_study = study_of("ward")
    registered = replace(ward_study.datasets[0], name="ward", site="lakeside")
    prepare(engine, home, registered, ward_study.protocol, None)
    names = '[[datasets]]\nname = "ward"\n[[datasets]]\nname = "new"\nmanifest = "new.csv"\n'
    file = tmp_path / "named.toml"
    file.write_text(HEAD.format(more='configurations = ["all but one site"]') + names)
    with engine.begin() as connection:
        study = read_sited(connection, file)
    assert [(dataset.name, dataset.site) for dataset in study.datasets] == [
        ("ward", "lakeside"),
        ("new", "new"),
    ]
    assert [configuration.name for configuration in study.configurations()] == [
        "all-but-lakeside",
        "all-but-new",
    ]
    prepare(engine, home, study.datasets[0], study.protocol, None)
    file.write_text(file.read_text().replace('name = "ward"\n', 'name = "ward"\nsite = "hilltop"\n'))
    with engine.begin() as connection:
        study = read_sited(connection, file)
    with pytest.raises(DataError, match="registered as site lakeside, the study says hilltop"):
        prepare(engine, home, study.datasets[0], study.protocol, None)

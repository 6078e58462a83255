"""Every named query: has a header, runs on the migrated database, and gives the columns that its header names."""

import re
from importlib import resources
from typing import Any

import pytest
from sqlalchemy import Engine, text

from db.copy import copy_out
from db.queries import query

ALL = sorted(f.name.removesuffix(".sql") for f in (resources.files("db") / "sql" / "queries").iterdir())
OTHERS = ("incoming", "For MLflow's database")
NAMES = [
    name for name in ALL if "-- One row" in query(name) and not any(word in query(name) for word in OTHERS)
]
"""Without the steps of registration, which need its temporary table, and statements that change or are of other databases:
they run in their own tests."""
VALUES = {
    "datasets": ["nih"],
    "names": ["nih"],
    "worklist": "doubtful",
    "protocol": "corrected",
    "version": 1,
    "part": None,
    "study": "phantom",
    "name": "nih",
    "dataset": "nih",
    "image_lists": [1],
    "image_ids": [1],
    "evaluation_ids": [1],
    "task_ids": [1],
    "native_column": "age",
    "cohorts": [1],
    "cohort_ids": [1],
    "worklist_ids": [1],
    "ids": [1],
    "flow_run": "none",
    "trained_on": "nih",
    "model": "nih",
    "models": [1],
    "test_dataset": "nih",
    "train_dataset": "nih",
    "target_dataset": "nih",
    "kind": "noise",
    "a": "nih",
    "b": "openi",
    "task": "Mass",
}


@pytest.mark.parametrize("name", NAMES)
def test_every_query_runs_and_documents_its_rows(shared_rows: Any, name: str) -> None:
    statement = query(name)
    header = " ".join(line.removeprefix("-- ") for line in statement.splitlines() if line.startswith("--"))
    assert header.startswith("One row")
    engine: Engine = shared_rows.engine
    with engine.connect() as connection:
        if "For COPY" in header:
            parameters = re.findall(r"%\((\w+)\)s", statement)
            values = {
                parameter: VALUES[parameter] if parameter.endswith("_ids") else 1 for parameter in parameters
            }
            assert list(copy_out(connection, statement, **values)) in (
                [],
                [[None]],
                [[None] * 4],
            )
        else:
            parameters = re.findall(r"(?<!:):([a-z]\w*)", statement)
            values = {parameter: VALUES.get(parameter, 1) for parameter in parameters}
            result = connection.execute(text(statement), values)
            columns = result.keys()
            assert [key for key in columns if key not in header and "results" not in name] == []
            rows = result.all()
            if "pg_catalog" not in statement and "pg_class" not in statement:  # where our tables are rows
                assert len(rows) == (1 if header.startswith("One row:") and "count" in statement else 0)
    for parameter in parameters:
        assert parameter in header


def test_an_unknown_query_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        query("no_such_query")


def test_missing_evaluations_of_a_study_leave_out_other_studies(shared_rows: Any) -> None:
    """Only what the study's own models lack on the study's own datasets; without a study everything."""
    rows = shared_rows
    site = rows.site()
    lists = [rows.image_list(rows.images(site, [name])) for name in ("a", "b")]
    protocol = rows.protocol()
    datasets = [rows.dataset(name, site, listed) for name, listed in zip(("nih", "rsna"), lists, strict=True)]
    cohorts = [rows.cohort(d, protocol, listed, {7: [1]}) for d, listed in zip(datasets, lists, strict=True)]
    models = [rows.model(protocol, [7], cohorts, seed=seed) for seed in (0, 1)]
    study = rows.add("study", name="phantom", definition={})
    rows.add("study_dataset", study_id=study, dataset_id=datasets[0], position=0)
    rows.add("study_model", study_id=study, model_id=models[1], position=0)

    def ask(name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with rows.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query(name)), parameters)]

    assert ask("missing", study="phantom") == [(models[1], lists[0])]
    assert ask("missing", study=None) == [(m, image_list) for m in models for image_list in lists]
    assert ask("missing", study="other") == []
    of_file = {"study": "phantom", "datasets": ["nih"], "models": models[1:]}
    assert ask("study_progress", **of_file) == [(1,)]
    rows.evaluation(models[1], lists[0], {7: [0.5]})
    assert ask("missing", study="phantom") == []
    assert ask("study_progress", **of_file) == [(0,)]
    assert len(ask("missing", study=None)) == 3


def test_a_dataset_that_came_later_joins_as_a_guest(rows: Any) -> None:
    """Only where a model of the study was scored on it, only once, and behind the datasets of the study's file."""
    site = rows.site()
    lists = [rows.image_list(rows.images(site, [name])) for name in ("a", "b", "c")]
    protocol = rows.protocol()
    names = ("nih", "later", "never-scored")
    datasets = [rows.dataset(name, site, listed) for name, listed in zip(names, lists, strict=True)]
    cohorts = [rows.cohort(d, protocol, listed, {7: [1]}) for d, listed in zip(datasets, lists, strict=True)]
    model = rows.model(protocol, [7], cohorts[:1])
    study = rows.add("study", name="phantom", definition={})
    rows.add("study_dataset", study_id=study, dataset_id=datasets[0], position=0)
    rows.add("study_model", study_id=study, model_id=model, position=0)

    def ask(name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with rows.engine.begin() as connection:
            return [tuple(row) for row in connection.execute(text(query(name)), parameters)]

    rows.evaluation(model, lists[0], {7: [0.5]})
    assert ask("join_guests") == []
    assert ask("scored_studies") == [("phantom",)]
    rows.evaluation(model, lists[1], {7: [0.5]})
    assert ask("join_guests") == [(study, datasets[1])]
    assert ask("join_guests") == []
    assert ask("study_datasets", study_id=study) == [("nih", "bethesda", False), ("later", "bethesda", True)]
    with rows.engine.connect() as connection:
        positions = connection.scalars(text("select position from study_dataset order by position")).all()
    assert positions == [0, 1000]

"""Down from head to nothing and up again, one revision at a time, with rows in every table: what can be kept is kept."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.pool import NullPool

from db.embedded import Server
from db.findings import put_findings, put_list, read_list
from db.migrate import downgrade, upgrade
from db.results import Analysis
from tests.conftest import copy_template
from tests.db.conftest import Rows
from tests.db.everything import fill
from xray.tasks import TASKS

_numbers = itertools.count()
ALEMBIC = Path(__file__).resolve().parents[2] / "alembic"
OF_A_FOREIGN_ONE = (
    "evaluation_ids && array(select evaluation.id from evaluation join model on model.id = model_id"
)
LOST = {
    ("0009", "view_classifier"): "told <> 'lateral'",
    ("0007", "study_dataset"): "guest",
    ("0004", "model"): "kind = 'foreign'",
    ("0004", "model_task"): "model_id in (select id from model where kind = 'foreign')",
    ("0004", "evaluation"): "model_id in (select id from model where kind = 'foreign')",
    ("0004", "prediction"): "evaluation_id in (select evaluation.id from evaluation join model on model.id = model_id"
    " where kind = 'foreign')",
    **{("0004", table): f"{OF_A_FOREIGN_ONE} where kind = 'foreign')" for table in ("auc", "auc_difference", "agreement")},
    ("0003", "leakage"): "model_id is not null",
}  # fmt: skip
"""(revision that is undone, table) → the rows that the schema below can't hold."""

Content = Mapping[str, Sequence[Mapping[str, Any]]]


def revisions() -> list[str]:
    """Every revision, the first one first."""
    config = Config()
    config.set_main_option("script_location", str(ALEMBIC).replace("%", "%%"))
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]


def content(engine: Engine, leaving: str = "") -> Content:
    """Table → its rows in any order but a fixed one; without those that are lost where the revision `leaving` is undone.

    An output that was never trained has no scores: whether a row says so is left out too.
    """
    with engine.connect() as connection:
        tables = [name for name in inspect(connection).get_table_names() if name != "alembic_version"]
        return {
            name: [
                row.as_dict
                for row in connection.execute(
                    text(
                        f'select to_jsonb(t) as as_dict from "{name}" as t'
                        f" where ({LOST.get((leaving, name), 'false')}) is not true"
                        " and to_jsonb(t) -> 'logits' is distinct from 'null' order by to_jsonb(t)::text"
                    )
                )
            ]
            for name in tables
        }


def assert_kept(before: Content, after: Content) -> None:
    """Every table and column that both have hold the same rows; an analysis may have become stale or have gone."""
    for name in (before.keys() & after.keys()) - {"analysis"}:
        columns = before[name][0].keys() & after[name][0].keys() if before[name] and after[name] else set()
        assert sorted([{c: row[c] for c in columns} for row in before[name]], key=str) == sorted(
            [{c: row[c] for c in columns} for row in after[name]], key=str
        ), name
    assert {row["id"] for row in after["analysis"]} <= {row["id"] for row in before["analysis"]}


def views(engine: Engine) -> dict[str, int]:
    """View → number of its rows."""
    with engine.connect() as connection:
        return {
            name: connection.scalar(text(f'select count(*) from "{name}"')) or 0
            for name in sorted(inspect(connection).get_view_names())
        }


@pytest.fixture(scope="module")
def template(server: Server, _template: str) -> str:
    """Name of a migrated database with rows in every table."""
    engine = create_engine(copy_template(server, _template, "with_rows"), poolclass=NullPool)
    fill(Rows(engine))
    return "with_rows"


@pytest.fixture
def filled(server: Server, template: str) -> Engine:
    return create_engine(copy_template(server, template, f"filled_{next(_numbers)}"))


def test_every_table_has_rows(filled: Engine) -> None:
    assert [name for name, rows in content(filled).items() if not rows] == []
    assert content(filled).keys() == Analysis.metadata.tables.keys()
    assert [name for name, n in views(filled).items() if not n and name not in SILENT] == []


SILENT = frozenset(
    {"missing_evaluations", "missing_features", "leaking_cohorts", "leaking_models", "leaking_evaluations"}
)
"""Views that show nothing where nothing is missing and nothing leaks."""


def test_every_revision_goes_down_and_up_alone(filled: Engine) -> None:
    first = views(filled)
    order = revisions()
    for lower, upper in reversed(list(itertools.pairwise(order))):
        content_before = content(filled, leaving=upper)
        downgrade(filled, lower)
        assert_kept(content_before, content(filled))
        assert views(filled) == {}, f"at {lower} no view of head's is left"
    at_the_bottom = content(filled)
    assert at_the_bottom["prediction"]
    assert at_the_bottom["auc"]
    for revision in order[1:]:
        before = content(filled)
        upgrade(filled, revision)
        assert_kept(before, content(filled))
    again = views(filled)
    assert again.keys() == first.keys()
    assert {name: again[name] for name in ("labels", "predictions", "auc_results")} == {
        "labels": first["labels"],
        "predictions": first["predictions"]
        - 16,  # a foreign model's: of two tasks, four images, two datasets
        "auc_results": 1,
    }
    downgrade(filled, order[0])
    downgrade(filled)
    assert content(filled) == {}


@pytest.mark.parametrize(
    "lower",
    [pytest.param(r, marks=() if k % 6 == 0 else pytest.mark.slow) for k, r in enumerate(revisions()[:-1])],
)
def test_several_revisions_go_down_and_up_in_one_go(filled: Engine, lower: str) -> None:
    """Each step is taken above; here several in one go, from every sixth revision in the quick tests."""
    downgrade(filled, lower)
    upgrade(filled)
    assert views(filled)["predictions"] > 0


def test_a_downgrade_drops_findings_beyond_the_default_list_and_an_upgrade_restores_the_lists(
    filled: Engine,
) -> None:
    with filled.begin() as connection:
        (own,) = put_findings(connection, ["Tuberculosis"])
        nih, study = (
            connection.scalar(text(f"select min(id) from {table}")) or 0 for table in ("dataset", "study")
        )
        connection.execute(
            text(
                "insert into label select dataset_id, :ours, states, term_ids from label where dataset_id = :nih"
            ),
            {"ours": own, "nih": nih},
        )
        put_list(connection, "dataset", nih, ["Tuberculosis", "Pneumonia"])
        put_list(connection, "study", study, ["Tuberculosis", "Effusion"])
        outputs = connection.execute(text("select model_id, task_id from model_task order by 1, 2")).all()
    first = content(filled)
    downgrade(filled, "0012")
    lower = content(filled)
    assert len(lower["task"]) == len(TASKS)
    assert len(lower["label"]) == len(first["label"]) - 1
    assert lower["prediction"] == first["prediction"]
    assert {row["fingerprint"] for row in lower["analysis"]} == {""}
    upgrade(filled)
    with filled.connect() as connection:
        assert read_list(connection, "dataset", nih) == ("Pneumonia",)
        assert read_list(connection, "study", study) == TASKS
        stored = connection.execute(text("select model_id, task_id from model_task order by 1, position"))
        assert stored.all() == outputs


def test_an_analysis_that_lost_rows_in_a_downgrade_is_computed_again(filled: Engine) -> None:
    """Its fingerprint says that it is up to date: it must not where a column or some of its rows went."""
    downgrade(filled, "0011")
    for lower, stale, lost in (
        ("0009", set(), {"partial_auc"}),
        ("0008", {"agreement", "view_classifier"}, set()),
        ("0007", {"agreement", "view_classifier"}, {"net_benefit"}),
    ):
        before = {row["name"] for row in content(filled)["analysis"]}
        downgrade(filled, lower)
        after = {row["name"]: row["fingerprint"] for row in content(filled)["analysis"]}
        assert before - after.keys() == lost
        assert {name for name, fingerprint in after.items() if not fingerprint} == stale
    downgrade(filled, "0003")
    after = {row["name"]: row["fingerprint"] for row in content(filled)["analysis"]}
    assert after == {"auc": "", "auc_difference": "", "agreement": ""}


def test_a_downgrade_turns_the_cells_of_an_analysis_into_one_stale_analysis(filled: Engine) -> None:
    with filled.begin() as connection:
        first = connection.scalar(text("select analysis_id from auc order by id limit 1"))
        other = connection.scalar(
            text(
                "insert into analysis (study_id, name, cell, place, fingerprint)"
                " select study_id, name, '{nih,all}', 1, 'now' from analysis where id = :first returning id"
            ),
            {"first": first},
        )
        moved = text("update auc set analysis_id = :other where id = (select max(id) from auc)")
        connection.execute(moved, {"other": other})
    before = content(filled)
    downgrade(filled, "0024")
    after = content(filled)
    assert {row["analysis_id"] for row in after["auc"]} == {first}
    assert [row["id"] for row in after["auc"]] == [row["id"] for row in before["auc"]]
    (joined,) = (row for row in after["analysis"] if row["id"] == first)
    assert joined["fingerprint"] == ""
    assert len(after["analysis"]) == len(before["analysis"]) - 2
    names = [{row["name"] for row in content["analysis"]} for content in (before, after)]
    assert names[0] - names[1] == {"intervention"}, "its table is of a later revision"
    upgrade(filled)
    assert views(filled)["auc_results"] == 2

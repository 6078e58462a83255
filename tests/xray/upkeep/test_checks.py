"""Checks that the database can't do by itself: by what the code knows."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.db.conftest import Rows
from xray.data.labels.rules import all_rules
from xray.tasks import TASK_INDEX
from xray.upkeep.checks import CHECKS, Installation, outcomes, rules_missing


@pytest.fixture
def installation(engine: Engine) -> Installation:
    return Installation(engine, "nowhere", Path("nowhere"))


def label(engine: Engine, source: str) -> int:
    """A dataset of one image with labels of two tasks."""
    rows = Rows(engine)
    site = rows.site(source)
    dataset = rows.dataset(source, site, rows.image_list(rows.images(site, ["a"], ["p"])))
    for task in ("Effusion", "Mass"):
        rows.add("label", dataset_id=dataset, task_id=TASK_INDEX[task], states=[1], term_ids=None)
    with engine.begin() as connection:
        connection.execute(text("update dataset set source = :source"), {"source": source})
    return dataset


def test_labels_of_a_published_dataset_have_their_rules(engine: Engine, installation: Installation) -> None:
    dataset = label(engine, "nih")
    with engine.connect() as connection:
        (missing,) = rules_missing(connection, installation)
    assert missing == {"dataset": "nih", "source": "nih", "tasks": ["Effusion", "Mass"]}
    rule = next(rule for rule in all_rules("nih") if rule.task == "Mass")
    rule_row = {"native_column": rule.column, "term": rule.term, "rule": rule.rule, "source": rule.source}
    Rows(engine).add("label_rule", dataset_id=dataset, position=0, task_id=TASK_INDEX["Mass"], **rule_row)
    with engine.connect() as connection:
        (missing,) = rules_missing(connection, installation)
    assert missing["tasks"] == ["Effusion"]


def test_labels_of_a_manifest_need_no_rule(engine: Engine, installation: Installation) -> None:
    label(engine, "manifest")
    with engine.connect() as connection:
        assert list(rules_missing(connection, installation)) == []


def test_an_empty_installation_passes_and_mlflow_is_not_asked(installation: Installation) -> None:
    checked = list(outcomes(installation))
    assert [outcome.audit.name for outcome in checked if not outcome.is_well] == []
    assert {audit.name for audit, _ in CHECKS} <= {outcome.audit.name for outcome in checked}


def test_checks_write_nothing(
    engine: Engine, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even by a check that tries."""

    def write(connection, installation):  # type: ignore[no-untyped-def]
        connection.execute(text("delete from task"))
        yield {}

    monkeypatch.setattr("xray.upkeep.checks.CHECKS", [(CHECKS[0][0], write)])
    with pytest.raises(Exception, match="read-only transaction"):
        list(outcomes(installation))

"""Every question of the pages runs, with every condition and with none, and gives the columns that its header names."""

from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from sqlalchemy import Engine

from db.question import ask
from xray.explorer.asking import Database
from xray.explorer.statements import names, statement

GIVEN: dict[str, Any] = {
    "models": ["m"], "others": ["n"], "dataset": "d", "other_dataset": "e", "task": "Mass", "protocol": "p",
    "direction": 1, "study": "s", "trained_on": "d", "seed": None, "id": 1, "dataset_id": 1, "name": "w", "reader": "r",
    "t": 0.5, "t_other": 1.0,
}  # fmt: skip
CONDITIONS: dict[str, Any] = {
    "view": "PA", "sex": "F", "age_from": 1.0, "age_to": 90.0, "label": 0, "unlabelled": True, "column": "c",
    "value_from": "a", "value_to": "b", "called": True, "not_called": True, "after": 1, "rows": 5, "changed": True,
    "better": True, "worse": True, "position": 1, "unread": True,
}  # fmt: skip


@pytest.fixture
def source(database: str) -> Iterator[Database]:
    opened_database = Database.of(database)
    yield opened_database
    opened_database.close()


def test_every_query_runs_with_all_conditions_and_with_none(source: Database, engine: Engine) -> None:
    assert len(names()) > 20
    url = engine.url.render_as_string(hide_password=False)
    for name in names():
        header = " ".join(
            line.removeprefix("-- ")
            for line in (resources.files("xray.explorer") / "sql" / f"{name}.sql").read_text().splitlines()
            if line.startswith("-- ")
        )
        assert header.startswith("One row"), name
        for conditions in (dict.fromkeys(CONDITIONS), CONDITIONS):
            parameters = {**GIVEN, **conditions}
            source.rows(name, **parameters)
            with ask(url, source.statement_text(name, **parameters)) as answer:
                assert all(column in header or name == "worklists" for column in answer.columns), (
                    name,
                    answer.columns,
                )


def test_a_condition_appears_only_with_its_parameter() -> None:
    assert "sex = " not in statement("scores", {})
    assert "sex = %(sex)s" in statement("scores", {"sex": "F"})
    assert "label = %(label)s" in statement("scores", {"label": 0})
    assert "label is null" not in statement("scores", {"unlabelled": False})


def test_displayed_sql_is_quoted_by_the_servers_rules(source: Database) -> None:
    statement = source.statement_text(
        "operating_points", study="o'neill \\ %s", trained_on="a", dataset="b", task="c"
    )
    assert "'o''neill \\ %s'" in statement
    assert "%(" not in statement

"""`xray report`: the page is opened with the explorer that runs; guidelines and model cards are drafted from rows."""

import re
import shlex
import time
from decimal import Decimal
from pathlib import Path

import pytest

from flows.cli.report import GUIDELINES, address
from flows.standing.place import ServiceState, State, this_stack
from xray.report.checklist import CARD, CHECKLISTS, _bound, _read, markdown


def test_the_page_is_opened_with_the_explorer_of_the_standing_platform(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XRAY_HOME", str(tmp_path))
    page = tmp_path / "a report.html"
    services = [ServiceState("explorer", "ready", 1, "http://127.0.0.1:8200")]
    stack = this_stack()
    assert address(page) == page.as_uri()
    stack.write_state(State(1, "ready", time.time(), {}, services))
    assert address(page) == page.as_uri(), "what it wrote is not there any more"
    with stack.lock():
        assert address(page) == f"{page.as_uri()}#explorer=http://127.0.0.1:8200"
        stack.write_state(State(1, "ready", time.time(), {}, []))
        assert address(page) == page.as_uri()


def questions(draft: str) -> dict[str, list[str]]:
    """What the shell makes of each command of the part "Rows"."""
    return {
        name: shlex.split(command)
        for name, command in re.findall(r"### (\w+)\n\n```sh\n(.+)\n```", draft.split("\n## Rows\n")[1])
    }


@pytest.mark.parametrize("guideline", GUIDELINES)
def test_a_guideline_is_drafted_from_the_rows_of_its_queries(tiny, call, guideline):
    code, draft, err = call("report", "tiny", "--checklist", guideline)
    assert code in (0, None), err
    queries = questions(draft)
    assert len(queries) > 15
    for name, (xray, sql, statement) in queries.items():
        assert (xray, sql) == ("xray", "sql")
        rows = tiny.ask(statement)
        if len(rows) == 0 or name == "question":
            continue
        # the first row is a sentence of the draft: each of its values stands there
        lines = [line.replace("\\", "") for line in draft.splitlines() if line.startswith("- ")]
        first = [str(value) for value in rows.iloc[0].dropna()]
        assert any(all(value in line for value in first) for line in lines), (name, first)
    items = re.findall(r"^## (\S+)\. ", draft, re.M)
    assert len(items) == len(set(items))
    counts = [int(n) for n in re.findall(r"\d+", next(li for li in draft.splitlines() if " items: " in li))]
    assert counts[0] == len(items) == sum(counts[1:])


def test_a_draft_names_the_lowest_auc_of_a_site(tiny, call):
    _, draft, _ = call("report", "tiny", "--checklist", "tripod+ai")
    lowest = tiny.ask(
        "select auc, task, trained_on from auc_results where study = 'tiny' and test_dataset = 'tiny-d' and seed is null"
        " and auc is not null order by auc limit 1"
    ).iloc[0]
    assert (
        f"the lowest is {lowest.task} by {lowest.trained_on}, {Decimal(str(lowest.auc)).quantize(Decimal('.01'))} ("
        in draft
    )


def test_a_model_card_holds_the_models_own_results_and_nobody_elses(tiny, call, tmp_path):
    models = tiny.ask("select name, weights_sha256 from model where trained_on = 'tiny-a'")
    name, hashed = models.iloc[0]
    file = tmp_path / "card.md"
    code, out, err = call("report", "tiny", "--card", name, "-o", str(file))
    assert (code or 0, out.strip()) == (0, str(file)), err
    draft = file.read_text()
    assert hashed in draft
    (_, _, statement) = questions(draft)["card_discrimination"]
    expected = tiny.ask(
        "select count(*) as n from auc_results where study = 'tiny' and trained_on = 'tiny-a' and seed = 0"
        " and auc is not null"
    )
    assert len(tiny.ask(statement)) == expected.n[0] > 0


def test_names_are_neither_sql_nor_markup(tiny, call):
    code, _, err = call("report", "tiny' or 'a' = 'a", "--checklist", "claim")
    assert code == 1
    assert "there is no study \"tiny' or 'a' = 'a\" in the database" in err
    code, _, err = call("report", "tiny", "--card", "x';drop table model;--")
    assert code == 1
    assert "there is no model" in err
    assert "in study 'tiny'" in err
    bound = _bound("select :study,\n  :model", {"study": "a  :model", "model": "b'"})
    assert bound == "select 'a  :model', 'b'''"
    rows = [{"dataset": "[a](javascript:1) <b>`\n# x", "hash": None}]
    query = "select 1 as here from study where name = 's'"

    def ask(statement: str) -> list[dict[str, object]]:
        return [{"here": 1}] if statement == query else rows if "content_hash" in statement else []

    draft = markdown("claim", ask, "s")
    assert "- \\[a\\](javascript:1) \\<b\\>\\` \\# x: content hash unknown." in draft


@pytest.mark.parametrize("options", [("--checklist", "claim", "--card", "m"), ("-o", "file.md")])
def test_options_that_exclude_each_other_are_refused(call, options):
    code, _, err = call("report", "tiny", *options)
    assert code == 2, err


def test_every_fact_is_used_by_an_item_and_every_item_has_text():
    facts = set(_read("facts"))
    used_facts = set()
    for file in (*CHECKLISTS.values(), CARD):
        for item in _read(file)["items"]:
            assert item.get("facts") or item.get("person"), item
            used_facts |= set(item.get("facts", ()))
    assert used_facts == facts
    assert set(CHECKLISTS) == set(GUIDELINES)

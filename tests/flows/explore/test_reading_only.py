"""The explorer without a login that may write, as docker-compose.yml runs it: everything is shown, nothing is kept."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.flows.explore.conftest import Explorer
from xray.explorer.app import create_app

LIST = {"model": "tiny.tiny-a", "dataset": "tiny-d", "task": "Infiltration"}
SENT = {"content-type": "application/x-www-form-urlencoded", "origin": "http://testserver"}


@pytest.fixture(scope="module")
def client(explorer: Explorer) -> Iterator[TestClient]:
    databases = explorer.finished.databases
    assert databases.reader is not None
    with TestClient(create_app(databases.reader, None, explorer.finished.home.path, b"key")) as client:
        yield client


def test_lists_are_shown_without_a_way_to_make_worklists(client: TestClient) -> None:
    assert client.get("/").status_code == 200
    answer = client.get("/images", params=LIST)
    assert '<img src="/thumbnail/' in answer.text
    assert "read again" not in answer.text
    assert "only reads" in client.get("/worklists").text


def test_an_explorer_that_only_reads_refuses_every_form(client: TestClient, explorer: Explorer) -> None:
    explorer.send("/worklists", name="of another explorer", count="2", **LIST)
    number = explorer.finished.ask("select id from worklist where name = 'of another explorer'")["id"][0]
    page = client.get(f"/worklists/{number}").text
    assert "only reads" in page
    assert "<form" not in page
    for path, form in (
        ("/worklists", {"name": "mine", "count": "2", **LIST}),
        (f"/worklists/{number}/read", {"reader": "a", "position": "1", "answer": "yes"}),
        (f"/worklists/{number}/import", {"csv": "position,reader,answer\n1,a,yes\n"}),
    ):
        refused = client.post(path, data=form, headers=SENT)
        assert refused.status_code == 403, refused.text
        assert "this explorer only reads" in refused.text
    assert explorer.finished.ask("select from worklist where name = 'mine'").empty
    assert explorer.finished.ask("select from worklist_read where worklist_id = :id", id=int(number)).empty

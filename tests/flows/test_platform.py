"""The servers of a command: where they are found, what they leave behind, what they say when they can't start."""

import json
import os
import urllib.request

import pytest

from flows import platform
from flows.platform import prefect_api, storage
from xray.errors import XrayError


@pytest.fixture
def here(database, tmp_path, monkeypatch):
    """A home, and a database of the tests' server as the user's own."""
    monkeypatch.setenv("XRAY_HOME", str(tmp_path / "xray home"))
    monkeypatch.setenv("XRAY_DATABASE_URL", database)
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    return tmp_path / "xray home"


def test_child_processes_find_the_same_databases(here):
    given = os.environ["XRAY_DATABASE_URL"]
    with storage() as found:
        handed_on = os.environ["XRAY_DATABASE_URL"]
        assert handed_on == found.psql()
        with storage() as again:
            assert again.xray == found.xray
    assert os.environ["XRAY_DATABASE_URL"] == given


def test_a_prefect_api_that_is_given_is_used(here, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example/api")
    with storage() as found, prefect_api(found) as url:
        assert url == "http://prefect.example/api"
    assert not (here / "prefect").exists()


def test_a_server_that_does_not_start_says_why(here, monkeypatch):
    monkeypatch.setattr(platform, "START_SECONDS", 60.0)
    with storage() as found:
        broken = type(found)(found.xray, found.mlflow, "postgresql+asyncpg://nobody:x@127.0.0.1:1/prefect")
        with (
            pytest.raises(XrayError, match=r"Prefect's server did not start; the end of .*server\.log"),
            prefect_api(broken),
        ):
            pass
    assert "PREFECT_API_URL" not in os.environ
    assert "PREFECT_HOME" not in os.environ


@pytest.mark.slow
def test_a_server_of_ones_own_answers_and_ends(here):
    before = dict(os.environ)
    with storage() as found, prefect_api(found) as url:
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}/health", timeout=10) as answer:
            assert json.loads(answer.read()) is True
        assert os.environ["PREFECT_API_URL"] == url
    assert dict(os.environ) == before
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{url}/health", timeout=2)

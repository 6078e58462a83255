"""Prefect and MLflow on a server of one's own: the owner makes their tables, their servers and clients are the writer."""

import os

import pytest

from db.connection import owned
from flows.migrations import prepare
from flows.platform import prefect_api, storage
from flows.standing.api import Api
from tests.db.test_external import ca, open_url, own, reached, role, rows, run, user  # noqa: F401  (fixtures)
from xray.learning.tracking import Tracker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def work(home, artifacts):
    """What a study needs of them: an answer of Prefect's server, an experiment and a run of MLflow's client."""
    with storage() as urls, prefect_api(urls) as url:
        assert Api(url, os.environ["PREFECT_API_AUTH_STRING"]).post("/flows/count", {}) == 0
        tracker = Tracker(urls.mlflow, artifacts)
        assert tracker.start("study", "a model", "key", {"a": 1}, [])
        prepare(urls, ("mlflow", "prefect"))  # nothing to do
        return urls


@pytest.mark.parametrize("way", ["tcp", "several hosts", "verify-full"])
def test_roles_work_over_every_kind_of_connection(own, open_url, ca, tmp_path, monkeypatch, way):  # noqa: F811
    monkeypatch.setenv("XRAY_HOME", str(tmp_path / "home"))
    open_url(reached(own, way, ca))
    urls = work(tmp_path / "home", tmp_path / "artifacts")
    assert user(urls.mlflow) == user(urls.prefect) == "ways_writer"
    with owned(tmp_path / "home") as owner:
        query = "select distinct tableowner from pg_tables where schemaname = 'public'"
        assert rows(owner.mlflow, query) == rows(owner.prefect_libpq, query) == [("ways_owner",)]


def test_a_study_runs_in_three_schemas_of_a_role_without_further_rights(own, open_url, tmp_path, monkeypatch):  # noqa: F811
    """But the extension that Prefect's tables need, which an administrator makes."""
    login = role(own, "tenant")
    run(own, ["create database flat"])
    schemas = [f"create schema {name} authorization tenant" for name in ("xray", "mlflow", "prefect")]
    run(own, [*schemas, "create extension pg_trgm schema public"], "flat")
    monkeypatch.setenv("XRAY_HOME", str(tmp_path / "home"))
    open_url(f"postgresql://{login}/flat")
    urls = work(tmp_path / "home", tmp_path / "artifacts")
    counts = rows(
        urls.xray,
        "select schemaname, count(*) > 10 from pg_tables where schemaname !~ '^pg|inf' group by 1 order by 1",
    )
    assert counts == [("mlflow", True), ("prefect", True), ("xray", True)]

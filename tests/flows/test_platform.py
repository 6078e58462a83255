"""The servers of a command: where they are found, what they leave behind, what they say when they can't start."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from db.connection import owned
from flows.migrations import NOTED, has_tables
from flows.platform import prefect_api, storage
from flows.standing import servers
from flows.standing.place import Stack
from flows.standing.servers import running
from xray.errors import XrayError
from xray.learning.tracking import migrate

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def own_home(database, tmp_path, monkeypatch):
    """A home, and a database of the tests' server as the user's own."""
    monkeypatch.setenv("XRAY_HOME", str(tmp_path / "xray home"))
    monkeypatch.setenv("XRAY_DATABASE_URL", database)
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "xray home").mkdir()
    return tmp_path / "xray home"


def test_child_processes_find_the_same_databases(own_home):
    url = os.environ["XRAY_DATABASE_URL"]
    with storage() as urls:
        handed_on = os.environ["XRAY_DATABASE_URL"]
        assert handed_on == urls.psql()
        with storage() as again:
            assert again.xray == urls.xray
    assert os.environ["XRAY_DATABASE_URL"] == url


def test_the_prefect_api_of_the_environment_is_used(own_home, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example/api")
    with storage() as urls, prefect_api(urls) as url:
        assert url == "http://prefect.example/api"
    assert not (own_home / "prefect").exists()


def test_a_long_home_does_not_wait_for_mlflows_tables_and_widens_them_where_they_are(own_home, monkeypatch):
    home = own_home / ("a long name " * 8)
    home.mkdir()
    monkeypatch.setenv("XRAY_HOME", str(home))
    width = text(
        "select character_maximum_length from information_schema.columns"
        " where table_schema = current_schema and table_name = 'runs' and column_name = 'artifact_uri'"
    )
    with storage() as urls:
        assert not has_tables(urls, "mlflow")
        with owned(home) as owner:
            migrate(owner.mlflow)
        with create_engine(urls.mlflow, poolclass=NullPool).connect() as connection:
            assert connection.scalar(width) == 200, "as MLflow makes them"
    with storage() as urls, create_engine(urls.mlflow, poolclass=NullPool).connect() as connection:
        assert connection.scalar(width) == 1000


def test_a_server_that_ends_says_why(own_home):
    log = Stack(own_home).log("broken")
    with storage() as urls:
        broken = {"PREFECT_SERVER_API_AUTH_STRING": ""}
        saying = rf"Prefect's server did not start: it ended with 1; the end of {log}:\n.*without a password"
        with (
            pytest.raises(XrayError, match=saying),
            running("prefect", Stack(own_home), urls, log, own=broken),
        ):
            pass


def test_a_silent_server_is_reported_with_the_address_that_did_not_answer(own_home, monkeypatch):
    monkeypatch.setattr(servers, "START_SECONDS", 0.3)
    log = Stack(own_home).log("slow")
    with storage() as urls:
        saying = (
            rf"did not start: http://.+/api/health did not answer within 0 s: .+; it wrote nothing into {log}"
        )
        with pytest.raises(XrayError, match=saying), running("prefect", Stack(own_home), urls, log):
            pass


def test_a_taken_port_is_reported(own_home, free_port):
    with (
        storage() as urls,
        socket.create_server(("127.0.0.1", free_port)),
        pytest.raises(XrayError, match=rf"port {free_port} can't be used: .*in use; choose another --port"),
        running("mlflow", Stack(own_home), urls, Stack(own_home).log("taken"), free_port),
    ):
        pass


def test_commands_that_start_at_once_create_prefects_tables_once(server, tmp_path):
    """Three first studies on a new home; Prefect's own migrations fail where two run."""
    server.create_database("first_prefect")
    url = server.url("first_prefect")
    own = {"XRAY_OWNER_URL": url, "PREFECT_API_DATABASE_CONNECTION_URL": url.replace("+psycopg2", "+asyncpg")}
    environment = {**os.environ, **own, "PYTHONPATH": str(PROJECT), "PREFECT_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "flows.migrations", "prefect"]
    processes = [subprocess.Popen(command, env=environment, stderr=-1, text=True) for _ in range(3)]
    for process in processes:
        error = process.communicate(timeout=200)[1]
        assert process.returncode == 0, error
    with create_engine(url, poolclass=NullPool).connect() as connection:
        (revision,) = connection.scalars(text("select version_num from alembic_version")).all()
        assert connection.scalar(NOTED) == f"prefect {version('prefect')}"
        assert connection.scalar(text("select exists (select from block_type)"))
    assert ScriptDirectory.from_config(_prefects_alembic()).get_heads() == [revision]


def _prefects_alembic() -> Config:
    folder = Path(find_spec("prefect").origin).parent / "server" / "database"
    config = Config(folder / "alembic.ini")
    config.set_main_option("version_locations", str(folder / "_migrations" / "versions" / "postgresql"))
    config.set_main_option("script_location", str(folder / "_migrations"))
    return config


@pytest.mark.slow
def test_a_server_for_one_command_answers_and_ends(own_home):
    before = dict(os.environ)
    with storage() as urls, prefect_api(urls) as url:
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}/health", timeout=10) as answer:
            assert json.loads(answer.read()) is True
        assert os.environ["PREFECT_API_URL"] == url
    assert dict(os.environ) == before
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{url}/health", timeout=2)

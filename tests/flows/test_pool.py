"""Work of a flow run: what starts quickly, and where a single piece of it is done."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from sqlalchemy import create_engine, text

from db.connection import databases
from flows.pool import run_each
from tests.homes import Home, copy_home

PROJECT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "timm", "mlflow", "matplotlib", "xray.data.prepare", "xray.learning.train")


def test_importing_the_flows_does_not_import_what_only_tasks_need():
    """Each flow run is a process of its own, which imports them before it is running."""
    program = (
        f"import sys, flows.steps, flows.study; print([each for each in {HEAVY} if each in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    process = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert process.stdout.strip() == "[]", process.stderr


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_a_single_task_runs_in_this_process_on_one_thread(threads):
    results = run_each("asking", lambda a, b: (a, b, os.getpid(), torch.get_num_threads()), [(1, "x")])
    assert results == [(1, "x", os.getpid(), 1)]


ANALYSE = """
from flows.surroundings import enter
enter()
from flows.platform import prefect_api, storage
from xray.analyses import parts
parts.ENOUGH = 0  # everything is much
with storage() as databases, prefect_api(databases):
    from flows.steps import analyse
    analyse("tiny")
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_where_there_is_much_the_pool_computes_test_cohorts_and_the_results_are_the_same(tiny, tmp_path):
    """The flow that the services run, on a copy of a home whose results are stale; its report is written anew."""
    home = Home(tmp_path / "home")
    copy_home(tiny.home.path, home.path)
    before = datetime.now(UTC)
    with databases(home.path) as urls, create_engine(urls.xray).begin() as connection:
        connection.execute(text("update analysis set fingerprint = ''"))
        connection.execute(text("delete from partial_result"))
    process = subprocess.run(
        [sys.executable, "-c", ANALYSE], env=home.environment(), cwd=home.path.parent, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    query = text(
        "select name from task_run where name like 'analyse %' and start_time > :before order by end_time"
    )
    with databases(home.path) as urls, create_engine(urls.prefect_libpq).connect() as connection:
        names = connection.scalars(query, {"before": before}).all()
    assert sorted(names[:2]) == ["analyse tiny on tiny-a", "analyse tiny on tiny-d"]
    assert names[2:] == ["analyse tiny"], "and then what is of both"
    reports = [home.path / "reports" / "tiny", tiny.home.path / "reports" / "tiny"]
    first, second = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in reports)
    assert first.keys() == second.keys()
    for name in first.keys() - {"report.html"}:
        assert first[name] == second[name], name

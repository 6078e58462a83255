"""kill −9 of a study at any moment: nothing goes on running, and the next run ends in the very same results."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg2
import pytest
from safetensors.numpy import load_file

from db.connection import databases
from db.embedded import status
from db.embedded.folder import Folder, is_held

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        sys.platform != "linux", reason="looks into /proc, and dies with its parent on Linux only"
    ),
]


@dataclass(frozen=True)
class Moment:
    """A state of the home at which a run is killed: a query to one of its databases, or a file."""

    name: str
    query: str = ""
    database: str = "xray"
    file: str = ""

    def has_come(self, home: Path) -> bool:
        if self.file:
            return any(home.glob(self.file))
        try:
            return bool(ask(home, self.database, self.query))
        except psycopg2.Error:  # no server, no database or no table yet
            return False


MOMENTS = {
    moment.name: moment
    for moment in (
        Moment("drawing", file="phantom/.tiny-*/images/*"),
        Moment("registering", "select count(*) from dataset"),
        Moment("training", "select count(*) from model where trained_on <> 'all'"),
        Moment("logging", "select count(*) from metrics where key = 'loss'", "mlflow"),
        Moment("storing weights", file="mlflow/artifacts/tiny/**/model.safetensors"),
        Moment("model registered", "select count(*) from model_versions", "mlflow"),
        Moment("scoring", "select count(*) from evaluation"),
        Moment("analysed", "select count(*) from analysis"),
        Moment("reporting", file="reports/tiny/*.png"),
    )
}


def ask(home: Path, database: str, query: str) -> int:
    """The first value of a query, over a connection that does not keep the server running."""
    running = status(home)
    if running is None or running.phase != "ready":
        raise psycopg2.OperationalError("no server")
    password = Folder.of(home).password.read_text(encoding="utf-8").strip()
    with (
        closing(
            psycopg2.connect(
                host=running.host, port=running.port, user="xray", password=password, dbname=database
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(query)
        row = cursor.fetchone()
        return int(row[0]) if row else 0


def own_processes(home: Path) -> dict[int, str]:
    """Processes that belong to a home: pid → command. They have it in their environment or their arguments."""
    processes = {}
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            about = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            state = (process / "stat").read_text().rsplit(")", 1)[1].split()[0]
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(home).encode() in about and state != "Z":
            processes[int(process.name)] = command[:120]
    return processes


def wait_until(true: Callable[[], bool], seconds: float, content: Callable[[], object]) -> float:
    """Seconds until it was true."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() < began + seconds, content()
        time.sleep(0.05)  # each look at a database is a connection more
    return time.monotonic() - began


def kill_at(home, file: Path, moment: Moment) -> list[str]:
    """Start the study, kill its main process alone at the moment, and see that everything of it ends; the commands of what
    was running beside it.
    """
    log = home.path.parent / "killed.log"
    with log.open("w") as output:
        process = home.start("study", "run", file, stdout=output, stderr=output, start_new_session=True)
        try:
            wait_until(
                lambda: (
                    process.poll() is not None
                    or (
                        moment.has_come(home.path) and len(own_processes(home.path)) > 1
                    )  # it may be there from before
                ),
                600,
                lambda: f"{moment.name} did not come:\n{log.read_text()}",
            )
            children = {
                pid: command for pid, command in own_processes(home.path).items() if pid != process.pid
            }
        finally:
            process.send_signal(signal.SIGKILL)
            code = process.wait()
    assert code == -signal.SIGKILL, f"ended before {moment.name}:\n{log.read_text()}"
    assert children, "there was nothing to outlive the main process"
    wait_until(lambda: not own_processes(home.path), 30, lambda: own_processes(home.path))
    folder = Folder.of(home.path)
    for lock in ("keeper", "server"):  # the kernel takes a process's environment away before its locks
        wait_until(
            lambda lock=lock: not is_held(folder.lock(lock)), 5, lambda lock=lock: f"{lock}.lock is held"
        )
    server_log = folder.server_log.read_text(encoding="utf-8", errors="replace")
    assert "database system is shut down" in server_log.splitlines()[-1]
    assert "not properly shut down" not in server_log
    return list(children.values())


def results(finished_study) -> dict[str, pd.DataFrame]:
    """What a study comes to, without ids, versions and times."""
    tables = {
        view: finished_study.ask(f"select * from {view}").drop(
            columns=["evaluation_ids", "computed_at"], errors="ignore"
        )
        for view in ("auc_results", "auc_difference_results", "agreement_results", "shift_results")
    }
    tables["predictions"] = finished_study.ask("select * from predictions").drop(columns="model")
    tables["models"] = finished_study.ask(
        "select key, trained_on, seed, recipe::text, best_epoch, validation_auc from model"
    )
    tables["labels"] = finished_study.ask("select * from labels")
    for name, frame in tables.items():
        columns = [column for column in frame.columns if frame[column].map(str).nunique() > 1]
        tables[name] = frame.sort_values(columns, key=lambda c: c.map(str)).reset_index(drop=True)
    return tables


def weights(finished_study) -> dict[str, dict[str, np.ndarray]]:
    """Model key → weights as MLflow has registered them."""
    models = finished_study.ask("select key, mlflow_model, mlflow_version, mlflow_run_id from model")
    tensors = {}
    for row in models.itertuples():
        (location,) = finished_study.ask(
            "select storage_location from model_versions where name = :name and version = :version",
            "mlflow",
            name=row.mlflow_model,
            version=row.mlflow_version,
        )["storage_location"]
        (file,) = Path(location.removeprefix("file://").replace("%20", " ")).rglob("*.safetensors")
        assert finished_study.home.path in file.parents
        tensors[row.key] = load_file(file)
    return tensors


@pytest.fixture
def exit_stack():
    """Keeps servers of homes running until the test ends."""
    with ExitStack() as stack:
        yield stack


def finished(home, file: Path, exit_stack: ExitStack, like):
    """Run the study to its end; what it then is, with the home's server held."""
    process = home.run("study", "run", file)
    urls = exit_stack.enter_context(databases(home.path))
    return replace(like, home=home, output=process.stdout, messages=process.stderr, databases=urls)


def assert_the_same(finished_study, undisturbed) -> None:
    """Equal results and weights, and nothing doubled."""
    tables, expected_tables = results(finished_study), results(undisturbed)
    for name, frame in expected_tables.items():
        assert len(frame), name
        pd.testing.assert_frame_equal(tables[name], frame, obj=name, check_exact=True)
    own_tensors, expected = weights(finished_study), weights(undisturbed)
    assert own_tensors.keys() == expected.keys()
    for key, tensors in expected.items():
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(own_tensors[key][name], tensor, err_msg=f"{key} {name}")
    counts, single = finished_study.counts(), undisturbed.counts()
    others = ("xray.worklist", "xray.change")  # of other tests, and how often was written
    own = [t for t in single if t.startswith("xray.") and not t.startswith(others)]
    assert {table: counts[table] for table in own} == {table: single[table] for table in own}
    assert mlflow_of(finished_study) == mlflow_of(undisturbed)
    reports, expected_reports = finished_study.report("tiny"), undisturbed.report("tiny")
    assert reports.keys() == expected_reports.keys()
    for name, content in expected_reports.items():
        if not name.endswith(".html"):  # the page names the time of the computation
            assert reports[name] == content, name
    assert len(completed(finished_study)) == 1


def mlflow_of(finished_study) -> dict[str, list]:
    """Runs that MLflow shows, versions that can be loaded, and models that it lists."""
    runs = finished_study.ask(
        "select name, status from runs where lifecycle_stage = 'active' order by name, status", "mlflow"
    )
    versions = finished_study.ask(
        "select v.name, count(*) as n from model_versions v join runs r on r.run_uuid = v.run_id"
        " where v.current_stage <> 'Deleted_Internal' group by v.name order by v.name",
        "mlflow",
    )
    aliases = finished_study.ask(
        "select name, alias from registered_model_aliases order by name, alias", "mlflow"
    )
    models = finished_study.ask(
        "select m.name, r.name as run, r.lifecycle_stage from logged_models m"
        " join runs r on r.run_uuid = m.source_run_id where m.lifecycle_stage = 'active' order by 1, 2",
        "mlflow",
    )
    frames = {"runs": runs, "versions": versions, "aliases": aliases, "models": models}
    return {name: list(frame.itertuples(index=False, name=None)) for name, frame in frames.items()}


def completed(finished_study) -> list[str]:
    return finished_study.ask("select name from flow_run where state_type = 'COMPLETED'", "prefect")[
        "name"
    ].tolist()


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(moment, id=name, marks=() if name == "training" else pytest.mark.slow)
        for name, moment in MOMENTS.items()
    ],
)
def test_a_killed_study_continues_to_the_same_result(moment, empty_home, tiny, tiny_file, exit_stack):
    beside = kill_at(empty_home, tiny_file, moment)
    result = finished(empty_home, tiny_file, exit_stack, tiny)
    if moment.name == "training":
        # a process that has imported what is needed, and forks of it (test_forked.py looks into them)
        assert sum("multiprocessing.forkserver" in command for command in beside) >= 2
        # while others are being trained, or, where the kill came late, after all were
        assert re.search(r"Trained [012] of 3 models \(the others existed already\)", result.output)
    assert_the_same(result, tiny)


@pytest.mark.slow
def test_a_study_killed_over_and_over_ends_with_the_same_result(new_home, tiny, tiny_file, exit_stack):
    for moment in MOMENTS.values():
        kill_at(new_home, tiny_file, moment)
    result = finished(new_home, tiny_file, exit_stack, tiny)
    none = (
        "Trained 0 of 3 models (the others existed already)",
        "All 3 models were trained, scored and analysed already",
    )
    assert any(phrase in result.output for phrase in none), result.output
    assert_the_same(result, tiny)


def test_a_command_that_ends_by_itself_leaves_nothing_running(new_home):
    new_home.run("dataset", "list")
    wait_until(lambda: not own_processes(new_home.path), 30, lambda: own_processes(new_home.path))
    assert "database system is shut down" in Folder.of(new_home.path).server_log.read_text().splitlines()[-1]

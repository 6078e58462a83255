"""Parts of a study that processes compute side by side: the same results, whatever happens to one of them."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from db.embedded import Server
from tests.conftest import copied
from tests.xray.analyses.hospitals import Hospitals, adjusted, assert_equal, cells, computed, rows
from xray.analyses import parallel, parts, run
from xray.analyses.run import ANALYSES, by_column, run_all
from xray.analyses.stored import load_study
from xray.errors import AnalysisError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def hospitals(server: Server, built: Hospitals, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hospitals]:
    """A study that nothing was computed of, on a machine of two cores where processes are always worth it."""
    monkeypatch.setattr(parts, "ENOUGH", 0)
    for module in (parts, parallel):
        monkeypatch.setattr(module, "cores", lambda: 2)
    with copied(server, "hospitals") as url:
        yield built.at(create_engine(url))


def assert_complete(engine: Engine, analysed: Hospitals) -> None:
    """Nothing was left, and the results are those that one process computes."""
    assert not any(run_all(engine, "test").values())
    assert_equal(rows(engine), rows(analysed.world.engine))


def in_parts(engine: Engine) -> dict[str, bool]:
    return run.run(engine, "test", ANALYSES, in_parts=True)


def test_processes_compute_every_cell_that_scores_enter_and_the_results_are_the_same(
    hospitals: Hospitals,
    analysed: Hospitals,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    engine, compute = hospitals.world.engine, run.compute_stale

    def finish(connection, study, works, storing, logged):
        left = {(work.analysis.name, key) for work in works for key in work.stale}
        unscored = {(name, key) for name, key in left if not work_of(works, name).uses([key])}
        put_together = {"images_or_labels", "synthesis"}
        assert {name for name, _ in left - unscored} <= put_together
        compute(connection, study, works, storing, logged)

    def work_of(works, name):
        return next(work for work in works if work.analysis.name == name)

    monkeypatch.setattr(run, "compute_stale", finish)
    caplog.set_level("INFO", logger="xray")
    with closing(logging.FileHandler(tmp_path / "log")) as log:  # with the lines of the processes
        monkeypatch.setattr(logging.getLogger("xray"), "handlers", [log])
        assert all(in_parts(engine).values())
    messages = (tmp_path / "log").read_text().splitlines()
    for title in ("x", "y", "z", "several, 1 of 2", "several, 2 of 2"):
        assert f"computed {title}" in messages
    assert messages.count("computing performance") == 1, "once, and not for each part"
    for name in ("mean_auc", "leave_one_site_out", "subgroups"):
        adjusted(rows(engine)[name])
    monkeypatch.undo()
    assert_complete(engine, analysed)


def test_one_more_dataset_in_parts_costs_its_own_cells(hospitals: Hospitals) -> None:
    engine = hospitals.world.engine
    run_all(engine, "test")
    hospitals.one_more_dataset()
    before = cells(engine)
    outcome = in_parts(engine)
    assert outcome["calibration"]
    assert not outcome["classifier_map"]
    new = {
        cell
        for (name, cell), number in cells(engine).items()
        if before.get((name, cell)) != number and name == "calibration"
    }
    assert new == {("w", trained_on) for trained_on in ("x", "y", "z", "all")}
    assert computed(engine, cells(engine)) == set()
    assert not any(in_parts(engine).values())


def test_subgroups_by_any_column_are_computed_in_parts_too(hospitals: Hospitals) -> None:
    engine = hospitals.world.engine
    with engine.begin() as connection:
        native = connection.scalar(text("select name from native_column limit 1"))
    analysis = by_column(native or "sex")
    run.run(engine, "test", [analysis], in_parts=True)
    assert run.run(engine, "test", [analysis], in_parts=True) == {analysis.name: False}


def test_an_analysis_that_fails_in_a_part_leaves_the_others_and_says_why(
    hospitals: Hospitals, analysed: Hospitals, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, compute = hospitals.world.engine, parts.Work.compute

    def fail(work, study, tests, preparation):
        if work.analysis.name == "calibration":
            raise AnalysisError("no line")
        return compute(work, study, tests, preparation)

    monkeypatch.setattr(parts.Work, "compute", fail)
    with pytest.raises(AnalysisError, match="no line"):
        in_parts(engine)
    assert {name for name, of in rows(engine).items() if not of} >= {"calibration"}
    assert len(rows(engine)["performance"]) > 10
    monkeypatch.setattr(parts.Work, "compute", compute)
    assert in_parts(engine)["calibration"]
    assert_complete(engine, analysed)


@pytest.mark.parametrize("title", ["y", "several, 2 of 2"])
def test_where_a_process_is_killed_one_process_computes_what_is_left(
    hospitals: Hospitals,
    analysed: Hospitals,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    title: str,
) -> None:
    engine, own, compute = hospitals.world.engine, os.getpid(), run._compute

    def killed(engine, study, analyses, within, part, *logged):
        if part == title and os.getpid() != own:
            os.kill(os.getpid(), signal.SIGKILL)
        return compute(engine, study, analyses, within, part, *logged)

    monkeypatch.setattr(run, "_compute", killed)
    assert all(in_parts(engine).values())
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        "one process computes the rest, as not several can: A process in the process pool was terminated abruptly while the "
        "future was running or pending."
    ]
    assert_complete(engine, analysed)


def test_where_no_process_can_be_started_this_one_computes(
    hospitals: Hospitals,
    analysed: Hospitals,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The second fork fails: the first ends, and nothing waits for it."""
    fork, forks = os.fork, []

    def fork_once() -> int:
        if forks:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        forks.append(fork())
        return forks[-1]

    monkeypatch.setattr(os, "fork", fork_once)
    assert all(in_parts(hospitals.world.engine).values())
    monkeypatch.undo()
    assert not multiprocessing.active_children()
    assert "Resource temporarily unavailable" in caplog.text
    assert_complete(hospitals.world.engine, analysed)


def test_what_fails_in_processes_alone_is_logged_and_computed_here(
    hospitals: Hospitals,
    analysed: Hospitals,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    own, compute = os.getpid(), run._compute

    def too_many(*arguments: Any) -> Any:
        if os.getpid() != own:
            raise RuntimeError("too many clients")
        return compute(*arguments)

    monkeypatch.setattr(run, "_compute", too_many)
    caplog.set_level("INFO", logger="xray")
    assert all(in_parts(hospitals.world.engine).values())
    assert "x is left for the end: RuntimeError: too many clients" in caplog.messages
    assert "computed x" not in caplog.messages
    assert_complete(hospitals.world.engine, analysed)


LOCKS = {
    "nobody has parts computed meanwhile": ("xray parts", "test", "", in_parts),
    "nobody is at the whole study": (
        "xray analyses",
        "test",
        "",
        lambda engine: run.run_cohort(engine, "test", "x"),
    ),
    "nobody is at this part": ("xray part", "test/x", "", lambda engine: run.run_cohort(engine, "test", "x")),
    "nobody is at any part": ("xray analyses", "test", "_shared", lambda engine: run_all(engine, "test")),
}


@pytest.mark.parametrize("until", LOCKS)
def test_a_run_waits_until(hospitals: Hospitals, until: str) -> None:
    kind, name, shared, command = LOCKS[until]
    engine = hospitals.world.engine
    lock, names = f"pg_advisory_lock{shared}(hashtext(:kind), hashtext(:name))", {"kind": kind, "name": name}
    waiting = text("select count(*) from pg_locks where locktype = 'advisory' and not granted")
    with engine.connect() as other, ThreadPoolExecutor(1) as thread:
        other.execute(text(f"select {lock}"), names)
        future = thread.submit(command, engine)
        while not other.scalar(waiting):
            assert not future.done(), future.result()
        assert not cells(engine)
        if kind == "xray part":
            assert run.run_cohort(engine, "test", "y")["calibration"], "another part is free"
        other.execute(text("select pg_advisory_unlock_all()"))
        future.result(60)
    assert cells(engine)


def test_what_another_has_computed_meanwhile_is_not_computed_again(hospitals: Hospitals) -> None:
    engine = hospitals.world.engine
    with engine.connect() as connection:
        study = load_study(connection, "test")
        several = parts.divided(connection, study, parts.to_compute(connection, study, ANALYSES, {}))
    run_all(engine, "test")
    before = cells(engine)
    for part in several:
        assert run._compute(engine, "test", ANALYSES, part.of, part.title) == frozenset()
    assert cells(engine) == before


@pytest.mark.parametrize("n", [2, 3, 64])
def test_cells_of_several_cohorts_are_shared_out_evenly(
    hospitals: Hospitals, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    monkeypatch.setattr(parts, "cores", lambda: n)
    with hospitals.world.engine.connect() as connection:
        study = load_study(connection, "test")
        works = parts.to_compute(connection, study, ANALYSES, {})
        sizes = [sum(map(len, share.values())) for _, share in parts._shares(works)]
    assert len(sizes) == min(n, parts.MOST)
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == sum(len(work.keys(None)) for work in works)


def test_little_work_is_done_without_processes(hospitals: Hospitals, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = hospitals.world.engine
    monkeypatch.setattr(parts, "ENOUGH", 20e6)
    monkeypatch.setattr(
        run, "in_processes", lambda function, items: iter(()) if not items else pytest.fail("started")
    )
    assert all(in_parts(engine).values())


def test_the_largest_part_comes_first_and_every_cell_is_in_one(hospitals: Hospitals) -> None:
    with hospitals.world.engine.begin() as connection:
        study = load_study(connection, "test")
        works = parts.to_compute(connection, study, ANALYSES, {})
        several = parts.divided(connection, study, works)
    assert [part.scores for part in several] == sorted((part.scores for part in several), reverse=True)
    scored = [(w.analysis.name, key) for w in works for key in w.stale if w.uses([key])]
    assigned = [(name, key) for part in several for name, keys in part.keys.items() for key in keys]
    assert len(assigned) == len(set(assigned))
    assert set(assigned) >= set(scored)


def test_forked_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)

    def threads(_: int) -> tuple[int, int]:
        import threading

        names = parallel.side_by_side(
            lambda: (time.sleep(0.05), threading.current_thread().name)[1], [()] * 4
        )
        return os.getpid(), len(set(names))

    results = list(parallel.in_processes(threads, list(range(4))))
    assert {n for _, n in results} == {1}, "two processes on two cores have a thread each"
    assert os.getpid() not in {pid for pid, _ in results}
    assert len(set(parallel.side_by_side(lambda i: (time.sleep(0.05), i)[1], [(i,) for i in range(4)]))) == 4
    assert threads(0)[1] == 2


ENDLESS = """
import os, sys, time
from xray.analyses import parallel
parallel.cores = lambda: 2
def wait(path):
    open(path, "w").write(str(os.getpid()))
    time.sleep(600)
list(parallel.in_processes(wait, sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_forked_processes_end_with_the_one_that_has_them(tmp_path: Path, number: signal.Signals) -> None:
    files = [tmp_path / name for name in "ab"]
    owner = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, *map(str, files)],
        cwd=ROOT,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        children = [int(wait_for(file)) for file in files]
        owner.send_signal(number)  # to it alone, as a notebook does
        owner.wait(20)
        deadline = time.monotonic() + 20
        while any(is_there(child) for child in children):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        owner.kill()
        owner.wait()


def wait_for(file: Path) -> str:
    deadline = time.monotonic() + 60
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return file.read_text()


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

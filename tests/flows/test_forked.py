"""Processes of a pool are forks of one that has imported what they need, and else as good as new ones."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pytest

from flows import pool
from tests.flows.test_killed import own_processes, wait_until

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = f"import sys; sys.path.insert(0, {str(PROJECT)!r}); from tests.flows.in_a_fork import main; main()"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there are forks on Linux only")


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """The program in a folder whose own flows.py and db are for other work; nothing says where the project is but it."""
    (folder / "flows.py").write_text("raise SystemExit('flows of the user')")
    (folder / "db").mkdir()
    (folder / "db" / "__init__.py").write_text("raise SystemExit('db of the user')")
    without = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**without, "XRAY_HOME": str(folder)},
        start_new_session=True,
    )


def test_forks_are_as_started_by_the_command_and_end_with_it(tmp_path):
    with start(tmp_path) as process:
        try:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            one, other = json.loads(line)
            children = psutil.Process(process.pid).children(recursive=True)
            processes = {child.pid for child in children}
        finally:
            process.kill()
        assert process.stderr.read() == ""
    assert one["pid"] != other["pid"]
    assert {one["pid"], other["pid"]} < processes
    for fork in (one, other):
        assert fork["server_is_parent"]
        assert Path(fork["code"]) == PROJECT / "flows" / "__init__.py"
        assert fork["imported"] == ["torch", "mlflow", "xray.analyses.run"]
        assert fork["variables"] == ["LATE"]
        blocked_here = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        assert set(fork["blocked"]) == {signal.SIGHUP, signal.SIGINT} | blocked_here
        assert fork["threads"] == 1
        assert fork["cuda"] == [False, False]
    assert one["random"] != other["random"]
    assert one["numpy"] != other["numpy"]
    wait_until(lambda: not own_processes(tmp_path), 30, lambda: own_processes(tmp_path))


@pytest.mark.slow
def test_nothing_is_left_where_the_command_is_killed_as_soon_as_work_is_asked_for(tmp_path):
    with start(tmp_path, "at once") as process:
        assert process.stdout.readline() == "asked for\n"
        process.kill()
    wait_until(lambda: not own_processes(tmp_path), 60, lambda: own_processes(tmp_path))


@pytest.mark.parametrize("error", [EOFError, ConnectionRefusedError, BrokenPipeError])
def test_what_forks_processes_is_one_of_them_where_it_was_killed(error, monkeypatch):
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(ProcessPoolExecutor, "submit", refuse)
    with pool._Processes(1) as processes, pytest.raises(BrokenProcessPool):
        processes.submit(print)

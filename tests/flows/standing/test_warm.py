"""A fork of the warm process is to a worker what a process of its own would be: output, exit code, signals, death."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.standing.engine import SOCKET, WARM
from flows.standing.nursery import MARK, kill, marked
from flows.standing.warm import _is_ours
from tests.processes import has_ended, is_alive

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="Linux's means to hand a process on"),
    pytest.mark.timeout(120),
]
PROJECT = Path(__file__).resolve().parents[3]
SERVER = """
import os, sys
from pathlib import Path
from flows.standing import warm
from flows.standing.engine import reach

listener = reach(Path(sys.argv[1]), "bind")
listener.listen()
asked = warm.serve(listener, warm.code_state() if sys.argv[2] == "fresh" else 0)
if asked is not None:
    warm.become(asked, {"ADDED": "by an import", "GIVEN": "by an import"})
    exec(os.environ["PROGRAM"])
"""
WHERE = """
import sys
print(os.getcwd(), os.environ["GIVEN"], os.environ["ADDED"], os.environ.get("ONLY_SERVER"), sys.stdin.read())
print("to the other", file=sys.stderr)
sys.exit(7)
"""
SLEEP = "print(os.getpid(), flush=True); import time; time.sleep(100)"
PATIENT = (
    """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
"""
    + SLEEP
)


class Warm:
    """A warm process, and askers of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []

    def serve(self, state: str = "fresh") -> "subprocess.Popen[str]":
        process = self.start([sys.executable, "-c", SERVER, str(self.folder), state], ONLY_SERVER="yes")
        while not (self.folder / SOCKET).exists():
            assert process.poll() is None
            time.sleep(0.02)
        return process

    def ask(self, program: str, **options) -> "subprocess.Popen[str]":
        environment = {WARM: str(self.folder), "PROGRAM": program, "GIVEN": "by the asker"}
        return self.start([sys.executable, "-m", "flows.standing.engine"], options, **environment)

    def start(self, command, options=None, **variables) -> "subprocess.Popen[str]":
        own = {"PYTHONPATH": str(PROJECT), MARK: str(self.folder), **variables}
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")} | own
        process = subprocess.Popen(
            command, env=environment, stdout=-1, stderr=-1, text=True, **(options or {})
        )
        self.processes.append(process)
        return process


@pytest.fixture
def warm(tmp_path):
    """In a folder whose path is longer than the name of a socket may be."""
    folder = tmp_path / ("long " * 20) / ("longer " * 20)
    folder.mkdir(parents=True)
    server = Warm(folder)
    yield server
    kill(marked(str(folder)))
    for process in server.processes:
        process.communicate()


def test_a_fork_has_the_askers_environment_and_none_of_the_servers(warm, tmp_path):
    server = warm.serve()
    for _ in range(2):
        asker = warm.ask(WHERE, cwd=tmp_path, stdin=-1)
        out, err = asker.communicate("typed")
        assert out == f"{tmp_path} by the asker by an import None typed\n"
        assert err == "to the other\n"
        assert asker.returncode == 7
    assert server.poll() is None
    assert psutil.Process(server.pid).children() == []


def test_signals_reach_the_fork(warm):
    warm.serve()
    patient, other = warm.ask(PATIENT), warm.ask(SLEEP)
    pids = [int(process.stdout.readline()) for process in (patient, other)]
    assert patient.pid not in pids
    patient.terminate()
    assert patient.wait(10) == 9
    other.terminate()
    assert other.wait(10) == -signal.SIGTERM
    assert all(has_ended(pid) for pid in pids)


def test_a_fork_ends_with_its_asker(warm):
    warm.serve()
    asker, other = warm.ask(PATIENT), warm.ask(PATIENT)
    pids = [int(process.stdout.readline()) for process in (asker, other)]
    asker.kill()
    assert has_ended(pids[0])
    assert is_alive(pids[1])
    assert other.poll() is None


def test_every_fork_ends_with_the_server(warm):
    server = warm.serve()
    asker = warm.ask(PATIENT)
    pid = int(asker.stdout.readline())
    server.kill()
    assert asker.wait(10) == -signal.SIGKILL
    assert has_ended(pid)


def test_changed_code_is_not_run_from_memory(warm, monkeypatch):
    """The run that asks starts by itself: without a flow run's id, Prefect's engine says so. Then the server ends."""
    server = warm.serve("stale")
    asker = warm.ask("print('forked')")
    out, err = asker.communicate()
    assert "forked" not in out
    assert "Invalid flow run id" in out + err
    assert server.wait(10) == 0


def test_without_a_warm_process_a_run_starts_in_a_new_one(warm):
    asker = warm.ask("print('forked')")
    out, err = asker.communicate()
    assert "forked" not in out
    assert "Invalid flow run id" in out + err
    assert asker.returncode == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another account")
def test_requests_of_another_account_are_refused():
    name = f"\0xray test {os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        for account, is_ours in ((0, True), (65534, False)):
            child = os.fork()
            if child == 0:
                os.setuid(account)
                with socket.socket(socket.AF_UNIX) as asks:
                    asks.connect(name)
                    asks.recv(1)
                os._exit(0)
            asker, _ = listener.accept()
            assert _is_ours(asker) is is_ours
            asker.close()
            os.waitpid(child, 0)

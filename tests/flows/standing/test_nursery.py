"""A service and all that descends from it end together, whichever of them dies and however."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.standing.nursery import MARK, SERVICE, kill, marked
from tests.processes import has_ended

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="orphans come to a nursery on Linux only")
PROJECT = Path(__file__).resolve().parents[3]
FAMILY = """
import subprocess, sys, time
child = subprocess.Popen(["sleep", "100"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(float(sys.argv[1]))
sys.exit(7)
"""


@pytest.fixture
def family(tmp_path):
    """Starts a nursery of a service that has a child in a session of its own: the nursery, and its log."""
    processes = []

    def start(seconds: float) -> tuple["subprocess.Popen[bytes]", Path]:
        log = tmp_path / "service.log"
        command = [sys.executable, "-m", "flows.standing.nursery", str(os.getpid()), str(log), "2", "--"]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), MARK: str(tmp_path), SERVICE: "family"}
        process = subprocess.Popen([*command, sys.executable, "-c", FAMILY, str(seconds)], env=environment)
        processes.append(process)
        while not (log.exists() and log.read_text().strip()):
            time.sleep(0.02)
        return process, log

    yield start
    kill(marked(str(tmp_path)))
    for process in processes:
        process.wait()


def test_orphans_of_a_service_end_with_it(family):
    nursery, log = family(0.3)
    assert nursery.wait(10) == 7
    assert has_ended(int(log.read_text()))


def test_a_killed_service_takes_its_children_along(family):
    nursery, log = family(100)
    (service,) = (
        child for child in psutil.Process(nursery.pid).children() if child.pid != int(log.read_text())
    )
    service.kill()
    assert nursery.wait(10) == 128 + signal.SIGKILL
    assert has_ended(int(log.read_text()))


def test_a_stop_signal_ends_the_service_and_its_children(family):
    nursery, log = family(100)
    nursery.terminate()
    nursery.wait(10)
    assert has_ended(int(log.read_text()))


def test_marked_processes_are_found_and_killed(family, tmp_path):
    nursery, log = family(100)
    nursery.kill()  # the nursery itself: the service dies with it, the service's child does not
    nursery.wait(10)
    assert [process.pid for process in marked(str(tmp_path), "another")] == []
    kill(marked(str(tmp_path), "family"))
    assert has_ended(int(log.read_text()))

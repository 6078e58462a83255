"""A child process does not outlive its parent, however that ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import has_ended, is_alive

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is such a call on Linux only")

PROJECT = Path(__file__).resolve().parents[2]
PARENT = """
import os, subprocess, sys, time
from functools import partial
from flows.processes import die_with_parent
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"],
                         preexec_fn=partial(die_with_parent, os.getpid()), start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_the_child_dies_with_its_parent(signal_number):
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=PROJECT
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.send_signal(signal_number)
        parent.wait()
    assert has_ended(child)


def test_a_child_whose_parent_is_gone_already_ends_at_once():
    program = "from flows.processes import die_with_parent; die_with_parent(1 << 22); print('still here')"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=PROJECT)
    assert process.returncode == -signal.SIGKILL
    assert process.stdout == ""


def test_a_child_of_a_living_parent_keeps_running():
    program = (
        "import os; from flows.processes import die_with_parent; die_with_parent(os.getppid()); print('here')"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=PROJECT)
    assert (process.returncode, process.stdout) == (0, "here\n")


SERVICE = """
import contextlib, os, random, sys
import numpy as np
from prefect.events.worker import EventsWorker
from prefect.events import emit_event
from prefect.settings import PREFECT_TASKS_DEFAULT_RETRIES
from flows import tasks
random.seed(0)
np.random.seed(0)
drawn = random.random(), np.random.random()
random.seed(0)
np.random.seed(0)
later = {name: value for name, value in os.environ.items() if name != "OF_BEFORE"}
tasks.start_worker({**later, "PREFECT_TASKS_DEFAULT_RETRIES": "7"})
assert random.random() != drawn[0], "forks draw the same"
assert np.random.random() != drawn[1], "forks draw the same"
assert "OF_BEFORE" not in os.environ
assert PREFECT_TASKS_DEFAULT_RETRIES.value() == 7

@contextlib.asynccontextmanager
async def out_of_memory(self):
    raise MemoryError
    yield
if sys.argv[1] == "fails":
    EventsWorker._lifespan = out_of_memory
from prefect.events.clients import AssertingEventsClient
EventsWorker.set_client_override(AssertingEventsClient)
emit_event("asked", {"prefect.resource.id": "test"})
EventsWorker.instance().wait_until_empty()
"""


@pytest.mark.parametrize(("failure", "code"), [("fails", os.EX_OSERR), ("goes on", 0)])
def test_a_process_ends_when_a_service_of_prefect_in_it_does(failure, code):
    """Else Prefect waits in it without end, and so does the run that waits for it."""
    process = subprocess.run(
        [sys.executable, "-c", SERVICE, failure],
        env={**os.environ, "OF_BEFORE": "1"},
        capture_output=True,
        text=True,
        cwd=PROJECT,
        timeout=120,
    )
    assert process.returncode == code, process.stderr

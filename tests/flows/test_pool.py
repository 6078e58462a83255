"""Work of a flow run: what starts quickly, and where a single piece of it is done."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from flows.pool import run_each

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

"""Memory that tensors free is kept, seen by the page faults of a process of its own."""

import subprocess
import sys

import pytest

COUNT = """
import os, resource
import torch
from xray.learning.memory import keep_memory
for keep in (True, False):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    if keep:
        keep_memory()
    for _ in range(10):
        torch.zeros(1 << 24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.zeros(1 << 24)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, flush=True)
    os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="page faults are counted on Linux")
def test_freed_blocks_are_reused_without_system_calls() -> None:
    process = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    of_keeping, of_leaving = map(int, process.stdout.split())
    assert of_leaving > 20 * (1 << 26) // (1 << 21), "each of twenty blocks of 64 MB is mapped anew"
    assert of_keeping < of_leaving / 10, (
        "a thread's small block above a freed one can cost one new block, not each"
    )

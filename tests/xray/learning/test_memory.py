"""Memory that tensors free is kept, seen by the page faults of a process of its own."""

import subprocess
import sys

import pytest

COUNT = """
import resource, sys
import torch
from xray.learning.memory import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
for _ in range(10):
    torch.zeros(1 << 24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.zeros(1 << 24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str) -> int:
    process = subprocess.run([sys.executable, "-c", COUNT, mode], capture_output=True, text=True, check=True)
    return int(process.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="page faults are counted on Linux")
def test_freed_blocks_are_reused_without_system_calls() -> None:
    assert faults("keep") < 100
    assert faults("leave") > 5 * (1 << 26) // (1 << 21), "each of five blocks of 64 MB is mapped anew"

"""Memory that tensors free is kept, seen by the page faults of a process of its own."""

import subprocess
import sys

import pytest

COUNT = """
import ctypes, os, resource
import torch
from xray.learning.memory import keep_memory

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def block():
    address = ctypes.c_void_p(libc.malloc(1 << 26))
    ctypes.memset(address, 0, 1 << 26)
    libc.free(address)

def faults(of):
    for _ in range(40 * keep):  # small blocks that come to lie above a tensor's keep up to nine from being used again
        of()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        of()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

for keep in (True, False):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    if keep:
        keep_memory()
    print(faults(block), faults(lambda: torch.zeros(1 << 24)), flush=True)
    os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="page faults are counted on Linux")
def test_freed_blocks_are_reused_without_system_calls() -> None:
    process = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    block, tensor, block_left, tensor_left = map(int, process.stdout.split())
    assert min(block_left, tensor_left) > 20 * (1 << 26) // (1 << 21), "each of twenty is mapped anew"
    assert block < 100
    assert tensor < tensor_left / 10, "one more small block above a freed one costs one new block, not each"

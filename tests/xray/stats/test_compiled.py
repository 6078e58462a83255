"""Machine code is made once, also by processes that want it at the same time, and kept for those that come later."""

import os
import subprocess
import sys
from pathlib import Path

KERNEL = """
from xray.stats.compiled import compiled

@compiled
def total(values):
    result = 0.0
    for value in values:
        result += value
    return result
"""
CALL = """
import sys
import numpy as np
import kernel
print("ready", flush=True)
sys.stdin.readline()
assert kernel.total(np.array([3.0, 1.0, 2.0])) == 6
stats = kernel.total.stats
print(sum(stats.cache_misses.values()), sum(stats.cache_hits.values()))
"""


def start(folder: Path) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(folder), str(Path(__file__).resolve().parents[3])])
    variables = os.environ | {"PYTHONPATH": path, "NUMBA_CACHE_DIR": str(folder / "machine code")}
    process = subprocess.Popen(
        [sys.executable, "-c", CALL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_of_processes_that_want_a_function_at_once_one_compiles_it(tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)
    processes = [start(tmp_path) for _ in range(2)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=120)[0].split() for process in processes]
    assert sorted(outputs) == [["0", "1"], ["1", "0"]], "misses and hits of each"
    later, _ = start(tmp_path).communicate("go\n", timeout=120)
    assert later.split() == ["0", "1"]

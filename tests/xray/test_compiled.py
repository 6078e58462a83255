"""Machine code is made once, also by processes that want it at the same time, and kept for those that come later."""

import os
import subprocess
import sys
from pathlib import Path

KERNEL = """
from xray.compiled import compiled

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


NESTED = """
import threading, time
import numpy as np
from filelock import FileLock
from xray import compiled as module
from xray.compiled import compiled

class Slow(FileLock):
    def acquire(self, *args, **kwargs):
        proxy = super().acquire(*args, **kwargs)
        if "inner" in self.lock_file:
            time.sleep(0.5)
        return proxy

module.FileLock = Slow

@compiled
def inner(values):
    result = 0.0
    for value in values:
        result += value
    return result

@compiled
def outer(values):
    return inner(values) + 1.0

started = threading.Barrier(2)
results = {}

def call(function):
    started.wait()
    results[function.__name__] = function(np.array([3.0, 1.0]))


def main():
    threads = [threading.Thread(target=call, args=(of,), daemon=True) for of in (inner, outer)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {"inner": 4, "outer": 5}
"""


def start(folder: Path) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(folder), str(Path(__file__).resolve().parents[2])])
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


def test_threads_that_want_a_function_and_what_it_calls_wait_for_each_other_but_not_for_ever(
    tmp_path: Path,
) -> None:
    (tmp_path / "nested.py").write_text(NESTED)
    for attempt in range(1):
        path = os.pathsep.join([str(tmp_path), str(Path(__file__).resolve().parents[2])])
        variables = os.environ | {"PYTHONPATH": path, "NUMBA_CACHE_DIR": str(tmp_path / f"cold {attempt}")}
        subprocess.run(
            [sys.executable, "-c", "import nested; nested.main()"], env=variables, check=True, timeout=120
        )


def test_without_its_lock_a_function_is_compiled_all_the_same(tmp_path: Path) -> None:
    """As where the file of the lock is another account's."""
    (tmp_path / "kernel.py").write_text(KERNEL)
    refused = "import filelock\ndef refuse(*_, **__): raise PermissionError(13, 'not yours')\nfilelock.FileLock = refuse\n"
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).resolve().parents[2])])
    variables = os.environ | {"PYTHONPATH": path, "NUMBA_CACHE_DIR": str(tmp_path / "cold")}
    process = subprocess.run(
        [sys.executable, "-c", refused + CALL],
        input="go\n",
        env=variables,
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert process.stdout.split() == ["ready", "1", "0"], process.stderr


def test_without_compiling_functions_are_as_they_are_written(tmp_path: Path) -> None:
    """As a debugger needs them."""
    (tmp_path / "kernel.py").write_text(KERNEL)
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).resolve().parents[2])])
    subprocess.run(
        [sys.executable, "-c", "import kernel; assert type(kernel.total).__name__ == 'function'"],
        env=os.environ | {"PYTHONPATH": path, "NUMBA_DISABLE_JIT": "1"},
        check=True,
        timeout=60,
    )

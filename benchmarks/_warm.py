"""Tests of changed code in forks of a process that has already imported and collected them: seconds less for each change."""

import contextlib
import gc
import json
import os
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

QUIET: Final = 15.0
"""Seconds that tests may take, besides five times what their files took unchanged."""


class Warm:
    """A process that has collected some tests of a copy of the project. What it says is killed is; what it lets live may be
    killed by a process that imports the change as everybody does. It ends with the process that made it. Several have one
    copy; name: what each writes begins so.
    """

    def __init__(self, folder: Path, name: str, tests: Sequence[str], warm_up: Callable[[], None]) -> None:
        self.killer = folder.parent / f"{name}.killer"
        self._killers: dict[str, list[str]] = {}
        ask, self._requests = os.pipe()
        self._answers, answer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._requests)
            os.close(self._answers)
            os._exit(_collect(tests, _Plugin(folder, self.killer, os.fdopen(ask), answer, warm_up)))
        os.close(ask)
        os.close(answer)
        self._replies = os.fdopen(self._answers)

    def passes(self, file: str, text: str, tests: Sequence[str], seconds: float) -> bool:
        """Whether the tests pass with a file's text in place of its own."""
        before = self.first(file)
        request = {"file": file, "text": text, "tests": list(tests), "seconds": seconds, "first": before}
        os.write(self._requests, json.dumps(request).encode() + b"\n")
        reply = self._replies.readline()
        if not reply:
            raise SystemExit("the tests can't be collected")
        if self.killer.exists():  # what has noticed one change of a file is likely to notice the next
            test = self.killer.read_text(encoding="utf-8")
            self._killers[file] = [test, *(other for other in before if other != test)]
            self.killer.unlink()
        return reply == "True\n"

    def first(self, file: str) -> list[str]:
        """The tests that have noticed changes of a file, the latest first."""
        return self._killers.get(file, [])


class _Plugin:
    """Waits for changes once the tests are collected; a fork of it runs those that are asked for."""

    def __init__(
        self, folder: Path, killer: Path, requests: Any, answer: int, warm_up: Callable[[], None]
    ) -> None:
        self.folder, self.killer, self.requests, self.answer = folder, killer, requests, answer
        self.warm_up = warm_up

    def pytest_collection_finish(self, session: Any) -> None:
        """Fork for each request; the fork goes on with the session."""
        self.warm_up()
        gc.freeze()
        for line in self.requests:
            request = json.loads(line)
            child = os.fork()
            if child == 0:
                os.setpgid(0, 0)
                tests = request["tests"]
                session.items[:] = [item for item in session.items if _is_chosen(item.nodeid, tests)]
                order = [*request["first"], *tests]
                session.items.sort(key=lambda item: _rank(item.nodeid, order))
                replace(self.folder, request["file"], request["text"])
                return
            os.write(self.answer, f"{ends_well(child, request['seconds'])}\n".encode())
        os._exit(0)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Say which test failed."""
        if report.failed:
            self.killer.write_text(report.nodeid, encoding="utf-8")


def _collect(tests: Sequence[str], plugin: _Plugin) -> int:
    folder = plugin.folder
    quiet = os.open(plugin.killer.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    os.chdir(folder)
    sys.path[:] = [str(folder), *(p for p in sys.path if p not in ("", os.environ.get("PYTHONPATH", "")))]
    os.environ["PYTHONPATH"] = str(folder)
    import pytest

    options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", "--no-header", f"--rootdir={folder}"]
    return int(pytest.main([*options, *tests], plugins=[plugin]))


def _is_chosen(nodeid: str, tests: Sequence[str]) -> bool:
    return any(nodeid == test or nodeid.startswith((f"{test}::", f"{test}[")) for test in tests)


def _rank(nodeid: str, tests: Sequence[str]) -> int:
    return next(at for at, test in enumerate(tests) if _is_chosen(nodeid, [test]))


def ends_well(child: int, seconds: float) -> bool:
    """Whether a child, leader of its group, ends within so many seconds and without a fault; killed if it does not end."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def replace(folder: Path, file: str, text: str) -> None:
    """Run a module's changed text in its place, and put what it defines where other modules have imported it by name."""
    import numba

    from xray import compiled

    name = file.removesuffix(".py").replace("/", ".")
    module = sys.modules.get(name)
    if module is None:
        return

    def uncached(**options: Any) -> Any:  # the cache knows no changed constants
        return numba.njit(nogil=True, **options)

    vars(compiled).update(compiled_with=uncached, compiled=uncached(error_model="numpy"))
    before = dict(vars(module))
    exec(compile(text, str(folder / file), "exec"), vars(module))
    for other in list(_of_project(module)):
        for key, value in list(vars(other).items()):
            for old, then in _renewed(key, value, before):
                if value is then:
                    vars(other)[key] = vars(module)[old]


def _renewed(key: str, value: object, before: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Names of the module whose value another module may have under a name."""
    if key in before and not key.startswith("__"):
        yield key, before[key]
    name_of_value = getattr(value, "__name__", None) if isinstance(value, types.FunctionType | type) else None
    if name_of_value is not None and name_of_value != key and name_of_value in before:
        yield name_of_value, before[name_of_value]


def _of_project(module: types.ModuleType) -> Iterator[types.ModuleType]:
    for name, other in list(sys.modules.items()):
        with contextlib.suppress(Exception):
            if other is not module and name.split(".")[0].startswith(
                ("xray", "benchmarks", "tests", "test_", "flows")
            ):
                yield other

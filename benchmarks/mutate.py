"""Do the tests notice? One operator or constant of `xray/stats` or `xray/analyses` changed at a time; survivors are told.

    python -m benchmarks.mutate --sample 300 --seed 1        a random sample of all changes
    python -m benchmarks.mutate --only xray/stats/verdict.py  every change of one file
    python -m benchmarks.mutate --list                        how many changes there are, by file
    python -m benchmarks.mutate --verdict                     the verdict's files: constants twice and half, branches turned

A change is killed when a test fails, or does not end. Each runs in a fork of a process that has collected the tests
(`benchmarks/_warm.py`), in a copy of the tree. Which tests call which functions is recorded first
(`benchmarks/_calls.py`), so a change meets only the tests that can notice it: those of files that import its module,
then the quickest others. Changes of no result are left out, each with its reason (`equivalents.csv`). Exit code 1 where
more than LIMIT of the sample survive.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a fork of a process with threads may wait for ever

import argparse
import ast
import contextlib
import importlib
import json
import math
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache
from pathlib import Path
from queue import Queue
from typing import Final

from benchmarks import _verdict
from benchmarks._calls import RECORD, Calls
from benchmarks._changes import ROOMS, ROOT, Mutant, changes, mutants
from benchmarks._warm import QUIET, Warm, ends_well

TESTS: Final = (
    "tests/xray/stats",
    "tests/xray/analyses",
    "tests/xray/learning/test_intervene.py",
    "tests/flows/cli/test_explain.py",
    "tests/xray/report/test_verdicts.py",
)
COPIED: Final = (
    "xray",
    "db",
    "flows",
    "alembic",
    "tests",
    "studies",
    "pyproject.toml",
    "alembic.ini",
    "README.md",
    "docs",
)
LIBRARIES: Final = (
    "matplotlib.figure",
    "numba",
    "pandas",
    "psycopg2",
    "pytest",
    "scipy.stats",
    "sklearn.metrics",
    "sqlalchemy",
    "statsmodels.api",
)
LIMIT: Final = 0.15
FURTHER: Final = 60.0
"""Seconds that tests which don't import the module may take together; a change that only later ones notice survives."""


def nearest_tests(file: str) -> list[str]:
    """The test files that import the changed module, or from it."""
    module = file.removesuffix(".py").replace("/", ".")
    package, _, name = module.rpartition(".")
    return [test for test in files_of_tests() if {(module, ""), (package, name)} & _imports(test)]


@cache
def _imports(test: str) -> set[tuple[str, str]]:
    """(module, "") and (module, name) of what a file imports."""
    imports = set()
    for node in ast.walk(ast.parse((ROOT / test).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            imports |= {(node.module, ""), *((node.module, alias.name) for alias in node.names)}
        elif isinstance(node, ast.Import):
            imports |= {(alias.name, "") for alias in node.names}
    return imports


def files_of_tests(names: Sequence[str] = TESTS) -> list[str]:
    """All test files of both rooms, or of some folders and files."""
    files = []
    for name in names:
        path = ROOT / name
        files += [path] if path.is_file() else sorted(path.glob("test_*.py"))
    return [str(path.relative_to(ROOT)) for path in files]


class Tree:
    """A copy of the project in which one change at a time is made."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.changes = folder, 0
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / name)

    @contextlib.contextmanager
    def changed(self, mutant: Mutant) -> Iterator[None]:
        """With this change. Its file is as old as no other change's: compiled code is kept by that."""
        path = self.folder / mutant.file
        path.write_text(mutant.text(), encoding="utf-8")
        self.changes += 1
        os.utime(path, (self.changes, self.changes))
        try:
            yield
        finally:
            shutil.copy2(ROOT / mutant.file, path)

    def record(self, calls: Calls) -> None:
        """Let every test file say what it calls; whether it passes is another matter, as some tests read the code."""
        files = sorted({mutant.file for mutant in mutants()})
        for file in files:
            calls.write_recording(file)
        for test in calls.tests:
            began = time.monotonic()
            self.passes([test], math.inf, calls.recorder(test))
            calls.seconds[test] = time.monotonic() - began
        for file in files:
            shutil.copy2(ROOT / file, self.folder / file)
        calls.read()

    def passes(
        self, tests: Sequence[str], seconds: float = math.inf, record: Callable[[], None] = lambda: None
    ) -> bool:
        """Whether the tests pass within so many seconds, in a fork that calls `record` first."""
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            record()
            os._exit(_run_tests(self.folder, tests))
        return ends_well(child, seconds)


def _run_tests(folder: Path, tests: Sequence[str]) -> int:
    quiet = os.open(folder.parent / f"{folder.name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    os.chdir(folder)
    sys.path[:] = [str(folder), *(p for p in sys.path if p not in ("", str(ROOT)))]
    os.environ["PYTHONPATH"] = str(folder)
    import pytest

    arguments = [
        *([] if RECORD in os.environ else ["-x"]),
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "not slow",
        "--no-header",
        f"--rootdir={folder}",
        *tests,
    ]
    return int(pytest.main(arguments))


def _import_libraries() -> None:
    """What every test imports, once for all forks; nothing of the project, which the forks take from their tree."""
    for name in LIBRARIES:
        importlib.import_module(name)
    assert not [name for name in sys.modules if name.split(".")[0] in ("xray", "db", "flows")]


@cache
def _sources() -> dict[str, ast.Module]:
    files = (path for room in ROOMS for path in (ROOT / room).glob("*.py"))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in files}


def _lives(tree: Tree, warm: Warm, mutant: Mutant, calls: Calls, further: float) -> bool:
    """Whether the change survives the tests that call its function, in a process that has collected them before.

    And then in a process that imports the change as everybody does: compiled code has in it what it calls, and the register
    of analyses what it was given.
    """
    try:
        compile(mutant.text(), mutant.file, "exec")
    except SyntaxError:
        return False
    near, far = (
        sorted(tests, key=lambda test: calls.seconds[_file(test)]) for tests in _tests_of(mutant, calls)
    )
    tests = [*near, *_within(far, further, calls.seconds)]
    if not tests:
        return True
    patience = QUIET + 5 * sum(calls.seconds[file] for file in {_file(test) for test in tests})
    if not warm.passes(mutant.file, mutant.text(), tests, patience):
        return False
    with tree.changed(mutant):
        return tree.passes(tests, QUIET + patience)


def _within(tests: Sequence[str], budget: float, seconds: Mapping[str, float]) -> Iterator[str]:
    """The first tests whose files take no more seconds together."""
    files: set[str] = set()
    for test in tests:
        files.add(_file(test))
        if sum(seconds[file] for file in files) > budget:
            return
        yield test


def _file(test: str) -> str:
    return test.partition("::")[0]


def _tests_of(mutant: Mutant, calls: Calls) -> tuple[list[str], list[str]]:
    """The tests that call a function, or use a constant: those of files that name its module, and the others."""
    names = _verdict.assigned(_sources()[mutant.file], mutant.line)
    using = _verdict.functions_that_name(names, _sources(), mutant.file) if names else []
    calling = calls.tests_of_functions(using) or calls.tests_of(
        mutant.file, (ROOT / mutant.file).read_text(encoding="utf-8"), mutant.line
    )
    near = set(nearest_tests(mutant.file)) & set(calls.seconds)
    calling = calling or sorted(near)  # what was recorded may be of an earlier tree
    return [test for test in calling if _file(test) in near], [
        test for test in calling if _file(test) not in near
    ]


def main() -> int:
    """Judge a sample; 1 where too many survive."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutate")
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--only", nargs="*", default=[], help="files, such as xray/stats/verdict.py: every change of them"
    )
    parser.add_argument(
        "--skip", type=int, default=0, help="go on with a sample behind so many of its changes"
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--calls", type=Path, help="a file to keep, or take, what tests call: minutes less")
    parser.add_argument(
        "--again", type=Path, help="only those that an earlier run printed as survivors, in this file"
    )
    parser.add_argument(
        "--further",
        type=float,
        default=FURTHER,
        help="seconds that other tests may take together; more kill more",
    )
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--quick", action="store_true", help="six changes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verdict", action="store_true", help="constants and branches of the verdict, all")
    parser.add_argument("--tests", nargs="*", default=TESTS, help="only these: quicker, and more survive")
    options = parser.parse_args()
    every = changes(options.verdict, options.only)
    if options.list:
        for file, count in sorted(Counter(mutant.file for mutant in every).items()):
            print(f"{count:6d}  {file}")
        print(f"{len(every):6d}  in all")
        return 0
    whole = options.only or options.verdict
    size = 6 if options.quick else len(every) if whole else options.sample
    sample = random.Random(options.seed).sample(every, min(size, len(every)))[options.skip :]
    if options.verdict and not options.quick:
        sample = every[options.skip :]
    if options.again:
        sample = _again(options.again.read_text(encoding="utf-8"))
    survivors = list(_survivors(sample, options))
    limit = 0.0 if options.verdict else LIMIT
    share = len(survivors) / len(sample)
    if options.json:
        row = {
            "id": "M1",
            "work": "changes of xray/stats and xray/analyses that no test notices",
            "n": len(sample),
        }
        print(
            json.dumps(
                row | {"survivors": [asdict(mutant) for mutant in survivors], "share": share, "limit": limit}
            )
        )
    else:
        for mutant in sorted(survivors, key=lambda m: (m.file, m.line)):
            print(f"{mutant.file}:{mutant.line}: {mutant.before!r} → {mutant.after!r}")
        print(
            f"{len(survivors)} of {len(sample)} survive ({share:.0%}; limit {limit:.0%}; seed {options.seed})"
        )
    return int(share > limit)


def _again(printed: str) -> list[Mutant]:
    """The changes that were printed as survivors, whatever line they are on now; one that is no more is left out."""
    every = mutants()
    sample = []
    for file, line, change in re.findall(r"^(\S+\.py):(\d+): (.+)$", printed, re.M):
        same = [
            mutant
            for mutant in every
            if (mutant.file, f"{mutant.before!r} → {mutant.after!r}") == (file, change)
        ]
        sample += sorted(same, key=lambda mutant: abs(mutant.line - int(line)))[:1]
    return sample


def _survivors(sample: Sequence[Mutant], options: argparse.Namespace) -> Iterator[Mutant]:
    jobs, tests = options.jobs, options.tests
    _import_libraries()
    free: Queue[tuple[Tree, Warm]] = Queue()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(jobs) as pool:
        tree = Tree(Path(folder) / "0")
        calls = Calls(tree.folder, files_of_tests(tests))
        if options.calls and options.calls.exists():
            calls.load(options.calls.read_text(encoding="utf-8"))
        else:
            tree.record(calls)
            if options.calls:
                options.calls.write_text(calls.dump(), encoding="utf-8")
            if not tree.passes(tests):
                raise SystemExit(
                    (Path(folder) / "0.log").read_text(errors="replace")[-3000:]
                    + "\nthe tests fail unchanged"
                )
        for number in range(jobs):
            warm = Warm(tree.folder, f"warm {number}", tests, _verdict.warm_up)
            free.put((Tree(Path(folder) / str(number + 1)), warm))

        def one(mutant: Mutant) -> bool:
            judges = free.get()
            try:
                return _lives(*judges, mutant, calls, options.further)
            finally:
                free.put(judges)

        began = time.monotonic()
        for number, (mutant, survives) in enumerate(zip(sample, pool.map(one, sample), strict=True), start=1):
            word = "survives" if survives else "killed"
            print(f"{number}/{len(sample)} {time.monotonic() - began:.0f} s {word} {mutant.file}:{mutant.line} "
                  f"{mutant.before!r} → {mutant.after!r}", file=sys.stderr, flush=True)  # fmt: skip
            if survives:
                yield mutant


if __name__ == "__main__":
    sys.exit(main())

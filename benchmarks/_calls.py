"""Which test calls which function: recorded by a line that each function of a copy of the project begins with."""

import ast
import json
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

RECORD: Final = "XRAY_CALLS"
"""The environment variable with the file that calls are written to, also by the processes that a test starts."""
RECORDER: Final = f"""\
import os
_seen = set()
def record_call(file, line):
    test = os.environ.get("PYTEST_CURRENT_TEST", "")
    if (file, line, test) not in _seen:
        _seen.add((file, line, test))
        with open(os.environ["{RECORD}"], "a") as output:
            output.write(f"{{file}}:{{line}} {{test}}\\n")
"""
MODULE: Final = 0
"""The line that stands for the module itself."""


class Calls:
    """Functions that tests call. folder: a copy of the project, which `sys.path` begins with when tests run."""

    def __init__(self, folder: Path, tests: Sequence[str]) -> None:
        self.folder = folder
        self.tests = list(tests)
        self.by_function: dict[tuple[str, int], set[str]] = defaultdict(set)
        self.seconds: dict[str, float] = {}
        (folder / "recorded_calls.py").write_text(RECORDER, encoding="utf-8")

    def write_recording(self, file: str) -> None:
        """Write a file of the copy anew, so that its functions say that they are called."""
        path = self.folder / file
        module = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef) and not _is_compiled(node):
                node.body.insert(_after_words(node.body), _call(file, node.lineno))
        begin = _after_words(module.body)
        module.body[begin:begin] = [
            *ast.parse("from recorded_calls import record_call").body,
            _call(file, MODULE),
        ]
        path.write_text(ast.unparse(ast.fix_missing_locations(module)), encoding="utf-8")

    def recorder(self, test: str) -> Callable[[], None]:
        """What says where to write, in the process that is going to run a test file."""
        return lambda: os.environ.update({RECORD: str(self._record(test))})

    def read(self) -> None:
        """Read what was recorded: names of tests, or of files where a fixture or the import calls."""
        for test in self.tests:
            path = self._record(test)
            for record in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
                function, _, current = record.partition(" ")
                file, _, line = function.rpartition(":")
                self.by_function[file, int(line)].add(_selected(test, current))

    def dump(self) -> str:
        """What was recorded, to be loaded again."""
        rows = [[file, line, sorted(tests)] for (file, line), tests in self.by_function.items()]
        return json.dumps({"seconds": self.seconds, "calls": rows})

    def load(self, text: str) -> None:
        """Take what was dumped before; what it does not know counts as quick."""
        stored = json.loads(text)
        self.seconds = dict.fromkeys(self.tests, 1.0) | stored["seconds"]
        for file, line, tests in stored["calls"]:
            self.by_function[file, line] |= set(tests)

    def tests_of(self, file: str, source: str, line: int) -> list[str]:
        """The tests that call the function of a line; of a module or of compiled code: the files that load it."""
        function = _innermost(ast.parse(source), line)
        begin = MODULE if function is None or _is_compiled(function) else function.lineno
        return self.tests_of_functions([(file, begin)])

    def tests_of_functions(self, functions: Sequence[tuple[str, int]]) -> list[str]:
        """The tests that call any of some functions, by file and line."""
        tests = {test for function in functions for test in self.by_function[function]}
        return sorted(
            test for test in tests if test.partition("::")[0] == test or test.partition("::")[0] not in tests
        )

    def _record(self, test: str) -> Path:
        return self.folder.parent / f"calls-{self.tests.index(test)}"


def _selected(file: str, current: str) -> str:
    """What to run for a call. current: its test and phase, such as `tests/test_a.py::test_b[1] (call)`."""
    name, _, phase = current.rpartition(" ")
    return name.partition("[")[0] if phase == "(call)" and name.startswith(f"{file}::") else file


def _after_words(body: Sequence[ast.stmt]) -> int:
    """Where a body begins, behind its docstring."""
    return int(isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant))


def _call(file: str, line: int) -> ast.stmt:
    return ast.parse(f"record_call({file!r}, {line})").body[0]


def _is_compiled(node: ast.FunctionDef) -> bool:
    return any(
        isinstance(decorator, ast.Name) and decorator.id == "compiled" for decorator in node.decorator_list
    )


def _innermost(module: ast.Module, line: int) -> ast.FunctionDef | None:
    """The innermost function whose body a line is in."""
    functions = [
        node
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef) and node.body[0].lineno <= line <= (node.end_lineno or 0)
    ]
    return max(functions, key=lambda node: node.lineno, default=None)

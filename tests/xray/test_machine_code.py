"""What the demo needs compiled is compiled by `make install`."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from xray.machine_code import Compiled, _text, _type, dispatcher, listed

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("module", "function", "arguments"), listed())
def test_what_is_listed_is_a_compiled_function_of_so_many_arguments(
    module: str, function: str, arguments: tuple[str, ...]
) -> None:
    of = Compiled(module, function, arguments)
    assert len(inspect.signature(dispatcher(of).py_func).parameters) == len(arguments)
    assert tuple(_text(_type(argument)) for argument in arguments) == arguments


def test_no_function_is_listed_twice_for_the_same_types() -> None:
    assert len(set(listed())) == len(listed()) > 40


@pytest.fixture
def machine_code(tmp_path: Path) -> Path:
    """An empty folder for machine code, into which what is listed is compiled."""
    folder = tmp_path / "machine code"
    run([sys.executable, "-m", "xray.machine_code"], folder)
    return folder


def run(command: list[str], folder: Path, **environment: str) -> None:
    result = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert result.returncode == 0, result.stderr


def compiled(folder: Path) -> set[str]:
    return {f"{path.parent.name}/{path.name}" for path in folder.rglob("*.nbc")}


@pytest.mark.slow
def test_a_demo_compiles_nothing(machine_code: Path, tmp_path: Path) -> None:
    before = compiled(machine_code)
    assert len(before) == len(listed())
    run([str(Path(sys.executable).with_name("xray")), "demo"], machine_code, XRAY_HOME=str(tmp_path / "home"))
    assert compiled(machine_code) == before

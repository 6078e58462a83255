"""Everyday commands answer within 1.5 s: each loads what it needs and no more."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.timeout(900)

LOADED = """
import sys
from flows.cli import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    print(ended.code, *sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
"""
TRAINING = {"torch", "timm", "prefect", "accelerate"}


def loaded(home, *arguments) -> set[str]:
    """Packages that a command has loaded at its end, in a process of its own; its exit code must be 0."""
    process = subprocess.run(
        [sys.executable, "-c", LOADED, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=home.environment(),
        cwd=home.path.parent,
    )
    code, *names = process.stderr.splitlines()[-1].split()
    assert code == "0", process.stderr
    return set(names)


@pytest.mark.parametrize("arguments", [("dataset", "list"), ("model", "list"), ("sql", "select 1")])
def test_lists_and_queries_import_neither_pandas_nor_statistics(tiny, arguments):
    assert not loaded(tiny.home, *arguments) & {*TRAINING, "mlflow", "pandas", "scipy", "numba", "matplotlib"}


def test_a_check_of_the_database_imports_nothing_that_trains(tiny):
    assert not loaded(tiny.home, "db", "check") & TRAINING


def test_the_status_of_a_study_imports_neither_statistics_nor_drawing(tiny):
    status = ("study", "status", tiny.file)
    assert not loaded(tiny.home, *status) & {*TRAINING, "mlflow", "scipy", "numba", "sklearn", "matplotlib"}

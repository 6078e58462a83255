"""Python looks for garbage seldom in programs of ours, and not in all that they hold when they end (decision 53)."""

import subprocess
import sys
from pathlib import Path

from tests.homes import PROJECT

PROGRAM = """
import flows
import gc, os
assert gc.get_threshold() == flows.MANY
flows.leave_garbage()
held = [[] for _ in range(50_000)]
gc.callbacks.append(lambda phase, about: phase == "start" and os.write(1, b"%d " % len(gc.get_objects())))
gc.collect()
"""


def test_nothing_that_a_program_holds_is_searched_as_it_ends() -> None:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    first, *at_the_end = map(int, process.stdout.split())
    assert first > 50_000
    assert at_the_end, "Python still looks for garbage as it ends"
    assert max(at_the_end) < 5_000


LEAVES = """
import sys
{}
def write():
    return file
file = open(sys.argv[1], "w")
file.write("kept")
"""


def test_a_program_of_others_that_imports_ours_is_finalised_as_ever(tmp_path: Path) -> None:
    """A file that it left open, in a module whose functions hold it, is written to its end."""
    for statement, content in (("import flows", "kept"), ("import flows; flows.leave_garbage()", "")):
        program = [sys.executable, "-W", "ignore", "-c", LEAVES.format(statement), tmp_path / "file"]
        subprocess.run(program, cwd=PROJECT, check=True)
        assert (tmp_path / "file").read_text() == content, statement

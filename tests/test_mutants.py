"""Processes that judge changes of the code side by side (`benchmarks.mutate`)."""

import subprocess
import sys
from pathlib import Path

from benchmarks._changes import changes, equivalents

ROOT = Path(__file__).resolve().parents[1]
TWO = """
import sys
from pathlib import Path

from benchmarks._warm import Warm

folder = Path(sys.argv[1]).resolve()
both = [Warm(folder, name, [f"test_{name}.py"], lambda: None) for name in ("one", "two")]
one, two = both
print(one.passes("nothing.py", "", ["test_one.py"], 60))
one.killer.write_text("test_one.py::test_it")  # its next answer is on its way, as that of the other comes
print(two.passes("nothing.py", "", ["test_two.py"], 60))
print(one.passes("nothing.py", "", ["test_one.py"], 60))
print(one.first("nothing.py"), two.first("nothing.py"))
"""


def test_processes_that_judge_side_by_side_do_not_take_each_others_notes(tmp_path):
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "test_one.py").write_text("def test_it():\n    raise ValueError\n")
    (folder / "test_two.py").write_text("def test_it():\n    pass\n")
    judged = subprocess.run(
        [sys.executable, "-c", TWO, str(folder)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert judged.stdout.splitlines() == ["False", "True", "False", "['test_one.py::test_it'] []"], (
        judged.stderr
    )


def test_every_change_of_no_result_is_one_that_there_is():
    """Else none of its file could be judged: code that is written otherwise has other changes."""
    files = sorted({row.file for row in equivalents()})
    assert len(files) > 5
    assert changes(only=files)

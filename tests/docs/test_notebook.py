"""The notebook runs from its first cell to its last on a new home, and shows what was planted in its tables."""

import json
import os
import subprocess
import sys
from pathlib import Path

NOTEBOOK = Path(__file__).parents[2] / "docs" / "judge-a-model.ipynb"
CHECKS = """
rows = performance.set_index(["test_dataset", "task"])
assert len(rows) == 4, rows
assert rows.loc[("home", "Pneumothorax"), "lower"] > rows.loc[("away", "Pneumothorax"), "upper"]
assert rows.loc[("away", "Effusion"), "lower"] > 0.9
assert abs(calibration.set_index(["test_dataset", "task"]).loc[("home", "Effusion"), "slope"] - 2.5) < 1
assert len(away) == 400 and (away["test_dataset"] == "away").all() and (away["task"] == "Pneumothorax").all()
assert page.stat().st_size > 10_000 and forest.read_bytes().startswith(b"\\x89PNG")
"""


def test_the_notebook_runs_and_finds_the_planted_causes(database: str, tmp_path: Path) -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    script = tmp_path / "notebook.py"
    script.write_text("\n".join([*code, CHECKS]))
    own = {"XRAY_HOME": str(tmp_path / "home"), "XRAY_DATABASE_URL": database.replace("+psycopg2", "")}
    process = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=os.environ | own, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr


def test_the_notebook_is_stored_without_outputs() -> None:
    """What a run printed is of that run: readers make their own."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert not any(cell.get("outputs") for cell in cells)

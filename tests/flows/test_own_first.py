"""A study with models of its own and bought ones: its own results and page are there before a slow one is asked."""

from pathlib import Path

import pytest

from tests.flows.test_evaluate_pictures import CARD, write_network
from tests.homes import Home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # a study's run of its own


def test_own_results_are_on_the_page_before_a_model_from_elsewhere_scores(
    new_home: Home, tiny_file: Path, tmp_path: Path
) -> None:
    write_network(tmp_path / "vendor.onnx")
    (tmp_path / "vendor.toml").write_text(CARD)
    new_home.run("model", "import", str(tmp_path / "vendor.onnx"))
    study = tmp_path / "both.toml"
    study.write_text('foreign = ["vendor"]\n' + tiny_file.read_text())
    process = new_home.run("study", "run", str(study))
    lines = process.stderr.splitlines()
    positions = [k for k, line in enumerate(lines) if "drawing figures" in line]
    scored = [k for k, line in enumerate(lines) if "evaluations written" in line]
    assert len(positions) == 2
    assert len([k for k in scored if k < positions[0]]) == 3, "three models of its own"
    assert len([k for k in scored if positions[0] < k < positions[1]]) == 1, "the bought one"
    again = new_home.run("study", "run", str(study))
    assert "evaluations written" not in again.stderr

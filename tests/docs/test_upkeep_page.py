"""The commands of docs/upkeep.md, on an installation with a study."""

import pytest

# each command is also in tests/flows/cli/test_db.py, on a smaller home
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_commands_of_the_page_run(blocks, installation, tmp_path):
    checked, backed_up, upgraded = [block.text for block in blocks("docs/upkeep.md", "sh") if block.run]
    output = installation.shell(checked, tmp_path)
    assert "checks: nothing found" in output
    assert "bytes each" in output
    output = installation.shell(backed_up, tmp_path)
    assert "checks: nothing found" in output
    assert (tmp_path / "backups" / "monday" / "manifest.json").is_file()
    assert (tmp_path / "restored" / "mlflow" / "artifacts").is_dir()
    assert "nothing to do" in installation.shell(upgraded, tmp_path)

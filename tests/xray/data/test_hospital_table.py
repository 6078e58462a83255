"""A newcomer's way from a workbook in a hospital's words to a dataset: draft, dry run, registration."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flows.cli import cli
from tests.xray.data.test_mapping import as_they_write, clean


@pytest.fixture
def run(database, tmp_path, monkeypatch):
    """Runs `xray …` against a new database."""
    monkeypatch.setenv("XRAY_DATABASE_URL", database.replace("+psycopg2", ""))
    monkeypatch.setenv("XRAY_HOME", str(tmp_path / "home"))

    def call(*words: str | Path) -> Result:
        result = CliRunner().invoke(cli, [str(word) for word in words])
        if result.exception:
            raise result.exception
        return result

    return call


def test_a_workbook_of_yes_and_no_registers_the_same_data_as_the_clean_manifest(run, tmp_path: Path) -> None:
    as_they_write(clean(), "Yes", "No").assign(TB="No").to_excel(tmp_path / "e.xlsx", index=False)
    clean().assign(Tuberculosis="0").to_csv(tmp_path / "clean.csv", index=False)
    run("dataset", "draft", tmp_path / "e.xlsx", "-o", tmp_path / "hospital.toml")
    command = (
        "dataset",
        "add",
        "hospital",
        "--map",
        tmp_path / "hospital.toml",
        "--site",
        "west",
        "--labels-only",
    )

    dry = run(*command, "--dry-run")
    assert "hospital: dry run, 60 images of 40 patients; nothing was registered" in dry.stdout
    assert "no dataset yet" in run("dataset", "list").output

    result = run(*command)
    assert "hospital: registered 60 images of 40 patients" in result.stdout
    for words in ("workbook", "Pleural effusion  Effusion", "TB                Tuberculosis", "views: taken"):
        assert words in result.stdout
    run(
        *("dataset", "add", "plain", "--manifest", tmp_path / "clean.csv", "--site", "east", "--labels-only"),
        *("--finding", "TB"),
    )
    counts = [json.loads(run("dataset", "counts", name, "--json").stdout) for name in ("hospital", "plain")]
    assert [row.pop("dataset") for row in counts] == ["hospital", "plain"]
    assert counts[0] == counts[1]
    assert counts[0]["tasks"]["Tuberculosis"]["negative"] == 60

    keys = json.loads(run("dataset", "mapping", "hospital").stdout)
    assert keys["findings"]["Pleural effusion"] == "Effusion"
    assert keys["words"]["positive"] == ["yes"]
    assert "without a mapping file" in run("dataset", "mapping", "plain").stderr

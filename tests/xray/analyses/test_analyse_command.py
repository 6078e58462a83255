"""`xray analyse` on the small study: lists, computes what is stale, prints, writes figures; errors in one message."""

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from sqlalchemy import text

from flows.cli import cli, main
from xray.analyses.run import ANALYSES


@pytest.fixture
def xray(two_sites, database, tmp_path, monkeypatch):
    """Runs a command on the study's database; its result."""
    with two_sites.engine.begin() as connection:
        connection.execute(text("""update study set definition = '{"protocol": "corrected"}'"""))
    monkeypatch.setenv("XRAY_DATABASE_URL", database)
    monkeypatch.setenv("XRAY_HOME", str(tmp_path / "home"))

    def run(*arguments: str):
        return CliRunner().invoke(cli, ["analyse", *arguments], catch_exceptions=True)

    return run


def in_a_process(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """A command in a process of its own, which prints at the end what of the large libraries it has imported."""
    program = (
        "import sys; from flows.cli import cli; cli.main(['analyse', *sys.argv[1:]], standalone_mode=False);"
        "print(sorted({'torch', 'mlflow', 'prefect', 'timm'} & set(sys.modules)))"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )


def output_of(capsys, *arguments: str) -> str:
    """The one message of a command that fails."""
    with pytest.raises(SystemExit) as failed:
        main(["analyse", *arguments])
    assert failed.value.code in (1, 2)
    return capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:The Result.tuples")
def test_the_command_brings_stale_analyses_up_to_date(xray, tmp_path):
    listed = [json.loads(line) for line in xray("--json").stdout.splitlines()]
    assert [(row["analysis"], row["state"]) for row in listed] == [
        (analysis.name, "stale") for analysis in ANALYSES
    ]
    one = in_a_process("threshold_transfer")
    assert one.returncode == 0, one.stderr
    assert one.stdout.splitlines()[-1] == "[]", "no model is loaded"
    assert "computing threshold_transfer" in one.stderr
    assert "Change in accuracy at the home threshold" in one.stdout
    folder = tmp_path / "home" / "reports" / "test"
    assert sorted(p.suffix for p in folder.glob("threshold_transfer.*")) == [".csv", ".png", ".svg"]
    whole = in_a_process("all", "--output", str(tmp_path / "out"))
    assert whole.returncode == 0, whole.stderr
    assert "already current: threshold_transfer" in whole.stderr
    assert whole.stdout.splitlines()[-1] == "[]", "no model is loaded"
    assert len(list((tmp_path / "out").glob("*.png"))) == 14
    again = xray("all", "--json")
    assert "computing" not in again.stderr
    rows = [json.loads(line) for line in again.stdout.splitlines()]
    assert {row["analysis"] for row in rows} == {
        analysis.name
        for analysis in ANALYSES
        if analysis.prepare is None or analysis.name == "operating_points"
    }
    women = [json.loads(line) for line in xray("performance", "--by", "sex", "--json").stdout.splitlines()]
    assert {row["grouping"] for row in women} == {"sex"}
    subgroup_rows = [r for r in rows if r["analysis"] == "subgroups" and r["grouping"] == "sex"]
    assert len(subgroup_rows) == len(women)
    pair = xray("bland_altman", "--pair", "Effusion:x:y", "--output", str(tmp_path / "out"))
    assert "bland_altman_Effusion_x_y.png" in pair.stdout


def test_the_page_is_rewritten_where_results_changed(xray, two_sites, study_file, tmp_path, monkeypatch):
    (tmp_path / "x.toml").touch()
    monkeypatch.setattr("xray.plan.read_study", lambda path: study_file(path.parent))
    with two_sites.engine.begin() as connection:
        connection.execute(
            text(
                "update study set definition = definition || jsonb_build_object('file', cast(:file as text))"
            ),
            {"file": str(tmp_path / "x.toml")},
        )
    page = tmp_path / "home" / "reports" / "test" / "report.html"
    assert xray("performance").exit_code == 0
    assert not page.exists()
    page.write_text("old")
    assert xray("performance").exit_code == 0
    assert xray("mean_auc", "--output", str(tmp_path / "out")).exit_code == 0
    assert page.read_text() == "old"
    whole = xray("all")
    assert whole.exit_code == 0, whole.output
    assert str(page) in whole.stdout
    assert "A test" in page.read_text()
    assert len(list(page.parent.glob("*.svg"))) == 14
    assert str(page.parent / "calibration.png") in whole.stdout


def test_errors_list_the_valid_names(xray, two_sites, capsys):
    assert "there is no analysis 'perfomance'; did you mean 'performance'?" in output_of(capsys, "perfomance")
    assert "there is no study 'other'; known: test (corrected)" in output_of(
        capsys, "all", "--study", "other"
    )
    assert "there is no study under 'paper'; known: test (corrected)" in output_of(
        capsys, "all", "--protocol", "paper"
    )
    assert "--by is only for performance" in output_of(capsys, "agreement", "--by", "sex")
    assert "has a column 'Scanner'" in output_of(capsys, "performance", "--by", "Scanner")
    assert "expected TASK:TEST_DATASET:TRAINED_ON" in output_of(capsys, "bland_altman", "--pair", "Effusion")
    assert "there is no such pair; tasks: Edema, Effusion" in output_of(
        capsys, "bland_altman", "--pair", "Hernia:x:y"
    )
    assert "nothing was published of 'calibration'" in output_of(capsys, "calibration", "--reference")
    assert "no published value is of a model of this study" in output_of(capsys, "performance", "--reference")
    two_sites.study(["x"], [], name="second")
    assert "several studies are there; choose one with --study: test" in output_of(capsys, "all")


def test_published_values_are_shown_beside_computed_ones(world, database, tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    labels = (rng.random(60) < 0.4).astype(float)
    for name in ("nih", "padchest"):
        world.dataset(name, {"Effusion": labels})
    models = [world.model(name, 0, [name], ["Effusion"]) for name in ("nih", "padchest")]
    for model in models:
        for name in ("nih", "padchest"):
            world.score(model, name, {"Effusion": labels + rng.normal(size=60)})
    world.study(["nih", "padchest"], models)
    monkeypatch.setenv("XRAY_DATABASE_URL", database)
    monkeypatch.setenv("XRAY_HOME", str(tmp_path / "home"))
    for name in ("performance", "agreement", "pooled_agreement", "threshold_transfer"):
        result = CliRunner().invoke(cli, ["analyse", name, "--reference"])
        assert result.exit_code == 0, result.output
        assert "xray verify table-a1" in result.stdout
        if name == "performance":
            assert "published" in result.stdout
            line = next(
                line
                for line in result.stdout.splitlines()
                if line.split()[:3] == ["Effusion", "padchest", "nih"]
            )
            assert 0.7 < float(line.split()[-1]) < 0.95

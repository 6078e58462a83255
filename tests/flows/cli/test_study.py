"""`xray study`: run and status."""

import json

import pytest

from flows.cli import cli
from xray.analyses.run import ANALYSES
from xray.data.split import PARTS
from xray.errors import StudyError

pytestmark = pytest.mark.timeout(900)


def test_the_status_of_a_finished_study_has_nothing_missing(tiny, call):
    assert tiny.home.run("study", "status", tiny.file).stdout.splitlines() == [
        "tiny: Two small synthetic hospitals",
        "  datasets ready       2 of 2",
        "  models trained       3 of 3",
        "  evaluations missing  0",
        f"  analyses current     {len(ANALYSES)} of {len(ANALYSES)}",
    ]
    assert json.loads(call("study", "status", str(tiny.file), "--json")[1]) == {
        "datasets": 2,
        "datasets_ready": 2,
        "models": 3,
        "models_trained": 3,
        "evaluations_missing": 0,
        "analyses_current": len(ANALYSES),
        "analyses": len(ANALYSES),
    }


def test_the_status_of_a_study_that_grew_counts_what_is_missing(tiny, call, tmp_path):
    file = tmp_path / "more.toml"
    file.write_text(tiny.file.read_text().replace("seeds = [0]", "seeds = [0, 1]"))
    answer = json.loads(call("study", "status", str(file), "--json")[1])
    assert (answer["models"], answer["models_trained"]) == (6, 3)
    assert answer["evaluations_missing"] == 3 * 2, "two test cohorts for each model that is to be trained"
    assert (answer["datasets"], answer["datasets_ready"]) == (2, 2)


def test_training_a_model_that_exists_does_nothing(tiny, call):
    command = ("study", "train", str(tiny.file), "--configuration")
    code, printed, _ = call(*command, "tiny-a")
    assert (code, "already existed" in printed) == (0, True)
    with pytest.raises(
        StudyError, match="no configuration 'tiny-b' with seed 0; known: tiny-a, tiny-d, all; seeds 0"
    ):
        cli.main([*command, "tiny-b"], standalone_mode=False)


def test_the_status_of_a_study_that_never_ran_counts_everything_as_missing(new_home, tiny_file):
    answer = json.loads(new_home.run("study", "status", tiny_file, "--json").stdout)
    assert answer == {
        "datasets": 2,
        "datasets_ready": 0,
        "models": 3,
        "models_trained": 0,
        "evaluations_missing": 6,
        "analyses_current": 0,
        "analyses": len(ANALYSES),
    }


def test_a_second_run_does_nothing(tiny):
    assert f"Trained 3 of 3 models, wrote 6 evaluations, computed {len(ANALYSES)} analyses" in tiny.output
    rows, files = tiny.counts(), tiny.report("tiny")
    again = json.loads(tiny.home.run("study", "run", tiny.file, "--json").stdout)
    assert again == {
        "study": "tiny",
        "n_models": 3,
        "trained": 0,
        "evaluated": 0,
        "analysed": 0,
        "folder": str(tiny.home.path / "reports" / "tiny"),
    }
    assert tiny.counts() == rows
    assert tiny.report("tiny") == files


def test_mistakes_in_a_study_file_are_reported_before_anything_starts(new_home, tmp_path):
    file = tmp_path / "wrong study.toml"
    file.write_text('name = "wrong"\n[[datasets]]\nname = "ours"\nmanifset = "x.csv"\n')
    for command in ("run", "status"):
        process = new_home.run("study", command, file, exit_code=1)
        (line,) = process.stderr.splitlines()
        assert line.startswith(f"error: {file}: [[datasets]] ours: unknown key 'manifset'")
    assert not new_home.path.exists()
    process = new_home.run("study", "run", tmp_path / "none.toml", exit_code=2)
    assert "does not exist" in process.stderr


def test_files_that_are_not_there_are_all_named_before_anything_starts(new_home, tmp_path):
    file = tmp_path / "study of ours.toml"
    (tmp_path / "ours.csv").write_text("image_id,path,Mass\n1,1.png,1\n")
    file.write_text(
        'name = "ours"\n[[datasets]]\nname = "ours"\nmanifest = "ours.csv"\nimages = "pictures"\n'
        '[[datasets]]\nname = "theirs"\nmanifest = "theirs.csv"\n'
    )
    (line,) = new_home.run("study", "run", file, exit_code=1).stderr.splitlines()
    folder = tmp_path.resolve()
    assert line == (
        f"error: {file}: not there, or not to be read: "
        f"pictures of ours: {folder}/pictures; table of theirs: {folder}/theirs.csv"
    )
    assert not new_home.path.exists()


def test_a_fault_in_the_data_is_one_message_and_exit_code_1(tiny, tmp_path):
    """From a task, through Prefect, to the person who can put it right."""
    file = tmp_path / "study of ours.toml"
    file.write_text('name = "ours"\n[[datasets]]\nname = "ours"\nmanifest = "labels.csv"\n')
    (tmp_path / "labels.csv").write_text("colour,Mass\nred,1\n")
    rows = tiny.counts()
    process = tiny.home.run("study", "run", file, exit_code=1)
    progress, _, message = process.stderr.partition("\nerror: ")
    assert message.startswith("labels.csv, row 1:")
    assert "required column 'image_id' is missing; found: colour, Mass" in message
    assert all(line.startswith("  ") for line in message.splitlines()[1:]), "what it says further is indented"
    assert "error: " not in progress + message
    assert process.stdout == ""
    assert "Traceback" not in process.stderr
    own = {table for table in rows if table.startswith("xray.")}
    assert {table: rows[table] for table in own} == {table: tiny.counts()[table] for table in own}


def test_the_tiny_study_has_all_its_parts(tiny):
    parts = tiny.ask("select distinct part from cohort")["part"]
    assert sorted(parts) == sorted(PARTS)

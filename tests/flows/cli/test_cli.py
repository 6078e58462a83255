"""`xray` itself: quick help, nothing heavy imported, errors as one message."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.cli import COMMANDS, cli, main
from xray.errors import DataError

PROJECT = Path(__file__).resolve().parents[3]
HEAVY = (
    "torch",
    "mlflow",
    "prefect",
    "pandas",
    "sqlalchemy",
    "numpy",
    "numba",
    "timm",
    "sklearn",
    "matplotlib",
)
HELP_SECONDS = 0.3
"""Of CPU time (user and system): what other work on the machine can't stretch."""

LOADED = """
import json, sys
from flows.cli import main
found = []
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as done:
        found.append([done.code, sorted(name.split(".")[0] for name in sys.modules)])
print(json.dumps(found), file=sys.stderr)
"""
BARE = (["--help"], ["-h"], ["--version"], [])


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT), **more}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory) -> dict[str, tuple[int, set[str]]]:
    """One process that is asked for help again and again: exit code, and modules that were loaded by then."""
    folder = tmp_path_factory.mktemp("nothing here")
    commands = [*BARE, *([command, "--help"] for command in COMMANDS)]
    process = subprocess.run(
        [sys.executable, "-c", LOADED, json.dumps(commands)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(XRAY_HOME=str(folder / "home")),
    )
    modules = json.loads(process.stderr.splitlines()[-1])
    assert not (folder / "home").exists()
    return {
        " ".join(command): (code, set(names))
        for command, (code, names) in zip(commands, modules, strict=True)
    }


@pytest.mark.parametrize("arguments", BARE, ids=lambda a: " ".join(a) or "none")
def test_top_level_help_imports_nothing_heavy(arguments, loaded):
    code, names = loaded[" ".join(arguments)]
    assert code == (0 if arguments else 2)
    assert "click" in names
    assert not names & set(HEAVY)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_imports_neither_torch_nor_mlflow_nor_prefect(command, loaded):
    code, names = loaded[f"{command} --help"]
    assert code == 0
    assert not names & {"torch", "mlflow", "prefect", "pandas"}


def test_help_takes_less_than_a_third_of_a_second():
    script = Path(sys.executable).with_name("xray")

    def cpu_seconds() -> float:
        process = subprocess.Popen([script, "--help"], stdout=subprocess.DEVNULL, env=environment())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_utime + usage.ru_stime

    assert statistics.median(cpu_seconds() for _ in range(9)) <= HELP_SECONDS


def test_help_names_every_command_with_what_it_does():
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    words = " ".join(result.output.split())
    for name, (_, text) in COMMANDS.items():
        assert f"{name} {text}" in words


@pytest.mark.parametrize("command", COMMANDS)
def test_the_summary_of_a_command_in_the_list_is_that_of_its_own_help(command):
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_an_unknown_command_names_the_nearest_one():
    result = CliRunner().invoke(cli, ["trian"])
    assert result.exit_code == 2
    assert "No such command 'trian'" in result.output


def test_an_error_that_a_user_can_put_right_is_one_message(monkeypatch, capsys):
    def fail(*_: object, **__: object) -> None:
        raise DataError("labels.csv, row 3: no image")

    monkeypatch.setattr(cli, "main", fail)
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 1
    assert capsys.readouterr().err == "error: labels.csv, row 3: no image\n"


def test_a_fault_of_xray_shows_its_traceback(monkeypatch, capsys):
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "main", fail)
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 1
    *trace, last = capsys.readouterr().err.splitlines()
    assert trace[0].startswith("Traceback")
    assert trace[-1] == "ZeroDivisionError"
    assert last.startswith("error: a fault of xray: please report it")


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["versino"], "version"),
        (["dataset", "ad"], "add"),
        (["db", "bakup"], "backup"),
        (["analyse", "performanec"], "performance"),
    ],
)
def test_a_misspelt_word_names_the_nearest_one(words, near):
    process = subprocess.run(
        [sys.executable, "-c", "from flows.cli import main; main()", *words],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=PROJECT,
    )
    assert process.returncode != 0
    assert f"'{near}'" in process.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_group_is_whole_sentences(name):
    output = CliRunner().invoke(cli, [name, "--help"]).output
    assert "..." not in output.partition("Commands:")[2]


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["da"], "dataset"),
        (["dataset", "li"], "list"),
        (["study", "status", "--js"], "--json"),
        (["ui", "ml"], "mlflow"),
    ],
)
def test_the_shell_completes_commands_options_and_choices(words, completed):
    variables = {
        "_XRAY_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["xray", *words]),
        "COMP_CWORD": str(len(words)),
    }
    script = Path(sys.executable).with_name("xray")
    process = subprocess.run([script], capture_output=True, text=True, env=environment(**variables))
    assert process.stdout.splitlines() == [f"plain,{completed}"]

"""`--json`: every command that reports has it, and what it prints is JSON that any program reads."""

import datetime
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import click
import numpy as np
import pytest

from flows.cli import cli
from flows.cli.rows import plain, print_json

CLI = Path(__file__).resolve().parents[3] / "flows" / "cli"
WITHOUT = {
    "cohort export": "writes a file",
    "dataset draft": "writes a file",
    "dataset mapping": "is JSON anyway",
    "dataset relocate": "does it, and says so in a line",
    "db backup": "does it, and says so in a line",
    "db grant": "shows a password once, to a person",
    "db restore": "does it, and says so in a line",
    "db upgrade": "does it, and says so in a line",
    "demo": "is for a person",
    "down": "does it, and says so in a line",
    "env": "is for a shell",
    "explore": "is a server",
    "model export": "writes a file",
    "model remove": "does it, and says so in a line",
    "predictions export": "writes a file",
    "report": "prints a path",
    "study train": "does it, and says so in a line",
    "ui": "is a server",
    "up": "does it, and says so in a line",
    "version": "prints a version",
}


def commands(group: click.Group, *words: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *words, name)
        elif command is not None:
            yield " ".join((*words, name)), command


def test_every_command_that_reports_has_a_json_option():
    without = {
        name
        for name, command in commands(cli)
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == WITHOUT.keys()


def test_only_one_function_prints_json():
    """Nowhere else could NaN, which is no JSON, come in."""
    others = {
        path.name
        for path in CLI.rglob("*.py")
        if re.search(r"echo\(\s*json\.dumps", path.read_text(encoding="utf-8"))
    }
    assert others == {"rows.py", "dataset.py"}, "of dataset.py the mapping file, indented"


@dataclass(frozen=True)
class Inner:
    path: Path
    values: tuple[float, ...]


def test_values_that_json_lacks_are_written_as_null_or_text(capsys):
    print_json(
        {
            "nan": float("nan"),
            "infinite": -np.inf,
            "exact": Decimal("0.25"),
            "whole": np.int64(3),
            "yes": np.bool_(True),
            "array": np.array([[1.5, np.nan]]),
            "day": datetime.date(2020, 1, 2),
            "inner": Inner(Path("a"), (1.0, float("inf"))),
            5: None,
        }
    )
    printed = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert printed == {
        "nan": None,
        "infinite": None,
        "exact": 0.25,
        "whole": 3,
        "yes": True,
        "array": [[1.5, None]],
        "day": "2020-01-02",
        "inner": {"path": "a", "values": [1.0, None]},
        "5": None,
    }


def test_text_is_printed_unchanged():
    assert plain("“ü”, a\nb") == "“ü”, a\nb"


def test_a_dry_run_prints_the_dataset_as_json(call, tmp_path):
    rows = "\n".join(f"i{n},p{n},,{n % 2},{n % 3 == 0:d}" for n in range(8))
    (tmp_path / "labels.csv").write_text(f"image_id,patient_id,path,Effusion,Mass\n{rows}\ni9,p9,,7,0\n")
    options = ("--site", "ours", "--manifest", str(tmp_path / "labels.csv"), "--labels-only")
    code, out, err = call("dataset", "add", "ours", *options, "--dry-run", "--json")
    answer = json.loads(out)
    assert (code, err) == (0, "")
    assert (answer["name"], answer["n_images"], answer["n_patients"]) == ("ours", 8, 8)
    (aside,) = answer["quarantine"]
    assert "7" in json.dumps(aside)
    assert ["Effusion", 4, 4, 0, 0] in [row[:5] for row in answer["summary"]["findings"]]


def test_dependents_of_a_dataset_are_printed_as_json(call):
    answer = json.loads(call("dataset", "remove", "tiny-a", "--dry-run", "--json")[1])
    assert (answer["dataset"], answer["removed"]) == ("tiny-a", False)
    assert answer["hanging"]["studies"] == ["tiny"]
    assert any(name.startswith("tiny.tiny-a/") for name in answer["hanging"]["models"])


def test_sizes_before_and_after_a_vacuum_are_printed_as_json(tiny):
    rows = [json.loads(line) for line in tiny.home.run("db", "vacuum", "--json").stdout.splitlines()]
    assert [row["database"] for row in rows] == ["xray", "mlflow", "prefect"]
    assert all(row["after"] > 0 for row in rows)

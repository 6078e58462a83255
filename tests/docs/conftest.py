"""Documentation as tests: the fenced blocks of a page, and an installation with the demo to run them in.

A block is run unless the line above it is a comment that begins with "<!-- not run:" and says why.
"""

import csv
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from db.embedded import acquire
from flows.cli import cli
from tests.homes import OURS

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^(?P<above>[^\n]*)\n```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the number of its first line, and whether a test is to run it."""

    language: str
    text: str
    line: int
    run: bool


@dataclass(frozen=True)
class Installation:
    """A home with a server that lives as long as the tests. `environment` has `xray` on its path."""

    environment: Mapping[str, str]

    def ask(self, query: str) -> list[dict[str, str]]:
        """The rows of `xray sql --csv`, in this process, which saves a start of Python."""
        result = CliRunner().invoke(
            cli, ["sql", "--csv", query], env={"XRAY_HOME": self.environment["XRAY_HOME"]}
        )
        assert result.exit_code == 0, f"{query}\n{result.output}{result.exception}"
        return list(csv.DictReader(io.StringIO(result.stdout)))

    def shell(self, command: str, folder: Path) -> str:
        """Run a command in a folder; what it prints. A command that fails is an AssertionError with its messages."""
        process = subprocess.run(
            ["sh", "-euc", command],
            cwd=folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert process.returncode == 0, f"{command}\n{process.stdout[-3000:]}\n{process.stderr[-3000:]}"
        return process.stdout


def _blocks(page: str, language: str | None = None) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = [
        Block(
            match["language"],
            match["text"],
            text.count("\n", 0, match.start("text")) + 1,
            not match["above"].startswith("<!-- not run:"),
        )
        for match in FENCE.finditer(text)
    ]
    assert 2 * len(blocks) == len(re.findall(r"^```", text, re.M)), (
        f"{page}: a fence has no language or no end"
    )
    return [block for block in blocks if language in (None, block.language)]


@pytest.fixture(scope="session")
def blocks() -> Callable[..., list[Block]]:
    """blocks(page, language=None): the fenced blocks of a page, its path relative to the project."""
    return _blocks


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory, demo_copy: Path) -> Iterator[Installation]:
    """An installation in which the demo was run."""
    folder = tmp_path_factory.mktemp("a reader")
    program = folder / "bin" / "xray"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c 'from flows.cli import main; main()' \"$@\"\n")
    program.chmod(0o755)
    own = {
        "XRAY_HOME": str(demo_copy),
        "PYTHONPATH": str(ROOT),
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
    }
    variables = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
    with acquire(demo_copy):
        yield Installation({**variables, **own})

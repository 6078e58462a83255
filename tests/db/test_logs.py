"""The log: one form of line, a level that child processes share, and no `print` beside it."""

import ast
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from db import logs
from db.errors import XrayError
from flows.cli.stack import parsed

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = {"db/embedded/keeper.py": 1}
"""Calls of `print` that are no log: the keeper tells its starter on standard output why it can't."""


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """Levels and handlers as other tests left them."""
    loggers = [logging.getLogger(room) for room in logs.ROOMS]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    monkeypatch.setenv(logs.VARIABLE, "INFO")
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def test_a_record_is_one_line_with_time_level_module_and_subject(capsys):
    logs.start("INFO")
    with logs.about(study="paper"), logs.about(dataset="nih"):
        logging.getLogger("xray.data").warning("%d pictures\nare gone", 3)
    logging.getLogger("flows.study").info("after %s", "it")
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \| WARNING \| xray\.data - 3 pictures are gone \[study=paper dataset=nih\]",
        first,
    )
    assert parsed("supervisor", second) == {
        "service": "supervisor",
        "time": second[:19],
        "level": "INFO",
        "source": "flows.study",
        "message": "after it",
    }


def test_a_second_start_writes_nothing_twice_and_changes_the_level(capsys):
    logs.start("DEBUG")
    logs.start("WARNING")
    logging.getLogger("db.store").info("not written")
    logging.getLogger("db.store").error("written")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("| ERROR   | db.store - written")
    assert logs.is_quiet()
    assert os.environ[logs.VARIABLE] == "WARNING"


def test_an_unknown_level_is_refused(monkeypatch):
    monkeypatch.setenv(logs.VARIABLE, "loud")
    with pytest.raises(
        XrayError, match="XRAY_LOG=loud: not a log level; expected one of DEBUG, INFO, WARNING, ERROR"
    ):
        logs.start()


@pytest.mark.parametrize(
    ("arguments", "level", "levels"),
    [
        (["version"], "", "IWE"),
        (["--quiet", "version"], "", "WE"),
        (["--verbose", "version"], "", "DIWE"),
        (["version"], "error", "E"),
        (["version", "--verbose"], "ERROR", "DIWE"),
        (["version", "--quiet"], "", "WE"),
    ],
)
def test_options_and_environment_choose_the_level_here_and_in_child_processes(arguments, level, levels):
    program = (
        "import logging, subprocess, sys\n"
        "from flows.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code\n"
        "child = 'import logging; from db import logs; logs.start(); log = logging.getLogger(\"xray.child\");' \\\n"
        "    'log.debug(1); log.info(1); log.warning(1); log.error(1)'\n"
        "subprocess.run([sys.executable, '-c', child], check=True)\n"
    )
    environment = {**os.environ, logs.VARIABLE: level, "PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "".join(line.split(" | ")[1][0] for line in process.stderr.splitlines()) == levels


def test_no_code_prints_past_the_log():
    counts = {}
    for room in logs.ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            calls = [
                node
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            ]
            if calls:
                counts[str(path.relative_to(ROOT))] = len(calls)
    assert counts == ALLOWED

"""Tables, colours and bars on a terminal of a certain width, and plain text where none is."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m")
TABLE = """
from flows.cli.sql import table
rows = [("a.png", "nodule of the left upper lobe, seen twice", 0.875), ("ß.png", None, 0.5)]
print(table(("image", "comment", "auc"), rows))
"""
BARS = """
from db import logs
import logging, sys
from xray.progress import bar, followed
logs.start()
with bar("reading pictures", 30) as advance:
    advance(10)
    logging.getLogger("xray.data").warning("one is damaged")
    advance(20)
assert list(followed([1, 2], "epoch")) == [1, 2]
assert "rich" not in sys.modules or sys.stderr.isatty()
"""


def on_terminal(program: str, width: int, code: int = 0, **environment: str) -> str:
    """What a program writes on a terminal of so many columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    clean = {
        key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR", "XRAY_LOG")
    }
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**clean, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **environment},
    )
    os.close(slave)
    output = b""
    try:
        while part := os.read(master, 65536):
            output += part
    except OSError:  # its other end is closed
        pass
    os.close(master)
    assert process.wait() == code, output.decode()
    return output.decode().replace("\r\n", "\n")


def piped(program: str, **environment: str) -> tuple[str, str]:
    """What a program writes to standard output and standard error where nobody looks."""
    process = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    assert process.returncode == 0, process.stderr
    return process.stdout, process.stderr


@pytest.mark.parametrize("width", [24, 32, 40, 60, 200])
def test_a_table_is_no_wider_than_the_terminal_and_loses_nothing(width):
    lines = ESCAPE.sub("", on_terminal(TABLE, width)).splitlines()
    assert max(map(len, lines)) <= width
    letters = re.sub(r"\s", "", "".join(lines))
    if width == 200:
        assert lines[2].split() == [
            "a.png",
            "nodule",
            "of",
            "the",
            "left",
            "upper",
            "lobe,",
            "seen",
            "twice",
            "0.875",
        ]
    assert all(part in letters for part in ("a.png", "ß.png", "0.875", "0.5"))
    assert Counter("noduleoftheleftupperlobe,seentwice") <= Counter(letters)


def test_a_table_of_too_many_columns_is_a_list_of_records():
    wide = 'from flows.cli.sql import table\nprint(table([f"column_{i:02}" for i in range(20)], [range(100, 120)]))'
    lines = ESCAPE.sub("", on_terminal(wide, 80)).strip().splitlines()
    assert [line.split() for line in lines] == [[f"column_{i:02}", str(100 + i)] for i in range(20)]


def test_control_characters_in_cells_do_not_reach_the_terminal():
    hostile = (
        r'from flows.cli.sql import table; print(table(("a",), [("\x1b]0;title\x07\x9b31m[red]x[/red]",)]))'
    )
    output = on_terminal(hostile, 80)
    assert "\x1b]" not in output
    assert "\x9b" not in output
    assert "[red]x[/red]" in output


def test_a_table_is_plain_where_it_is_piped_and_without_colour_where_that_is_asked():
    output, _ = piped(TABLE, FORCE_COLOR="1")
    assert "\x1b" not in output
    assert output.splitlines()[2] == "a.png  nodule of the left upper lobe, seen twice  0.875"
    error = "from flows.cli import main\nmain(['study', 'status', 'pyproject.toml'])"
    assert COLOUR.search(on_terminal(error, 80, 1))
    assert not COLOUR.search(on_terminal(error, 80, 1, NO_COLOR="1"))
    assert "\x1b" not in on_terminal(error, 80, 1, TERM="dumb")


def test_a_bar_is_drawn_on_a_terminal_only_and_lines_of_the_log_stand_above_it():
    text = on_terminal(BARS, 120)
    assert "30/30" in text
    plain = [line for line in ESCAPE.sub("", text).split("\n") if "one is damaged" in line]
    assert len(plain) == 1
    assert "reading" not in plain[0].rpartition("\r")[2]
    assert "\x1b[?25l" not in text, "the cursor stays: a killed process could not bring it back"
    output, error = piped(BARS)
    assert output == ""
    assert error.count("\n") == 1
    assert "one is damaged" in error


def test_quiet_shows_no_bar():
    output = on_terminal(BARS, 120, XRAY_LOG="WARNING")
    assert "30/30" not in output
    assert "one is damaged" in output


def test_long_steps_are_in_the_log_where_no_bar_is_seen():
    slow = "from db import logs, terminal\nfrom xray import progress\nprogress.LONG_SECONDS = 0.0\nlogs.start()\n"
    _, error = piped(slow + 'with progress.bar("reading pictures", 3) as advance: advance(3)', XRAY_LOG="")
    assert error.rstrip().endswith("| INFO    | xray.progress - reading pictures: 3 in 0 s")

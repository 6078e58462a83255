"""The questions of the pages: xray/explorer/sql/NAME.sql, bound, and shown as they can be pasted into `xray sql`.

A line that ends in `-- if NAME` is there only where the parameter NAME is given; `-- include NAME` stands for another file.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

_CONDITION: Final = re.compile(r"^(?P<line>.*?) *-- if (?P<name>\w+)$")
_INCLUDE: Final = re.compile(r"^(?P<indent> *)-- include (?P<name>\w+)$")


def names() -> list[str]:
    """The names of all questions."""
    folder = resources.files("xray.explorer") / "sql"
    return sorted(file.name.removesuffix(".sql") for file in folder.iterdir())


@cache
def _lines(name: str) -> tuple[str, ...]:
    """The lines of a file, without its header, others put in where it includes them."""
    text = (resources.files("xray.explorer") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    lines = text.splitlines()
    while lines and lines[0].startswith("--"):
        del lines[0]
    whole: list[str] = []
    for line in lines:
        included = _INCLUDE.match(line)
        if included is None:
            whole.append(line)
        else:
            whole += [f"{included['indent']}{inner}" for inner in _lines(included["name"])]
    return tuple(whole)


def statement(name: str, parameters: Mapping[str, Any]) -> str:
    """The text of a question for psycopg2; of a conditional line None and False are not given."""
    lines = []
    for line in _lines(name):
        condition = _CONDITION.match(line)
        if condition is None:
            lines.append(line)
        elif not any(parameters.get(condition["name"]) is absent for absent in (None, False)):  # 0 is a value
            lines.append(condition["line"])
    return "\n".join(lines)

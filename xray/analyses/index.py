"""Which analyses there are and what stored results of them depend on, read from the sources.

The registry (`run.ANALYSES`) says the same and more, but importing it brings all of statistics and drawing: two seconds.
Whether results are current needs an analysis's name, its code's hash, and the small function that reads what else its rows
depend on.
"""

import ast
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from xray.analyses.code import code_hash

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from xray.analyses.cells import Unit
    from xray.analyses.stored import StoredStudy

State = Callable[["Connection", "StoredStudy"], Sequence[Any] | Mapping[str, Any]]
_FOLDER: Final = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Entry:
    """One analysis: its name, its module, its position in lists, "module.name" of its unit and of its state, if any."""

    name: str
    code: str
    order: int
    unit_name: str
    state_name: str | None = None

    @property
    def code_hash(self) -> str:
        """Hash of the code that its rows come from."""
        return code_hash(self.code)

    @property
    def state(self) -> State | None:
        """Reads what its rows depend on beside scores and code; None where that is nothing. Imports its module."""
        if self.state_name is None:
            return None
        state: State = _value(self.state_name)
        return state

    @property
    def unit(self) -> "Unit":
        """How it falls apart into cells."""
        unit: Unit = _value(self.unit_name)
        return unit


def _value(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


@cache
def entries() -> tuple[Entry, ...]:
    """Every analysis of this package, in order."""
    entries = [entry for path in sorted(_FOLDER.glob("*.py")) for entry in _entries(path)]
    return tuple(sorted(entries, key=lambda entry: entry.order))


def _entries(path: Path) -> list[Entry]:
    source = path.read_text(encoding="utf-8")
    if "@analysis(" not in source:
        return []
    tree = ast.parse(source)
    module = f"xray.analyses.{path.stem}"
    return [
        _entry(decorator, module, _imported_names(tree))
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "analysis"
    ]


def _entry(decorator: ast.Call, module: str, imported: dict[str, str]) -> Entry:
    options = {option.arg: option.value for option in decorator.keywords}
    names: dict[str, str] = {}
    for option in ("unit", "state"):
        if option in options:
            name, dot, attribute = ast.unparse(options[option]).partition(".")
            names[option] = f"{imported.get(name, f'{module}.{name}')}{dot}{attribute}"
    name, order = ast.literal_eval(decorator.args[0]), ast.literal_eval(options["order"])
    return Entry(name, module, order, names["unit"], names.get("state"))


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """Name in a module → the full name of what it stands for."""
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

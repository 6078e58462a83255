"""What an analysis's rows depend on besides data: the code that computes them, as a hash.

The hash covers the module and every module of `xray.analyses` and `xray.stats` that it imports, directly or not: a changed
interval makes the results stale that were computed with it, and no others. Comments, docstrings and layout do not count.
"""

import ast
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOMS: Final = ("xray.analyses.", "xray.stats.")
APART: Final = tuple(
    f"xray.analyses.{name}" for name in ("analysis", "cells", "code", "pairs", "parallel", "results")
)
"""Modules that decide how rows are computed in parallel, looked up or shown, not their values."""
_ROOT: Final = Path(__file__).resolve().parents[2]


@cache
def code_hash(module: str) -> str:
    """Hash of the code of `module` and of every module of both rooms that it imports."""
    digest = hashlib.sha256()
    for name in sorted(_imported(module)):
        digest.update(f"{name}\n{_read(name).meaning}\n".encode())
    return digest.hexdigest()


def _imported(module: str) -> set[str]:
    """The module and what it imports from both rooms, to the end."""
    reached = {module}
    waiting = [module]
    while waiting:
        for name in _read(waiting.pop()).imports - reached:
            reached.add(name)
            waiting.append(name)
    return reached


@dataclass(frozen=True)
class _Module:
    """What a module imports from both rooms; its syntax tree as text, without docstrings and what only a reader is shown."""

    imports: frozenset[str]
    meaning: str


@cache
def _read(module: str) -> _Module:
    tree, names = _tree(module), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [statement for statement in node.body if not _is_text(statement)] or [ast.Pass()]
    imports = (n for n in names if n.startswith(ROOMS) and n not in APART and _source(n) is not None)
    return _Module(frozenset(imports), ast.dump(tree))


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _tree(module: str) -> ast.Module:
    source = _source(module)
    if source is None:
        raise ModuleNotFoundError(f"no source of {module}")
    return ast.parse(source.read_bytes())


@cache
def _source(module: str) -> Path | None:
    """The file of a module; None for a name in a module. Nothing is imported for it."""
    file = _ROOT.joinpath(*module.split(".")).with_suffix(".py")
    return file if file.is_file() else None

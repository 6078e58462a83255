"""What `benchmarks.mutate --verdict` changes: constants of the verdict's code, twice and half as large, and branches."""

import ast
from collections.abc import Sequence
from typing import Final

STATISTICS: Final = (
    "verdict", "causes", "evidence", "posterior", "accompanied", "mixtures", "casemix", "concept", "tilting", "part",
    "measures", "small_networks", "shipped", "rereads", "reread_design", "reread_update", "pipelines", "pipeline_update",
)  # fmt: skip
ANALYSES: Final = (
    "causes",
    "images_or_labels",
    "reread_plan",
    "pipeline_plan",
    "rereads",
    "asked",
    "shared",
    "intervened",
    "interventions",
)
FILES: Final = (
    *(f"xray/stats/{name}.py" for name in STATISTICS),
    *(f"xray/analyses/{name}.py" for name in ANALYSES),
)


OPPOSITE: Final = (ast.Eq, ast.NotEq, ast.In, ast.NotIn, ast.Is, ast.IsNot)
"""Comparisons whose neighbour is their opposite."""


def warm_up() -> None:
    """Load the machine code of all that a verdict is made of; nothing of it is kept but that."""
    from benchmarks import _strangers, _worlds
    from xray.stats import causes, verdict

    world, own = _strangers.draw_world(3, ()), _worlds.draw_world("none", 1)
    causes.judge(world.a, world.b)
    verdict.gather_both(own.a, own.b)


def factors(value: object) -> list[float]:
    """A constant twice and half as large; whole ones stay whole, and nought has neither."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value == 0:
        return []
    half = value // 2 if isinstance(value, int) else value / 2
    return [value * 2, half]


def turned(node: ast.expr) -> ast.expr:
    """The opposite of a condition."""
    is_not = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    return node.operand if is_not and isinstance(node, ast.UnaryOp) else ast.UnaryOp(ast.Not(), node)


def functions_that_name(
    names: Sequence[str], sources: dict[str, ast.Module], file: str
) -> list[tuple[str, int]]:
    """(file, line) of functions that use a module's constants, or constants made of these; of that file, and of others that
    import from it.
    """
    constants, several = set(names), [file, *_importing(sources, file)]
    for _ in range(3):  # constants of constants
        constants |= {name for other in several for name in _made_of(sources[other], constants)}
    return [
        (other, node.lineno)
        for other in several
        for node in ast.walk(sources[other])
        if isinstance(node, ast.FunctionDef) and _uses(node, constants)
    ]


def assigned(module: ast.Module, line: int) -> list[str]:
    """The names that a statement of the module gives a value, if the line is in one."""
    for node in module.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.lineno <= line <= (node.end_lineno or 0):
            return _targets(node)
    return []


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [of.id for target in targets for of in ast.walk(target) if isinstance(of, ast.Name)]


def _made_of(module: ast.Module, names: set[str]) -> set[str]:
    return {
        name
        for node in module.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and node.value is not None
        and _uses(node.value, names)
        for name in _targets(node)
    }


def _uses(node: ast.AST, names: set[str]) -> bool:
    return any(
        (isinstance(of, ast.Name) and of.id in names) or (isinstance(of, ast.Attribute) and of.attr in names)
        for of in ast.walk(node)
    )


def _importing(sources: dict[str, ast.Module], file: str) -> list[str]:
    package, _, name = file.removesuffix(".py").replace("/", ".").rpartition(".")
    return [
        other
        for other, module in sources.items()
        if other != file
        and any(
            isinstance(node, ast.ImportFrom)
            and (
                node.module == f"{package}.{name}"
                or (node.module == package and any(of.name == name for of in node.names))
            )
            for node in ast.walk(module)
        )
    ]

"""Every change of a file of the statistics or the analyses, one operator, constant or branch at a time."""

import ast
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from benchmarks import _verdict

ROOT: Final = Path(__file__).resolve().parent.parent
ROOMS: Final = ("xray/stats", "xray/analyses")
TABLE: Final = Path(__file__).with_name("equivalents.csv")
"""Changes that cannot change a result, one by one: file, line of code, what is changed, why."""

COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES: Final = {
    "min": "max", "max": "min", "any": "all", "all": "any", "union": "intersection", "intersection": "union",
    "nanmin": "nanmax", "nanmax": "nanmin", "minimum": "maximum", "maximum": "minimum", "idxmin": "idxmax",
    "nlargest": "nsmallest", "searchsorted": "digitize",
}  # fmt: skip
WITHOUT_EFFECT: Final = frozenset(
    {
        "strict",
        "cache",
        "nogil",
        "fastmath",
        "parallel",
        "frozen",
        "repr",
        "compare",
        "copy",
        "kind",
        "dtype",
        "stacklevel",
    }
)
"""Keywords whose change is no change of a result: no test could tell."""


@dataclass(frozen=True)
class Mutant:
    """A change of one place: the text from `start` to `end` (offsets in bytes) replaced."""

    file: str
    line: int
    start: int
    end: int
    before: str
    after: str

    def text(self) -> str:
        """The whole file, changed."""
        source = _original(self.file)
        return (source[: self.start] + self.after.encode() + source[self.end :]).decode()


@cache
def _original(file: str) -> bytes:
    """A file as it is when it is asked for first: places of changes are places in it, whoever edits it meanwhile."""
    return (ROOT / file).read_bytes()


@dataclass(frozen=True)
class Equivalent:
    """A change that changes no result. code: its line, without the space around it."""

    file: str
    code: str
    before: str
    after: str
    reason: str


def equivalents() -> list[Equivalent]:
    """Those of the table."""
    with TABLE.open(encoding="utf-8", newline="") as lines:
        return [Equivalent(**row) for row in csv.DictReader(lines)]


class Changes(ast.NodeVisitor):
    """Every change of one file."""

    def __init__(self, file: str, source: str) -> None:
        self.file = file
        self.source = source.encode()
        self.lines = [0]
        for line in self.source.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))
        self.mutants: list[Mutant] = []

    def _add(self, node: ast.expr, after: ast.expr) -> None:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self.lines[node.lineno - 1] + node.col_offset
        end = self.lines[node.end_lineno - 1] + node.end_col_offset
        before = self.source[start:end].decode()
        text = ast.unparse(ast.fix_missing_locations(after))
        if "\n" in before or not isinstance(node, ast.Constant | ast.Name | ast.Attribute):
            text = f"({text})"
        self.mutants.append(Mutant(self.file, node.lineno, start, end, before, text))

    def visit_Compare(self, node: ast.Compare) -> None:
        """Each comparison by its neighbour."""
        for position, operator in enumerate(node.ops):
            if (other := COMPARISONS.get(type(operator))) is not None:
                operators = [*node.ops[:position], other(), *node.ops[position + 1 :]]
                self._add(node, ast.Compare(node.left, operators, node.comparators))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """An arithmetic operator by its opposite."""
        if (other := ARITHMETIC.get(type(node.op))) is not None and not _is_text(node):
            self._add(node, ast.BinOp(node.left, other(), node.right))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """`and` by `or`."""
        self._add(node, ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """A sign or a negation left out."""
        if isinstance(node.op, ast.USub | ast.Not | ast.Invert):
            self._add(node, node.operand)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """A number by another: whole ones by the next, others by twice as much; a truth value by its opposite."""
        value = node.value
        if isinstance(value, bool):
            self._add(node, ast.Constant(not value))
        elif isinstance(value, int):
            self._add(node, ast.Constant(value + 1))
        elif isinstance(value, float):
            self._add(node, ast.Constant(value * 2 or 1.0))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """A function by its opposite."""
        if node.attr in NAMES:
            self._add(node, ast.Attribute(node.value, NAMES[node.attr], node.ctx))
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        """A function by its opposite."""
        if node.id in NAMES:
            self._add(node, ast.Name(NAMES[node.id], node.ctx))

    def visit_keyword(self, node: ast.keyword) -> None:
        """Not where a change has no effect."""
        if node.arg not in WITHOUT_EFFECT:
            self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """The value, not the type."""
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Defaults and body; neither types nor decorators."""
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        for statement in node.body:
            self.visit(statement)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """The body; not the decorators."""
        for statement in node.body:
            self.visit(statement)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Words are not results."""

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """`list[int]` is a type where it stands alone; elsewhere both parts count."""
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        """Not what only the type checker reads."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        self.generic_visit(node)


class VerdictChanges(Changes):
    """Every constant of a file twice and half as large; comparisons by their neighbour, `and` by `or`, branches turned."""

    def visit_Constant(self, node: ast.Constant) -> None:
        """A truth value by its opposite."""
        if isinstance(node.value, bool):
            self._add(node, ast.Constant(not node.value))
        for value in _verdict.factors(node.value):
            self._add(node, ast.Constant(value))

    def _turn(self, condition: ast.expr) -> None:
        """Unless another change is the same."""
        whole = isinstance(condition, ast.Compare) and len(condition.ops) == 1
        if not (
            whole and isinstance(condition, ast.Compare) and isinstance(condition.ops[0], _verdict.OPPOSITE)
        ):
            self._add(condition, _verdict.turned(condition))

    def visit_If(self, node: ast.If) -> None:
        """The other branch."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        self._turn(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """The other value."""
        self._turn(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """What was left out, and nothing else."""
        for condition in node.ifs:
            self._turn(condition)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Operators are for the whole of both rooms."""
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Signs too."""
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Functions too."""
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        """Functions too."""


def _is_text(node: ast.BinOp) -> bool:
    return any(isinstance(part, ast.JoinedStr) or (isinstance(part, ast.Constant) and isinstance(part.value, str))
               for part in (node.left, node.right))  # fmt: skip


def mutants(files: Sequence[str] = (), kinds: type[Changes] = Changes) -> list[Mutant]:
    """Every change of both rooms, or of some files."""
    sources = files or sorted(str(p.relative_to(ROOT)) for room in ROOMS for p in (ROOT / room).glob("*.py"))
    changes = []
    for file in sources:
        source = _original(file).decode()
        visitor = kinds(file, source)
        visitor.visit(ast.parse(source))
        changes += visitor.mutants
    return changes


def changes(verdict: bool = False, only: Sequence[str] = ()) -> list[Mutant]:
    """Of both rooms or some files, or of the verdict, without those of TABLE. SystemExit where the table names no change."""
    files = only or (_verdict.FILES if verdict else ())
    candidates = mutants(files, VerdictChanges if verdict else Changes)
    rows = {(row.file, row.code, row.before, row.after) for row in equivalents()}
    listed = {row[0] for row in rows} & {mutant.file for mutant in candidates}
    possible = {
        _key(mutant) for kinds in (Changes, VerdictChanges) for mutant in mutants(sorted(listed), kinds)
    }
    if wrong := {row for row in rows if row[0] in listed} - possible:
        raise SystemExit("\n".join(["no such change:", *map(str, sorted(wrong))]))
    return [mutant for mutant in candidates if _key(mutant) not in rows]


def _key(mutant: Mutant) -> tuple[str, str, str, str]:
    line = _lines(mutant.file)[mutant.line - 1].strip()
    return mutant.file, line, " ".join(mutant.before.split()), mutant.after


@cache
def _lines(file: str) -> list[str]:
    return _original(file).decode().splitlines()

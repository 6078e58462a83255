"""Values of the product have the names of what they are (`auc`, `rows`, `patients`), not vague words and participles."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("benchmarks", "db", "flows", "tests", "xray")

# fmt: off
VAGUE = {
    "answered", "asked", "called", "chosen", "counted", "done", "drawn", "each", "ended", "found", "given", "gone",
    "got", "held", "here", "how", "kept", "known", "made", "meant", "mine", "named", "needed", "opened", "ours",
    "place", "put", "said", "seen", "shown", "spoken", "started", "taken", "theirs", "there", "thing", "told", "used",
    "wanted", "what", "where", "which", "who", "written",
}
# fmt: on

ALLOWED = {
    # names that people write or read: keys of study files, options, columns of the database
    "xray/configuration.py": {"where"},
    "xray/study_keys.py": {"where"},
    "xray/learning/request.py": {"where"},
    "xray/analyses/compare.py": {"where"},
    "xray/analyses/cuts.py": {"where"},
    "xray/platform.py": {"where"},
    "flows/cli/compare.py": {"where"},
    "flows/cli/cut.py": {"where"},
    "xray/data/sources/base.py": {"kept"},
    "db/results.py": {"place", "told"},
    "db/schema.py": {"drawn", "kept", "place"},
    # keys of the rows that benchmarks print and store
    "benchmarks/_reread.py": {"drawn"},
    "benchmarks/_simulated.py": {"drawn"},
    "benchmarks/_truth.py": {"drawn"},
    "benchmarks/kappa.py": {"where"},
    "benchmarks/report.py": {"ours"},
    # what a method does
    "db/question.py": {"put"},
    "xray/analyses/kept.py": {"put"},
    "xray/report/panels.py": {"put"},
    "xray/report/verdict_grid.py": {"put"},
    "xray/report/writing.py": {"put"},
    "xray/stats/measures.py": {"put"},
    # to be renamed
    "xray/stats/causes.py": {"counted", "found", "kept", "made", "named", "place", "said", "shown", "where"},
    "db/external.py": {"place"},
    "xray/report/decision_curves.py": {"named"},
    "xray/stats/posterior.py": {"found", "named", "seen", "what", "written"},
    "xray/stats/reread_design.py": {"chosen", "kept", "made", "place"},
    "xray/stats/reread_update.py": {"called", "given", "place"},
    "xray/stats/rereads.py": {"called", "chosen", "seen", "there"},
    "xray/stats/shares.py": {"each"},
}


def names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Names of variables, parameters, attributes, functions and classes where they are bound, with the line."""
    for node in ast.walk(tree):
        match node:
            case (
                ast.Name(id=name, ctx=ast.Store())
                | ast.Attribute(attr=name, ctx=ast.Store())
                | ast.arg(arg=name)
            ):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case (
                ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
                | ast.ExceptHandler(name=str(name))
            ):
                yield name, node.lineno


def vague(source: str) -> list[tuple[str, int]]:
    """The vague words among the names that a module binds, without leading underscores."""
    words = [(name.strip("_").lower(), line) for name, line in names(ast.parse(source)) if not name.isupper()]
    return [(word, line) for word, line in words if word in VAGUE]


def test_vague_names_are_found_wherever_a_name_is_bound() -> None:
    source = """
class Place: ...
def _shown(given, /, *found, told=1, **kept):
    each: int = (made := 2)
    for place, (said, _) in (): pass
    with open("x") as drawn: self.asked = [what for what in (lambda wanted: wanted)()]
    fine = found.known(where=1)
"""
    expected = "place shown given found told kept each made place said drawn asked what wanted"
    assert Counter(word for word, _ in vague(source)) == Counter(expected.split())


def test_new_names_avoid_vague_words() -> None:
    """A new name of these words wants a noun. One that people know, as the key of a file or a column, goes on the list."""
    bound: dict[str, set[str]] = {}
    faults = []
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        source, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
        for word, line in vague(source):
            bound.setdefault(name, set()).add(word)
            if word not in ALLOWED.get(name, ()):
                faults.append(f"{name}:{line}: {word}")
    assert not faults
    assert {name: words for name, words in ALLOWED.items() if words != bound.get(name)} == {}, (
        "no longer there"
    )

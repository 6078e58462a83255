"""Reporting guidelines, drafted from results: by item what the database holds, its rows, and what only a person knows.

Items and facts are data (`checklists/`). A fact is one question that the reader may ask, and a sentence for each row.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from xray.errors import AnalysisError

FOLDER: Final = "xray.report.checklists"
CHECKLISTS: Final = {"stard-ai": "stard-ai", "tripod+ai": "tripod-ai", "claim": "claim"}
"""Names of guidelines, and their files."""
CARD: Final = "model-card"
EXISTS: Final = {
    "study": "select 1 as here from study where name = :study",
    "model": "select 1 as here from model join study_model on model_id = model.id join study on study.id = study_id "
    "where study.name = :study and model.name = :model",
}
SHOWN: Final = 12
"""Sentences of a fact that are written out; the rest is in its rows."""
_NAMES: Final = re.compile(r":(study|model)\b")
SHELL: Final = str.maketrans({character: f"\\{character}" for character in '\\"$`'})

Rows = Sequence[Mapping[str, Any]]
Ask = Callable[[str], Rows]


@dataclass(frozen=True)
class Item:
    """One item of a guideline. facts: names of facts that speak of it. person: what results can't say, empty if nothing."""

    number: str
    topic: str
    facts: tuple[str, ...] = ()
    person: str = ""


def markdown(file: str, ask: Ask, study: str, model: str = "") -> str:
    """A guideline or model card as a Markdown draft.

    file: of `CHECKLISTS`, or `CARD`. ask: answers a SQL statement with its rows. Raises AnalysisError where there is no such
    study, or no such model.
    """
    facts = _read("facts")
    names = {"study": study, "model": model}
    for kind, statement in EXISTS.items():
        if names[kind] and not ask(_bound(statement, names)):
            owner = "the database" if kind == "study" else f"study {study!r}"
            raise AnalysisError(f"there is no {kind} {names[kind]!r} in {owner}")
    statements = {name: _bound(fact["sql"], names) for name, fact in facts.items()}
    guideline = _read(file)
    items = [Item(**{**item, "facts": tuple(item.get("facts", ()))}) for item in guideline["items"]]
    answers = {name: ask(statements[name]) for name in dict.fromkeys(n for item in items for n in item.facts)}
    lines = [
        f"# {guideline['title']}: {model or study}",
        "",
        f"{guideline['source']} A draft from the stored results of study {study}: sentences come from rows, which the last "
        "part names; what is marked **Yours** only a person can say.",
        "",
        _summary(items, answers),
    ]
    first = {name: item.number for item in reversed(items) for name in item.facts}
    for item in items:
        lines += ["", f"## {item.number}. {item.topic}", "", *_drafted(item, facts, answers, first)]
    lines += ["", "## Rows", "", "Each sentence comes from one of these questions.", ""]
    for name in answers:
        lines += [f"### {name}", "", "```sh", f'xray sql "{statements[name].translate(SHELL)}"', "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _summary(items: Sequence[Item], answers: Mapping[str, Rows]) -> str:
    has_rows = [any(answers[name] for name in item.facts) for item in items]
    from_results = sum(yes and not item.person for yes, item in zip(has_rows, items, strict=True))
    in_part = sum(yes and bool(item.person) for yes, item in zip(has_rows, items, strict=True))
    return (
        f"{len(items)} items: {from_results} drafted from results, {in_part} drafted in part, "
        f"{len(items) - from_results - in_part} with nothing from results."
    )


def _drafted(
    item: Item, facts: Mapping[str, Any], answers: Mapping[str, Rows], first: Mapping[str, str]
) -> Iterator[str]:
    """The lines of one item. first: the item that each fact is written out under; others name it."""
    for name in item.facts:
        rows = answers[name]
        if rows and first[name] != item.number:
            yield f"- As under {first[name]} ({name.replace('_', ' ')})."
            continue
        for row in rows[:SHOWN]:
            yield f"- {facts[name]['says'].format_map(_Words(row)).strip()}"
        if len(rows) > SHOWN:
            yield f"- … and {len(rows) - SHOWN} more: rows of [{name}](#{name})"
    if item.facts and not any(answers[name] for name in item.facts):
        yield f"- No result of this kind is stored (asked: {', '.join(item.facts)})."
    if item.person:
        yield f"- **Yours:** {item.person}."


class _Words(dict[str, Any]):
    """A row for a sentence: what is NULL is said as unknown; names can't become markup."""

    def __getitem__(self, name: str) -> str:
        value = super().__getitem__(name)
        text = "unknown" if value is None else " ".join(str(value).split())
        return "".join(f"\\{character}" if character in "\\`*_[]<>#|" else character for character in text)


def _bound(statement: str, names: Mapping[str, str]) -> str:
    """A statement with its names as SQL literals, which runs as it stands."""
    literals = {name: "'" + value.replace("'", "''") + "'" for name, value in names.items()}
    return _NAMES.sub(lambda match: literals[match[1]], " ".join(statement.split()))


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(FOLDER).joinpath(f"{name}.toml").read_text(encoding="utf-8"))

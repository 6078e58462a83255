"""The answer as plain text for a terminal, and as Markdown."""

from textwrap import fill
from typing import Final

from xray.report.answer import SPOKEN, VERDICTS, Answer
from xray.report.limits import reasons, stated
from xray.report.text import WIDTH

NOTHING_TO_WARN_OF: Final = "Nothing: no leak, no rare class, no file set aside."


def terminal(answer: Answer) -> str:
    """At most 100 columns wide; ends without a newline."""
    lines = [fill(answer.headline, WIDTH)]
    if answer.cells:
        lines += ["", *_grid(answer)]
    for head, sentences in _blocks(answer):
        if head == VERDICTS and len(sentences) > SPOKEN:
            sentences = (*sentences[:SPOKEN], f"{len(sentences) - SPOKEN} more are on the page.")
        lines += [
            "",
            head,
            *(fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ") for text in sentences),
        ]
    return "\n".join(lines)


def markdown(answer: Answer, title: str, question: str) -> str:
    """A page of Markdown: the same cells and sentences as the first screen."""
    lines = [f"# {_safe(title)}", "", _safe(question), "", f"**{_safe(answer.headline)}**", ""]
    if answer.cells:
        lines += [f"| finding | {' | '.join(_safe(site) for site in answer.sites)} |"]
        lines += ["|" + " --- |" * (len(answer.sites) + 1)]
        for row in answer.rows:
            cells = [answer.cells.get((row, site)) for site in answer.sites]
            texts = [_safe(f"{cell.state} ({cell.detail})") if cell else "" for cell in cells]
            lines.append(f"| {_safe(row.name)} | {' | '.join(texts)} |")
    for head, sentences in _blocks(answer):
        lines += ["", f"## {head}", "", *(f"* {_safe(text)}" for text in sentences)]
    return "\n".join([*lines, ""])


def _blocks(answer: Answer) -> list[tuple[str, tuple[str, ...]]]:
    blocks = (
        ("What fails, and why", answer.failures),
        (VERDICTS, answer.verdicts),
        ("What is not clear", answer.unsure),
        ("Beware", answer.warnings or (NOTHING_TO_WARN_OF,)),
        ("How cells are judged", (*stated(), *reasons())),
    )
    return [(head, sentences) for head, sentences in blocks if sentences]


def _grid(answer: Answer) -> list[str]:
    """Blocks of as many sites as fit beside each other."""
    first = max(len("finding"), *(len(row.name) for row in answer.rows))
    wide = max(10, *(len(site) for site in answer.sites))
    across = max(1, (WIDTH - first) // (wide + 2))
    lines: list[str] = []
    for start in range(0, len(answer.sites), across):
        sites = answer.sites[start : start + across]
        lines += ["  ".join(["finding".ljust(first), *(site.ljust(wide) for site in sites)]).rstrip()]
        for row in answer.rows:
            cells = [answer.cells.get((row, site)) for site in sites]
            words = [(cell.state if cell else "").ljust(wide) for cell in cells]
            lines.append("  ".join([row.name.ljust(first), *words]).rstrip())
        lines.append("")
    return lines[:-1]


def _safe(text: str) -> str:
    """The text with what Markdown would take as markup escaped."""
    return "".join("\\" + letter if letter in "\\`*_[]<>|#" else letter for letter in " ".join(text.split()))

"""A first mapping file for a table, with comments on its contents."""

import json
from pathlib import Path
from typing import Final

import pandas as pd

from xray.data.mapping import views
from xray.data.mapping.model import Mapping
from xray.data.mapping.readers import settled
from xray.data.mapping.recognise import Roles, finding_of, recognise
from xray.data.sources.panel import MAJORITY, RULES
from xray.data.sources.people import NO_WORDS
from xray.data.tables import DELIMITERS, Layout, Table, read_table
from xray.errors import ManifestError
from xray.findings import synonyms
from xray.names import plain
from xray.tasks import TASKS

_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "positive": (
        "1",
        "1.0",
        "yes",
        "y",
        "true",
        "t",
        "present",
        "positive",
        "pos",
        "+",
        "ja",
        "j",
        "oui",
        "si",
        "sí",
        "x",
        "wahr",
    ),
    "negative": (
        "0",
        "0.0",
        "no",
        "n",
        "false",
        "f",
        "absent",
        "negative",
        "neg",
        "-",
        "nein",
        "non",
        "falsch",
    ),
    "uncertain": ("u", "uncertain", "possible", "maybe", "unclear", "unklar", "?"),
    "not_mentioned": tuple(sorted(NO_WORDS)),
}
_NORMAL: Final = ("No Finding", "Normal", "No abnormality")
_SEPARATORS: Final = ("|", ";", ",")
_DISTINCT: Final = 30
_NAMES: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def draft(path: Path, layout: Layout | None = None) -> str:
    """The text of a mapping file for a table. Raises `ManifestError` where the table can't be read."""
    table = read_table(path, layout, ManifestError)
    roles = recognise(list(table.frame.columns), _all())
    key = roles.fields.get("image") or roles.fields.get("study")
    if key is not None:
        roles = settled(table, roles, Mapping(), key)
    long = _long(table, roles)
    terms = None if long or roles.findings else _terms(table, roles)
    lines = [
        f"# A first mapping of {path.name}: {len(table.frame)} rows, {table.about}. Look at every line, then:",
        f"#   xray dataset add NAME --site SITE --map {path.stem}.toml --dry-run",
        f"file = {_text(path.name)}",
    ]
    delimiter = next((name for mark, name in DELIMITERS.items() if name in table.about), None)
    if delimiter is not None:
        mark = next(mark for mark, name in DELIMITERS.items() if name == delimiter)
        lines.append(f"delimiter = {_text(_NAMES[mark])}")
    if "Windows-1252" in table.about:
        lines.append('encoding = "cp1252"  # it is not UTF-8: see that names with accents read rightly')
    if "path" not in roles.fields:
        lines += [
            "# No column is a path: pictures are looked for by the image's name, or by a template:",
            '# path = "{image}.png"',
        ]
    lines += ["", "[columns]", *_fields(table, roles)]
    if long is not None:
        finding, value = long
        lines += ["", "[long]  # a row per image and finding", f"finding = {_text(finding)}"]
        lines += [f"value = {_text(value)}"] if value is not None else []
    if terms is not None:
        lines += [
            "",
            "[terms]  # a list of findings in a cell",
            f"column = {_text(terms[0])}",
            f"separator = {_text(terms[1])}",
        ]
        lines += [f"normal = {_list(_NORMAL)}"]
    lines += ["", "[findings]", *_findings(table, roles, long, terms)]
    cells = [table.frame[column] for column in roles.findings.values()]
    cells += [table.frame[long[1]]] if long is not None and long[1] is not None else []
    words = {word for spellings in _WORDS.values() for word in spellings}
    special = {*(long or ()), *(terms or ())[:1]}
    cells += [  # findings by a name that is not known, most likely
        table.frame[name]
        for name in roles.others
        if name not in special and {str(word).lower() for word in table.frame[name].unique()[:50]} <= words
    ]
    lines += ["", *_words(cells)]
    if "reader" in roles.fields:
        lines += ["", "[readers]  # several of an image", *_rules()]
    if "view" in roles.fields:
        lines += ["", *_views(table.frame[roles.fields["view"]])]
    return "\n".join(lines) + "\n"


def _rules() -> list[str]:
    return [
        f"rule = {_text(MAJORITY)}",
        *(f"# {rule}: {meaning}" for rule, meaning in RULES.items()),
        "# or a reader's name: what that one says",
    ]


def _all() -> tuple[str, ...]:
    """The default list, and every other finding that has words in the table of synonyms."""
    return tuple(dict.fromkeys((*TASKS, *synonyms().values())))


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _list(values: tuple[str, ...] | list[str]) -> str:
    return f"[{', '.join(map(_text, values))}]"


def _examples(column: pd.Series) -> str:
    """The first distinct cells of a column, on one line."""
    values = [" ".join(str(value).split())[:30] for value in column[column != ""].unique()[:4]]
    return f"{column.nunique()} distinct, such as {', '.join(values)}" if values else "empty"


def _fields(table: Table, roles: Roles) -> list[str]:
    lines = [
        f"{field} = {_text(column)}  # {_examples(table.frame[column])}"
        for field, column in roles.fields.items()
    ]
    return lines + (
        [] if "image" in roles.fields else ["# image = …  (no column looks like the image's name)"]
    )


def _findings(
    table: Table, roles: Roles, long: tuple[str, str | None] | None, terms: tuple[str, str] | None
) -> list[str]:
    """The words that stand for findings, and the columns or words that might."""
    lines = [f"{_text(column)} = {_text(finding)}" for finding, column in roles.findings.items()]
    words: list[str] = []
    if long is not None:
        words = sorted(set(table.frame[long[0]]))
    elif terms is not None:
        words = sorted({term.strip() for cell in table.frame[terms[0]] for term in str(cell).split(terms[1])})
    normal = {plain(word) for word in _NORMAL}
    for word in filter(None, words):
        finding = finding_of(word, _all())
        if finding is not None:
            lines.append(f"{_text(word)} = {_text(finding)}")
        elif plain(word) not in normal:
            lines.append(f"# {_text(word)} = …  (no finding of this name)")
    special = {*(long or ()), *(terms or ())[:1]}
    for column in roles.others:
        if column not in special:
            near = f"; is it {roles.doubtful[column]}?" if column in roles.doubtful else ""
            lines.append(f"# {_text(column)} = …  (kept as it is: {_examples(table.frame[column])}{near})")
    return lines


def _words(columns: list[pd.Series]) -> list[str]:
    table_words = {str(word).strip().lower() for column in columns for word in column.unique()[:1000]}
    lines = ["[words]"]
    assigned: set[str] = set()
    for meaning, spellings in _WORDS.items():
        words = sorted(table_words & set(spellings)) if meaning != "not_mentioned" else list(spellings)
        assigned |= set(words)
        lines.append(f"{meaning} = {_list(words)}")
    open_words = sorted(table_words - assigned)
    if open_words:
        examples = ", ".join(map(_text, open_words[:_DISTINCT]))
        lines.append(f"# in no list yet; rows with them are set aside: {examples}")
        if "-1" in open_words or "-1.0" in open_words:
            lines.append("# -1 is uncertain in CheXpert and MIMIC, negative elsewhere: which is it here?")
    return lines


def _views(column: pd.Series) -> list[str]:
    words = [str(word) for word in column.unique() if str(word).lower() not in NO_WORDS][:_DISTINCT]
    lateral = [word for word in words if views.lateral(word)]
    return [
        "[views]",
        f"frontal = {_list([word for word in words if word not in lateral])}",
        f"lateral = {_list(lateral)}",
    ]


def _long(table: Table, roles: Roles) -> tuple[str, str | None] | None:
    """The column of findings and that of values, where images stand in several rows and a column's words are findings."""
    key = roles.fields.get("image") or roles.fields.get("study")
    if key is None or roles.findings or not table.frame[key].duplicated().any():
        return None
    finding = next((name for name in roles.others if _are_findings(table.frame[name])), None)
    if finding is None:
        return None
    words = {word for spellings in _WORDS.values() for word in spellings}
    value = next(
        (
            n
            for n in roles.others
            if n != finding and {str(w).lower() for w in table.frame[n].unique()[:50]} <= words
        ),
        None,
    )
    return finding, value


def _are_findings(column: pd.Series) -> bool:
    words = [str(word) for word in column.unique()[:1000] if str(word).strip()]
    return bool(words) and sum(finding_of(word, _all()) is not None for word in words) * 2 >= len(words)


def _terms(table: Table, roles: Roles) -> tuple[str, str] | None:
    """The column with lists of findings, and what separates them."""
    for name in roles.others:
        for separator in _SEPARATORS:
            terms = pd.Series(
                [t.strip() for cell in table.frame[name] for t in str(cell).split(separator)], dtype=object
            )
            has_separator = table.frame[name].astype(str).str.contains(separator, regex=False).any()
            if has_separator and _are_findings(terms):
                return name, separator
    return next(((name, "|") for name in roles.others if _are_findings(table.frame[name])), None)

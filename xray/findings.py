"""Findings by name: which name a word stands for, and which words may be declared as findings.

A dataset, a study and a model carry an ordered list of findings each; `xray.tasks.TASKS` is only the list of those that say
nothing. Lists are matched by name. What other words stand for a name is data, in `synonyms.csv`.
"""

import csv
import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import resources
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xray import names
from xray.errors import XrayError
from xray.names import near, plain
from xray.tasks import TASKS

LONGEST: Final = 60
"""Letters of a name. It stands in tables, figures and names of metrics."""
_SEPARATORS: Final = frozenset("/\\:|,;")


@functools.cache
def synonyms() -> Mapping[str, str]:
    """Plain word → the finding that it stands for, of the packaged table; every finding's own name is a word for it."""
    file = resources.files("xray") / "synonyms.csv"
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    own = {plain(name): name for name in (*TASKS, *(row["finding"] for row in rows))}
    return own | {plain(row["word"]): row["finding"] for row in rows}


def name_of(word: str, more: Mapping[str, str] | None = None) -> str | None:
    """The finding that a word stands for, None where the table of synonyms has none.

    However the word is cased and joined: "pleural effusion", "Pleural_Effusion" → "Effusion". more: words → findings of
    somebody's own, which go before the table's.
    """
    key = plain(word)
    for own, finding in (more or {}).items():
        if plain(own) == key:
            return finding
    return synonyms().get(key)


def match(word: str, among: Collection[str]) -> str | None:
    """The one of these findings that a word stands for: the same word, or a synonym of it; None where it is none of them."""
    if word in among:
        return word
    name = name_of(word)
    if name in among:
        return name
    key = plain(word)
    return next((finding for finding in among if plain(finding) == key), None)


def declare(
    words: Iterable[str], source: str, error: type[XrayError], vocabulary: Collection[str] = ()
) -> tuple[str, ...]:
    """The findings that somebody declares by these words, in their order: a name of the table, else the word as written.

    vocabulary: findings that were declared before, which are taken as they are. Raises `error`, naming `where`, for a word
    that is a slip of a known one, stands for the same finding as another, or can't be a name.
    """
    findings: dict[str, str] = {}
    for word in words:
        finding = word if word in vocabulary else name_of(word) or _own(word, source, error)
        if plain(finding) in findings:
            raise error(f"{source}: {finding!r} is declared twice")
        findings[plain(finding)] = finding
    return tuple(findings.values())


def _own(word: str, source: str, error: type[XrayError]) -> str:
    """A finding that the table does not know."""
    name = names.check_text(source, word.strip(), error, longest=LONGEST)
    if not plain(name) or _SEPARATORS & set(name):
        raise error(
            f"{source}: a finding needs letters or digits, and none of {' '.join(sorted(_SEPARATORS))}, found {word!r}"
        )
    guess = near(name, synonyms().values())
    if guess is not None:
        raise error(
            f"{source}: {word!r} is no known finding; did you mean {guess!r}? A finding of your own needs a name that "
            "differs more"
        )
    return name


def columns(
    matrix: NDArray[Any], findings: Sequence[str], selection: Sequence[str], missing: float
) -> NDArray[Any]:
    """The columns of a matrix (n, n_findings) by name: (n, n_wanted), `missing` in those of findings that it lacks."""
    if tuple(findings) == tuple(selection):
        return matrix
    result: NDArray[Any] = np.full((len(matrix), len(selection)), missing, dtype=matrix.dtype)
    column_of = {finding: column for column, finding in enumerate(findings)}
    for column, finding in enumerate(selection):
        if finding in column_of:
            result[:, column] = matrix[:, column_of[finding]]
    return result


def standard(findings: Iterable[str]) -> tuple[str, ...]:
    """Those of the default list, whole and in its order, then the others as they come: the order in which hashes are taken.

    So the content of a dataset is the same whether or not it speaks of all of the default list.
    """
    return (*TASKS, *(finding for finding in findings if finding not in TASKS))


def in_order(findings: Iterable[str]) -> tuple[str, ...]:
    """Each finding once: those of the default list in its order, then the others as they come."""
    present = dict.fromkeys(findings)
    return tuple(finding for finding in standard(present) if finding in present)


def column_bytes(matrix: NDArray[Any], findings: Sequence[str], missing: float) -> bytes:
    """What a content hash takes of a matrix (n, n_findings): the default list's columns, then the others by name.

    The same whatever the order of the columns, and whether findings that nothing is said of are among them.
    """
    parts = [columns(matrix, findings, TASKS, missing).tobytes()]
    for finding in sorted(set(findings) - set(TASKS), key=plain):
        column = columns(matrix, findings, (finding,), missing)
        if (column != missing).any():
            parts += [plain(finding).encode(), column.tobytes()]
    return b"".join(parts)

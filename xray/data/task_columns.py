"""Which column of somebody else's file is which finding, of those that this database knows or that are declared."""

from collections.abc import Collection, Sequence

from xray.findings import match
from xray.names import near


def task_columns(names: Sequence[str], among: Collection[str]) -> tuple[dict[str, str], list[str], list[str]]:
    """Finding → its column; the columns of no finding; what is wrong, in words: two columns of a finding, near misses."""
    columns: dict[str, str] = {}
    others, wrong = [], []
    for name in names:
        finding = match(name, among)
        if finding is None:
            others.append(name)
            guess = near(name, among)
            if guess is not None:
                wrong.append(f"column {name!r} is no task; did you mean {guess!r}?")
        elif finding in columns:
            wrong.append(f"columns {columns[finding]!r} and {name!r} are both {finding}")
        else:
            columns[finding] = name
    return columns, others, wrong

"""Which finding each column of a file from elsewhere is, of those that are registered or declared."""

from collections.abc import Collection, Sequence

from xray.findings import match
from xray.names import near


def task_columns(names: Sequence[str], among: Collection[str]) -> tuple[dict[str, str], list[str], list[str]]:
    """Finding → its column; the columns of no finding; what is wrong, in words: two columns of a finding, near misses."""
    columns: dict[str, str] = {}
    other_columns, faults = [], []
    for name in names:
        finding = match(name, among)
        if finding is None:
            other_columns.append(name)
            guess = near(name, among)
            if guess is not None:
                faults.append(f"column {name!r} is no task; did you mean {guess!r}?")
        elif finding in columns:
            faults.append(f"columns {columns[finding]!r} and {name!r} are both {finding}")
        else:
            columns[finding] = name
    return columns, other_columns, faults

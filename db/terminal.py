"""What people see on a terminal: colours, tables no wider than it is, bars. Plain text where a file or a program reads.

rich draws, and is imported where there is a terminal only. It honours NO_COLOR, and TERM=dumb is no terminal.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table
    from rich.text import Text

LEAST: Final = 10
"""Characters that a column of a table has at least, where its content has as many; a table of more is a list of records."""
_live: "list[Progress]" = []


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at what is written there."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def console(stream: TextIO) -> "Console":
    """rich's console of a terminal; it writes words as they are."""
    from rich.console import Console

    return Console(file=stream, markup=False, highlight=False, emoji=False, force_terminal=True)


def styled(text: str, style: str, stream: TextIO) -> str:
    """A text in a style of rich, such as "bold red"; as it is where no person looks."""
    if not is_terminal(stream):
        return text
    screen = console(stream)
    with screen.capture() as capture:
        screen.print(text, style=style, end="", soft_wrap=True)
    return capture.get()


def table(columns: Sequence[str], cells: Sequence[Sequence[str]], numeric: Sequence[bool]) -> str:
    """Rows for a terminal, no wider than it is: long cells go on in the next line. numeric: columns that stand to the right.

    Where that would leave a column less than a few characters, each row is a record: a line for each column.
    """
    screen = console(sys.stdout)
    from rich.cells import cell_len

    texts = [[_safe(value) for value in row] for row in cells]
    widths = [max([cell_len(name), *(cell_len(row[i]) for row in texts)]) for i, name in enumerate(columns)]
    fits = sum(min(width, LEAST) + 2 for width in widths) <= screen.width + 2
    with screen.capture() as capture:
        if fits:
            screen.print(_grid(columns, texts, numeric))
        else:
            for row in texts:
                screen.print(_record(columns, row))
    return "\n".join(line.rstrip(" ") for line in capture.get().rstrip("\n").split("\n"))


def _grid(columns: Sequence[str], cells: Sequence[Sequence[str]], numeric: Sequence[bool]) -> "Table":
    from rich import box
    from rich.table import Table

    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), header_style="bold")
    for name, right in zip(columns, numeric, strict=True):
        grid.add_column(_text(name), justify="right" if right else "left", overflow="fold")
    for row in cells:
        grid.add_row(*map(_text, row))
    return grid


def _record(columns: Sequence[str], row: Sequence[str]) -> "Table":
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", overflow="fold")
    grid.add_column(overflow="fold")
    for name, value in zip(columns, row, strict=True):
        grid.add_row(_text(name), _text(value))
    grid.add_row("", "")
    return grid


def _text(value: str) -> "Text":
    from rich.text import Text

    return Text(value)


def _safe(value: str) -> str:
    """Without characters that a terminal obeys: a cell may come from a file of others."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in value)


@contextmanager
def drawing(progress: "Progress") -> Iterator[None]:
    """Draw a bar for the time of a block."""
    with progress:
        _live.append(progress)
        try:
            yield
        finally:
            _live.remove(progress)


def live() -> "Console | None":
    """The console of the bar that is drawn now, above which lines may be written; None where there is none."""
    return _live[-1].console if _live else None

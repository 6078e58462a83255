"""`xray sql`: a question to the database, the answer as a table, JSON or CSV."""

import csv
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from db.terminal import is_terminal
from db.terminal import table as terminal_table
from flows.cli.rows import json_option, print_json


@click.command()
@click.argument("query", required=False)
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    help="Take the query from a file.",
)
@json_option("One JSON object per row.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV with a header.")
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    help="Time limit in seconds; 0: none (default: 300).",
)
def sql(query: str | None, file: Path | None, as_json: bool, as_csv: bool, timeout: float | None) -> None:
    """Run QUERY, read-only, and print its rows. Start with: xray sql "select * from predictions limit 5".

    QUERY is one statement, or - to read it from standard input. It runs as a role that can only read what
    docs/sql.md names. Ctrl-C cancels it.
    """
    from db.question import ask
    from flows.platform import storage

    if as_json and as_csv:
        raise click.UsageError("choose one of --json and --csv")
    statement = _statement(query, file)
    show = show_json if as_json else show_csv if as_csv else show_table
    try:
        with storage() as databases, ask(databases.reader or databases.xray, statement, timeout) as answer:
            show(answer.columns, answer.batches)
    except KeyboardInterrupt:
        click.echo("interrupted: the query was cancelled", err=True)
        raise SystemExit(130) from None


def _statement(query: str | None, file: Path | None) -> str:
    """The statement as it was given: as an argument, in a file, or by standard input."""
    if (query is None) == (file is None):
        raise click.UsageError("give a QUERY, - to read it from standard input, or --file FILE")
    if query is not None and query != "-":
        return query
    with click.open_file(str(file or "-"), encoding="utf-8") as source:
        statement = source.read()
    if not statement.strip():
        raise click.UsageError(f"{file or 'standard input'}: it holds no statement")
    return statement


Batches = Iterable[Sequence[Sequence[Any]]]


def show_json(columns: Sequence[str], batches: Batches) -> None:
    """An object per row, as they come."""
    for rows in batches:
        for row in rows:
            print_json(dict(zip(columns, row, strict=True)))


def show_csv(columns: Sequence[str], batches: Batches) -> None:
    """CSV, row by row as they come."""
    from xray.csv_cells import row as safe

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(safe(columns))
    for rows in batches:
        writer.writerows(map(safe, rows))


def show_table(columns: Sequence[str], batches: Batches) -> None:
    """Aligned text, which needs all rows first."""
    rows = [row for batch in batches for row in batch]
    click.echo(table(columns, rows))
    click.echo(f"({len(rows)} row{'' if len(rows) == 1 else 's'})", err=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows as aligned text, numbers to the right, NULL empty."""
    cells = [[_text(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(columns)]
    numeric = [
        all(isinstance(row[i], int | float | Decimal) or row[i] is None for row in rows) and rows
        for i in range(len(columns))
    ]

    if is_terminal(sys.stdout):
        return terminal_table(columns, cells, [bool(column) for column in numeric])

    def line(values: Sequence[str]) -> str:
        parts = (v.rjust(w) if n else v.ljust(w) for v, w, n in zip(values, widths, numeric, strict=True))
        return "  ".join(parts).rstrip()

    return "\n".join([line(columns), "  ".join("-" * w for w in widths), *map(line, cells)])


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)

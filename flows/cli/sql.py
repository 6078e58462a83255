"""`xray sql`: a question to the database, the answer as a table, JSON or CSV."""

import csv
import json
import math
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import click


@click.command()
@click.argument("query")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per row.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV with a header.")
def sql(query: str, as_json: bool, as_csv: bool) -> None:
    """Run QUERY, read-only, and print its rows. Start with: xray sql "select * from predictions limit 5"."""
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    from flows.platform import storage
    from xray.csv_cells import row as csv_row
    from xray.errors import DatabaseError

    if as_json and as_csv:
        raise click.UsageError("choose one of --json and --csv")
    with storage() as found, found.engine().connect() as connection:
        connection.execute(text("set session characteristics as transaction read only"))
        connection.commit()
        try:
            # without parameters a % in the query is just a %
            answer = connection.exec_driver_sql(query, execution_options={"no_parameters": True})
        except DBAPIError as error:
            raise DatabaseError(_one_line(error.orig)) from None
        if not answer.returns_rows:
            raise DatabaseError("the query returns no rows; xray sql is for questions (select …)")
        columns, rows = list(answer.keys()), [tuple(row) for row in answer]
    if as_json:
        for row in rows:
            click.echo(json.dumps(dict(zip(columns, map(_plain, row), strict=True)), default=str))
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows(map(csv_row, [columns, *rows]))
    else:
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

    def line(values: Sequence[str]) -> str:
        parts = (v.rjust(w) if n else v.ljust(w) for v, w, n in zip(values, widths, numeric, strict=True))
        return "  ".join(parts).rstrip()

    return "\n".join([line(columns), "  ".join("-" * w for w in widths), *map(line, cells)])


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    """A value as JSON has it: exact numbers as numbers, NaN and infinity, which JSON lacks, as null."""
    number = float(value) if isinstance(value, Decimal) else value
    return None if isinstance(number, float) and not math.isfinite(number) else number


def _one_line(error: BaseException | None) -> str:
    """PostgreSQL's message, where in the query, and its hint, as one line."""
    told = str(error).strip().splitlines() or ["the query failed"]
    place = [f"({line.strip()})" for line in told[1:] if line.startswith("LINE ")]
    hints = [line.strip() for line in told[1:] if line.startswith("HINT:")]
    return " ".join([told[0], *place, *hints])

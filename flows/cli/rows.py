"""What a command reports: a table, or JSON where `--json` is given.

Whatever is printed as JSON goes through `print_json`, so that every line of it is JSON that any program reads.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sqlalchemy import Connection


Function = TypeVar("Function", bound=Callable[..., Any])


def json_option(help: str = "As one JSON object.") -> Callable[[Function], Function]:
    """The option `--json` of a command that reports, as its argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=help)


def show(
    connection: "Connection", name: str, parameters: Mapping[str, Any], as_json: bool, nothing: str
) -> None:
    """Print the answer of db/sql/queries/`name`.sql: one JSON object per row, or a table; `nothing` where it is empty."""
    from sqlalchemy import text

    from db.queries import query

    answer = connection.execute(text(query(name)), dict(parameters))
    columns = list(answer.keys())
    show_rows([dict(zip(columns, row, strict=True)) for row in answer], as_json, nothing)


def show_rows(rows: Iterable[Mapping[str, Any]], as_json: bool, nothing: str) -> None:
    """Print rows of the same keys: one JSON object per row, or a table; `nothing`, to stderr, where there is none."""
    from flows.cli.sql import table

    listed = list(rows)
    if as_json:
        for row in listed:
            print_json(row)
    elif listed:
        click.echo(table(list(listed[0]), [list(row.values()) for row in listed]))
    if not listed:
        click.echo(nothing, err=True)


def print_json(value: Any) -> None:
    """Print a value on one line, as JSON."""
    click.echo(json.dumps(plain(value), allow_nan=False))


def plain(value: Any) -> Any:
    """A value as JSON has it: exact numbers as numbers, NaN and infinity as null, dates and paths as text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | Decimal):
        number = float(value)
        return number if math.isfinite(number) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    if callable(getattr(value, "tolist", None)):  # arrays of numpy, and its numbers
        return plain(value.tolist())
    return str(value)

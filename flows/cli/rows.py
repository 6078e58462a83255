"""Rows of a named query, as a table or as JSON."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import click
from sqlalchemy import Connection


def show(connection: Connection, name: str, given: Mapping[str, Any], as_json: bool, nothing: str) -> None:
    """Print the answer of db/sql/queries/`name`.sql: one JSON object per row, or a table; `nothing` where it is empty."""
    from sqlalchemy import text

    from db.queries import query

    answer = connection.execute(text(query(name)), dict(given))
    columns = list(answer.keys())
    show_rows([dict(zip(columns, row, strict=True)) for row in answer], as_json, nothing)


def show_rows(rows: Iterable[Mapping[str, Any]], as_json: bool, nothing: str) -> None:
    """Print rows of the same keys: one JSON object per row, or a table; `nothing`, to stderr, where there is none."""
    from flows.cli.sql import table

    found = list(rows)
    if as_json:
        for row in found:
            click.echo(json.dumps(row, default=str))
    elif found:
        click.echo(table(list(found[0]), [list(row.values()) for row in found]))
    if not found:
        click.echo(nothing, err=True)

"""`xray db size`: how much room everything takes."""

import click

from flows.cli.rows import json_option, print_json

UNITS = ("bytes", "kB", "MB", "GB", "TB")


@click.command()
@json_option("As one JSON object, in bytes.")
def size(as_json: bool) -> None:
    """How much room databases, tables, pixel caches and weights take, and what a stored score costs."""
    from flows.cli.db import owned
    from flows.cli.sql import table
    from xray import settings
    from xray.upkeep.sizes import sizes

    with owned() as databases:
        measured = sizes(databases, settings.home())
    if as_json:
        print_json(measured)
        return
    columns = ("table", "rows", "all", "rows' own", "long values", "indexes")
    parts = ("bytes", "in_rows", "in_long_values", "in_indexes")
    large = [size_of for size_of in measured["tables"] if size_of["rows"] or size_of["bytes"] > 100_000]
    rows = [
        (size_of["table_name"], size_of["rows"], *(words(size_of[part]) for part in parts))
        for size_of in large
    ]
    click.echo(table(columns, rows))
    click.echo()
    rest = [("database", name, words(n)) for name, n in measured["databases"].items()]
    rest += [("in the home", name, words(n)) for name, n in measured["folders"].items()]
    click.echo(table(("", "", "takes"), rest))
    if measured["bytes_per_score"]:
        click.echo(f"\n{measured['scores']} scores, {measured['bytes_per_score']:.1f} bytes each")


def words(n: int) -> str:
    """A number of bytes for people."""
    value = float(n)
    for unit in UNITS:
        if value < 1000 or unit == UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"

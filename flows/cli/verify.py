"""`xray verify`: published numbers, recomputed."""

import sys
from dataclasses import asdict
from pathlib import Path

import click

from flows.cli.groups import Group
from flows.cli.rows import json_option, print_json


@click.group(cls=Group)
def verify() -> None:
    """Published numbers, recomputed."""


@verify.command("table-a1")
@click.option(
    "--labels",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder of native label files; each dataset may have a folder of its own in it.",
)
@json_option("As one JSON object: cells, datasets, notes.")
def table_a1(labels: Path, as_json: bool) -> None:
    """Table A.1 of the paper, cell by cell, from the label files in a folder. Exit code 1 where a cell differs."""
    from flows.cli.sql import table
    from xray.data.sources.find import read_published
    from xray.data.table_a1 import table_a1 as cells_of

    published = read_published(labels)
    cells = cells_of(published)
    sizes = {
        name: (
            sum(cell.equal for cell in cells if cell.dataset == name),
            sum(cell.dataset == name for cell in cells),
        )
        for name in dict.fromkeys(cell.dataset for cell in cells)
    }
    differ = [cell for cell in cells if cell.found_positive is not None and not cell.equal]
    if as_json:
        print_json(
            {
                "cells": [asdict(cell) | {"equal": cell.equal} for cell in cells],
                "datasets": {
                    name: {"equal": equal, "cells": n, "there": name in published}
                    for name, (equal, n) in sizes.items()
                },
                "notes": {name: its.notes for name, its in published.items()},
                "set_aside": {name: len(its.quarantine) for name, its in published.items()},
            }
        )
    else:
        rows = [
            (
                cell.dataset,
                cell.task,
                cell.positive,
                cell.found_positive,
                cell.negative,
                cell.found_negative,
                "equal" if cell.equal else "DIFFERS" if cell.found_positive is not None else "not there",
            )
            for cell in cells
        ]
        columns = ("dataset", "task", "positive", "found", "negative", "found", "")
        click.echo(table(columns, rows))
        for name, (equal, n) in sizes.items():
            click.echo(f"{name}: {f'{equal} of {n} cells equal' if name in published else 'no label file'}")
        for name, its in published.items():
            for note in its.notes:
                click.echo(f"note: {name}: {note}", err=True)
    if differ:
        sys.exit(1)

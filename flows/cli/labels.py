"""`xray labels`: where a label comes from, and whether two labellers agree."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from flows.cli.groups import Group
from flows.cli.rows import json_option, print_json

if TYPE_CHECKING:
    from xray.data.explained import Explained
    from xray.data.labeller_agreement import Measure


@click.group(cls=Group)
def labels() -> None:
    """Where a label comes from, and whether two labellers agree."""


@labels.command()
@click.argument("dataset")
@click.argument("image")
@click.option("--protocol", multiple=True, help="A protocol's name or file (default: paper and corrected).")
@json_option("One JSON object per protocol.")
def explain(dataset: str, image: str, protocol: tuple[str, ...], as_json: bool) -> None:
    """Native cell → term → rule → state → label of IMAGE in DATASET, for each task."""
    from flows.platform import storage
    from xray.data.explained import explain_image
    from xray.data.protocol import RULE_SETS, load_protocol
    from xray.data.registered import read_named

    with storage() as databases, databases.engine().begin() as connection:
        registered = read_named(connection, dataset, terms=True)
    for name in protocol or RULE_SETS:
        explained = explain_image(registered, image, load_protocol(name))
        if as_json:
            print_json(explained)
        else:
            click.echo(_text(explained))


def _text(explained: "Explained") -> str:
    from flows.cli.sql import table

    part = f"in {explained.part}" if explained.part else f"left out ({explained.why_not}); its own row says"
    rows = [
        (
            row.task,
            row.state,
            row.label,
            row.column,
            row.value,
            row.term,
            row.rule,
            row.source,
            "" if row.image in (None, explained.image) else row.image,
        )
        for row in explained.labels
    ]
    columns = ("task", "state", "label", "column", "cell", "term", "rule", "rule from", "label of image")
    return f"{explained.image} under {explained.protocol}: {part}\n{table(columns, rows)}\n"


@labels.command()
@click.argument("first")
@click.argument("second")
@json_option("One JSON object per task.")
def agreement(first: str, second: str, as_json: bool) -> None:
    """Do the labels of datasets FIRST and SECOND agree on the images that they share?

    Intervals are of 95 %. The same counts by SQL: select * from labeller_agreement('FIRST', 'SECOND').
    """
    from flows.cli.rows import show_rows
    from flows.platform import storage
    from xray.data.labeller_agreement import labeller_agreement

    with storage() as databases, databases.engine().begin() as connection:
        rows = labeller_agreement(connection, first, second)
    if as_json:
        for row in rows:
            print_json({"first": first, "second": second} | asdict(row))
        return
    names = ("kappa", "pabak", "positive_agreement", "negative_agreement")
    counts = ("task", "n", "both_positive", "first_only", "second_only", "both_negative")
    show_rows(
        [
            {key: getattr(row, key) for key in counts} | {key: _interval(getattr(row, key)) for key in names}
            for row in rows
        ],
        False,
        "",
    )


def _interval(measure: "Measure") -> str:
    if measure.value is None:
        return f"– ({measure.reason})"
    if measure.lower is None or measure.upper is None:
        return f"{measure.value:.3f}"
    return f"{measure.value:.3f} [{measure.lower:.3f}, {measure.upper:.3f}]"
